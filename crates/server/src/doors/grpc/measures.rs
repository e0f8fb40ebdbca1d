//! The numbers of the door: connections and those that failed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gate::observe::Counters;

/// What the door counts.
#[derive(Debug, Default)]
pub(crate) struct DoorMeasures {
    open: AtomicU64,
    handshakes: AtomicU64,
    // LIMIT: codes, all of them the program's own.
    failures: Counters<32>,
}

impl DoorMeasures {
    /// Returns how many connections there are.
    pub(crate) fn open(&self) -> u64 {
        self.open.load(Ordering::Relaxed)
    }

    /// Returns how many handshakes have held.
    pub(crate) fn handshakes(&self) -> u64 {
        self.handshakes.load(Ordering::Relaxed)
    }

    /// Returns how many connections failed, by code.
    pub(crate) fn failures(&self) -> BTreeMap<String, u64> {
        self.failures.read()
    }

    /// Counts a connection that failed.
    pub(super) fn failed(&self, code: &str) {
        self.failures.count(code);
    }

    /// Counts a connection whose handshake held, until the returned guard is dropped.
    pub(super) fn connected(self: &Arc<Self>) -> Connected {
        self.handshakes.fetch_add(1, Ordering::Relaxed);
        self.open.fetch_add(1, Ordering::Relaxed);
        Connected(Arc::clone(self))
    }
}

/// A connection that is counted.
#[derive(Debug)]
pub(super) struct Connected(Arc<DoorMeasures>);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
