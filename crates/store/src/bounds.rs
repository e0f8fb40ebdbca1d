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
    /// Bytes of envelopes in all queues.
    pub total_bytes_max: u64,
    /// Dead letters.
    pub dead_letters_max: u64,
    /// Bytes of envelopes of dead letters.
    pub dead_letter_bytes_max: u64,
    /// Finished messages whose end is remembered; the oldest is forgotten for a new one.
    pub statuses_max: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            queue_bytes_max: 64 << 20,
            queue_len_max: 100_000,
            total_bytes_max: 1 << 30,
            dead_letters_max: 1_000_000,
            dead_letter_bytes_max: 4 << 30,
            statuses_max: 100_000,
        }
    }
}

/// What [`StoreError::Full`](gate::ports::StoreError::Full) names.
pub(crate) const QUEUE: &str = "queue of the target";
pub(crate) const STORE: &str = "store";
pub(crate) const LETTERS: &str = "dead letters";

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
            Op::Record(body) if body.len() > audit::BODY_BYTES_MAX => {
                return Err(StoreError::Full { what: "audit record" });
            }
            Op::Record(body) => body.len(),
            Op::Settle { .. }
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
        | Op::Revive { .. }
        | Op::Drop { .. }
        | Op::Record(_) => None,
    };
    batch.ops.iter().filter_map(moment).max()
}
