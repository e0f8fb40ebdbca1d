//! Queues: which message waits where, who holds it, and whose turn it is.
//!
//! A place is a message's rank in the order of acceptance over all queues; a retry keeps it.

mod lane;
mod lease;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use gate::ports::{MessageState, MessageView};
use gate::types::{AgentId, InstanceId, MessageId, SessionId, Timestamp};

use self::lane::Lane;
pub(in crate::embedded) use self::lease::Picked;
use super::{Misfit, Tally, Use};
use crate::bounds::{Load, Queued};
use crate::embedded::change::{Body, Head};

/// A message that is not finished.
#[derive(Debug, Clone)]
pub(in crate::embedded) struct Message {
    pub(in crate::embedded) head: Head,
    pub(in crate::embedded) body: Body,
    pub(in crate::embedded) place: u64,
    pub(in crate::embedded) attempts: u32,
    pub(in crate::embedded) spot: Spot,
}

/// Where in its queue a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::embedded) enum Spot {
    /// Can be leased.
    Ready,
    /// Can be leased from this moment on.
    Delayed(Timestamp),
    /// Held by a session since this moment.
    Leased(SessionId, Timestamp),
    /// Was found expired and waits for that to be committed.
    Overdue,
    /// Its envelope cannot be read: it waits for its expiry or the next start.
    Unreadable,
}

/// All queues.
#[derive(Debug)]
pub(in crate::embedded) struct Queues {
    usage: Use,
    /// Boxed, because the table has up to twice as many places as messages.
    messages: HashMap<MessageId, Box<Message>>,
    agents: HashMap<AgentId, OfAgent>,
    held: HashMap<SessionId, BTreeSet<MessageId>>,
    /// By the moment of expiry.
    expiry: BTreeSet<(Timestamp, u64, MessageId)>,
    /// The envelopes that there is room for in memory, by the place of their messages.
    cached: BTreeMap<u64, Bytes>,
    cached_bytes: u64,
    cache_bytes_max: u64,
    bytes: u64,
    /// What each sender has in all queues.
    senders: Tally,
    next_place: u64,
    /// Messages from this place on are not durable yet, so they are not leased.
    durable_place: u64,
    /// The number of the latest change of any queue that could end a wait.
    changes: u64,
}

#[derive(Debug, Default)]
struct OfAgent {
    load: Load,
    /// Of that, by sender.
    senders: Tally,
    /// The number of the latest change that could end a wait.
    changed: u64,
    lanes: BTreeMap<Option<InstanceId>, Lane>,
}

impl Queues {
    pub(super) fn new(cache_bytes_max: u64, usage: Use) -> Self {
        Self {
            usage,
            messages: HashMap::new(),
            agents: HashMap::new(),
            held: HashMap::new(),
            expiry: BTreeSet::new(),
            cached: BTreeMap::new(),
            cached_bytes: 0,
            cache_bytes_max,
            bytes: 0,
            senders: Tally::default(),
            next_place: 0,
            durable_place: 0,
            changes: 0,
        }
    }

    /// Appends a message as new.
    pub(super) fn push(&mut self, head: Head, body: Body, envelope: Option<Bytes>) {
        let place = self.next_place;
        self.restore(Message { head, body, place, attempts: 0, spot: Spot::Ready });
        if let Some(envelope) = envelope {
            self.cache(place, envelope);
        }
    }

    /// Puts a message where it was.
    pub(in crate::embedded) fn restore(&mut self, message: Message) {
        self.next_place = self.next_place.max(message.place.saturating_add(1));
        self.bytes = self.bytes.saturating_add(u64::from(message.body.len));
        if self.usage == Use::Serve {
            self.sort_in(&message);
        }
        self.messages.insert(message.head.message, Box::new(message));
    }

    /// Notes whose message it is, and whose turn.
    fn sort_in(&mut self, message: &Message) {
        let (id, place, size) = (message.head.message, message.place, u64::from(message.body.len));
        self.expiry.insert((message.head.expires_at, place, id));
        let queue = &message.head.queue;
        let agent = self.agents.entry(queue.agent.clone()).or_default();
        agent.load = agent.load.with(size);
        agent.senders.add(&message.head.sender, size);
        self.senders.add(&message.head.sender, size);
        agent.lanes.entry(queue.instance.clone()).or_default().insert(message.spot, place, id);
    }

