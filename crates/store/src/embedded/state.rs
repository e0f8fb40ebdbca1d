//! The state that the log describes: values, queues, dead letters, ends and windows.
//!
//! Deterministic and without a disk or a clock: the same changes in the same order make the
//! same state. Nothing is judged here; `plan` has done that.

mod letters;
mod names;
mod queues;
mod sent;
mod statuses;
mod tally;
mod values;

use std::collections::HashMap;

use bytes::Bytes;
use gate::limits::SlidingWindow;
use gate::ports::{CounterClass, MessageState, MessageView};
use gate::types::{AgentId, MessageId, Timestamp};

pub(super) use self::letters::{Letter, Letters};
use self::names::Names;
pub(super) use self::queues::{Message, Picked, Queues, Spot};
pub(super) use self::sent::Keys;
pub(super) use self::statuses::{Ended, Statuses};
use self::tally::Tally;
pub(super) use self::values::{Value, Values};
use super::change::{Body, BodyFile, Change, Slot};
use crate::Bounds;

/// Everything that a store keeps except envelopes and records.
#[derive(Debug)]
pub(super) struct State {
    pub(super) bounds: Bounds,
    /// The latest moment that the last batch with a moment named.
    pub(super) time: Timestamp,
    pub(super) values: Values,
    pub(super) queues: Queues,
    pub(super) letters: Letters,
    pub(super) statuses: Statuses,
    pub(super) sent: Keys,
    pub(super) windows: HashMap<(AgentId, CounterClass), SlidingWindow>,
    /// What messages, letters and ends have in common.
    pub(super) names: Names,
}

/// What a state is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// To plan and to lease.
    Serve,
    /// To be brought forward and written down again: it does not know whose turn it is.
    Copy,
}

/// Where the envelopes of the changes that are applied are.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) segment: u64,
    /// Where in the segment the frame's body begins.
    pub(super) body_at: u64,
}

/// A change does not fit the state, so the log it came from is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Misfit(pub(super) &'static str);

impl State {
    pub(super) fn new(bounds: Bounds, cache_bytes: u64, usage: Use) -> Self {
        Self {
            bounds,
            time: Timestamp::default(),
            values: Values::default(),
            queues: Queues::new(cache_bytes, usage),
            letters: Letters::default(),
            statuses: Statuses::new(bounds.statuses_max),
            sent: Keys::new(bounds.sent_max),
            windows: HashMap::new(),
            names: Names::default(),
        }
    }

    /// Does what a change says; returns the agent in whose queues a message became leasable.
    ///
    /// # Errors
    ///
    /// Fails if the change does not fit, which no change that was planned on this state does.
    pub(super) fn apply(
        &mut self,
        change: &Change,
        origin: &Origin,
        envelope: Option<Bytes>,
    ) -> Result<Option<AgentId>, Misfit> {
        match change {
            Change::Put { key, value, expires_at } => {
                self.values.put(key.clone(), value.clone(), *expires_at);
            }
            Change::Delete { key } => self.values.delete(key),
            Change::Count { agent, class, at, limits } => {
                self.windows.entry((agent.clone(), *class)).or_default().count(*at, *limits);
            }
            Change::Enqueue { head, slot } => {
                let agent = head.queue.agent.clone();
                let head = self.names.head(head.clone());
                self.queues.push(head, origin.body(*slot), envelope);
                return Ok(Some(agent));
            }
            Change::Retry { message, attempts, not_before } => {
                return self.queues.retry(*message, *attempts, *not_before).map(Some);
            }
            Change::Acknowledge { message, attempts } => {
                self.finish(*message, *attempts, MessageState::Acknowledged)?;
            }
            Change::Expire { message, attempts } => {
                self.finish(*message, *attempts, MessageState::Expired)?;
            }
            Change::Kill { message, attempts, reason, at } => {
                let Message { head, body, .. } = self.queues.remove(*message)?;
                let reason = self.names.text(reason.as_str().into());
                let (died_at, attempts) = (*at, *attempts);
                self.letters.push(Letter { head, body, attempts, reason, died_at });
            }
            Change::Revive { message, expires_at } => {
                let Letter { mut head, body, .. } = self.letters.remove(*message)?;
                head.expires_at = *expires_at;
                let agent = head.queue.agent.clone();
                self.queues.push(head, body, None);
                return Ok(Some(agent));
            }
            Change::Drop { message } => drop(self.letters.remove(*message)?),
            Change::Remember(sent) => self.sent.push(sent.clone()),
            // Records are the chain's, not the state's.
            Change::Record { .. } => {}
        }
        Ok(None)
    }

    /// Forgets a few values and windows whose time is over; called with each group of batches.
    pub(super) fn purge(&mut self) {
        self.values.purge(self.time, PURGED_MAX);
    }

    /// Forgets the windows in which nothing is counted any more, and the keys whose time is over.
    pub(super) fn purge_windows(&mut self) {
        let now = self.time;
        self.windows.retain(|_, window| !window.is_idle(now));
        self.sent.purge(now);
    }

    /// Returns what became of a message.
    pub(super) fn view(&self, message: MessageId) -> Option<MessageView> {
        if let Some(queued) = self.queues.message(message) {
            return Some(queued.view());
        }
        if let Some(letter) = self.letters.letter(message) {
            return Some(letter.view());
        }
        self.statuses.view(message)
    }

    /// Notes that an envelope has moved on disk, if its message still has it at the old place.
    pub(super) fn relocate(&mut self, message: MessageId, from: Body, to: Body) {
        self.queues.relocate(message, from, to);
        self.letters.relocate(message, from, to);
    }

    /// Returns where the envelope of a waiting message or dead letter is.
    pub(super) fn body(&self, message: MessageId) -> Option<Body> {
        let queued = self.queues.message(message).map(|queued| queued.body);
        queued.or_else(|| self.letters.letter(message).map(|letter| letter.body))
    }

    /// Returns each message and dead letter with the place of its envelope.
    pub(super) fn bodies(&self) -> impl Iterator<Item = (MessageId, Body)> {
        let queued = self.queues.iter().map(|m| (m.head.message, m.body));
        queued.chain(self.letters.iter().map(|(_, l)| (l.head.message, l.body)))
    }

    fn finish(
        &mut self,
        message: MessageId,
        attempts: u32,
        state: MessageState,
    ) -> Result<(), Misfit> {
        let Message { head, .. } = self.queues.remove(message)?;
        let (sender, target) = (head.sender, head.queue.agent);
        self.statuses.push(message, Ended { sender, target, attempts, state });
        Ok(())
    }
}

impl Origin {
    fn body(&self, slot: Slot) -> Body {
        Body {
            file: BodyFile::Segment(self.segment),
            offset: self.body_at.saturating_add(u64::from(slot.at)),
            len: slot.len,
            crc: slot.crc,
        }
    }
}

/// LIMIT: values forgotten with one group, so that a burst of expiries delays no commit.
const PURGED_MAX: usize = 256;
