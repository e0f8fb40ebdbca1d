//! A server with real TLS, and certificates for its agents.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gate::ports::{Clock as _, Found, Scan, Store};
use gate::tasks::Tasks;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use identity::{DevCa, IdPattern, Overwrite, ServerIdentity, Validity};
use palisade_client::{Client, Error, Options};
use rustls::pki_types::ServerName;
use server::Running;
use server::config::{self, Environment};
use store::{Embedded, Memory};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::body::Body;

/// The longest time that anything here may take that should happen soon.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A running server with its folder.
pub(crate) struct Site {
    folder: TempDir,
    pub(crate) ca: DevCa,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) running: Running,
}

/// Which store a server has.
#[derive(Default)]
pub(crate) enum Engine {
    /// The model, which is quick to make and slow with many agents.
    #[default]
    Memory,
    /// The store that servers have.
    Embedded,
    /// The same with small files on a disk of the test.
    On(Arc<dyn audit::Disk>),
}

/// What a server is started with; the agents `a` and `b` may always send to each other.
pub(crate) struct Plan {
    /// Which store it has.
    pub(crate) engine: Engine,
    /// Entries of `server.limits`, as YAML.
    pub(crate) limits: &'static str,
    /// Further agents, as lines of YAML.
    pub(crate) agents: String,
    /// Further sections, as YAML.
    pub(crate) more: &'static str,
    /// Further entries of `server`, as lines of YAML.
    pub(crate) server: &'static str,
    /// Further entries of `server.tls`, as YAML.
    pub(crate) tls: &'static str,
    /// Files that are there before the server starts; made with its authority.
    pub(crate) files: Files,
}

