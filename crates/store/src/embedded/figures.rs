//! The numbers of the engine, for those who watch it.

use std::sync::atomic::Ordering;

use gate::observe::{Histogram, HistogramView, LATENCY_NANOS, LENGTHS};

use super::shared::Shared;

/// What the committer counts.
#[derive(Debug)]
pub(super) struct Tallies {
    /// How many batches were committed together.
    pub(super) groups: Histogram,
    /// How long a group took to write and sync, in nanoseconds.
    pub(super) writes: Histogram,
}

impl Default for Tallies {
    fn default() -> Self {
        Self { groups: Histogram::new(LENGTHS), writes: Histogram::new(LATENCY_NANOS) }
    }
}

impl Tallies {
    /// Writes a group and counts how long that took.
    #[expect(clippy::disallowed_methods, reason = "it is only told and decides nothing")]
    pub(super) fn time<T>(&self, write: impl FnOnce() -> T) -> T {
        let begun = std::time::Instant::now();
        let written = write();
        self.writes.count_time(begun.elapsed());
        written
    }
}

/// The numbers of an engine at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Figures {
    /// Messages in all queues.
    pub queued: u64,
    /// Bytes of their envelopes.
    pub queued_bytes: u64,
    /// Dead letters.
    pub letters: u64,
    /// Bytes of their envelopes.
    pub letter_bytes: u64,
    /// Records in the audit log.
    pub records: u64,
    /// Bytes of batches that wait for the committer.
    pub waiting_bytes: u64,
    /// How many batches were committed together.
    pub groups: HistogramView,
    /// How long a group took to write and sync, in nanoseconds.
    pub writes: HistogramView,
}

impl Shared {
    /// Reads the numbers of this moment.
    pub(super) fn figures(&self) -> Figures {
        let state = self.state.lock();
        let (queued, queued_bytes) = state.queues.total();
        let (letters, letter_bytes) = state.letters.total();
        drop(state);
        Figures {
            queued,
            queued_bytes,
            letters,
            letter_bytes,
            records: self.recent.lock().next_seq().saturating_sub(1),
            waiting_bytes: self.waiting_bytes.load(Ordering::Relaxed) as u64,
            groups: self.tallies.groups.read(),
            writes: self.tallies.writes.read(),
        }
    }
}