    pub(super) fn remove(&mut self, id: MessageId) -> Result<Message, Misfit> {
        let message = *self.messages.remove(&id).ok_or(MISSING)?;
        let (place, size) = (message.place, u64::from(message.body.len));
        self.bytes = self.bytes.saturating_sub(size);
        self.expiry.remove(&(message.head.expires_at, place, id));
        if let Some(envelope) = self.cached.remove(&place) {
            self.cached_bytes = self.cached_bytes.saturating_sub(envelope.len() as u64);
        }
        self.unhold(message.spot, id);
        self.senders.remove(&message.head.sender, size);
        let queue = &message.head.queue;
        if let Some(agent) = self.agents.get_mut(&queue.agent) {
            agent.load = agent.load.without(size);
            agent.senders.remove(&message.head.sender, size);
            if let Some(lane) = agent.lanes.get_mut(&queue.instance) {
                lane.remove(message.spot, place, id);
                if lane.is_empty() {
                    agent.lanes.remove(&queue.instance);
                }
            }
            if agent.load.len == 0 {
                self.agents.remove(&queue.agent);
            }
        }
        Ok(message)
    }

    /// Puts a message back to its place, to be leased from a moment on.
    pub(super) fn retry(
        &mut self,
        id: MessageId,
        attempts: u32,
        not_before: Timestamp,
    ) -> Result<AgentId, Misfit> {
        self.set_spot(id, Spot::Delayed(not_before));
        let message = self.messages.get_mut(&id).ok_or(MISSING)?;
        message.attempts = attempts;
        Ok(message.head.queue.agent.clone())
    }

    pub(super) fn relocate(&mut self, id: MessageId, from: Body, to: Body) {
        if let Some(message) = self.messages.get_mut(&id).filter(|message| message.body == from) {
            message.body = to;
        }
    }

    pub(in crate::embedded) fn message(&self, id: MessageId) -> Option<&Message> {
        self.messages.get(&id).map(Box::as_ref)
    }

    pub(in crate::embedded) fn iter(&self) -> impl Iterator<Item = &Message> {
        self.messages.values().map(Box::as_ref)
    }

    /// Returns how many messages an agent's queues hold.
    pub(in crate::embedded) fn depth(&self, agent: &AgentId) -> u64 {
        self.agents.get(agent).map_or(0, |agent| agent.load.len)
    }

    /// Returns whose queues are the longest, and how many messages they hold: as many agents as
    /// asked for, of those that have any.
    pub(in crate::embedded) fn longest(&self, count: usize) -> Vec<(&AgentId, u64)> {
        let all = self.agents.iter().map(|(agent, of)| (agent, of.load.len));
        let mut all: Vec<_> = all.map(|(agent, depth)| (Reverse(depth), agent)).collect();
        // Of many agents only those are sorted that are asked for.
        if all.len() > count {
            all.select_nth_unstable(count);
            all.truncate(count);
        }
        all.sort_unstable();
        all.into_iter().map(|(Reverse(depth), agent)| (agent, depth)).collect()
    }

    /// Returns how many messages there are, and their bytes.
    pub(in crate::embedded) fn total(&self) -> (u64, u64) {
        (self.messages.len() as u64, self.bytes)
    }

    /// Returns what is queued: for a target, of a sender, of both, and of all.
    pub(in crate::embedded) fn load(&self, target: &AgentId, sender: &AgentId) -> Queued {
        let agent = self.agents.get(target);
        Queued {
            queue: agent.map_or_else(Load::default, |agent| agent.load),
            share: agent.map_or_else(Load::default, |agent| agent.senders.of(sender)),
            sender: self.senders.of(sender),
            total_bytes: self.bytes,
        }
    }

