//! What each operation of a batch does; the caller throws the state away if one is refused.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use gate::ports::{
    Entry, Expect, Key, MessageState, MessageView, Op, Sent, Settlement, StoreError,
};
use gate::types::{AgentId, MessageId, SessionId, Timestamp};

use super::{Letter, Message, State, Value};
use crate::Bounds;
use crate::bounds::{Kept, Load, Queued};

/// The caller puts in which operation it was.
const CONFLICT: StoreError = StoreError::Conflict { op: 0 };

impl State {
    pub(super) fn apply(
        &mut self,
        bounds: Bounds,
        op: Op,
        records: &mut Vec<Bytes>,
        touched: &mut BTreeSet<AgentId>,
    ) -> Result<(), StoreError> {
        match op {
            Op::Put { key, value, expect, expires_at } => {
                self.expect(&key, expect)?;
                self.version += 1;
                let version = self.version;
                self.values.insert(key, Value { value, version, expires_at });
            }
            Op::Delete { key, expect } => {
                self.expect(&key, expect)?;
                self.values.remove(&key);
            }
            Op::Count { agent, class, at, limits } => {
                let window = self.windows.entry((agent, class)).or_default();
                if let Some((window, retry_after)) = window.view(at, limits).full {
                    return Err(StoreError::OverLimit { window, retry_after });
                }
                window.count(at, limits);
            }
            Op::Enqueue(entry) => {
                if self.knows(entry.message) {
                    return Err(CONFLICT);
                }
                touched.insert(entry.queue.agent.clone());
                self.enqueue(bounds, entry)?;
            }
            Op::Remember(sent) => self.remember(sent)?,
            Op::Settle { message, holder, how, at } => {
                touched.extend(self.settle(bounds, message, holder, (how, at))?);
            }
            Op::Expire { message, at } => self.expire(bounds, message, at)?,
            Op::Revive { message, expires_at } => {
                let letter = self.take_letter(message).ok_or(CONFLICT)?;
                touched.insert(letter.entry.queue.agent.clone());
                self.enqueue(bounds, Entry { expires_at, ..letter.entry })?;
            }
            Op::Drop { message } => {
                self.take_letter(message).ok_or(CONFLICT)?;
            }
            // The model has no archive that a salt could be read from.
            Op::Record { body, .. } => records.push(body),
        }
        Ok(())
    }

    /// Numbers a change of these agents' queues.
    pub(super) fn touch(&mut self, agents: BTreeSet<AgentId>) {
        self.changes += u64::from(!agents.is_empty());
        for agent in agents {
            self.changed.insert(agent, self.changes);
        }
        let messages = &self.messages;
        self.changed.retain(|agent, _| messages.values().any(|m| m.entry.queue.agent == *agent));
    }

    fn expect(&self, key: &Key, expect: Expect) -> Result<(), StoreError> {
        let live = self.values.get(key).filter(|value| value.is_live(self.time));
        let holds = match expect {
            Expect::Anything => true,
            Expect::Absent => live.is_none(),
            Expect::Version(version) => live.is_some_and(|value| value.version == version),
        };
        if holds { Ok(()) } else { Err(CONFLICT) }
    }

    fn knows(&self, message: MessageId) -> bool {
        self.messages.values().any(|known| known.entry.message == message)
            || self.letters.values().any(|known| known.entry.message == message)
            || self.statuses.iter().any(|known| known.message == message)
    }

    fn enqueue(&mut self, bounds: Bounds, entry: Entry) -> Result<(), StoreError> {
        let is_to = |one: &Entry| one.queue.agent == entry.queue.agent;
        let is_of = |one: &Entry| one.sender == entry.sender;
        let with = |counts: &dyn Fn(&Entry) -> bool| {
            load(self.messages.values().map(|m| &m.entry).chain([&entry]).filter(|one| counts(one)))
        };
        let after = Queued {
            queue: with(&is_to),
            share: with(&|one| is_to(one) && is_of(one)),
            sender: with(&is_of),
            total_bytes: with(&|_| true).bytes,
        };
        if let Some(what) = bounds.refuse_queued(after) {
            return Err(StoreError::Full { what });
        }
        let message = Message {
            entry,
            attempts: 0,
            settled_attempts: 0,
            not_before: Timestamp::default(),
            lease: None,
        };
        self.messages.insert(self.next_place, message);
        self.next_place += 1;
        Ok(())
    }

