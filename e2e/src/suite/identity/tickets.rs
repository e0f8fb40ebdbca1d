//! X14: a session that is resumed shows no certificate, so the gate resumes none.
//!
//! It gives no tickets, and takes none: neither its own, if there were any, nor one of another
//! server. A client that comes with one has to prove itself as at the first time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use identity::{ServerIdentity, Validity};
use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Resumption, Tls12ClientSessionValue,
    Tls13ClientSessionValue,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, NamedGroup, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::connect::{Answer, call_over};
use super::reload::{Ground, Pair, day};
use crate::patience::eventually;
use crate::site::unix_now;
use crate::suite::Report;

pub(super) async fn run(report: &mut Report) {
    report.case("X14.no-ticket-is-given", none_is_given().await);
    report.case("X14.ticket-after-removal", useless(End::Removed).await);
    report.case("X14.ticket-after-expiry", useless(End::Expired).await);
}

/// How a client with a ticket loses its trust.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Removed,
    Expired,
}

/// Connects twice with a client that would resume, and looks what it was given.
async fn none_is_given() -> Result<()> {
    let ground = Ground::new().await?;
    let guest = Guest::new(&ground, &ground.pair(&ground.first, "leaver", day()?)?)?;
    for _turn in 0..2 {
        let (kind, answer) = guest.ask(ground.gate.addr()).await?;
        ensure!(answer == Answer::Served, "it was not served: {answer:?}");
        ensure!(kind == HandshakeKind::Full, "the handshake was {kind:?}");
    }
    let given = guest.tickets.given();
    ensure!(given == 0, "the gate gave {given} tickets");
    ground.gate.stop().await
}

/// Lets a client lose its trust and come back with a ticket, be it one of the gate's or of another
/// server.
async fn useless(end: End) -> Result<()> {
    let ground = Ground::new().await?;
    let life = match end {
        End::Removed => day()?,
        End::Expired => {
            Validity { not_before_unix: unix_now() - 60, not_after_unix: unix_now() + LIFE_SECONDS }
        }
    };
    let pair = ground.pair(&ground.first, "leaver", life)?;
    let other = Other::start(&ground).await?;
    let [known, stranger, nobody] =
        [Guest::new(&ground, &pair)?, Guest::new(&ground, &pair)?, Guest::new(&ground, &pair)?];
    for guest in [&known, &stranger] {
        let (_kind, answer) = guest.ask(ground.gate.addr()).await?;
        ensure!(answer == Answer::Served, "it was not served before: {answer:?}");
    }
    // That its tickets are good for something is seen where they come from.
    other.visit(&stranger, HandshakeKind::Full).await?;
    other.visit(&stranger, HandshakeKind::Resumed).await?;
    ensure!(stranger.tickets.given() > 0, "the other server gave no ticket");
    let (kind, answer) = stranger.ask(ground.gate.addr()).await?;
    ensure!(kind == HandshakeKind::Full, "the handshake with a strange ticket was {kind:?}");
    ensure!(answer == Answer::Served, "a strange ticket is in the way: {answer:?}");
    match end {
        End::Removed => ground.trust(&[&ground.second])?,
        // The last second of the certificate is a whole one.
        End::Expired => sleep(Duration::from_secs(LIFE_SECONDS.unsigned_abs() + 1)).await,
    }
    eventually("who has no ticket is kept out", async || {
        let (_kind, answer) = nobody.ask(ground.gate.addr()).await?;
        Ok((answer != Answer::Served).then_some(()))
    })
    .await?;
    other.visit(&stranger, HandshakeKind::Resumed).await?;
    for guest in [&known, &stranger] {
        let (kind, answer) = guest.ask(ground.gate.addr()).await?;
        ensure!(kind == HandshakeKind::Full, "the handshake was {kind:?}: {answer:?}");
        ensure!(matches!(answer, Answer::Closed(_)), "not closed: {answer:?}");
    }
    ground.gate.stop().await
}

/// A client that keeps the tickets which it is given, and shows them again.
struct Guest {
    config: Arc<ClientConfig>,
    tickets: Arc<Tickets>,
}

