//! Calls with bodies by hand, on connections of an HTTP/2 library that keeps to the protocol: what
//! is wrong with them is what they say, not how.

use std::future::poll_fn;
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::tally::Tally;
use super::wire::Target;

/// A connection of an attacker.
#[derive(Debug)]
pub(super) struct Line {
    calls: SendRequest<Bytes>,
    /// Reads and writes the connection.
    _driver: JoinSet<()>,
}

impl Line {
    /// Connects; counts it if the gate does not let it in.
    pub(super) async fn open(target: &Target, tally: &Tally, name: &str) -> Option<Self> {
        let Ok(tls) = target.tls(name).await else {
            tally.one("refused_connections");
            return None;
        };
        let Ok((calls, connection)) = h2::client::handshake(tls).await else {
            tally.one("closed");
            return None;
        };
        let mut driver = JoinSet::new();
        driver.spawn(async move { drop(connection.await) });
        Some(Self { calls, _driver: driver })
    }

    /// Begins a call; nothing if the connection has ended.
    pub(super) async fn call(&mut self, path: &str) -> Option<(ResponseFuture, SendStream<Bytes>)> {
        let request = Request::post(format!("https://localhost{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())
            .ok()?;
        poll_fn(|context| self.calls.poll_ready(context)).await.ok()?;
        self.calls.send_request(request, false).ok()
    }
}

/// Makes one message of a call's body.
pub(super) fn message(body: &[u8]) -> Bytes {
    let mut made = BytesMut::with_capacity(body.len() + 5);
    made.put_u8(0);
    made.put_u32(u32::try_from(body.len()).unwrap_or(u32::MAX));
    made.put_slice(body);
    made.freeze()
}

/// How writing ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    Whole,
    /// The gate takes no more for now.
    Stalled,
    /// The gate has ended the call or the connection.
    Ended,
}

/// LIMIT: longer than a gate that reads on leaves a writer without room.
const STALLED: Duration = Duration::from_millis(500);

/// Writes as fast as the gate gives room for it.
pub(super) async fn write(to: &mut SendStream<Bytes>, mut bytes: Bytes) -> Written {
    while !bytes.is_empty() {
        to.reserve_capacity(bytes.len());
        let room = match timeout(STALLED, poll_fn(|context| to.poll_capacity(context))).await {
            Ok(Some(Ok(room))) => room,
            Ok(_) => return Written::Ended,
            Err(_elapsed) => return Written::Stalled,
        };
        if to.send_data(bytes.split_to(room.min(bytes.len())), false).is_err() {
            return Written::Ended;
        }
    }
    Written::Whole
}

/// Returns what the gate decided of a call that it refused, or its status; nothing if the
/// connection ended before.
pub(super) async fn decision(response: ResponseFuture) -> Option<String> {
    let response = response.await.ok()?;
    if let Some(decided) = decided(response.headers()) {
        return Some(decided);
    }
    let mut body = response.into_body();
    while let Some(bytes) = read(&mut body).await {
        drop(bytes);
    }
    decided(&body.trailers().await.ok()??)
}

fn decided(headers: &HeaderMap) -> Option<String> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::to_owned);
    text("palisade-decision").or_else(|| Some(format!("status_{}", text("grpc-status")?)))
}

/// Reads a piece of a body, and lets the gate send as much again; nothing at the end.
pub(super) async fn read(body: &mut RecvStream) -> Option<Bytes> {
    let bytes = body.data().await?.ok()?;
    body.flow_control().release_capacity(bytes.len()).ok()?;
    Some(bytes)
}
