//! Who gets which message.
//!
//! Leases are in memory only: a restart ends them all.

use std::collections::BTreeSet;

use bytes::Bytes;
use gate::ports::{Claim, QueueKey};
use gate::types::{AgentId, MessageId, SessionId, Timestamp};

use super::lane::Lane;
use super::{Message, Queues, Spot};
use crate::embedded::change::Head;

/// A message that was leased.
#[derive(Debug)]
pub(in crate::embedded) struct Picked {
    pub(in crate::embedded) head: Head,
    pub(in crate::embedded) attempt: u32,
    /// The envelope if it was in memory.
    pub(in crate::embedded) envelope: Option<Bytes>,
}

impl Queues {
    /// Ends all leases of the sessions that have ended; returns the agents whose queues changed.
    pub(in crate::embedded) fn release(&mut self, claim: &Claim) -> BTreeSet<AgentId> {
        let mut agents = BTreeSet::new();
        for holder in &claim.release {
            for id in self.held.remove(holder).unwrap_or_default() {
                self.set_spot(id, Spot::Ready);
                agents.extend(self.messages.get(&id).map(|m| m.head.queue.agent.clone()));
            }
        }
        agents
    }

    /// Leases what the claim asks for, in the order of acceptance over its queues.
    pub(in crate::embedded) fn lease(&mut self, claim: &Claim) -> Vec<Picked> {
        let [first, second] = &claim.queues;
        for queue in [first, second] {
            self.end_delays(queue, claim.now);
        }
        let mut idle: BTreeSet<(u64, MessageId)> =
            [first, second].into_iter().flat_map(|queue| self.idle(queue, claim)).collect();
        let (mut picked, mut bytes) = (Vec::new(), 0_usize);
        while picked.len() < claim.count {
            let ready = [first, second].into_iter().filter_map(|queue| self.front(queue)).min();
            let Some((place, id)) = ready.into_iter().chain(idle.first().copied()).min() else {
                break;
            };
            let Some(message) = self.messages.get(&id) else { break };
            if message.head.expires_at <= claim.now {
                // Only ready ones get here: idle ones were asked before.
                self.set_spot(id, Spot::Overdue);
                continue;
            }
            let size = usize::try_from(message.body.len).unwrap_or(usize::MAX);
            bytes = bytes.saturating_add(size);
            if bytes > claim.bytes && !(claim.or_one && picked.is_empty()) {
                break;
            }
            idle.remove(&(place, id));
            self.set_spot(id, Spot::Leased(claim.holder, claim.now));
            if let Some(message) = self.messages.get_mut(&id) {
                picked.push(message.pick(self.cached.get(&place).cloned()));
            }
        }
        picked
    }

    /// Takes back a lease that its holder was not told of, as if it had not been given, unless it
    /// was lost meanwhile.
    pub(in crate::embedded) fn take_back(&mut self, id: MessageId, holder: SessionId, spot: Spot) {
        let Some(message) = self.messages.get_mut(&id) else { return };
        if message.holder() == Some(holder) {
            message.attempts = message.attempts.saturating_sub(1);
            self.set_spot(id, spot);
        }
    }

    /// Returns when a delay or the protection of another session's lease ends next.
    pub(in crate::embedded) fn wake_at(&self, claim: &Claim) -> Option<Timestamp> {
        let lanes = claim.queues.iter().filter_map(|queue| self.lane(queue));
        let is_live =
            |id: &MessageId| self.messages.get(id).is_some_and(|m| m.head.expires_at > claim.now);
        let next = lanes.flat_map(|lane| {
            let delay =
                lane.delayed.iter().find(|(until, _, id)| *until > claim.now && is_live(id));
            let protected = |(since, _, id): &&(Timestamp, u64, MessageId)| {
                since.after(claim.reclaim_after) > claim.now && is_live(id)
            };
            let leases = lane.leased_by_others(claim.holder);
            let leases = leases.filter_map(move |leased| leased.iter().find(protected));
            let leases = leases.map(|(since, ..)| since.after(claim.reclaim_after));
            delay.map(|(until, ..)| *until).into_iter().chain(leases)
        });
        next.min()
    }

    /// Returns the number of the latest change of any queue.
    pub(in crate::embedded) const fn changes(&self) -> u64 {
        self.changes
    }

    fn lane(&self, queue: &QueueKey) -> Option<&Lane> {
        self.agents.get(&queue.agent)?.lanes.get(&queue.instance)
    }

    /// Returns the first durable message that is ready.
    fn front(&self, queue: &QueueKey) -> Option<(u64, MessageId)> {
        let (place, id) = self.lane(queue)?.ready.first_key_value()?;
        (*place < self.durable_place).then_some((*place, *id))
    }

    fn end_delays(&mut self, queue: &QueueKey, now: Timestamp) {
        while let Some((until, _, id)) = self.lane(queue).and_then(|lane| lane.delayed.first()) {
            if *until > now {
                break;
            }
            let id = *id;
            self.set_spot(id, Spot::Ready);
        }
    }

    /// Returns messages that other sessions have held for too long.
    fn idle(&self, queue: &QueueKey, claim: &Claim) -> Vec<(u64, MessageId)> {
        let others = self.lane(queue).into_iter();
        let others = others.flat_map(|lane| lane.leased_by_others(claim.holder));
        let idle = others.flat_map(|leased| {
            let since = |since: &Timestamp| since.after(claim.reclaim_after);
            leased.iter().take_while(move |(begun, ..)| since(begun) <= claim.now)
        });
        let is_live = |id| self.messages.get(id).is_some_and(|m| m.head.expires_at > claim.now);
        idle.filter(|(.., id)| is_live(id)).map(|(_, place, id)| (*place, *id)).collect()
    }
}

impl Message {
    fn pick(&mut self, envelope: Option<Bytes>) -> Picked {
        self.attempts = self.attempts.saturating_add(1);
        Picked { head: self.head.clone(), attempt: self.attempts, envelope }
    }
}
