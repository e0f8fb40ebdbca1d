//! One queue: its messages sorted by what can happen to them next.
//!
//! It holds ids only and decides nothing.

use std::collections::{BTreeMap, BTreeSet};

use gate::types::{MessageId, SessionId, Timestamp};

use super::Spot;

/// What one session holds of a queue.
type Leased = BTreeSet<(Timestamp, u64, MessageId)>;

/// The messages of one queue.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// By place.
    pub(super) ready: BTreeMap<u64, MessageId>,
    /// By the end of the delay.
    pub(super) delayed: BTreeSet<(Timestamp, u64, MessageId)>,
    /// By session, then by the beginning of the lease: a session that asks for more, which is the
    /// most frequent question, need not walk past what it holds already.
    leased: BTreeMap<SessionId, Leased>,
    /// How many are never leased.
    aside: usize,
}

impl Lane {
    pub(super) fn insert(&mut self, spot: Spot, place: u64, id: MessageId) {
        match spot {
            Spot::Ready => drop(self.ready.insert(place, id)),
            Spot::Delayed(until) => drop(self.delayed.insert((until, place, id))),
            Spot::Leased(holder, since) => {
                self.leased.entry(holder).or_default().insert((since, place, id));
            }
            Spot::Overdue | Spot::Unreadable => self.aside = self.aside.saturating_add(1),
        }
    }

    pub(super) fn remove(&mut self, spot: Spot, place: u64, id: MessageId) {
        match spot {
            Spot::Ready => drop(self.ready.remove(&place)),
            Spot::Delayed(until) => drop(self.delayed.remove(&(until, place, id))),
            Spot::Leased(holder, since) => {
                if let Some(leased) = self.leased.get_mut(&holder) {
                    leased.remove(&(since, place, id));
                    if leased.is_empty() {
                        self.leased.remove(&holder);
                    }
                }
            }
            Spot::Overdue | Spot::Unreadable => self.aside = self.aside.saturating_sub(1),
        }
    }

    /// Returns what each other session holds, each in the order in which its leases began.
    pub(super) fn leased_by_others(&self, than: SessionId) -> impl Iterator<Item = &Leased> {
        let others = self.leased.iter().filter(move |(holder, _)| **holder != than);
        others.map(|(_, leased)| leased)
    }

    pub(super) fn is_empty(&self) -> bool {
        let is_idle = self.ready.is_empty() && self.delayed.is_empty() && self.leased.is_empty();
        is_idle && self.aside == 0
    }
}
