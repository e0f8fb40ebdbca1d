//! How much an engine takes, and the time a batch is judged by; the same for every engine.
//!
//! No settings of one engine: those are beside it.

use gate::ports::{Batch, Op};
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
