//! The numbers of the door: connections, those that failed and those that were ended.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gate::observe::Counters;

use super::cut::Why;

/// What the door counts.
#[derive(Debug, Default)]
pub(crate) struct DoorMeasures {
    open: AtomicU64,
    handshakes: AtomicU64,
    // LIMIT: codes, all of them the program's own.
    failures: Counters<32>,
    cuts: Counters<{ Why::ALL.len() }>,
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

    /// Returns how many connections were ended for what their client did, by the reason's code;
    /// each reason is there, so that its first one is seen to be one more.
    pub(crate) fn cuts(&self) -> BTreeMap<String, u64> {
        let mut cuts = BTreeMap::from(Why::ALL.map(|why| (why.code().to_owned(), 0)));
        self.cuts.add_to(&mut cuts);
        cuts
    }

    /// Counts a connection that was ended for what its client did.
    pub(super) fn cut(&self, why: Why) {
        self.cuts.count(why.code());
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
