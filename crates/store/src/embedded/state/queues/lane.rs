//! One queue: its messages sorted by what can happen to them next.
//!
//! It holds ids only and decides nothing.

use std::collections::{BTreeMap, BTreeSet};

use gate::types::{MessageId, Timestamp};

use super::Spot;

/// The messages of one queue.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// By place.
    pub(super) ready: BTreeMap<u64, MessageId>,
    /// By the end of the delay.
    pub(super) delayed: BTreeSet<(Timestamp, u64, MessageId)>,
    /// By the beginning of the lease.
    pub(super) leased: BTreeSet<(Timestamp, u64, MessageId)>,
    /// How many are never leased.
    aside: usize,
}

impl Lane {
    pub(super) fn insert(&mut self, spot: Spot, place: u64, id: MessageId) {
        match spot {
            Spot::Ready => drop(self.ready.insert(place, id)),
            Spot::Delayed(until) => drop(self.delayed.insert((until, place, id))),
            Spot::Leased(_, since) => drop(self.leased.insert((since, place, id))),
            Spot::Overdue | Spot::Unreadable => self.aside = self.aside.saturating_add(1),
        }
    }

    pub(super) fn remove(&mut self, spot: Spot, place: u64, id: MessageId) {
        match spot {
            Spot::Ready => drop(self.ready.remove(&place)),
            Spot::Delayed(until) => drop(self.delayed.remove(&(until, place, id))),
            Spot::Leased(_, since) => drop(self.leased.remove(&(since, place, id))),
            Spot::Overdue | Spot::Unreadable => self.aside = self.aside.saturating_sub(1),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        let waiting = self.ready.len() + self.delayed.len() + self.leased.len();
        waiting + self.aside == 0
    }
}
