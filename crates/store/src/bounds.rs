//! How much an engine takes, and the time a batch is judged by; the same for every engine.
//!
//! No settings of one engine: those are beside it.

use gate::ports::{Batch, Key, Op, Settlement, StoreError};
use gate::types::Timestamp;

/// How much an engine keeps before it refuses more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of envelopes in all queues of one agent.
    pub queue_bytes_max: u64,
    /// Messages in all queues of one agent.
    pub queue_len_max: u64,
    /// Bytes of envelopes of one sender in all queues of one agent; one message always fits.
    pub share_bytes_max: u64,
    /// Messages of one sender in all queues of one agent.
    pub share_len_max: u64,
    /// Bytes of envelopes of one sender in all queues of all agents; one message always fits.
    pub sender_bytes_max: u64,
    /// Bytes of envelopes in all queues.
    pub total_bytes_max: u64,
    /// Dead letters.
    pub dead_letters_max: u64,
    /// Bytes of envelopes of dead letters.
    pub dead_letter_bytes_max: u64,
    /// Dead letters to one agent, and those of one sender.
    pub agent_letters_max: u64,
    /// Bytes of envelopes of those letters; one letter always fits.
    pub agent_letter_bytes_max: u64,
    /// Finished messages whose end is remembered; the oldest is forgotten for a new one.
    pub statuses_max: usize,
    /// Idempotency keys of one sender that are remembered; the oldest is forgotten for a new one.
    pub sent_max: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            queue_bytes_max: 64 << 20,
            queue_len_max: 100_000,
            share_bytes_max: 16 << 20,
            share_len_max: 25_000,
            sender_bytes_max: 128 << 20,
            total_bytes_max: 1 << 30,
            dead_letters_max: 1_000_000,
            dead_letter_bytes_max: 4 << 30,
            agent_letters_max: 250_000,
            agent_letter_bytes_max: 1 << 30,
            statuses_max: 100_000,
            sent_max: 32_768,
        }
    }
}

/// What [`StoreError::Full`](gate::ports::StoreError::Full) names.
pub(crate) const QUEUE: &str = "queue of the target";
pub(crate) const SHARE: &str = "share of the sender in the queue of the target";
pub(crate) const SENDER: &str = "room of the sender in all queues";
pub(crate) const STORE: &str = "store";
pub(crate) const LETTERS: &str = "dead letters";
pub(crate) const LETTERS_TO: &str = "dead letters of the target";
pub(crate) const LETTERS_FROM: &str = "dead letters of the sender";

/// Messages and the bytes of their envelopes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) len: u64,
    pub(crate) bytes: u64,
}

impl Load {
    /// Returns the load with one more message.
    pub(crate) const fn with(self, bytes: u64) -> Self {
        Self { len: self.len.saturating_add(1), bytes: self.bytes.saturating_add(bytes) }
    }

    /// Returns the load with one message less.
    pub(crate) const fn without(self, bytes: u64) -> Self {
        Self { len: self.len.saturating_sub(1), bytes: self.bytes.saturating_sub(bytes) }
    }

    /// Tells whether it is more than may be there.
    pub(crate) const fn exceeds(self, len_max: u64, bytes_max: u64) -> bool {
        self.len > len_max || self.bytes > bytes_max
    }
}

/// What is in the store once a message is queued, as far as bounds ask.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Queued {
    /// In all queues of the target.
    pub(crate) queue: Load,
    /// Of these, what its sender sent.
    pub(crate) share: Load,
    /// In all queues, what its sender sent.
    pub(crate) sender: Load,
    /// Bytes in all queues.
    pub(crate) total_bytes: u64,
}

/// What is in the store once a letter is kept, as far as bounds ask.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kept {
    /// All dead letters.
    pub(crate) all: Load,
    /// Those to its target.
    pub(crate) target: Load,
    /// Those of its sender.
    pub(crate) sender: Load,
}

impl Bounds {
    /// Returns what is full if this may not be queued.
    pub(crate) const fn refuse_queued(&self, after: Queued) -> Option<&'static str> {
        if after.queue.exceeds(self.queue_len_max, self.queue_bytes_max) {
            return Some(QUEUE);
        }
        // One message always fits: a share must not be smaller than what may be sent.
        if after.share.len > 1 && after.share.exceeds(self.share_len_max, self.share_bytes_max) {
            return Some(SHARE);
        }
        if after.sender.len > 1 && after.sender.bytes > self.sender_bytes_max {
            return Some(SENDER);
        }
        if after.total_bytes > self.total_bytes_max { Some(STORE) } else { None }
    }

    /// Returns what is full if this may not be kept.
    pub(crate) const fn refuse_kept(&self, after: Kept) -> Option<&'static str> {
        let (len_max, bytes_max) = (self.agent_letters_max, self.agent_letter_bytes_max);
        if after.all.exceeds(self.dead_letters_max, self.dead_letter_bytes_max) {
            return Some(LETTERS);
        }
        if after.target.len > 1 && after.target.exceeds(len_max, bytes_max) {
            return Some(LETTERS_TO);
        }
        if after.sender.len > 1 && after.sender.exceeds(len_max, bytes_max) {
            return Some(LETTERS_FROM);
        }
        None
    }
}

/// LIMIT: bytes that one batch may take.
pub(crate) const BATCH_BYTES_MAX: usize = 64 << 20;
/// More bytes than an operation takes beside its texts and bytes.
const OP_BYTES: usize = 512;

/// Returns a number of bytes that the batch does not exceed when it is stored.
///
/// # Errors
///
/// Refuses a batch or a record that is larger than any engine takes.
pub(crate) fn size_of(batch: &Batch) -> Result<usize, StoreError> {
    let mut bytes = 0_usize;
    for op in &batch.ops {
        let own = match op {
            Op::Put { key, value, .. } => value.len() + name_bytes(key),
            Op::Delete { key, .. } => name_bytes(key),
            Op::Enqueue(entry) => entry.envelope.len() + entry.message_type.len(),
            Op::Settle { how: Settlement::Dead { reason }, .. } => reason.len(),
            Op::Record { body, .. } if body.len() > audit::BODY_BYTES_MAX => {
                return Err(StoreError::Full { what: "audit record" });
            }
            Op::Record { body, .. } => body.len(),
            Op::Settle { .. }
            | Op::Remember(_)
            | Op::Count { .. }
            | Op::Expire { .. }
            | Op::Revive { .. }
            | Op::Drop { .. } => 0,
        };
        bytes = bytes.saturating_add(own).saturating_add(OP_BYTES);
    }
    if bytes > BATCH_BYTES_MAX { Err(StoreError::Full { what: "batch" }) } else { Ok(bytes) }
}

/// Returns the length of a name that has no limit of its own.
const fn name_bytes(key: &Key) -> usize {
    if let Key::Role(name) = key { name.len() } else { 0 }
}

/// Returns the latest moment that an operation of the batch names: the time at which its
/// expectations are judged, because a store has no clock.
pub(crate) fn moment_of(batch: &Batch) -> Option<Timestamp> {
    let moment = |op: &Op| match op {
        Op::Count { at, .. } | Op::Settle { at, .. } | Op::Expire { at, .. } => Some(*at),
        Op::Enqueue(entry) => Some(entry.accepted_at),
        Op::Put { .. }
        | Op::Delete { .. }
        | Op::Remember(_)
        | Op::Revive { .. }
        | Op::Drop { .. }
        | Op::Record { .. } => None,
    };
    batch.ops.iter().filter_map(moment).max()
}
