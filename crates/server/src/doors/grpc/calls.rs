//! The services as one connection sees them: requests carry who asks, and are bounded.
//!
//! What is over a bound is refused before its body is read. Whether a call is allowed is the
//! pipeline's part.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use gate::types::{Action, Call, Refusal, TraceContext};
use http::{HeaderMap, Request, Response, StatusCode};
use tokio::sync::watch;
use tonic::Code;
use tonic::body::Body;
use tower::Service;

use super::body::{Bounded, Readers};
use super::connection::Shared;
use super::cut::{Cut, Why};
use super::items::Counted;
use super::memory::Level;
use super::peer::Peer;
use super::share::{Share, Ticket};
use super::status::status;
use super::{HEALTH_PATH, MAS_PATH, MAS_PATH_OLD, NATIVE_PATH, SMALL_BYTES_MAX};

/// One connection's way to the services.
#[derive(Clone)]
pub(super) struct Calls {
    pub(super) shared: Shared,
    pub(super) peer: Arc<Peer>,
    pub(super) share: Arc<Share>,
    pub(super) cut: Arc<Cut>,
    pub(super) readers: Readers,
    pub(super) first: watch::Sender<bool>,
}

/// What kind of call a path asks for; each has bounds of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A session, which has no end of its own.
    Session,
    /// A session that brings messages too.
    Native,
    /// A call that brings a message.
    Message,
    /// A call that brings state to keep.
    State,
    /// A call of a few names.
    Small,
    /// Whether the server is there.
    Health,
}

impl Kind {
    const fn is_session(self) -> bool {
        matches!(self, Self::Session | Self::Native)
    }
}

// The time after which a caller may try again what there was no room for.
const ROOM_WAIT: Duration = Duration::from_millis(200);
const MEMORY_WAIT: Duration = Duration::from_secs(1);

// LIMIT: the time for which the answer of a refused call is held back.
const HOLD_MAX: Duration = Duration::from_secs(1);

type Answer = BoxFuture<'static, Result<Response<Body>, std::convert::Infallible>>;

impl<B> Service<Request<B>> for Calls
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<Body>;
    type Error = std::convert::Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        self.first.send_if_modified(|seen| !std::mem::replace(seen, true));
        if self.cut.why().is_some() {
            // Nothing of this connection will be read any more.
            return Box::pin(std::future::ready(Ok(gone())));
        }
        rename(&mut request);
        let kind = kind(request.uri().path());
        match self.admit(kind, request.headers()) {
            Ok(ticket) => self.ask(kind, request, ticket),
            Err(refusal) => {
                drop(request);
                let calls = self.clone();
                Box::pin(async move {
                    let response = calls.refuse(Action::Refused(refusal)).await;
                    Ok(calls.answer(kind, response, 0).await)
                })
            }
        }
    }
}

impl Calls {
    /// Judges a call by its headers alone.
    fn admit(&self, kind: Kind, headers: &HeaderMap) -> Result<Arc<Ticket>, Refusal> {
        let limits = &self.shared.limits;
        check_headers(headers, limits.header_entries_max, limits.binary_header_bytes_max)?;
        if matches!(kind, Kind::Message | Kind::State) && self.shared.memory.level() >= Level::Tight
        {
            let what = "the server's memory (memory_bytes_max)";
            return Err(Refusal::Backpressure { what, retry_after: MEMORY_WAIT });
        }
        self.share.begin().ok_or(Refusal::Backpressure {
            what: "the number of this identity's calls (calls_per_identity_max)",
            retry_after: ROOM_WAIT,
        })
    }

