//! One connection: HTTP/2 with every bound set, from its first byte to its end.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use gate::Gate;
use gate::types::{Action, Call, Caller, Refusal, Rejection, TraceContext};
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::server::TlsStream;

use super::Routes;
use super::body::Readers;
use super::calls::Calls;
use super::cut::{Cut, Why};
use super::measures::DoorMeasures;
use super::memory::Memory;
use super::metered::Metered;
use super::peer::Peer;
use super::share::Share;
use super::turns::Turns;
use crate::background::Background;
use crate::config::ServerLimits;

/// What all connections share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) gate: Arc<Gate>,
    pub(super) routes: Routes,
    pub(super) limits: ServerLimits,
    pub(super) memory: Memory,
    pub(super) measures: Arc<DoorMeasures>,
    /// Where handshakes are done.
    pub(super) background: Arc<Background>,
    /// How those are served who do too much.
    pub(super) turns: Arc<Turns>,
    /// Becomes true when connections should end.
    pub(super) closing: watch::Receiver<bool>,
}

// The time that open requests of an ending connection have, or server.limits.drain_timeout_ms
// where that is shorter.
const GRACE: Duration = Duration::from_secs(5);
// The same where the peer's certificate or its authority no longer counts: time to say so.
const UNTRUSTED_GRACE: Duration = Duration::from_secs(1);
// The same where the client did too much.
const CUT_GRACE: Duration = Duration::from_millis(200);

// LIMIT: bytes of one stream's answers that wait to be sent.
const SEND_BYTES_MAX: usize = 128 * 1024;

/// Serves a connection whose handshake is done until either side ends it, or its trust ends.
pub(super) async fn serve(
    shared: Shared,
    stream: TlsStream<TcpStream>,
    (peer, share): (Arc<Peer>, Arc<Share>),
    trust_ends: impl Future<Output = ()> + Send + 'static,
) {
    let cut = Arc::new(Cut::default());
    let who = (Arc::clone(&peer), Arc::clone(&share), Arc::clone(&cut));
    let work = Box::pin(transport(shared.clone(), stream, who, trust_ends));
    shared.turns.drive(&share, work).await;
    if let Some(why) = cut.why() {
        shared.measures.cut(why);
        if why.is_abuse() {
            share.punish();
        }
        record(&shared.gate, &peer, why).await;
    }
}

/// Reads and writes a connection until it ends.
async fn transport(
    shared: Shared,
    stream: TlsStream<TcpStream>,
    (peer, share, cut): (Arc<Peer>, Arc<Share>, Arc<Cut>),
    trust_ends: impl Future<Output = ()> + Send + 'static,
) {
    let limits = shared.limits;
    let readers = Readers::default();
    let (first, first_seen) = watch::channel(false);
    let stream =
        Metered::new(stream, Arc::clone(&share), Arc::clone(&cut), limits.first_settings_timeout);
    let calls = Calls {
        shared: shared.clone(),
        peer: Arc::clone(&peer),
        share: Arc::clone(&share),
        cut: Arc::clone(&cut),
        readers: readers.clone(),
        first,
    };
    let connection =
        builder(&limits).serve_connection(TokioIo::new(stream), TowerToHyperService::new(calls));
    let mut connection = std::pin::pin!(connection);
    let ends = ends(&shared, &peer, first_seen, trust_ends);
    let grace = tokio::select! {
        ended = connection.as_mut() => { log_end(ended); None }
        () = stalls(&readers, (&cut, &share), limits.stall_timeout) => Some(CUT_GRACE),
        end = ends => end,
    };
    if let Some(grace) = grace {
        connection.as_mut().graceful_shutdown();
        if let Ok(ended) = tokio::time::timeout(grace, connection).await {
            log_end(ended);
        }
    }
}

fn builder(limits: &ServerLimits) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams_per_connection_max)
        .max_header_list_size(limits.header_bytes_max)
        .max_local_error_reset_streams(limits.broken_streams_max)
        .max_pending_accept_reset_streams(limits.early_resets_max)
        .initial_stream_window_size(limits.stream_window_bytes)
        .initial_connection_window_size(limits.connection_window_bytes)
        .max_send_buf_size(SEND_BYTES_MAX)
        .keep_alive_interval(limits.keepalive_interval)
        .keep_alive_timeout(limits.keepalive_timeout);
    builder
}

/// Waits for what ends a connection from outside; returns how long open requests then have, or
/// nothing where there are none.
async fn ends(
    shared: &Shared,
    peer: &Peer,
    mut first_seen: watch::Receiver<bool>,
    trust_ends: impl Future<Output = ()>,
) -> Option<Duration> {
    let limits = &shared.limits;
    let mut closing = shared.closing.clone();
    // A connection that never asks for anything is closed: HTTP/2 keepalive only finds those that
    // do not answer.
    let idle = async {
        let asked = first_seen.wait_for(|seen| *seen);
        if tokio::time::timeout(limits.first_request_timeout, asked).await.is_ok() {
            std::future::pending::<()>().await;
        }
    };
    let grace = GRACE.min(limits.drain_timeout);
    tokio::select! {
        () = idle => None,
        () = tokio::time::sleep(expires_in(&shared.gate, &peer.caller())) => Some(UNTRUSTED_GRACE),
        () = trust_ends => Some(UNTRUSTED_GRACE),
        () = aged(limits.connection_age_max) => Some(grace),
        _closing = closing.wait_for(|closing| *closing) => Some(grace),
    }
}

/// Waits for a connection's last moment: its greatest age, or up to a tenth before.
async fn aged(age_max: Duration) {
    if age_max.is_zero() {
        std::future::pending::<()>().await;
    }
    let [some, ..] = RandomState::new().hash_one(()).to_be_bytes();
    let earlier = age_max / 10 * u32::from(some) / 255;
    tokio::time::sleep(age_max - earlier).await;
}

/// Waits until deliveries were left unread for too long.
async fn stalls(readers: &Readers, (cut, share): (&Cut, &Share), patience: Duration) {
    // LIMIT: server.limits.stall_timeout_ms.
    while !readers.is_stalled(patience) {
        tokio::time::sleep(patience / 4).await;
        if readers.is_stalled(patience / 4) {
            share.slow_down();
        }
    }
    cut.off(Why::Stalled);
}

/// Has the end of a connection recorded whose client did too much.
async fn record(gate: &Arc<Gate>, peer: &Peer, why: Why) {
    let (code, reason) = (why.code(), why.reason());
    tracing::info!(address = %peer.address, code, reason, "closed a connection");
    let (caller, action) = match peer.caller() {
        caller @ Caller::Verified(_) => {
            (caller, Action::Refused(Refusal::ConnectionCut { code, reason }))
        }
        Caller::Rejected(_) => {
            let reason = reason.to_owned();
            (Caller::Rejected(Rejection { code, reason }), Action::Connect)
        }
    };
    let (peer, trace) = (peer.address.to_string(), TraceContext::default());
    // The refusal is the point: it is what gets recorded.
    drop(gate.run(Call { caller, peer, trace, action }).await);
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
