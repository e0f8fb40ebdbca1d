//! Judges a batch against the state and says what it changes; changes nothing itself.
//!
//! Operations see the effects of those before them in the batch: those are kept in overlays
//! that are thrown away with a refusal.

mod room;

use std::collections::HashMap;

use audit::Salt;
use bytes::Bytes;
use gate::limits::RateLimits;
use gate::ports::{Batch, CounterClass, Entry, Expect, Key, Op, Sent, Settlement, StoreError};
use gate::types::{AgentId, MessageId, SessionId, Timestamp};

use super::change::{Change, Head, Slot};
use super::state::State;
use crate::bounds::moment_of;
use room::Room;

/// What an accepted batch does.
#[derive(Debug, Default)]
pub(super) struct Planned {
    /// Changes of the state, each with the envelope that it queues.
    pub(super) changes: Vec<(Change, Option<Bytes>)>,
    /// Audit records, to be chained, with the salts of their commitments.
    pub(super) records: Vec<(Bytes, Option<Salt>)>,
    /// The time by which the batch was judged.
    pub(super) time: Timestamp,
}

/// Judges a batch.
///
/// # Errors
///
/// Returns the refusal; the state is as it was.
pub(super) fn plan(state: &mut State, batch: Batch) -> Result<Planned, StoreError> {
    let time = moment_of(&batch).unwrap_or(state.time);
    let mut plan = Plan {
        state,
        out: Planned { time, ..Planned::default() },
        keys: HashMap::new(),
        puts: 0,
        messages: HashMap::new(),
        room: Room::default(),
        ends: 0,
        counts: HashMap::new(),
        used: Vec::new(),
    };
    for (index, op) in batch.ops.into_iter().enumerate() {
        plan.judge(op).map_err(|refusal| match refusal {
            No::Conflict => StoreError::Conflict { op: index },
            No::Full(what) => StoreError::Full { what },
            No::OverLimit(error) => error,
        })?;
    }
    Ok(plan.out)
}

/// Why an operation is refused.
enum No {
    Conflict,
    Full(&'static str),
    OverLimit(StoreError),
}

struct Plan<'a> {
    state: &'a mut State,
    out: Planned,
    /// Version and expiry that a key has after the operations so far.
    keys: HashMap<Key, Option<(u64, Option<Timestamp>)>>,
    puts: u64,
    messages: HashMap<MessageId, Known>,
    room: Room,
    ends: u64,
    counts: HashMap<(AgentId, CounterClass), u64>,
    /// Keys that the operations so far have used.
    used: Vec<(AgentId, u128)>,
}

/// What there is of a message.
#[derive(Clone)]
enum Known {
    Queued {
        sender: AgentId,
        agent: AgentId,
        size: u64,
        expires_at: Timestamp,
        attempts: u32,
        holder: Option<SessionId>,
    },
    Letter {
        sender: AgentId,
        agent: AgentId,
        size: u64,
    },
    /// It was the how-many-eth to end.
    Ended(u64),
    Nothing,
}