    /// Lists messages whose time is over and that nobody holds.
    pub(in crate::embedded) fn expired(&self, now: Timestamp) -> impl Iterator<Item = MessageView> {
        let over = self.expiry.iter().take_while(move |(expires_at, ..)| *expires_at <= now);
        let over = over.filter_map(|(.., id)| self.message(*id));
        over.filter(|message| !matches!(message.spot, Spot::Leased(..))).map(Message::view)
    }

    pub(in crate::embedded) const fn next_place(&self) -> u64 {
        self.next_place
    }

    pub(in crate::embedded) const fn set_next_place(&mut self, place: u64) {
        self.next_place = place;
    }

    /// Lets messages before this place be leased.
    pub(in crate::embedded) fn set_durable(&mut self, place: u64) {
        self.durable_place = self.durable_place.max(place);
    }

    /// Numbers a change of these agents' queues; returns the number.
    pub(in crate::embedded) fn touch<'a>(
        &mut self,
        agents: impl Iterator<Item = &'a AgentId>,
    ) -> u64 {
        let number = self.changes.saturating_add(1);
        for agent in agents {
            self.changes = number;
            if let Some(agent) = self.agents.get_mut(agent) {
                agent.changed = number;
            }
        }
        self.changes
    }

    /// Returns the number of the latest change of an agent's queues, if they hold messages.
    pub(in crate::embedded) fn changed(&self, agent: &AgentId) -> Option<u64> {
        self.agents.get(agent).map(|agent| agent.changed)
    }

    /// Keeps an envelope in memory and gives up the oldest ones above the budget.
    fn cache(&mut self, place: u64, envelope: Bytes) {
        self.cached_bytes = self.cached_bytes.saturating_add(envelope.len() as u64);
        self.cached.insert(place, envelope);
        while self.cached_bytes > self.cache_bytes_max {
            let Some((_, oldest)) = self.cached.pop_first() else { break };
            self.cached_bytes = self.cached_bytes.saturating_sub(oldest.len() as u64);
        }
    }

    /// Moves a message within its queue.
    fn set_spot(&mut self, id: MessageId, spot: Spot) {
        let Some(message) = self.messages.get_mut(&id) else { return };
        let (old, place) = (message.spot, message.place);
        message.spot = spot;
        let queue = &message.head.queue;
        let agent = self.agents.get_mut(&queue.agent);
        if let Some(lane) = agent.and_then(|agent| agent.lanes.get_mut(&queue.instance)) {
            lane.remove(old, place, id);
            lane.insert(spot, place, id);
        }
        self.unhold(old, id);
        if let Spot::Leased(holder, _) = spot {
            self.held.entry(holder).or_default().insert(id);
        }
    }

    fn unhold(&mut self, spot: Spot, id: MessageId) {
        let Spot::Leased(holder, _) = spot else { return };
        if let Some(held) = self.held.get_mut(&holder) {
            held.remove(&id);
            if held.is_empty() {
                self.held.remove(&holder);
            }
        }
    }
}

impl Message {
    pub(in crate::embedded) fn restored(
        head: Head,
        body: Body,
        (place, attempts, spot): (u64, u32, Spot),
    ) -> Self {
        Self { head, body, place, attempts, spot }
    }

    pub(in crate::embedded) fn view(&self) -> MessageView {
        MessageView {
            message: self.head.message,
            sender: self.head.sender.clone(),
            target: self.head.queue.agent.clone(),
            state: match self.spot {
                Spot::Leased(..) => MessageState::Delivered,
                Spot::Ready | Spot::Delayed(_) | Spot::Overdue | Spot::Unreadable => {
                    MessageState::Queued
                }
            },
            attempts: self.attempts,
            reason: String::new(),
        }
    }

    /// Returns the session that holds the message.
    pub(in crate::embedded) const fn holder(&self) -> Option<SessionId> {
        match self.spot {
            Spot::Leased(holder, _) => Some(holder),
            Spot::Ready | Spot::Delayed(_) | Spot::Overdue | Spot::Unreadable => None,
        }
    }
}

const MISSING: Misfit = Misfit("a message that there is not");
