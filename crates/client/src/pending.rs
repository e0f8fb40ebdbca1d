//! Requests that wait for their reply.
//!
//! A reply may overtake the answer to the request itself, which is where the correlation id comes
//! from; so while a request is being made, replies that nobody waits for are kept for a moment.
//! No clock is read here except to forget those.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::message::Envelope;

#[derive(Debug, Default)]
pub(crate) struct Pending(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    /// How many requests are being made at this moment.
    asking: usize,
    waiting: HashMap<String, Waiting>,
    early: VecDeque<Early>,
}

#[derive(Debug)]
struct Waiting {
    target: String,
    reply: oneshot::Sender<Envelope>,
}

#[derive(Debug)]
struct Early {
    correlation: String,
    envelope: Envelope,
    forget_at: Instant,
}

impl Pending {
    /// Announces that a request is being made.
    pub(crate) fn ask(&self) -> Asking<'_> {
        let mut table = self.table();
        table.asking = table.asking.saturating_add(1);
        Asking(self)
    }

    /// Gives a reply to the request that waits for it; replies that nobody asked for are dropped.
    pub(crate) fn deliver(&self, envelope: Envelope) {
        let Some(correlation) = envelope.meta.correlation_id.clone() else {
            return;
        };
        let mut table = self.table();
        let asked = table.waiting.get(&correlation).map(|one| one.target == envelope.sender_id);
        match asked {
            Some(true) => {
                if let Some(waiting) = table.waiting.remove(&correlation) {
                    // The one who asked may have given up at this moment.
                    drop(waiting.reply.send(envelope));
                }
            }
            // Only the agent that was asked may answer.
            Some(false) => {}
            None => table.keep_early(correlation, envelope, Instant::now()),
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // INVARIANT: no code that can panic runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn keep_early(&mut self, correlation: String, envelope: Envelope, now: Instant) {
        if self.asking == 0 {
            return;
        }
        self.early.retain(|early| early.forget_at > now);
        if self.early.len() >= EARLY_MAX {
            self.early.pop_front();
        }
        self.early.push_back(Early { correlation, envelope, forget_at: now + EARLY_KEPT });
    }
}

/// Stands for a request that is being made.
#[derive(Debug)]
pub(crate) struct Asking<'a>(&'a Pending);

impl<'a> Asking<'a> {
    /// Waits for the reply to a request that the gate took.
    pub(crate) fn expect(self, correlation: String, target: &str) -> Expected<'a> {
        let (sender, reply) = oneshot::channel();
        let mut table = self.0.table();
        let early = table.early.iter().position(|early| early.correlation == correlation);
        match early.and_then(|at| table.early.remove(at)) {
            Some(early) if early.envelope.sender_id == target => {
                drop(sender.send(early.envelope));
            }
            Some(_) | None => {
                let waiting = Waiting { target: target.to_owned(), reply: sender };
                table.waiting.insert(correlation.clone(), waiting);
            }
        }
        drop(table);
        Expected { pending: self.0, correlation, reply }
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let mut table = self.0.table();
        table.asking = table.asking.saturating_sub(1);
        if table.asking == 0 {
            table.early.clear();
        }
    }
}

/// Stands for a reply that is waited for; gives up when dropped.
#[derive(Debug)]
pub(crate) struct Expected<'a> {
    pending: &'a Pending,
    correlation: String,
    reply: oneshot::Receiver<Envelope>,
}

impl Expected<'_> {
    /// Waits; nothing if another request took over the correlation id, which no gate does.
    pub(crate) async fn reply(&mut self) -> Option<Envelope> {
        (&mut self.reply).await.ok()
    }
}

impl Drop for Expected<'_> {
    fn drop(&mut self) {
        self.pending.table().waiting.remove(&self.correlation);
    }
}

/// LIMIT: replies that are kept while a request is being made.
const EARLY_MAX: usize = 1024;
/// Longer than the answer to a request takes to arrive after its reply.
const EARLY_KEPT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
