//! What the calls, the session and the messages of one client have in common.
//!
//! It starts nothing and ends nothing by itself: the session moves its state, the client's owner
//! its phases.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use identity::OpeningKey;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::buffer::Buffer;
use crate::dial::{Dialer, Link};
use crate::error::{Error, Invalid};
use crate::incoming::Incoming;
use crate::options::{Options, Receive, Reconnect, Wire};
use crate::outbox::Outbox;
use crate::pending::Pending;
use crate::tracer::Tracer;

/// Where the session stands.
#[derive(Clone, Debug)]
pub(crate) enum State {
    /// Connected and welcomed.
    Up(Arc<Link>),
    /// Connecting again; with why the last attempt came to nothing.
    Down(Option<Error>),
    /// Over for good.
    Ended(Error),
}

/// How far the end of the client has come; each token is only ever cancelled after the one before.
#[derive(Debug, Default)]
pub(crate) struct Phases {
    /// No further message is handed out.
    pub(crate) closing: CancellationToken,
    /// What is queued for the gate is flushed, then the stream ends.
    pub(crate) finish: CancellationToken,
    /// Everything ends now.
    pub(crate) stop: CancellationToken,
}

pub(crate) struct Shared {
    pub(crate) dialer: Dialer,
    pub(crate) instance: String,
    pub(crate) agent: OnceLock<String>,
    pub(crate) opening_key: Option<OpeningKey>,
    pub(crate) receive: Receive,
    pub(crate) reconnect: Reconnect,
    pub(crate) connect_timeout: Duration,
    pub(crate) call_timeout: Duration,
    pub(crate) close_timeout: Duration,
    pub(crate) heartbeat: Duration,
    pub(crate) message_bytes_max: usize,
    pub(crate) handlers_max: usize,
    pub(crate) tracer: Option<Arc<dyn Tracer>>,
    pub(crate) calls: Semaphore,
    pub(crate) state: watch::Sender<State>,
    pub(crate) pending: Pending,
    pub(crate) buffer: Buffer,
    pub(crate) wire: Wire,
    pub(crate) credit_bytes: usize,
    pub(crate) deliveries_max: u32,
    /// Whether sending goes by the native session.
    has_outbox: AtomicBool,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) phases: Phases,
    /// Counts the messages that were handed out and are not answered yet.
    pub(crate) open: TaskTracker,
}

impl Shared {
    /// Checks the options.
    pub(crate) fn new(options: Options) -> Result<Self, Invalid> {
        let dialer = Dialer::new(&options)?;
        for (option, is_zero) in [
            ("calls_max", options.calls_max == 0),
            ("handlers_max", options.handlers_max == 0),
            ("message_bytes_max", options.message_bytes_max == 0),
            ("unanswered_bytes_max", options.unanswered_bytes_max == 0),
            ("credit_bytes", options.credit_bytes == 0),
            ("heartbeat", options.heartbeat.is_zero()),
            ("connect_timeout", options.connect_timeout.is_zero()),
        ] {
            if is_zero {
                return Err(Invalid::Zero { option });
            }
        }
        Ok(Self {
            dialer,
            instance: options.instance.unwrap_or_else(random_instance),
            agent: OnceLock::new(),
            opening_key: options.opening_key,
            receive: options.receive,
            reconnect: options.reconnect,
            connect_timeout: options.connect_timeout,
            call_timeout: options.call_timeout,
            close_timeout: options.close_timeout,
            heartbeat: options.heartbeat,
            message_bytes_max: options.message_bytes_max,
            handlers_max: options.handlers_max,
            tracer: options.tracer,
            calls: Semaphore::new(options.calls_max.min(Semaphore::MAX_PERMITS)),
            state: watch::Sender::new(State::Down(None)),
            pending: Pending::default(),
            buffer: Buffer::default(),
            wire: options.wire,
            credit_bytes: options.credit_bytes,
            deliveries_max: options.deliveries_max,
            has_outbox: AtomicBool::new(false),
            outbox: Arc::new(Outbox::new(options.unanswered_bytes_max)),
            phases: Phases::default(),
            open: TaskTracker::new(),
        })
    }

    pub(crate) fn agent(&self) -> &str {
        self.agent.get().map_or("", String::as_str)
    }

    /// Tells whether sending goes by the native session.
    pub(crate) fn has_outbox(&self) -> bool {
        self.has_outbox.load(Ordering::Acquire)
    }

    pub(crate) fn with_outbox(&self) {
        self.has_outbox.store(true, Ordering::Release);
    }

    /// Leaves sending to unary calls. What waits in the outbox was taken or not, and nobody here
    /// can find out: another server has taken the place of the one that would know.
    pub(crate) fn without_outbox(&self) {
        if self.has_outbox.swap(false, Ordering::AcqRel) {
            self.outbox.fail(&Error::Interrupted, false);
        }
    }

    /// Turns back what a session left behind.
    pub(crate) fn session_lost(&self) {
        self.buffer.forget();
        self.outbox.rewind();
    }

    /// Waits for a live connection, and for another one if the given one was no use.
    pub(crate) async fn link(&self, useless: Option<&Arc<Link>>) -> Result<Arc<Link>, Error> {
        let mut states = self.state.subscribe();
        loop {
            match &*states.borrow_and_update() {
                State::Up(link) if !useless.is_some_and(|old| Arc::ptr_eq(old, link)) => {
                    return Ok(Arc::clone(link));
                }
                State::Up(_) | State::Down(_) => {}
                State::Ended(error) => return Err(error.clone()),
            }
            states.changed().await.map_err(|_gone| Error::Closed)?;
        }
    }

    /// Returns what is wrong with the own files, or with a certificate, if that is why there is no
    /// connection: waiting longer does not help against it.
    pub(crate) fn unusable(&self) -> Option<Error> {
        match &*self.state.borrow() {
            State::Down(Some(error @ (Error::Tls(_) | Error::Handshake { .. }))) => {
                Some(error.clone())
            }
            State::Up(_) | State::Down(_) | State::Ended(_) => None,
        }
    }

    /// Waits for the end of the client and says why.
    pub(crate) async fn ended(&self) -> Error {
        let mut states = self.state.subscribe();
        loop {
            if let State::Ended(error) = &*states.borrow_and_update() {
                return error.clone();
            }
            if states.changed().await.is_err() {
                return Error::Closed;
            }
        }
    }

    /// Waits for the next message of a session that still lives; nothing when the client ends.
    pub(crate) async fn take(self: &Arc<Self>) -> Option<Incoming> {
        let next = async {
            loop {
                let delivered = self.buffer.take().await?;
                // The gate delivers what a dead session held to another one.
                if delivered.is_answerable()
                    && let Some(incoming) = Incoming::new(delivered, self)
                {
                    return Some(incoming);
                }
            }
        };
        tokio::select! {
            biased;
            () = self.phases.closing.cancelled() => None,
            incoming = next => incoming,
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("agent", &self.agent())
            .field("instance", &self.instance)
            .finish_non_exhaustive()
    }
}

/// Draws 16 hexadecimal digits.
fn random_instance() -> String {
    let mut digits = uuid::Uuid::new_v4().simple().to_string();
    digits.truncate(16);
    digits
}
