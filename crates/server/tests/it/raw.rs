//! A client that writes its own HTTP/2 frames, to do what no library would.
//!
//! It reads frames and no headers: those are compressed with state that it does not keep.

use prost::Message as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use wire::mas::runtime::v1 as mas;

use super::site::{Site, within};

/// A connection at the level of frames.
pub(crate) struct Raw {
    pub(crate) stream: TlsStream<TcpStream>,
}

/// One frame.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RESET: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

impl Raw {
    /// Connects and says hello in HTTP/2.
    pub(crate) async fn open(site: &Site, agent: &str) -> Self {
        let mut stream = site.tls(agent).await.unwrap();
        stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, b"")].concat()).await.unwrap();
        Self { stream }
    }

    pub(crate) async fn write(&mut self, frames: &[Vec<u8>]) {
        self.stream.write_all(&frames.concat()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// Reads a frame; nothing when the connection has ended.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        let read = async {
            let mut head = [0; 9];
            self.stream.read_exact(&mut head).await.ok()?;
            let len = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            let mut payload = vec![0; usize::try_from(len).unwrap()];
            self.stream.read_exact(&mut payload).await.ok()?;
            Some(Frame { kind: head[3], stream, payload })
        };
        within("a frame", read).await
    }

    /// Reads up to a frame of a kind; nothing when the connection ends before.
    pub(crate) async fn find(&mut self, kind: u8) -> Option<Frame> {
        loop {
            let frame = self.next().await?;
            if frame.kind == kind {
                return Some(frame);
            }
        }
    }

    /// Opens a session on stream 1 and reads its welcome.
    pub(crate) async fn hello(&mut self, instance: &str) {
        let hello = mas::Hello { instance_id: instance.to_owned() };
        let hello = mas::ClientEvent { event: Some(mas::client_event::Event::Hello(hello)) };
        self.write(&[call(1, "Transport", &[]), data(1, &hello.encode_to_vec())]).await;
        let welcome = self.event().await;
        assert!(matches!(welcome, mas::server_event::Event::Welcome(_)), "{welcome:?}");
    }

    /// Reads the next event of a session; each comes in a frame of its own.
    pub(crate) async fn event(&mut self) -> mas::server_event::Event {
        let frame = self.find(DATA).await.unwrap();
        let event = mas::ServerEvent::decode(&frame.payload[5..]).unwrap();
        event.event.unwrap()
    }
}

/// Makes a frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut made = vec![len[1], len[2], len[3], kind, flags];
    made.extend(stream.to_be_bytes());
    made.extend(payload);
    made
}

/// Makes the frame that begins a call of the MAS service, with further headers.
pub(crate) fn call(stream: u32, method: &str, more: &[(&str, &str)]) -> Vec<u8> {
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
        // HPACK: a literal that is not indexed, with a name of its own.
        block.push(0);
        for text in [name, value] {
            integer(&mut block, text.len());
            block.extend(text.as_bytes());
        }
    }
    frame(HEADERS, END_HEADERS, stream, &block)
}

/// Makes the frame of one gRPC message.
pub(crate) fn data(stream: u32, message: &[u8]) -> Vec<u8> {
    let len = u32::try_from(message.len()).unwrap().to_be_bytes();
    frame(DATA, 0, stream, &[&[0], len.as_slice(), message].concat())
}

/// Makes the frame that ends a call's sending side.
pub(crate) fn end(stream: u32) -> Vec<u8> {
    frame(DATA, END_STREAM, stream, b"")
}

/// Makes the frame that resets a stream as cancelled.
pub(crate) fn reset(stream: u32) -> Vec<u8> {
    frame(RESET, 0, stream, &8_u32.to_be_bytes())
}

/// Writes an integer of HPACK with a prefix of seven bits.
fn integer(block: &mut Vec<u8>, number: usize) {
    if number < 127 {
        block.push(u8::try_from(number).unwrap());
        return;
    }
    block.push(127);
    let mut rest = number - 127;
    while rest >= 128 {
        block.push(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    block.push(u8::try_from(rest).unwrap());
}

/// Waits until the other side has closed a connection, with or without a word.
pub(crate) async fn closed(stream: &mut (impl AsyncRead + Unpin)) {
    let mut rest = Vec::new();
    // A reset is an end too.
    drop(within("the connection is closed", stream.read_to_end(&mut rest)).await);
}