/// Makes files with the authority of a site: name and text of each.
pub(crate) type Files = Box<dyn FnOnce(&DevCa) -> Vec<(&'static str, String)> + Send>;

impl Default for Plan {
    fn default() -> Self {
        Self {
            engine: Engine::default(),
            limits: "",
            agents: String::new(),
            more: "",
            server: "",
            tls: "",
            files: Box::new(|_ca| Vec::new()),
        }
    }
}

impl Site {
    pub(crate) async fn open(plan: Plan) -> Self {
        let folder = TempDir::new().unwrap();
        let ca = DevCa::create("test CA", now()).unwrap();
        ca.save(folder.path(), Overwrite::Refuse).unwrap();
        issue_server(&ca, folder.path());
        for agent in ["a", "b", "stranger"] {
            issue(&ca, agent, day(), folder.path());
        }
        let operators = IdPattern::new("mas", "/operator/{operator}").unwrap();
        let boss = ca.issue_agent(&operators.format("boss").unwrap(), day()).unwrap();
        boss.save(folder.path(), "boss", Overwrite::Refuse).unwrap();
        let file = folder.path().join("palisade.yaml");
        let Plan { engine, limits, agents, more, server, tls, files } = plan;
        for (name, text) in files(&ca) {
            let file = folder.path().join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            identity::write_secret(&file, text.as_bytes(), Overwrite::Refuse).unwrap();
        }
        let text = format!(
            "server:\n  listen: '127.0.0.1:0'\n  tls: {{ cert: server.pem, key: server.key, \
             client_ca: ca.pem, reload_seconds: 0.02, {tls} }}\n{server}  limits: {{ {limits} \
             }}\nagents:\n  a: {{ allow: [b] }}\n  b: {{ allow: [a] }}\n{agents}operators: \
             [boss]\n{more}"
        );
        std::fs::write(&file, text).unwrap();
        let config = config::load(&file, &Environment::default()).unwrap();
        let embedded = |segment_bytes, disk| {
            let options = store::Options { segment_bytes, ..Default::default() };
            Embedded::open_on(&folder.path().join("data"), options, disk).unwrap()
        };
        let (store, engine): (Arc<dyn Store>, _) = match engine {
            Engine::Memory => (Arc::new(Memory::default()), None),
            Engine::Embedded => {
                let store = embedded(1 << 20, Arc::new(audit::RealDisk));
                (Arc::<Embedded>::clone(&store), Some(store))
            }
            Engine::On(disk) => {
                let store = embedded(64 << 10, disk);
                (Arc::<Embedded>::clone(&store), Some(store))
            }
        };
        let mut running = server::start(&config, Arc::clone(&store)).await.unwrap();
        if let Some(engine) = engine {
            running.follow(&engine);
        }
        Self { folder, ca, store, running }
    }

    pub(crate) async fn with_limits(limits: &'static str) -> Self {
        Self::open(Plan { limits, ..Plan::default() }).await
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn pair(&self, name: &str) -> (PathBuf, PathBuf) {
        let path = |ending| self.folder().join(format!("{name}.{ending}"));
        (path("pem"), path("key"))
    }

    pub(crate) fn options(&self, agent: &str) -> Options {
        let (cert, key) = self.pair(agent);
        let address = self.running.address().to_string();
        let mut options = Options::new(address, self.folder().join("ca.pem"), cert, key);
        options.reconnect.first = Duration::from_millis(5);
        options.reconnect.max = Duration::from_millis(50);
        options
    }

    pub(crate) async fn connect(&self, agent: &str) -> Result<Client, Error> {
        Box::pin(Client::connect(self.options(agent))).await
    }

    /// Opens a TCP connection and says nothing.
    pub(crate) async fn tcp(&self) -> TcpStream {
        TcpStream::connect(self.running.address()).await.unwrap()
    }

    /// Opens a connection with TLS and says nothing more.
    pub(crate) async fn tls(&self, agent: &str) -> std::io::Result<TlsStream<TcpStream>> {
        let (cert, key) = self.pair(agent);
        let ca = self.folder().join("ca.pem");
        let config =
            identity::load_client(&ca, &cert, &key, ServerIdentity::DnsName, now()).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(config).connect(name, self.tcp().await).await
    }

    /// Opens an HTTP/2 connection for generated clients.
    pub(crate) async fn channel(&self, agent: &str) -> Channel {
        self.channel_by(agent, &http2::Builder::new(TokioExecutor::new())).await
    }

    /// Connects a client with settings of HTTP/2 of its own.
    pub(crate) async fn channel_by(
        &self,
        agent: &str,
        builder: &http2::Builder<TokioExecutor>,
    ) -> Channel {
        let stream = TokioIo::new(self.tls(agent).await.unwrap());
        let (sender, connection) = builder.handshake(stream).await.unwrap();
        Tasks::default().spawn(connection);
        Channel(sender)
    }

    /// Returns every record with its reason and what decided.
    pub(crate) async fn records(&self) -> Vec<audit::Record<'static>> {
        let found = self.store.scan(Scan::Records { from: 1 }, 100_000).await.unwrap();
        let mut records = Vec::new();
        for one in found {
            if let Found::Record(entry) = one {
                records.push(entry.record().unwrap().into_owned());
            }
        }
        records
    }

    /// Waits for a record with a reason or of an event.
    pub(crate) async fn recorded(&self, word: &str) -> audit::Record<'static> {
        let seen = async {
            loop {
                let is_meant = |record: &audit::Record<'_>| {
                    record.reason.as_deref() == Some(word) || record.event_type == word
                };
                if let Some(record) = self.records().await.into_iter().find(is_meant) {
                    return record;
                }
                tokio::task::yield_now().await;
            }
        };
        within(word, seen).await
    }
}

/// Issues an agent's certificate into a folder.
pub(crate) fn issue(ca: &DevCa, agent: &str, validity: Validity, folder: &Path) {
    let id = IdPattern::new("mas", "/agent/{agent_id}").unwrap().format(agent).unwrap();
    ca.issue_agent(&id, validity).unwrap().save(folder, agent, Overwrite::Replace).unwrap();
}

/// Issues the server's certificate into a folder.
pub(crate) fn issue_server(ca: &DevCa, folder: &Path) {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let server = ca.issue_server(&names, None, day()).unwrap();
    server.save(folder, "server", Overwrite::Replace).unwrap();
}

pub(crate) fn day() -> Validity {
    Validity::from_days(now(), 1).unwrap()
}

pub(crate) fn now() -> i64 {
    i64::try_from(server::SystemClock.now().seconds()).unwrap()
}

/// Waits for what should happen soon.
pub(crate) async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(PATIENCE, work).await;
    done.unwrap_or_else(|_elapsed| panic!("not in time: {what}"))
}

/// One HTTP/2 connection as the service that generated clients call.
#[derive(Clone)]
pub(crate) struct Channel(SendRequest<Body>);

impl tower::Service<http::Request<Body>> for Channel {
    type Response = http::Response<hyper::body::Incoming>;
    type Error = hyper::Error;
    type Future = futures::future::BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(
        &mut self,
        _context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Self::Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}
