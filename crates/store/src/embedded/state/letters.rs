//! Dead letters, in the order of their deaths; their envelopes are on disk only.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use gate::ports::{DeadLetter, DeadLetterScan, MessageState, MessageView};
use gate::types::{AgentId, MessageId, Timestamp};

use super::{Misfit, Tally};
use crate::bounds::{Kept, Load};
use crate::embedded::change::{Body, Head};

/// A message that will not be delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::embedded) struct Letter {
    pub(in crate::embedded) head: Head,
    pub(in crate::embedded) body: Body,
    pub(in crate::embedded) attempts: u32,
    pub(in crate::embedded) reason: Arc<str>,
    pub(in crate::embedded) died_at: Timestamp,
}

/// All dead letters.
#[derive(Debug, Default)]
pub(in crate::embedded) struct Letters {
    /// Boxed, because most nodes of the tree are half empty.
    by_death: BTreeMap<u64, Box<Letter>>,
    deaths: HashMap<MessageId, u64>,
    next: u64,
    bytes: u64,
    targets: Tally,
    senders: Tally,
}

impl Letters {
    pub(in crate::embedded) fn push(&mut self, letter: Letter) {
        self.restore(self.next, letter);
    }

    /// Puts a letter where it was.
    pub(in crate::embedded) fn restore(&mut self, death: u64, letter: Letter) {
        let size = u64::from(letter.body.len);
        self.bytes = self.bytes.saturating_add(size);
        self.targets.add(&letter.head.queue.agent, size);
        self.senders.add(&letter.head.sender, size);
        self.deaths.insert(letter.head.message, death);
        self.by_death.insert(death, Box::new(letter));
        self.next = self.next.max(death.saturating_add(1));
    }

    pub(in crate::embedded) fn remove(&mut self, message: MessageId) -> Result<Letter, Misfit> {
        let death = self.deaths.remove(&message).ok_or(MISSING)?;
        let letter = self.by_death.remove(&death).ok_or(MISSING)?;
        let size = u64::from(letter.body.len);
        self.bytes = self.bytes.saturating_sub(size);
        self.targets.remove(&letter.head.queue.agent, size);
        self.senders.remove(&letter.head.sender, size);
        Ok(*letter)
    }

    pub(in crate::embedded) fn letter(&self, message: MessageId) -> Option<&Letter> {
        self.by_death.get(self.deaths.get(&message)?).map(Box::as_ref)
    }

    pub(in crate::embedded) fn relocate(&mut self, message: MessageId, from: Body, to: Body) {
        let death = self.deaths.get(&message);
        let letter = death.and_then(|death| self.by_death.get_mut(death));
        if let Some(letter) = letter.filter(|letter| letter.body == from) {
            letter.body = to;
        }
    }

    /// Lists letters, oldest first.
    pub(in crate::embedded) fn page(
        &self,
        scan: &DeadLetterScan,
    ) -> impl Iterator<Item = DeadLetter> {
        let after = scan.after.and_then(|after| self.deaths.get(&after));
        let from = after.map_or(Bound::Unbounded, |death| Bound::Excluded(*death));
        let letters =
            self.by_death.range((from, Bound::Unbounded)).map(|(_, letter)| letter.as_ref());
        let wanted = letters.filter(|letter| {
            scan.target.as_ref().is_none_or(|target| letter.head.queue.agent == *target)
        });
        wanted.map(Letter::listed)
    }

    /// Returns each letter with its place in the order of deaths.
    pub(in crate::embedded) fn iter(&self) -> impl Iterator<Item = (u64, &Letter)> {
        self.by_death.iter().map(|(death, letter)| (*death, letter.as_ref()))
    }

    /// Returns how many letters there are, and their bytes.
    pub(in crate::embedded) fn total(&self) -> (u64, u64) {
        (self.by_death.len() as u64, self.bytes)
    }

    /// Returns what is kept: of all, to a target, of a sender.
    pub(in crate::embedded) fn load(&self, target: &AgentId, sender: &AgentId) -> Kept {
        Kept {
            all: Load { len: self.by_death.len() as u64, bytes: self.bytes },
            target: self.targets.of(target),
            sender: self.senders.of(sender),
        }
    }

    pub(in crate::embedded) const fn next(&self) -> u64 {
        self.next
    }

    pub(in crate::embedded) const fn set_next(&mut self, next: u64) {
        self.next = next;
    }
}

impl Letter {
    pub(in crate::embedded) fn view(&self) -> MessageView {
        MessageView {
            message: self.head.message,
            sender: self.head.sender.clone(),
            target: self.head.queue.agent.clone(),
            state: MessageState::DeadLettered,
            attempts: self.attempts,
            reason: self.reason.as_ref().to_owned(),
        }
    }

    /// Returns the letter as lists show it, without its envelope.
    pub(in crate::embedded) fn listed(&self) -> DeadLetter {
        DeadLetter {
            view: self.view(),
            message_type: self.head.message_type.as_ref().to_owned(),
            died_at: self.died_at,
            size: usize::try_from(self.body.len).unwrap_or(usize::MAX),
            envelope: None,
        }
    }
}

const MISSING: Misfit = Misfit("a dead letter that there is not");
