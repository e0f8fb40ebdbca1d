//! What each operation of a batch does; the caller throws the state away if one is refused.

use std::collections::BTreeSet;

use bytes::Bytes;
use gate::ports::{Entry, Expect, Key, MessageState, MessageView, Op, Settlement, StoreError};
use gate::types::{AgentId, MessageId, SessionId, Timestamp};

use super::{Letter, Message, State, Value};
use crate::Bounds;
use crate::bounds::{LETTERS, QUEUE, STORE};

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
            Op::Record(body) => records.push(body),
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
        let size = entry.envelope.len() as u64;
        let of_agent = |m: &&Message| m.entry.queue.agent == entry.queue.agent;
        let bytes: u64 = self.messages.values().filter(of_agent).map(Message::size).sum();
        let len = self.messages.values().filter(of_agent).count() as u64;
        if len + 1 > bounds.queue_len_max || bytes + size > bounds.queue_bytes_max {
            return Err(StoreError::Full { what: QUEUE });
        }
        if self.messages.values().map(Message::size).sum::<u64>() + size > bounds.total_bytes_max {
            return Err(StoreError::Full { what: STORE });
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
                let bytes: u64 = self.letters.values().map(|l| l.entry.envelope.len() as u64).sum();
                let held = self.messages.remove(&place).ok_or(CONFLICT)?;
                if self.letters.len() as u64 + 1 > bounds.dead_letters_max
                    || bytes + held.size() > bounds.dead_letter_bytes_max
                {
                    return Err(StoreError::Full { what: LETTERS });
                }
                let Message { entry, attempts, .. } = held;
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

impl Value {
    pub(super) fn is_live(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|at| at > now)
    }
}

impl Message {
    pub(super) fn size(&self) -> u64 {
        self.entry.envelope.len() as u64
    }

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
