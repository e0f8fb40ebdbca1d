//! The client's side of the NATS protocol, as far as a load needs it: text lines with payloads.
//!
//! Written here because a client library would be the largest dependency of the program, for one
//! measurement; and because this one batches as a load generator should. The protocol is
//! documented by NATS under "Client protocol"; what `JetStream` adds are ordinary messages.

use std::path::Path;

use anyhow::{Context as _, bail};
use identity::ServerIdentity;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::clock;

/// One thing that the server says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said<'a> {
    /// A message for a subscription.
    Message { subscription: &'a str, reply: Option<&'a str>, payload: &'a [u8] },
    /// It wants to hear `PONG`.
    Ping,
    /// What it complains of; it closes the connection after most of these.
    Error(&'a str),
    /// A line that asks for nothing.
    Other,
}

/// Takes one whole thing from the front of what was received; returns it with its length.
///
/// # Errors
/// Returns an error if the bytes are not of the protocol.
pub(super) fn parse(bytes: &[u8]) -> anyhow::Result<Option<(Said<'_>, usize)>> {
    let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") else {
        return Ok(None);
    };
    let line = std::str::from_utf8(bytes.get(..end).unwrap_or_default())?;
    let behind = end + 2;
    let mut words = line.split_ascii_whitespace();
    let said = match words.next().unwrap_or_default() {
        "MSG" => return message(words.collect(), bytes, behind, false),
        "HMSG" => return message(words.collect(), bytes, behind, true),
        "PING" => Said::Ping,
        "-ERR" => Said::Error(line.get(4..).unwrap_or_default().trim()),
        "PONG" | "+OK" | "INFO" => Said::Other,
        _ => bail!("the peer does not speak the NATS protocol: {:.40}", line.escape_debug()),
    };
    Ok(Some((said, behind)))
}

/// `MSG subject sid [reply] size`, or `HMSG subject sid [reply] header-size size`.
fn message<'a>(
    mut words: Vec<&'a str>,
    bytes: &'a [u8],
    start: usize,
    has_header: bool,
) -> anyhow::Result<Option<(Said<'a>, usize)>> {
    let not_one = || anyhow::anyhow!("a NATS message has no size");
    let size: usize = words.pop().with_context(not_one)?.parse()?;
    let header: usize = if has_header { words.pop().with_context(not_one)?.parse()? } else { 0 };
    let Some(payload) = bytes.get(start + header..start + size) else {
        return Ok(None);
    };
    let behind = start + size + 2;
    if bytes.len() < behind {
        return Ok(None);
    }
    let subscription = words.get(1).copied().with_context(not_one)?;
    let reply = words.get(2).copied();
    Ok(Some((Said::Message { subscription, reply, payload }, behind)))
}

/// One connection over mutual TLS, with what waits to be written and what was received.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TlsStream<TcpStream>,
    out: Vec<u8>,
    received: Vec<u8>,
    used: usize,
}

impl Connection {
    /// Connects as the agent whose certificate lies in the folder.
    ///
    /// # Errors
    /// Returns why there is no connection.
    pub(super) async fn open(port: u16, folder: &Path, agent: &str) -> anyhow::Result<Self> {
        let file = |end: &str| folder.join(format!("{agent}.{end}"));
        let config = identity::load_client(
            &folder.join("ca.pem"),
            &file("pem"),
            &file("key"),
            ServerIdentity::DnsName,
            clock::unix_seconds(),
        )?;
        let tcp = TcpStream::connect(("127.0.0.1", port)).await?;
        tcp.set_nodelay(true)?;
        // The server speaks first, in clear text; from then on everything is TLS.
        let mut plain = BufReader::new(tcp);
        let mut info = String::new();
        plain.read_line(&mut info).await?;
        if !info.starts_with("INFO ") || !plain.buffer().is_empty() {
            bail!("the peer does not greet as a NATS server does");
        }
        let name = ServerName::try_from("localhost")?;
        let stream = TlsConnector::from(config).connect(name, plain.into_inner()).await?;
        let mut connection = Self { stream, out: Vec::new(), received: Vec::new(), used: 0 };
        connection.line(CONNECT);
        Ok(connection)
    }

