//! One connection: HTTP/2 with every bound set, from its first byte to its end.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use gate::Gate;
use gate::types::{Action, Call, Caller, Refusal, TraceContext};
use http::{Request, Response};
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::server::TlsStream;
use tonic::Code;
use tonic::Status;
use tonic::body::Body;
use tonic::service::Routes;
use tower::Service;

use super::peer::Peer;
use super::status::status;
use super::{MAS_PATH, MAS_PATH_OLD};
use crate::config::ServerLimits;

/// What all connections share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) gate: Arc<Gate>,
    pub(super) routes: Routes,
    pub(super) limits: ServerLimits,
    /// Becomes true when connections should end.
    pub(super) closing: watch::Receiver<bool>,
}

// The time that open requests of an ending connection have, or server.limits.drain_timeout_ms
// where that is shorter.
const GRACE: Duration = Duration::from_secs(5);
// The same where the peer's certificate or its authority no longer counts: time to say so.
const UNTRUSTED_GRACE: Duration = Duration::from_secs(1);

// LIMIT: streams that a client may reset before the connection is closed (rapid reset).
const RESETS_MAX: usize = 64;
const PENDING_RESETS_MAX: usize = 20;

// LIMIT: bytes that a client may send ahead of what is read, for a stream and in all.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

// LIMIT: the time of a call that is no stream, with reading its body. What was handed to the gate
// by then is still decided and recorded.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Serves a connection whose handshake is done until either side ends it, or its trust ends.
pub(super) async fn serve(
    mut shared: Shared,
    stream: TlsStream<TcpStream>,
    peer: Arc<Peer>,
    trust_ends: impl Future<Output = ()>,
) {
    let limits = shared.limits;
    let (first, mut first_seen) = watch::channel(false);
    let expires_in = expires_in(&shared.gate, &peer.caller());
    let service = Door { gate: Arc::clone(&shared.gate), routes: shared.routes, peer, first };
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams_per_connection_max)
        .max_header_list_size(limits.header_bytes_max)
        .max_local_error_reset_streams(RESETS_MAX)
        .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(limits.keepalive_interval)
        .keep_alive_timeout(limits.keepalive_timeout);
    let connection =
        builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    let mut connection = std::pin::pin!(connection);
    // A connection that never asks for anything is closed: HTTP/2 keepalive only begins behind
    // the preface, so it cannot find those that never send one.
    let idle = async {
        let asked = first_seen.wait_for(|seen| *seen);
        if tokio::time::timeout(limits.first_request_timeout, asked).await.is_ok() {
            std::future::pending::<()>().await;
        }
    };
    let grace = tokio::select! {
        ended = connection.as_mut() => return log_end(ended),
        () = idle => return,
        () = tokio::time::sleep(expires_in) => UNTRUSTED_GRACE,
        () = trust_ends => UNTRUSTED_GRACE,
        _closing = shared.closing.wait_for(|closing| *closing) => GRACE.min(limits.drain_timeout),
    };
    connection.as_mut().graceful_shutdown();
    if let Ok(ended) = tokio::time::timeout(grace, connection).await {
        log_end(ended);
    }
}

/// Returns how long the peer's certificate still holds; a connection does not outlive it.
fn expires_in(gate: &Gate, caller: &Caller) -> Duration {
    // LIMIT: the longest time that a connection lives, which also keeps the timer in range.
    const AGE_MAX: Duration = Duration::from_secs(30 * 24 * 3_600);
    match caller {
        Caller::Verified(principal) => principal.valid_until.since(gate.now()).min(AGE_MAX),
        Caller::Rejected(_) => AGE_MAX,
    }
}

fn log_end(ended: Result<(), hyper::Error>) {
    if let Err(cause) = ended {
        tracing::debug!(%cause, "a connection ended");
    }
}

/// The services as one connection sees them: requests carry who asks.
#[derive(Clone)]
struct Door {
    gate: Arc<Gate>,
    routes: Routes,
    peer: Arc<Peer>,
    first: watch::Sender<bool>,
}

impl<B> Service<Request<B>> for Door
where
    B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<Body>;
    type Error = std::convert::Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.first.send_if_modified(|seen| !std::mem::replace(seen, true));
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Arc::clone(&self.peer));
        rename(&mut request);
        let limit = if is_transport(&request) { Duration::MAX } else { CALL_TIMEOUT };
        let answer = self.routes.call(request);
        let (gate, peer) = (Arc::clone(&self.gate), Arc::clone(&self.peer));
        Box::pin(async move {
            let Ok(response) = tokio::time::timeout(limit, answer).await else {
                return Ok(Status::deadline_exceeded("call_timeout").into_http());
            };
            let response = response?;
            match unread(&response) {
                Some(action) => Ok(refuse_unread(&gate, &peer, action).await),
                None => Ok(response),
            }
        })
    }
}

/// Tells whether a request opens a session, whose hello has a time of its own.
fn is_transport<B>(request: &Request<B>) -> bool {
    request.uri().path().strip_prefix(MAS_PATH) == Some("Transport")
}

/// Lets clients of the MAS service's older name in: its messages are the same.
fn rename<B>(request: &mut Request<B>) {
    let Some(method) = request.uri().path().strip_prefix(MAS_PATH_OLD) else { return };
    let mut parts = request.uri().clone().into_parts();
    if let Ok(path) = format!("{MAS_PATH}{method}").parse() {
        parts.path_and_query = Some(path);
        if let Ok(uri) = http::Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
}

/// Tells why the codec did not read a request, if so. These statuses have no other source here:
/// answers of the pipeline carry their code in the metadata.
fn unread(response: &Response<Body>) -> Option<Action> {
    let headers = response.headers();
    if headers.contains_key("palisade-code") {
        return None;
    }
    let code = headers.get("grpc-status")?.to_str().ok()?;
    match code.parse().map(Code::from_i32) {
        Ok(Code::OutOfRange) => Some(Action::Oversize),
        Ok(Code::Internal) => Some(Action::Malformed),
        Ok(_) | Err(_) => None,
    }
}

/// Has a request that could not be read refused and recorded.
async fn refuse_unread(gate: &Arc<Gate>, peer: &Peer, action: Action) -> Response<Body> {
    let call = Call {
        caller: peer.caller(),
        peer: peer.address.to_string(),
        trace: TraceContext::default(),
        action,
    };
    let refusal = gate.run(call).await.err().unwrap_or(Refusal::MalformedRequest);
    status(&refusal).into_http()
}
