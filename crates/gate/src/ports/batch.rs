//! What can be committed: a batch of operations that take effect together or not at all.

use audit::Salt;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::limits::RateLimits;
use crate::types::{AgentId, CorrelationId, InstanceId, MessageId, SessionId, Timestamp};

/// What a value belongs to; each engine lays keys out in its own way.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Key {
    /// An open request.
    Pending(CorrelationId),
    /// The state of an agent, a map of text to text.
    State(AgentId),
    /// Access rules of an agent that were changed at run time.
    Rules(AgentId),
    /// A role that was changed at run time.
    Role(String),
    /// Rate limits of an agent that were changed at run time.
    Limits(AgentId),
    /// The public key to which fields for an agent are encrypted.
    SealingKey(AgentId),
    /// The circuit of a target, for one sender or for all.
    Circuit {
        /// The agent that fails.
        target: AgentId,
        /// Towards whom; all senders if absent.
        sender: Option<AgentId>,
    },
}

impl Key {
    /// Returns the space that this key is in.
    #[must_use]
    pub const fn space(&self) -> Space {
        match self {
            Self::Pending(_) => Space::Pending,
            Self::State(_) => Space::State,
            Self::Rules(_) => Space::Rules,
            Self::Role(_) => Space::Role,
            Self::Limits(_) => Space::Limits,
            Self::SealingKey(_) => Space::SealingKey,
            Self::Circuit { .. } => Space::Circuit,
        }
    }
}

/// A kind of key, to scan all values of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Space {
    /// Open requests.
    Pending,
    /// Agents' states.
    State,
    /// Changed access rules.
    Rules,
    /// Changed roles.
    Role,
    /// Changed limits.
    Limits,
    /// Registered keys.
    SealingKey,
    /// Circuits.
    Circuit,
}

/// What a write expects to find; the batch is refused as a conflict if it does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Expect {
    /// Anything, also nothing.
    Anything,
    /// No live value.
    Absent,
    /// A live value of this version.
    Version(u64),
}

/// A queue of messages: of an agent, or of one instance of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct QueueKey {
    /// Whose.
    pub agent: AgentId,
    /// Only for this instance; for any if absent.
    pub instance: Option<InstanceId>,
}

/// A message to be queued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The message's id; unique in the store.
    pub message: MessageId,
    /// Who sent it.
    pub sender: AgentId,
    /// Where it goes.
    pub queue: QueueKey,
    /// The envelope, JSON text.
    pub envelope: Bytes,
    /// Free text by which receivers choose a handler; for lists.
    pub message_type: String,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// When it expires.
    pub expires_at: Timestamp,
}

/// What a sender's idempotency key has made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// Whose key it is.
    pub sender: AgentId,
    /// A hash of the key.
    pub key: u128,
    /// A hash of what was sent with it.
    pub content: u128,
    /// The message that it made.
    pub message: MessageId,
    /// The correlation of a request or reply.
    pub correlation: Option<CorrelationId>,
    /// When the key may be used for something else.
    pub expires_at: Timestamp,
}

/// Which counter an accepted call adds to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum CounterClass {
    /// Messages: sends, requests and replies.
    Message,
    /// Everything else: state, discovery, status.
    Control,
    /// Sessions that are opened.
    Session,
}

/// When a message is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// Not before this moment.
    pub not_before: Timestamp,
    /// Whether the attempt counts towards the maximum; not if the gate itself ended it.
    pub counts: bool,
}

/// How a lease ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Settlement {
    /// The receiver has it; the message is done.
    Acknowledged,
    /// It goes back to its place in the queue.
    Retry(Retry),
    /// It becomes a dead letter with this reason.
    Dead {
        /// Why, for the operator and the sender.
        reason: String,
    },
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    /// Writes a value.
    Put {
        /// Where.
        key: Key,
        /// What.
        value: Bytes,
        /// What must be there.
        expect: Expect,
        /// When it vanishes by itself.
        expires_at: Option<Timestamp>,
    },
    /// Deletes a value; nothing happens if there is none and [`Expect::Anything`] is expected.
    Delete {
        /// Where.
        key: Key,
        /// What must be there.
        expect: Expect,
    },
    /// Counts one call of an agent; refuses the batch with [`StoreError::OverLimit`] if a
    /// sliding window is full.
    ///
    /// [`StoreError::OverLimit`]: super::StoreError::OverLimit
    Count {
        /// Who calls.
        agent: AgentId,
        /// What for.
        class: CounterClass,
        /// When.
        at: Timestamp,
        /// The limits in force for this agent.
        limits: RateLimits,
    },
    /// Appends a message to its queue; refused as full when the queue's bound is reached and as
    /// a conflict if the id exists.
    Enqueue(Entry),
    /// Remembers what a key has made; refused as a conflict if the sender's key is remembered
    /// already. The oldest keys of a sender are forgotten for new ones.
    Remember(Sent),
    /// Ends a lease; refused as a conflict if `holder` no longer holds the message.
    Settle {
        /// Which message.
        message: MessageId,
        /// Who held it.
        holder: SessionId,
        /// How it ended.
        how: Settlement,
        /// When.
        at: Timestamp,
    },
    /// Removes a queued message whose time is over; refused as a conflict if it is gone.
    Expire {
        /// Which message.
        message: MessageId,
        /// When.
        at: Timestamp,
    },
    /// Puts a dead letter back into its queue; refused as a conflict if there is none.
    Revive {
        /// Which message.
        message: MessageId,
        /// When it expires now.
        expires_at: Timestamp,
    },
    /// Deletes a dead letter; refused as a conflict if there is none.
    Drop {
        /// Which message.
        message: MessageId,
    },
    /// Appends an audit record; the store assigns its number and chains it.
    Record {
        /// The record's canonical bytes.
        body: Bytes,
        /// The salt of its commitment to a payload; kept apart, so that it can be erased.
        salt: Option<Salt>,
    },
}

impl Op {
    /// Appends an audit record without a commitment to a payload.
    pub fn record(body: impl Into<Bytes>) -> Self {
        Self::Record { body: body.into(), salt: None }
    }
}

/// Changes that take effect together or not at all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// The changes, applied in this order.
    pub ops: Vec<Op>,
}

impl Batch {
    /// Returns an empty batch.
    #[must_use]
    pub const fn new() -> Self {
        Self { ops: Vec::new() }
    }

    /// Adds a change.
    pub fn push(&mut self, op: Op) {
        self.ops.push(op);
    }

    /// Tells whether the batch may be held back for a moment, to be written with others: what it
    /// says is said again if it is lost, because an unacknowledged message is delivered again.
    #[must_use]
    pub fn can_wait(&self) -> bool {
        let can = |op: &Op| match op {
            Op::Settle { how: Settlement::Acknowledged, .. } => true,
            // What a circuit has seen comes with the acknowledgement that it saw.
            Op::Put { key, .. } | Op::Delete { key, .. } => matches!(key, Key::Circuit { .. }),
            Op::Settle { .. }
            | Op::Count { .. }
            | Op::Enqueue(_)
            | Op::Remember(_)
            | Op::Expire { .. }
            | Op::Revive { .. }
            | Op::Drop { .. }
            | Op::Record { .. } => false,
        };
        !self.ops.is_empty() && self.ops.iter().all(can)
    }
}