    fn remember(&mut self, sent: Sent) -> Result<(), StoreError> {
        if self.sent(&sent.sender, sent.key, self.time).is_some() {
            return Err(CONFLICT);
        }
        self.sent.retain(|one| one.sender != sent.sender || one.key != sent.key);
        self.sent.push(sent);
        Ok(())
    }

    /// Forgets the oldest keys of senders that have more than they may; done once a batch.
    pub(super) fn forget_keys(&mut self, max: usize) {
        let mut newer: BTreeMap<AgentId, usize> = BTreeMap::new();
        let mut kept = std::mem::take(&mut self.sent);
        kept.reverse();
        kept.retain(|sent| {
            let newer = newer.entry(sent.sender.clone()).or_default();
            *newer += 1;
            *newer <= max
        });
        kept.reverse();
        self.sent = kept;
    }

    /// Ends a lease; returns the agent whose queue has a message to give again.
    fn settle(
        &mut self,
        bounds: Bounds,
        message: MessageId,
        holder: SessionId,
        (how, at): (Settlement, Timestamp),
    ) -> Result<Option<AgentId>, StoreError> {
        let place = self.place_of(message).ok_or(CONFLICT)?;
        let held = self.messages.get_mut(&place).ok_or(CONFLICT)?;
        if held.lease.is_none_or(|(by, _)| by != holder) {
            return Err(CONFLICT);
        }
        match how {
            Settlement::Acknowledged => {
                self.finish(bounds, place, MessageState::Acknowledged);
                Ok(None)
            }
            Settlement::Retry(retry) => {
                held.lease = None;
                held.not_before = retry.not_before;
                held.attempts -= u32::from(!retry.counts);
                held.settled_attempts = held.attempts;
                Ok(Some(held.entry.queue.agent.clone()))
            }
            Settlement::Dead { reason } => {
                let held = self.messages.remove(&place).ok_or(CONFLICT)?;
                let Message { entry, attempts, .. } = held;
                let with = |counts: &dyn Fn(&Entry) -> bool| {
                    let letters = self.letters.values().map(|letter| &letter.entry);
                    load(letters.chain([&entry]).filter(|one| counts(one)))
                };
                let after = Kept {
                    all: with(&|_| true),
                    target: with(&|one| one.queue.agent == entry.queue.agent),
                    sender: with(&|one| one.sender == entry.sender),
                };
                if let Some(what) = bounds.refuse_kept(after) {
                    return Err(StoreError::Full { what });
                }
                let letter = Letter { entry, attempts, reason, died_at: at };
                self.letters.insert(self.next_letter, letter);
                self.next_letter += 1;
                Ok(None)
            }
        }
    }

    fn expire(
        &mut self,
        bounds: Bounds,
        message: MessageId,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let place = self.place_of(message).ok_or(CONFLICT)?;
        let queued = self.messages.get(&place).ok_or(CONFLICT)?;
        if queued.lease.is_some() || queued.entry.expires_at > at {
            return Err(CONFLICT);
        }
        self.finish(bounds, place, MessageState::Expired);
        Ok(())
    }

    fn finish(&mut self, bounds: Bounds, place: u64, state: MessageState) {
        if let Some(message) = self.messages.remove(&place) {
            self.statuses.push_back(MessageView { state, ..message.view() });
            while self.statuses.len() > bounds.statuses_max {
                self.statuses.pop_front();
            }
        }
    }

    fn take_letter(&mut self, message: MessageId) -> Option<Letter> {
        let (order, _) = self.letters.iter().find(|(_, l)| l.entry.message == message)?;
        let order = *order;
        self.letters.remove(&order)
    }

    fn place_of(&self, message: MessageId) -> Option<u64> {
        let (place, _) = self.messages.iter().find(|(_, m)| m.entry.message == message)?;
        Some(*place)
    }
}

/// Counts messages and their bytes.
fn load<'a>(entries: impl Iterator<Item = &'a Entry>) -> Load {
    entries.fold(Load::default(), |load, entry| load.with(entry.envelope.len() as u64))
}

impl Value {
    pub(super) fn is_live(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|at| at > now)
    }
}

impl Message {
    pub(super) fn view(&self) -> MessageView {
        MessageView {
            message: self.entry.message,
            sender: self.entry.sender.clone(),
            target: self.entry.queue.agent.clone(),
            state: match self.lease {
                Some(_) => MessageState::Delivered,
                None => MessageState::Queued,
            },
            attempts: self.attempts,
            reason: String::new(),
        }
    }
}
