//! Connections that are none: old TLS, no TLS, no certificate, another protocol inside.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::PACE;
use super::cases::{Expected, Mint};
use super::connect::{self, Answer, Asked, Offer};

/// What was asked without a good TLS 1.3 handshake, with what must come of it.
pub(super) type Tried = (&'static str, Expected, Result<Asked>);

/// Tries all of them.
pub(super) async fn all(to: SocketAddr, mint: &Mint, offer: &Offer) -> Vec<Tried> {
    let mut tried = Vec::new();
    for (id, bytes, cause) in raw() {
        tried.push((id, Expected::NoHandshake(cause), send(to, &bytes).await));
        sleep(PACE).await;
    }
    let nobody = connect::ask(to, None, offer.clone()).await;
    tried.push(("TLS.no-certificate", Expected::NoHandshake("sent no certificates"), nobody));
    let older = async {
        let shown = mint.show(&mint.leaf())?;
        connect::ask(to, Some(&shown), Offer { protocol: b"http/1.1", ..offer.clone() }).await
    };
    tried.push(("TLS.http-1", Expected::NoHandshake("support any known protocol"), older.await));
    tried
}

/// Checks that the hello of the tests is one that a server answers, if it offers TLS 1.3.
pub(super) async fn good_hello(to: SocketAddr) -> Result<()> {
    let reply = exchange(TcpStream::connect(to).await?, &hello(0x0303, true)).await?;
    ensure!(reply.first() == Some(&HANDSHAKE), "no server hello but {:?}", reply.get(..8));
    Ok(())
}

fn raw() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let (old, older) = ("SupportedVersions", "Tls12NotOffered");
    vec![
        ("TLS.1-2", hello(0x0303, false), old),
        ("TLS.1-1", hello(0x0302, false), older),
        ("TLS.1-0", hello(0x0301, false), older),
        ("TLS.ssl-3", hello(0x0300, false), older),
        ("TLS.plain-http-2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), "corrupt"),
        ("TLS.plain-http-1", b"GET / HTTP/1.1\r\nhost: gate\r\n\r\n".to_vec(), "corrupt"),
        ("TLS.zeros", vec![0; 512], "corrupt"),
    ]
}

async fn send(to: SocketAddr, bytes: &[u8]) -> Result<Asked> {
    let stream = TcpStream::connect(to).await?;
    let from = stream.local_addr()?;
    let reply = exchange(stream, bytes).await?;
    let answer = match reply.first() {
        None => Answer::Closed("without a word".to_owned()),
        Some(&ALERT) => Answer::Closed(format!("with alert {:?}", reply.get(5..))),
        // Anything else would be the beginning of a conversation.
        Some(_) => Answer::Served,
    };
    Ok(Asked { from, answer })
}

/// Sends bytes and returns the first that come back, or none if the connection ends.
async fn exchange(mut stream: TcpStream, bytes: &[u8]) -> Result<Vec<u8>> {
    stream.write_all(bytes).await?;
    let mut reply = vec![0; 4_096];
    let read = timeout(PATIENCE, stream.read(&mut reply)).await.context("no end in time")?;
    // What was sent and not read makes the end of a connection a reset.
    reply.truncate(read.unwrap_or_default());
    Ok(reply)
}

/// Writes a `ClientHello` (RFC 8446, 4.1.2) with or without what makes it one of TLS 1.3.
fn hello(version: u16, is_13: bool) -> Vec<u8> {
    let extension =
        |kind: u16, content: &[u8]| [kind.to_be_bytes().as_slice(), &sized(content)].concat();
    let mut extensions = [
        extension(SUPPORTED_GROUPS, &sized(&[0, X25519, 0, P256])),
        extension(SIGNATURE_ALGORITHMS, &sized(&[4, 3, 8, 4, 4, 1])),
    ]
    .concat();
    if is_13 {
        let share = [&[0, X25519], sized(&BASE_POINT).as_slice()].concat();
        extensions.extend(extension(SUPPORTED_VERSIONS, &[2, 3, 4]));
        extensions.extend(extension(KEY_SHARE, &sized(&share)));
    }
    // One cipher suite of TLS 1.3, two of TLS 1.2 and one that is older.
    let suites = [0x13, 0x01, 0xc0, 0x2b, 0xc0, 0x2f, 0x00, 0x2f];
    let content = [
        version.to_be_bytes().as_slice(),
        &[7; 32],
        &[0],
        &sized(&suites),
        &[1, 0],
        &sized(&extensions),
    ]
    .concat();
    let message = [&[1, 0], sized(&content).as_slice()].concat();
    [&[HANDSHAKE, 3, 1], sized(&message).as_slice()].concat()
}

/// Writes bytes behind their number, which has two bytes.
fn sized(content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap_or(u16::MAX);
    [length.to_be_bytes().as_slice(), content].concat()
}

const HANDSHAKE: u8 = 22;
const ALERT: u8 = 21;
const SUPPORTED_GROUPS: u16 = 10;
const SIGNATURE_ALGORITHMS: u16 = 13;
const SUPPORTED_VERSIONS: u16 = 43;
const KEY_SHARE: u16 = 51;
const X25519: u8 = 29;
const P256: u8 = 23;
/// A public key of X25519 (RFC 7748) like any other.
const BASE_POINT: [u8; 32] = {
    let mut point = [0; 32];
    point[0] = 9;
    point
};
/// LIMIT: longer than the gate's own bound of a handshake.
const PATIENCE: Duration = Duration::from_secs(10);
