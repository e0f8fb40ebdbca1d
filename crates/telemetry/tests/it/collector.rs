//! A collector in a few lines: it keeps what is posted and answers as it is told.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// One request: its head and its body.
#[derive(Debug, Clone)]
pub(crate) struct Posted {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Collector {
    posted: Arc<Mutex<Vec<Posted>>>,
    /// Statuses for the next requests; 200 behind them, and 0 for no answer.
    statuses: Arc<Mutex<VecDeque<u16>>>,
    connections: Arc<AtomicUsize>,
    /// Whether each connection is closed after one answer, without a word before.
    parts: Arc<AtomicBool>,
}

impl Collector {
    /// Listens; returns its URL.
    pub(crate) async fn start(statuses: &[u16]) -> (Self, String) {
        let (collector, address) = Self::listen(statuses, None).await;
        (collector, format!("http://{address}/base"))
    }

    /// Listens for TLS; returns its port.
    pub(crate) async fn start_tls(config: ServerConfig) -> (Self, u16) {
        let (collector, address) = Self::listen(&[], Some(Arc::new(config).into())).await;
        (collector, address.port())
    }

    #[expect(clippy::disallowed_methods, reason = "it ends with its test")]
    async fn listen(statuses: &[u16], tls: Option<TlsAcceptor>) -> (Self, SocketAddr) {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let collector = Self::default();
        collector.statuses.lock().unwrap().extend(statuses);
        let answering = collector.clone();
        drop(tokio::task::spawn(async move {
            while let Ok((stream, _)) = socket.accept().await {
                let (answering, tls) = (answering.clone(), tls.clone());
                answering.connections.fetch_add(1, Ordering::Relaxed);
                drop(tokio::task::spawn(async move {
                    match tls {
                        Some(tls) => answering.answer(tls.accept(stream).await.ok()?).await,
                        None => answering.answer(stream).await,
                    }
                }));
            }
        }));
        (collector, address)
    }

    /// Returns how many connections there were, whatever became of them.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Closes each connection after one answer from now on.
    pub(crate) fn part(&self) {
        self.parts.store(true, Ordering::Relaxed);
    }

    pub(crate) fn posted(&self) -> Vec<Posted> {
        self.posted.lock().unwrap().clone()
    }

    async fn answer(self, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Option<()> {
        loop {
            self.answer_one(&mut stream).await?;
            (!self.parts.load(Ordering::Relaxed)).then_some(())?;
        }
    }

    async fn answer_one(&self, stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Option<()> {
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            (stream.read_buf(&mut bytes).await.ok()? > 0).then_some(())?;
        };
        let head = String::from_utf8(bytes[..end].to_vec()).ok()?.to_ascii_lowercase();
        let length = head.split("content-length: ").nth(1)?.lines().next()?.parse().ok()?;
        let mut body = bytes.split_off(end);
        while body.len() < length {
            (stream.read_buf(&mut body).await.ok()? > 0).then_some(())?;
        }
        self.posted.lock().unwrap().push(Posted { head, body });
        let status = self.statuses.lock().unwrap().pop_front().unwrap_or(200);
        if status == 0 {
            // Until the other side goes.
            let _end = stream.read_buf(&mut Vec::new()).await;
            return None;
        }
        let answer = format!("HTTP/1.1 {status} x\r\nretry-after: 0\r\ncontent-length: 0\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.ok()?;
        stream.flush().await.ok()
    }
}