    /// Has a call answered by its service.
    fn ask<B>(&self, kind: Kind, request: Request<B>, ticket: Arc<Ticket>) -> Answer
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let limits = &self.shared.limits;
        // A session is bounded by what its codec and its hello may be, and by its bytes a second.
        let (mut request, limit) = if kind == Kind::Native {
            (request.map(|body| Body::new(Counted::new(body))), Duration::MAX)
        } else if kind.is_session() {
            (request.map(Body::new), Duration::MAX)
        } else {
            let idle_max = limits.body_idle_timeout;
            let bounded = |body| Body::new(Bounded::new(body, Arc::clone(&ticket), idle_max));
            (request.map(bounded), limits.call_timeout)
        };
        request.extensions_mut().insert(Arc::clone(&self.peer));
        request.extensions_mut().insert(Arc::clone(&ticket));
        if kind == Kind::Native {
            request.extensions_mut().insert(self.shared.memory.clone());
        }
        let mut routes = match kind {
            Kind::Message | Kind::Native => self.shared.routes.large.clone(),
            Kind::State => self.shared.routes.state.clone(),
            Kind::Session | Kind::Small | Kind::Health => self.shared.routes.small.clone(),
        };
        let calls = self.clone();
        Box::pin(async move {
            // LIMIT: server.limits.call_timeout_ms.
            let answer = tokio::time::timeout(limit, routes.call(request)).await;
            let response = match answer {
                Ok(response) => response?,
                Err(_elapsed) => calls.refuse(Action::Refused(Refusal::CallTimeout)).await,
            };
            let refused = ticket.refusal().map(Action::Refused).or_else(|| unread(&response));
            let response = match refused {
                Some(action) => calls.refuse(action).await,
                None => response,
            };
            let bytes = ticket.bytes();
            drop(ticket);
            Ok(calls.answer(kind, response, bytes).await)
        })
    }

    /// Lets an answer out; those that cost the caller nothing only at their rate, where a large
    /// call counts as many, because reading it costs as much.
    async fn answer(&self, kind: Kind, response: Response<Body>, bytes: usize) -> Response<Body> {
        if is_refused(&response) || kind == Kind::Health {
            // LIMIT: server.limits.refusals_per_second.
            let per_second = self.shared.limits.refusals_per_second;
            let cost = u32::try_from(1 + bytes / SMALL_BYTES_MAX).unwrap_or(u32::MAX);
            let wait = self.share.refusals.reserve_within(cost.min(per_second), HOLD_MAX);
            self.share.judge();
            match (wait, self.share.hold()) {
                (Some(Duration::ZERO), _) => {}
                (Some(wait), Some(_held)) => tokio::time::sleep(wait).await,
                (None, _) | (_, None) => {
                    self.cut.off(Why::Refusals);
                    return gone();
                }
            }
        }
        if kind.is_session() {
            return response.map(|body| Body::new(self.readers.follow(body)));
        }
        response
    }

    /// Has a request refused and recorded that no service answered.
    async fn refuse(&self, action: Action) -> Response<Body> {
        let is_late = matches!(action, Action::Refused(Refusal::CallTimeout));
        let call = Call {
            caller: self.peer.caller(),
            peer: self.peer.address.to_string(),
            trace: TraceContext::default(),
            action,
        };
        // Many calls may come to nothing at once: those of who does much, and those begun together
        // that nobody finished.
        if is_late || self.share.is_slow() {
            self.shared.turns.queue().await;
        }
        let refusal = self.shared.gate.run(call).await.err().unwrap_or(Refusal::MalformedRequest);
        status(&refusal).into_http()
    }
}

/// The answer on a connection that is being closed; nobody gets it.
fn gone() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response
}

/// Tells what a path asks for.
fn kind(path: &str) -> Kind {
    match path.strip_prefix(MAS_PATH) {
        Some("Transport") => Kind::Session,
        Some("Send" | "Request" | "Reply") => Kind::Message,
        Some("UpdateState") => Kind::State,
        Some(_) => Kind::Small,
        None if path == NATIVE_PATH => Kind::Native,
        None if path.starts_with(HEALTH_PATH) => Kind::Health,
        None => Kind::Small,
    }
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

/// Judges the number of headers and the sizes of those that hold bytes.
fn check_headers(headers: &HeaderMap, entries_max: usize, bytes_max: usize) -> Result<(), Refusal> {
    // LIMIT: server.limits.header_entries_max, binary_header_bytes_max.
    if headers.len() > entries_max {
        let reason = format!("has more than {entries_max} entries");
        return Err(Refusal::Field { field: "metadata", reason });
    }
    let is_large = |name: &http::HeaderName, bytes: usize| {
        bytes > bytes_max && name.as_str().ends_with("-bin")
    };
    if headers.iter().any(|(name, value)| is_large(name, value.len())) {
        let reason = format!("has an entry of bytes with more than {bytes_max}");
        return Err(Refusal::Field { field: "metadata", reason });
    }
    Ok(())
}

/// Tells whether an answer says no: such an answer has its status among its headers.
fn is_refused(response: &Response<Body>) -> bool {
    let status = response.headers().get("grpc-status");
    status.is_some_and(|status| status != "0") || response.status() != StatusCode::OK
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
