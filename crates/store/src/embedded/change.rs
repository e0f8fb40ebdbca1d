//! What the log holds: changes that were already judged, so that replaying them asks nothing.
//!
//! An operation says what is wanted and expected; a change says what was done.

use std::sync::Arc;

use audit::{Hash, Salt};
use bytes::Bytes;
use gate::limits::RateLimits;
use gate::ports::{CounterClass, Key, QueueKey, Sent};
use gate::types::{AgentId, MessageId, Timestamp};
use serde::{Deserialize, Serialize};

/// A message without its envelope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) message: MessageId,
    pub(super) sender: AgentId,
    pub(super) queue: QueueKey,
    pub(super) message_type: Arc<str>,
    pub(super) accepted_at: Timestamp,
    pub(super) expires_at: Timestamp,
}

/// Where in its frame an envelope is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Slot {
    /// Bytes from the beginning of the frame's body.
    pub(super) at: u32,
    pub(super) len: u32,
    pub(super) crc: u32,
}

/// Where on disk an envelope is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Body {
    pub(super) file: BodyFile,
    pub(super) offset: u64,
    pub(super) len: u32,
    pub(super) crc: u32,
}

/// A file that holds envelopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) enum BodyFile {
    /// A log segment.
    Segment(u64),
    /// A file that a checkpoint has moved envelopes to.
    Moved(u64),
}

/// One change of the state; the order of variants is part of the log's format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Change {
    Put { key: Key, value: Bytes, expires_at: Option<Timestamp> },
    Delete { key: Key },
    Count { agent: AgentId, class: CounterClass, at: Timestamp, limits: RateLimits },
    Enqueue { head: Head, slot: Slot },
    Acknowledge { message: MessageId, attempts: u32 },
    Retry { message: MessageId, attempts: u32, not_before: Timestamp },
    Kill { message: MessageId, attempts: u32, reason: String, at: Timestamp },
    Expire { message: MessageId, attempts: u32 },
    Revive { message: MessageId, expires_at: Timestamp },
    Drop { message: MessageId },
    Record { seq: u64, prev: Hash, hash: Hash, body: Bytes, salt: Option<Salt> },
    Remember(Sent),
}
