//! A client that writes its own TLS bytes and HTTP/2 frames, to do what no library would.
//!
//! It reads the heads of frames and no headers: those are compressed with state that it does not
//! keep. Frames are laid out as in RFC 9113, header blocks as literals of RFC 7541.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use identity::ServerIdentity;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::tally::Tally;
use crate::unix_now;

/// Where the gate is, and the certificates of those who attack it.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) addr: SocketAddr,
    pub(super) folder: PathBuf,
}

impl Target {
    /// Connects from an address of its own: what is bounded by address is bounded for it alone.
    pub(super) async fn tcp(&self) -> Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from(([127, 0, 0, 66], 0)))?;
        let stream = timeout(PATIENCE, socket.connect(self.addr)).await??;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// Connects with the certificate of an agent.
    pub(super) async fn tls(&self, name: &str) -> Result<TlsStream<TcpStream>> {
        let [ca, cert, key] = ["ca.pem".to_owned(), format!("{name}.pem"), format!("{name}.key")]
            .map(|file| self.folder.join(file));
        let server = ServerIdentity::DnsName;
        let config = identity::load_client(&ca, &cert, &key, server, unix_now())?;
        let name = ServerName::try_from("127.0.0.1")?;
        let tcp = self.tcp().await?;
        let handshake = TlsConnector::from(Arc::clone(&config)).connect(name, tcp);
        timeout(PATIENCE, handshake).await?.context("no handshake")
    }
}

/// LIMIT: longer than a gate takes that does not make others wait on purpose.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RESET: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;
pub(super) const END_HEADERS: u8 = 4;
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Returns what a client says first.
pub(super) fn opening() -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, b"")].concat()
}

/// Makes a frame.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = u32::try_from(payload.len()).unwrap_or_default().to_be_bytes();
    let mut made = vec![a, b, c, kind, flags];
    made.extend(stream.to_be_bytes());
    made.extend(payload);
    made
}

/// Makes the header block of a call of the MAS service, with further headers.
pub(super) fn block(method: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let path = format!("/mas.runtime.v1.RuntimeService/{method}");
    let usual = [
        (":method", "POST"),
        (":scheme", "https"),
        (":path", path.as_str()),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    let mut block = Vec::new();
    for (name, value) in usual.iter().chain(more) {
        // A literal that is not indexed, with a name of its own.
        block.push(0);
        for text in [name, value] {
            integer(&mut block, text.len());
            block.extend(text.as_bytes());
        }
    }
    block
}

/// Makes the frame that begins a call.
pub(super) fn call(stream: u32, method: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &block(method, &[]))
}

/// Makes the frames of one gRPC message.
pub(super) fn message(stream: u32, flags: u8, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len()).unwrap_or_default().to_be_bytes();
    let bytes = [&[0], len.as_slice(), body].concat();
    let mut frames = Vec::new();
    let mut chunks = bytes.chunks(FRAME_BYTES).peekable();
    while let Some(chunk) = chunks.next() {
        let flags = if chunks.peek().is_none() { flags } else { 0 };
        frames.extend(frame(DATA, flags, stream, chunk));
    }
    frames
}

/// Makes a text or nested field of a protobuf message.
pub(super) fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut made = vec![number << 3 | 2];
    let mut len = bytes.len();
    while len >= 128 {
        made.push(u8::try_from(len % 128).unwrap_or_default() | 128);
        len /= 128;
    }
    made.push(u8::try_from(len).unwrap_or_default());
    made.extend(bytes);
    made
}

/// Writes an integer of HPACK with a prefix of seven bits.
fn integer(block: &mut Vec<u8>, number: usize) {
    let Some(mut rest) = number.checked_sub(127) else {
        block.push(u8::try_from(number).unwrap_or_default());
        return;
    };
    block.push(127);
    while rest >= 128 {
        block.push(u8::try_from(rest % 128).unwrap_or_default() | 128);
        rest /= 128;
    }
    block.push(u8::try_from(rest).unwrap_or_default());
}

/// Reads a frame, and counts what ends streams and connections; nothing at the end.
async fn read(from: &mut (impl AsyncRead + Unpin), tally: &Tally) -> Option<()> {
    let mut head = [0; 9];
    from.read_exact(&mut head).await.ok()?;
    let [a, b, c, kind, ..] = head;
    let len = u32::from_be_bytes([0, a, b, c]);
    let mut payload = vec![0; usize::try_from(len).ok()?];
    from.read_exact(&mut payload).await.ok()?;
    match kind {
        GOAWAY => tally.one(&format!("goaway_{}", payload.get(7).copied().unwrap_or_default())),
        RESET => tally.one("reset"),
        _ => {}
    }
    Some(())
}

/// Reads to the end.
pub(super) async fn read_all(mut from: impl AsyncRead + Unpin, tally: &Tally) {
    while read(&mut from, tally).await.is_some() {}
}

/// The largest frame that everyone takes.
const FRAME_BYTES: usize = 16_384;
