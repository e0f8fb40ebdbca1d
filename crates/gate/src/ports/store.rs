//! The storage line: five methods that every engine has and one conformance suite checks, and a
//! sixth that one may have better.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;

use super::{Batch, CounterClass, Key, QueueKey, Sent, Space};
use crate::limits::RateLimits;
use crate::types::{AgentId, MessageId, SessionId, Timestamp};

/// Keeps everything that outlives a call.
///
/// `commit` is the only way to change anything that survives a restart; when it returns `Ok`,
/// the batch is durable under the engine's setting, visible to every reader, and its records
/// are in the audit chain. Leases do not survive a restart: a message that was leased is then
/// queued again, at its old place.
pub trait Store: Send + Sync + 'static {
    /// Returns one thing, or nothing.
    fn read(&self, what: Read) -> BoxFuture<'_, Result<Option<Found>, StoreError>>;

    /// Returns up to `count` things in their order.
    fn scan(&self, what: Scan, count: usize) -> BoxFuture<'_, Result<Vec<Found>, StoreError>>;

    /// Applies a batch atomically; returns when it is durable.
    ///
    /// The batch is handed over when the method returns: dropping the future afterwards does not
    /// undo it. One that [can wait](Batch::can_wait) may be held back for some milliseconds.
    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Applies batches, each by itself and in their order; returns an answer for each.
    ///
    /// All are handed over when the method returns. An engine that can take them at once does, so
    /// that they cost less than one by one.
    fn commit_each(&self, batches: Vec<Batch>) -> BoxFuture<'_, Vec<Result<(), StoreError>>> {
        let handed: Vec<_> = batches.into_iter().map(|batch| self.commit(batch)).collect();
        Box::pin(futures::future::join_all(handed))
    }

    /// Leases queued messages to a session, in queue order.
    ///
    /// A message is given to one holder at a time. It is given to another session only after
    /// its lease was settled for retry, its holder was [released](Claim::release), or it has
    /// been held for `reclaim_after`; never again to the session that still holds it.
    fn lease(&self, claim: Claim) -> BoxFuture<'_, Result<Leases, StoreError>>;

    /// Waits until a queue of `agent` has changed since `seen`, a number from [`Leases`].
    fn wait(&self, agent: AgentId, seen: u64) -> BoxFuture<'_, u64>;
}

/// What can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// A value; expired ones are absent. `now` judges expiry.
    Value(Key, Timestamp),
    /// What became of a message.
    Message(MessageId),
    /// A dead letter with its envelope.
    DeadLetter(MessageId),
    /// What a sender's key has made; nothing if it is not remembered. `now` judges expiry.
    Sent {
        /// Whose.
        sender: AgentId,
        /// A hash of the key.
        key: u128,
        /// The time to judge expiry by.
        now: Timestamp,
    },
    /// How much of an agent's windows is used.
    Window {
        /// Whose.
        agent: AgentId,
        /// Which counter.
        class: CounterClass,
        /// The limits in force.
        limits: RateLimits,
        /// The time to judge by.
        now: Timestamp,
    },
    /// How many messages wait in an agent's queues.
    Depth(AgentId),
    /// How many messages wait in all queues.
    TotalDepth,
    /// How many audit entries are durable: the number of the last one.
    RecordCount,
}

/// What can be listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scan {
    /// All live values of a space, in key order, behind `after`.
    Values {
        /// Which space.
        space: Space,
        /// Behind this key; from the first if absent.
        after: Option<Key>,
        /// The time to judge expiry by.
        now: Timestamp,
    },
    /// Dead letters, oldest first.
    DeadLetters(DeadLetterScan),
    /// Queued messages whose time is over.
    Expired {
        /// The time to judge by.
        now: Timestamp,
    },
    /// The agents for which messages wait: the longest queues first, and agents with as many by
    /// their id.
    Queues,
    /// Audit entries from this number on.
    Records {
        /// The first number wanted.
        from: u64,
    },
}

/// Which dead letters are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadLetterScan {
    /// Behind this message; from the oldest if absent.
    pub after: Option<MessageId>,
    /// Only those to this agent.
    pub target: Option<AgentId>,
}

/// A value and the version by which a later write can expect it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned {
    /// Its key.
    pub key: Key,
    /// The value.
    pub value: Bytes,
    /// Grows with each write of any key.
    pub version: u64,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum MessageState {
    /// Waiting for a session.
    Queued,
    /// Handed to a session that has not acknowledged it.
    Delivered,
    /// Acknowledged.
    Acknowledged,
    /// Not delivered in time.
    Expired,
    /// Kept as a dead letter.
    DeadLettered,
}

