//! The model: every promise of the store in the plainest code, in one mutex, instantly durable.
//!
//! Not for production: it forgets everything with the process, copies its state for each batch
//! and walks its lists.

mod apply;
mod lease;
mod look;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use audit::{Chain, Entry as AuditEntry};
use bytes::Bytes;
use futures::future::BoxFuture;
use gate::limits::SlidingWindow;
use gate::ports::{
    Batch, Claim, CounterClass, Entry, Found, Key, Leases, MessageView, Read, Scan, Sent, Store,
    StoreError,
};
use gate::types::{AgentId, SessionId, Timestamp};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::Bounds;
use crate::bounds::{moment_of, size_of};

/// A store without a disk.
#[derive(Debug)]
pub struct Memory {
    bounds: Bounds,
    inner: Mutex<Inner>,
    /// The number of the latest change of any queue.
    changes: watch::Sender<u64>,
}

impl Memory {
    /// Returns an empty store.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, inner: Mutex::default(), changes: watch::Sender::new(0) }
    }

    /// Returns a store with what survives a restart: everything except leases.
    #[must_use]
    pub fn restarted(&self) -> Self {
        let mut inner = self.inner.lock().clone();
        inner.state.time = Timestamp::default();
        for message in inner.state.messages.values_mut() {
            message.lease = None;
            message.attempts = message.settled_attempts;
        }
        let changes = watch::Sender::new(inner.state.changes);
        Self { bounds: self.bounds, inner: Mutex::new(inner), changes }
    }

    fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        size_of(&batch)?;
        let mut inner = self.inner.lock();
        let mut state = inner.state.clone();
        state.time = moment_of(&batch).unwrap_or(state.time);
        let (mut records, mut touched) = (Vec::new(), BTreeSet::new());
        for (index, op) in batch.ops.into_iter().enumerate() {
            state.apply(self.bounds, op, &mut records, &mut touched).map_err(|error| {
                if let StoreError::Conflict { .. } = error {
                    StoreError::Conflict { op: index }
                } else {
                    error
                }
            })?;
        }
        state.touch(touched);
        state.forget_keys(self.bounds.sent_max);
        inner.state = state;
        for body in records {
            let link = inner.chain.append(&body);
            inner.records.push(AuditEntry { link, body });
        }
        self.ring(&inner);
        Ok(())
    }

    fn ring(&self, inner: &Inner) {
        self.changes.send_replace(inner.state.changes);
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new(Bounds::default())
    }
}

impl Store for Memory {
    fn read(&self, what: Read) -> BoxFuture<'_, Result<Option<Found>, StoreError>> {
        let found = self.inner.lock().read(what);
        Box::pin(async move { Ok(found) })
    }

    fn scan(&self, what: Scan, count: usize) -> BoxFuture<'_, Result<Vec<Found>, StoreError>> {
        let found = self.inner.lock().scan(&what, count);
        Box::pin(async move { Ok(found) })
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<(), StoreError>> {
        let done = self.apply(batch);
        Box::pin(async move { done })
    }

    fn lease(&self, claim: Claim) -> BoxFuture<'_, Result<Leases, StoreError>> {
        let mut inner = self.inner.lock();
        let leases = inner.state.lease(&claim);
        self.ring(&inner);
        drop(inner);
        Box::pin(async move { Ok(leases) })
    }

    fn wait(&self, agent: AgentId, seen: u64) -> BoxFuture<'_, u64> {
        Box::pin(async move {
            let mut changes = self.changes.subscribe();
            loop {
                changes.mark_unchanged();
                let changed = self.inner.lock().state.changed.get(&agent).copied();
                if let Some(number) = changed.filter(|number| *number > seen) {
                    return number;
                }
                if changes.changed().await.is_err() {
                    // The sender lives as long as `self`, so this is not reached.
                    return seen;
                }
            }
        })
    }
}

#[derive(Debug, Clone, Default)]
struct Inner {
    state: State,
    chain: Chain,
    records: Vec<AuditEntry>,
}

#[derive(Debug, Clone, Default)]
struct State {
    /// The latest moment that the last batch with a moment named.
    time: Timestamp,
    values: BTreeMap<Key, Value>,
    version: u64,
    /// By place in the order of acceptance.
    messages: BTreeMap<u64, Message>,
    next_place: u64,
    /// By order of death.
    letters: BTreeMap<u64, Letter>,
    next_letter: u64,
    /// Finished messages, oldest first.
    statuses: VecDeque<MessageView>,
    /// What keys have made, oldest first.
    sent: Vec<Sent>,
    windows: BTreeMap<(AgentId, CounterClass), SlidingWindow>,
    /// The number of the latest change of any queue, and of each agent's that holds messages.
    changes: u64,
    changed: BTreeMap<AgentId, u64>,
}

#[derive(Debug, Clone)]
struct Value {
    value: Bytes,
    version: u64,
    expires_at: Option<Timestamp>,
}

#[derive(Debug, Clone)]
struct Message {
    entry: Entry,
    attempts: u32,
    /// The attempts that a settlement made durable.
    settled_attempts: u32,
    not_before: Timestamp,
    lease: Option<(SessionId, Timestamp)>,
}

#[derive(Debug, Clone)]
struct Letter {
    entry: Entry,
    attempts: u32,
    reason: String,
    died_at: Timestamp,
}
