//! What the engine's threads share: the live state and what is known about the log.
//!
//! INVARIANT: no lock here is held across a read or write of the disk or an await.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize};

use audit::{Disk, Entry};
use parking_lot::Mutex;

use super::Options;
use super::bells::Bells;
use super::checkpoint::Upto;
use super::condition::Fatal;
use super::figures::Tallies;
use super::folder::Folder;
use super::spares::Spares;
use super::state::State;
use super::trail::AuditTrail;

/// What the engine's threads share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) folder: Folder,
    pub(super) options: Options,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) spares: Arc<Spares>,
    pub(super) state: Mutex<State>,
    pub(super) bells: Bells,
    pub(super) recent: Mutex<Recent>,
    /// Where those who follow the log from disk have come to.
    pub(super) trails: Trails,
    /// Why no batch is taken any more.
    pub(super) fatal: Arc<Fatal>,
    /// Bytes of batches that wait for the committer.
    pub(super) waiting_bytes: AtomicUsize,
    /// The segment that is written, and where it begins.
    pub(super) active: Mutex<Upto>,
    /// Bytes of log sealed since the last checkpoint began.
    pub(super) sealed_bytes: AtomicU64,
    /// The size of the last snapshot.
    pub(super) snapshot_bytes: AtomicU64,
    /// What is told to those who watch.
    pub(super) tallies: Tallies,
}

/// The newest durable audit entries, for those who follow the log.
#[derive(Debug)]
pub(super) struct Recent {
    entries: VecDeque<Entry>,
    bytes: usize,
    /// The number that the next durable entry gets.
    next_seq: u64,
}

impl Recent {
    pub(super) const fn new(next_seq: u64) -> Self {
        Self { entries: VecDeque::new(), bytes: 0, next_seq }
    }

    /// Adds entries that have become durable.
    pub(super) fn extend(&mut self, entries: Vec<Entry>) {
        for entry in entries {
            self.bytes = self.bytes.saturating_add(entry.body.len() + ENTRY_BYTES);
            self.next_seq = entry.link.seq.saturating_add(1);
            self.entries.push_back(entry);
        }
        while self.bytes > BYTES_MAX {
            let Some(oldest) = self.entries.pop_front() else { break };
            self.bytes = self.bytes.saturating_sub(oldest.body.len() + ENTRY_BYTES);
        }
    }

    pub(super) const fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Returns entries from a number on; nothing if older ones are needed.
    pub(super) fn page(&self, from: u64, count: usize) -> Option<Vec<Entry>> {
        if from >= self.next_seq {
            return Some(Vec::new());
        }
        let first = self.entries.front()?.link.seq;
        let skip = usize::try_from(from.checked_sub(first)?).ok()?;
        let end = self.entries.len().min(skip.saturating_add(count));
        Some(self.entries.range(skip.min(end)..end).cloned().collect())
    }
}

/// Readings of the log that go on with the next page; finding a place anew means to read the file
/// or segment from its beginning.
#[derive(Debug, Default)]
pub(super) struct Trails(Mutex<VecDeque<AuditTrail>>);

impl Trails {
    /// Takes the reading that has come to an entry.
    pub(super) fn take(&self, from: u64) -> Option<AuditTrail> {
        let mut trails = self.0.lock();
        let at = trails.iter().position(|trail| trail.next_seq() == from)?;
        trails.remove(at)
    }

    /// Keeps a reading; the oldest gives way.
    pub(super) fn keep(&self, trail: AuditTrail) {
        let mut trails = self.0.lock();
        if trails.len() >= TRAILS_MAX {
            trails.pop_front();
        }
        trails.push_back(trail);
    }
}

/// LIMIT: readings that are kept, each with an open file and a piece of it.
const TRAILS_MAX: usize = 2;

/// LIMIT: memory for the newest entries.
const BYTES_MAX: usize = 4 << 20;
const ENTRY_BYTES: usize = size_of::<Entry>();