impl Plan<'_> {
    fn judge(&mut self, op: Op) -> Result<(), No> {
        match op {
            Op::Put { key, value, expect, expires_at } => {
                self.expect(&key, expect)?;
                self.puts += 1;
                let version = self.state.values.version().saturating_add(self.puts);
                self.keys.insert(key.clone(), Some((version, expires_at)));
                self.change(Change::Put { key, value, expires_at });
            }
            Op::Delete { key, expect } => {
                self.expect(&key, expect)?;
                self.keys.insert(key.clone(), None);
                self.change(Change::Delete { key });
            }
            Op::Count { agent, class, at, limits } => {
                self.count(agent.clone(), class, at, limits)?;
                self.change(Change::Count { agent, class, at, limits });
            }
            Op::Enqueue(entry) => self.enqueue(entry)?,
            Op::Remember(sent) => self.remember(sent)?,
            Op::Settle { message, holder, how, at } => self.settle(message, holder, how, at)?,
            Op::Expire { message, at } => self.expire(message, at)?,
            Op::Revive { message, expires_at } => {
                let Known::Letter { sender, agent, size } = self.known(message) else {
                    return Err(No::Conflict);
                };
                self.room.unkeep(&sender, &agent, size);
                self.room.queue(self.state, (&sender, &agent), size).map_err(No::Full)?;
                let (attempts, holder) = (0, None);
                let known = Known::Queued { sender, agent, size, expires_at, attempts, holder };
                self.messages.insert(message, known);
                self.change(Change::Revive { message, expires_at });
            }
            Op::Drop { message } => {
                let Known::Letter { sender, agent, size } = self.known(message) else {
                    return Err(No::Conflict);
                };
                self.room.unkeep(&sender, &agent, size);
                self.messages.insert(message, Known::Nothing);
                self.change(Change::Drop { message });
            }
            Op::Record { body, salt } => self.out.records.push((body, salt)),
        }
        Ok(())
    }

    fn change(&mut self, change: Change) {
        self.out.changes.push((change, None));
    }

    fn expect(&self, key: &Key, expect: Expect) -> Result<(), No> {
        let now = self.out.time;
        let live = match self.keys.get(key) {
            Some(written) => written
                .filter(|(_, expires_at)| expires_at.is_none_or(|at| at > now))
                .map(|(version, _)| version),
            None => self.state.values.live(key, now).map(|value| value.version),
        };
        let holds = match expect {
            Expect::Anything => true,
            Expect::Absent => live.is_none(),
            Expect::Version(version) => live == Some(version),
        };
        if holds { Ok(()) } else { Err(No::Conflict) }
    }

    /// Counts against limits lowered by the calls that this batch has counted already: those are
    /// not in the window yet.
    fn count(
        &mut self,
        agent: AgentId,
        class: CounterClass,
        at: Timestamp,
        limits: RateLimits,
    ) -> Result<(), No> {
        let counter = (agent, class);
        let before = self.counts.get(&counter).copied().unwrap_or_default();
        let left = RateLimits {
            per_minute: limits.per_minute.saturating_sub(before),
            per_hour: limits.per_hour.saturating_sub(before),
        };
        let window = self.state.windows.entry(counter.clone()).or_default();
        if let Some((window, retry_after)) = window.view(at, left).full {
            return Err(No::OverLimit(StoreError::OverLimit { window, retry_after }));
        }
        self.counts.insert(counter, before + 1);
        Ok(())
    }

    fn enqueue(&mut self, entry: Entry) -> Result<(), No> {
        let Entry { message, sender, queue, envelope, message_type, accepted_at, expires_at } =
            entry;
        let is_known = match self.known(message) {
            Known::Nothing => false,
            Known::Queued { .. } | Known::Letter { .. } => true,
            Known::Ended(number) => {
                let count = self.state.statuses.next().saturating_add(self.ends);
                number >= self.state.statuses.oldest_of(count)
            }
        };
        if is_known {
            return Err(No::Conflict);
        }
        let agent = queue.agent.clone();
        let size = envelope.len() as u64;
        self.room.queue(self.state, (&sender, &agent), size).map_err(No::Full)?;
        let (attempts, holder) = (0, None);
        let known =
            Known::Queued { sender: sender.clone(), agent, size, expires_at, attempts, holder };
        self.messages.insert(message, known);
        let message_type = message_type.into();
        let head = Head { message, sender, queue, message_type, accepted_at, expires_at };
        // A batch is far smaller than 4 GiB; the committer fills in the place.
        let len = u32::try_from(envelope.len()).unwrap_or(u32::MAX);
        let slot = Slot { at: 0, len, crc: crc32fast::hash(&envelope) };
        self.out.changes.push((Change::Enqueue { head, slot }, Some(envelope)));
        Ok(())
    }

    fn remember(&mut self, sent: Sent) -> Result<(), No> {
        let name = (sent.sender.clone(), sent.key);
        let live = self.state.sent.live(&sent.sender, sent.key, self.out.time);
        if live.is_some() || self.used.contains(&name) {
            return Err(No::Conflict);
        }
        self.used.push(name);
        self.change(Change::Remember(sent));
        Ok(())
    }

    fn settle(
        &mut self,
        message: MessageId,
        by: SessionId,
        how: Settlement,
        at: Timestamp,
    ) -> Result<(), No> {
        let Known::Queued { sender, agent, size, expires_at, attempts, holder } =
            self.known(message)
        else {
            return Err(No::Conflict);
        };
        if holder != Some(by) {
            return Err(No::Conflict);
        }
        match how {
            Settlement::Acknowledged => {
                self.end(message, (&sender, &agent), size);
                self.change(Change::Acknowledge { message, attempts });
            }
            Settlement::Retry(retry) => {
                let attempts = attempts.saturating_sub(u32::from(!retry.counts));
                let holder = None;
                let known = Known::Queued { sender, agent, size, expires_at, attempts, holder };
                self.messages.insert(message, known);
                let not_before = retry.not_before;
                self.change(Change::Retry { message, attempts, not_before });
            }
            Settlement::Dead { reason } => {
                self.room.keep(self.state, (&sender, &agent), size).map_err(No::Full)?;
                self.room.unqueue(&sender, &agent, size);
                self.messages.insert(message, Known::Letter { sender, agent, size });
                self.change(Change::Kill { message, attempts, reason, at });
            }
        }
        Ok(())
    }

    fn expire(&mut self, message: MessageId, at: Timestamp) -> Result<(), No> {
        let Known::Queued { sender, agent, size, expires_at, attempts, holder } =
            self.known(message)
        else {
            return Err(No::Conflict);
        };
        if holder.is_some() || expires_at > at {
            return Err(No::Conflict);
        }
        self.end(message, (&sender, &agent), size);
        self.change(Change::Expire { message, attempts });
        Ok(())
    }

    fn end(&mut self, message: MessageId, (sender, agent): (&AgentId, &AgentId), size: u64) {
        self.room.unqueue(sender, agent, size);
        let number = self.state.statuses.next().saturating_add(self.ends);
        self.messages.insert(message, Known::Ended(number));
        self.ends += 1;
    }

    fn known(&self, message: MessageId) -> Known {
        if let Some(known) = self.messages.get(&message) {
            return known.clone();
        }
        if let Some(queued) = self.state.queues.message(message) {
            return Known::Queued {
                sender: queued.head.sender.clone(),
                agent: queued.head.queue.agent.clone(),
                size: u64::from(queued.body.len),
                expires_at: queued.head.expires_at,
                attempts: queued.attempts,
                holder: queued.holder(),
            };
        }
        if let Some(letter) = self.state.letters.letter(message) {
            let (sender, agent) = (letter.head.sender.clone(), letter.head.queue.agent.clone());
            return Known::Letter { sender, agent, size: u64::from(letter.body.len) };
        }
        self.state.statuses.number(message).map_or(Known::Nothing, Known::Ended)
    }
}
