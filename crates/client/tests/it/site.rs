//! Certificates for a test, and a listener that speaks TLS and HTTP/2 like a gate.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use identity::{DevCa, IdPattern, Material, MaterialFiles, Overwrite, Validity};
use palisade_client::Options;
use rustls::pki_types::UnixTime;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tonic::service::Routes;
use tower::ServiceExt as _;

/// Names the agent behind a request, as its certificate says.
#[derive(Clone)]
pub(crate) struct Peer(pub(crate) String);

/// A folder of certificates with a listener that uses them.
pub(crate) struct Site {
    folder: TempDir,
    pub(crate) ca: DevCa,
    pub(crate) addr: SocketAddr,
    connections: Arc<Mutex<JoinSet<()>>>,
    _listening: JoinSet<()>,
}

impl Site {
    pub(crate) async fn start(routes: Routes) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ca = DevCa::create("test", now()).unwrap();
        ca.save(folder.path(), Overwrite::Refuse).unwrap();
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let id = pattern().format("gate").unwrap();
        let server = ca.issue_server(&names, Some(&id), days(1)).unwrap();
        server.save(folder.path(), "server", Overwrite::Refuse).unwrap();
        let at = |name: &str| folder.path().join(name);
        let files = MaterialFiles::new(at("server.pem"), at("server.key"), "mas", at("ca.pem"));
        let config = identity::server_config(&Material::load(&files, now()).unwrap()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let connections = Arc::new(Mutex::new(JoinSet::new()));
        let mut listening = JoinSet::new();
        listening.spawn(accept(
            listener,
            TlsAcceptor::from(config),
            routes,
            Arc::clone(&connections),
        ));
        Self { folder, ca, addr, connections, _listening: listening }
    }

    /// Breaks all connections without a word.
    pub(crate) fn cut(&self) {
        self.connections.lock().unwrap().abort_all();
    }

    pub(crate) fn options(&self, agent: &str) -> Options {
        let (cert, key) = self.pair(agent);
        let mut options = Options::new(self.addr.to_string(), self.path("ca.pem"), cert, key);
        options.reconnect.first = std::time::Duration::from_millis(1);
        options.reconnect.max = std::time::Duration::from_millis(20);
        options
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn pair(&self, agent: &str) -> (PathBuf, PathBuf) {
        let (cert, key) = (self.path(&format!("{agent}.pem")), self.path(&format!("{agent}.key")));
        if !cert.exists() {
            issue(&self.ca, agent, self.folder.path());
        }
        (cert, key)
    }
}

pub(crate) fn issue(ca: &DevCa, agent: &str, folder: &Path) {
    issue_for(ca, agent, days(1), folder);
}

/// Issues a certificate that ends in some seconds.
pub(crate) fn issue_short(ca: &DevCa, agent: &str, seconds: i64, folder: &Path) {
    let validity = Validity { not_before_unix: now() - 5, not_after_unix: now() + seconds };
    issue_for(ca, agent, validity, folder);
}

fn issue_for(ca: &DevCa, agent: &str, validity: Validity, folder: &Path) {
    let id = pattern().format(agent).unwrap();
    ca.issue_agent(&id, validity).unwrap().save(folder, agent, Overwrite::Replace).unwrap();
}

pub(crate) fn now() -> i64 {
    i64::try_from(UnixTime::now().as_secs()).unwrap()
}

fn days(days: u32) -> Validity {
    Validity::from_days(now(), days).unwrap()
}

fn pattern() -> IdPattern {
    IdPattern::new("mas", "/agent/{agent_id}").unwrap()
}

async fn accept(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    routes: Routes,
    connections: Arc<Mutex<JoinSet<()>>>,
) {
    loop {
        let (tcp, _from) = listener.accept().await.unwrap();
        let (acceptor, routes) = (acceptor.clone(), routes.clone());
        connections.lock().unwrap().spawn(async move {
            let Ok(stream) = acceptor.accept(tcp).await else { return };
            let leaf = identity::peer_leaf(stream.get_ref().1).unwrap();
            let peer = identity::check_leaf(leaf).unwrap();
            let peer = Peer(pattern().extract(&peer.spiffe_id).unwrap().to_owned());
            let service = routes.map_request(move |mut request: http::Request<_>| {
                request.extensions_mut().insert(peer.clone());
                request
            });
            let served = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
            drop(served.await);
        });
    }
}
