//! The front: whatever a client with a certificate sends behind the handshake, the server answers
//! the next one.
#![no_main]

use std::fs;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use identity::{DevCa, IdPattern, Overwrite, ServerIdentity, Validity};
use libfuzzer_sys::fuzz_target;
use rustls::pki_types::ServerName;
use server::config::{self, Environment};
use store::Memory;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

struct Site {
    address: SocketAddr,
    connector: TlsConnector,
    _folder: TempDir,
    _running: server::Running,
}

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
});
static SITE: LazyLock<Site> =
    LazyLock::new(|| RUNTIME.block_on(open()).expect("the server starts"));

async fn open() -> Result<Site, Box<dyn std::error::Error>> {
    let folder = palisade_fuzz::folder();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
    let now = i64::try_from(now)?;
    let ca = DevCa::create("fuzz", now)?;
    ca.save(folder.path(), Overwrite::Refuse)?;
    let day = || Validity::from_days(now, 1);
    let names = ["localhost".to_owned()];
    ca.issue_server(&names, None, day()?)?.save(folder.path(), "server", Overwrite::Refuse)?;
    let id = IdPattern::new("mas", "/agent/{agent_id}")?.format("a")?;
    ca.issue_agent(&id, day()?)?.save(folder.path(), "a", Overwrite::Refuse)?;
    let file = folder.path().join("palisade.yaml");
    fs::write(&file, CONFIG)?;
    let config = config::load(&file, &Environment::default()).map_err(|all| format!("{all:?}"))?;
    let running = server::start(&config, Arc::new(Memory::default())).await?;
    let path = |name: &str| folder.path().join(name);
    let client = identity::load_client(
        &path("ca.pem"),
        &path("a.pem"),
        &path("a.key"),
        ServerIdentity::DnsName,
        now,
    )?;
    let (address, connector) = (running.address(), TlsConnector::from(client));
    Ok(Site { address, connector, _folder: folder, _running: running })
}

const CONFIG: &str = "
server:
  listen: '127.0.0.1:0'
  tls: { cert: server.pem, key: server.key, client_ca: ca.pem }
  # The bounds of the door would slow the fuzzer down.
  limits:
    connections_per_second: 100000
    handshakes_per_second: 100000
    handshakes_per_second_per_ip: 100000
    penalty_ms: 1
    penalty_max_ms: 1
agents:
  a: { allow: [a] }
";

/// Sends bytes as one client, then shows that the next client is greeted.
async fn round(site: &Site, bytes: &[u8]) -> std::io::Result<()> {
    let name = ServerName::try_from("localhost").map_err(std::io::Error::other)?;
    let tcp = TcpStream::connect(site.address).await?;
    let mut tls = site.connector.connect(name, tcp).await?;
    // The preface opens every connection; what follows is the input's.
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let sent = async {
        if bytes.first() != Some(&b'P') {
            tls.write_all(preface).await?;
        }
        tls.write_all(bytes).await?;
        tls.shutdown().await?;
        let mut answer = [0; 4_096];
        while tls.read(&mut answer).await? > 0 {}
        std::io::Result::Ok(())
    };
    // The server may close at any moment: that is its right.
    timeout(Duration::from_secs(20), sent).await.map_err(std::io::Error::other)?.or(Ok(()))
}

fuzz_target!(|bytes: &[u8]| {
    let site = LazyLock::force(&SITE);
    RUNTIME.block_on(round(site, bytes)).expect("a handshake and an end");
});