impl Guest {
    fn new(ground: &Ground, pair: &Pair) -> Result<Self> {
        let (ca, name) = (ground.server_ca(), ServerIdentity::DnsName);
        let config = identity::load_client(&ca, &pair.cert, &pair.key, name, unix_now())?;
        let tickets = Arc::new(Tickets::default());
        let store: Arc<dyn ClientSessionStore> = Arc::<Tickets>::clone(&tickets);
        let mut config = (*config).clone();
        config.resumption = Resumption::store(store);
        Ok(Self { config: Arc::new(config), tickets })
    }

    /// Connects and asks for the agent's state; returns how the handshake went, and the answer.
    async fn ask(&self, to: SocketAddr) -> Result<(HandshakeKind, Answer)> {
        let asking = async {
            let (kind, stream) = self.connect(to).await?;
            let answer = call_over(stream, to).await;
            Ok((kind, answer.unwrap_or_else(|cause| Answer::Closed(format!("{cause:#}")))))
        };
        timeout(PATIENCE, asking).await.context("no answer in time")?
    }

    /// Does a handshake. In TLS 1.3 the client is done before its certificate is judged.
    async fn connect(&self, to: SocketAddr) -> Result<(HandshakeKind, TlsStream<TcpStream>)> {
        let stream = TcpStream::connect(to).await?;
        let name = ServerName::IpAddress(to.ip().into());
        let stream = TlsConnector::from(Arc::clone(&self.config)).connect(name, stream).await?;
        let kind = stream.get_ref().1.handshake_kind().context("no handshake")?;
        Ok((kind, stream))
    }
}

/// Another server with the gate's certificate, which gives tickets and takes them.
struct Other {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Other {
    async fn start(ground: &Ground) -> Result<Self> {
        let certificate = CertificateDer::from_pem_file(ground.file("server.pem"))?;
        let key = PrivateKeyDer::from_pem_file(ground.file("server.key"))?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        Ok(Self { listener, acceptor: TlsAcceptor::from(Arc::new(config)) })
    }

    /// Lets a client in, whose handshake must be of this kind, and gives it new tickets.
    async fn visit(&self, guest: &Guest, expected: HandshakeKind) -> Result<()> {
        let serving = async {
            let (stream, _) = self.listener.accept().await?;
            let mut stream = self.acceptor.accept(stream).await?;
            stream.write_all(&[1]).await?;
            anyhow::Ok(stream.shutdown().await?)
        };
        let visiting = async {
            let (kind, mut stream) = guest.connect(self.listener.local_addr()?).await?;
            // The tickets come before it.
            stream.read_to_end(&mut Vec::new()).await?;
            anyhow::Ok(kind)
        };
        let both = async { tokio::try_join!(serving, visiting) };
        let ((), kind) = timeout(PATIENCE, Box::pin(both)).await.context("no end in time")??;
        ensure!(kind == expected, "the handshake with the other server was {kind:?}");
        Ok(())
    }
}

/// Keeps tickets and counts them.
#[derive(Debug)]
struct Tickets {
    kept: ClientSessionMemoryCache,
    given: AtomicU32,
}

impl Tickets {
    fn given(&self) -> u32 {
        self.given.load(Ordering::Relaxed)
    }
}

impl Default for Tickets {
    fn default() -> Self {
        Self { kept: ClientSessionMemoryCache::new(SERVERS), given: AtomicU32::new(0) }
    }
}

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, server: ServerName<'static>, group: NamedGroup) {
        self.kept.set_kx_hint(server, group);
    }

    fn kx_hint(&self, server: &ServerName<'_>) -> Option<NamedGroup> {
        self.kept.kx_hint(server)
    }

    fn set_tls12_session(&self, server: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.kept.set_tls12_session(server, value);
    }

    fn tls12_session(&self, server: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.kept.tls12_session(server)
    }

    fn remove_tls12_session(&self, server: &ServerName<'static>) {
        self.kept.remove_tls12_session(server);
    }

    fn insert_tls13_ticket(&self, server: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.given.fetch_add(1, Ordering::Relaxed);
        self.kept.insert_tls13_ticket(server, value);
    }

    fn take_tls13_ticket(&self, server: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.kept.take_tls13_ticket(server)
    }
}

/// How long the certificate of a client is good that is to run out.
const LIFE_SECONDS: i64 = 6;
const SERVERS: usize = 8;
/// LIMIT: longer than anything here may take.
const PATIENCE: Duration = Duration::from_secs(30);