/// A message as its sender may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageView {
    /// The message's id.
    pub message: MessageId,
    /// Who sent it.
    pub sender: AgentId,
    /// Who receives it.
    pub target: AgentId,
    /// What became of it.
    pub state: MessageState,
    /// How often it was handed to a session.
    pub attempts: u32,
    /// Why it is a dead letter; empty otherwise.
    pub reason: String,
}

/// A message that will not be delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The message as its sender sees it.
    pub view: MessageView,
    /// Free text by which receivers choose a handler.
    pub message_type: String,
    /// When it died.
    pub died_at: Timestamp,
    /// The envelope's size in bytes.
    pub size: usize,
    /// The envelope; only when one letter was read.
    pub envelope: Option<Bytes>,
}

/// How much of an agent's windows is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowView {
    /// Calls in the last 60 s.
    pub minute: u64,
    /// Calls in the last 3,600 s.
    pub hour: u64,
    /// The window that is full and when it has room again.
    pub full: Option<(&'static str, Duration)>,
}

/// What a read or scan found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A value.
    Value(Versioned),
    /// A message.
    Message(MessageView),
    /// A dead letter.
    DeadLetter(DeadLetter),
    /// What a key has made.
    Sent(Sent),
    /// An audit entry.
    Record(audit::Entry),
    /// Windows.
    Window(WindowView),
    /// A number of messages.
    Depth(u64),
    /// How many messages wait for an agent.
    Queue(AgentId, u64),
    /// A number of audit entries.
    RecordCount(u64),
}

/// Asks for messages on behalf of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Which queues: the agent's shared one and that of its instance, or twice the latter.
    pub queues: [QueueKey; 2],
    /// The session that will hold them.
    pub holder: SessionId,
    /// At most this many; with zero only `release` takes effect.
    pub count: usize,
    /// At most this many bytes of envelopes.
    pub bytes: usize,
    /// Whether the first message may be larger than `bytes`, or it could never be given.
    pub or_one: bool,
    /// The time to judge delays and idle leases by.
    pub now: Timestamp,
    /// Leases of other sessions older than this may be taken over.
    pub reclaim_after: Duration,
    /// Sessions that have ended: what they held counts as settled for retry at once.
    pub release: Vec<SessionId>,
}

/// A message handed to a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leased {
    /// The message's id.
    pub message: MessageId,
    /// Who sent it.
    pub sender: AgentId,
    /// Where it was queued.
    pub queue: QueueKey,
    /// The envelope, JSON text.
    pub envelope: Bytes,
    /// The how-many-eth hand-over this is, from 1.
    pub attempt: u32,
    /// Free text by which receivers choose a handler.
    pub message_type: String,
}

/// What a claim got.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Leases {
    /// The messages, in queue order.
    pub messages: Vec<Leased>,
    /// When a delayed or idle message may become leasable without a change of the queue.
    pub wake_at: Option<Timestamp>,
    /// What to [`wait`](Store::wait) with.
    pub seen: u64,
}

/// Why the store did not do as asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreError {
    /// An expectation of the batch did not hold; nothing was changed.
    Conflict {
        /// Which operation of the batch, from 0.
        op: usize,
    },
    /// A rate window is full; nothing was changed.
    OverLimit {
        /// `minute` or `hour`.
        window: &'static str,
        /// When it has room again.
        retry_after: Duration,
    },
    /// A queue or the store as a whole holds as much as it may; nothing was changed.
    Full {
        /// What is full.
        what: &'static str,
    },
    /// More writers wait than the engine takes; try again.
    Busy,
    /// The disk is full; nothing was changed, reads go on.
    DiskFull,
    /// The engine is gone or does not answer; whether the batch took effect is unknown.
    Unreachable(String),
    /// Stored bytes are damaged; says where.
    Corrupt(String),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict { op } => write!(f, "operation {op} met another state than expected"),
            Self::OverLimit { window, .. } => write!(f, "the limit per {window} is used up"),
            Self::Full { what } => write!(f, "{what} is full"),
            Self::Busy => f.write_str("too many writers wait"),
            Self::DiskFull => f.write_str("the disk is full"),
            Self::Unreachable(why) => write!(f, "the store does not answer: {why}"),
            Self::Corrupt(place) => write!(f, "stored bytes are damaged: {place}"),
        }
    }
}

impl std::error::Error for StoreError {}