    /// Puts a line into what is written next.
    pub(super) fn line(&mut self, line: &str) {
        self.out.extend_from_slice(line.as_bytes());
        self.out.extend_from_slice(b"\r\n");
    }

    /// Puts a message into what is written next.
    pub(super) fn publish(&mut self, subject: &str, reply: &str, payload: &[u8]) {
        self.line(&format!("PUB {subject} {reply} {}", payload.len()));
        self.out.extend_from_slice(payload);
        self.out.extend_from_slice(b"\r\n");
    }

    /// Writes all that waits, at once.
    ///
    /// # Errors
    /// Returns what the system says.
    pub(super) async fn flush(&mut self) -> anyhow::Result<()> {
        if !self.out.is_empty() {
            self.stream.write_all(&self.out).await?;
            self.stream.flush().await?;
            self.out.clear();
        }
        Ok(())
    }

    /// Waits for more bytes; may be dropped at any time.
    ///
    /// # Errors
    /// Returns an error if the connection has ended.
    pub(super) async fn receive(&mut self) -> anyhow::Result<()> {
        self.received.drain(..self.used);
        self.used = 0;
        self.received.reserve(READ_BYTES);
        if self.stream.read_buf(&mut self.received).await? == 0 {
            bail!("the NATS server closed the connection");
        }
        Ok(())
    }

    /// Hands each whole thing that was received to the closure, with what waits to be written.
    ///
    /// # Errors
    /// Returns what the server complains of, and what the closure returns.
    pub(super) fn each(
        &mut self,
        mut take: impl FnMut(&str, Option<&str>, &[u8], &mut Vec<u8>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let Self { received, used, out, .. } = self;
        while let Some((said, size)) = parse(received.get(*used..).unwrap_or_default())? {
            match said {
                Said::Message { subscription, reply, payload } => {
                    take(subscription, reply, payload, out)?;
                }
                Said::Ping => out.extend_from_slice(b"PONG\r\n"),
                Said::Error(what) => bail!("the NATS server says: {what}"),
                Said::Other => {}
            }
            *used += size;
        }
        Ok(())
    }
}

const CONNECT: &str = concat!(
    r#"CONNECT {"verbose":false,"pedantic":false,"lang":"rust","version":"1","protocol":1,"#,
    r#""headers":true,"no_responders":true}"#
);
/// LIMIT: what is read at once; about 200 messages of the workload.
const READ_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_is_taken_apart() {
        let message = |reply, payload| Said::Message { subscription: "2", reply, payload };
        for (bytes, expected) in [
            (&b"MSG a.b 2 5\r\nhello\r\nPING\r\n"[..], Some((message(None, b"hello"), 20))),
            (b"MSG a.b 2 $JS.ACK.x 0\r\n\r\n", Some((message(Some("$JS.ACK.x"), b""), 25))),
            (b"HMSG a 2 r 4 6\r\nH:\r\nhi\r\n", Some((message(Some("r"), b"hi"), 24))),
            (b"PING\r\n", Some((Said::Ping, 6))),
            (b"-ERR 'no'\r\n", Some((Said::Error("'no'"), 11))),
            (b"+OK\r\n", Some((Said::Other, 5))),
            (b"MSG a.b 2 5\r\nhel", None),
            (b"MSG a.b 2 5\r\nhello\r", None),
            (b"PIN", None),
        ] {
            assert_eq!(parse(bytes).unwrap(), expected, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn what_is_not_of_the_protocol_is_an_error() {
        for bytes in [&b"HTTP/1.1 200 OK\r\n"[..], b"MSG\r\n", b"MSG a 1 x\r\n", b"\xff\r\n"] {
            assert!(parse(bytes).is_err(), "{}", bytes.escape_ascii());
        }
    }
}
