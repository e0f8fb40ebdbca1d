//! What idempotency keys have made; bounded for each sender, whose oldest key is forgotten for a
//! new one.
//!
//! Whether a key may be used is judged by `plan`.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, RandomState};

use gate::ports::Sent;
use gate::types::{AgentId, CorrelationId, MessageId, Timestamp};
use hashbrown::HashTable;

/// The keys of all senders.
#[derive(Debug)]
pub(in crate::embedded) struct Keys {
    max: usize,
    hasher: RandomState,
    of: HashMap<AgentId, Own>,
}

/// The keys of one sender: a busy one has tens of thousands, so each lies here once, and the table
/// to find it by holds its number only.
#[derive(Debug, Default)]
struct Own {
    /// By age, numbered from `first` on; some may have been made anew, and do not count.
    made: VecDeque<Made>,
    /// The number of the oldest; numbers begin again behind the largest.
    first: u32,
    /// The number of each key that counts.
    numbers: HashTable<u32>,
}

#[derive(Debug)]
struct Made {
    key: u128,
    content: u128,
    message: MessageId,
    /// Few have one.
    correlation: Option<Box<CorrelationId>>,
    expires_at: Timestamp,
}

impl Keys {
    pub(in crate::embedded) fn new(max: usize) -> Self {
        // LIMIT: more would not fit the numbers; nobody's memory comes near it.
        let max = max.min(NUMBERED_MAX);
        Self { max, hasher: RandomState::new(), of: HashMap::new() }
    }

    pub(in crate::embedded) fn push(&mut self, sent: Sent) {
        let Sent { sender, key, content, message, correlation, expires_at } = sent;
        let own = self.of.entry(sender).or_default();
        let correlation = correlation.map(Box::new);
        let made = Made { key, content, message, correlation, expires_at };
        own.push(made, self.max, &self.hasher);
    }

    /// Returns what a key has made, if its time is not over.
    pub(in crate::embedded) fn live(
        &self,
        sender: &AgentId,
        key: u128,
        now: Timestamp,
    ) -> Option<Sent> {
        let made = self.of.get(sender)?.get(key, &self.hasher)?;
        (made.expires_at > now).then(|| made.sent(sender))
    }

    /// Forgets the oldest keys whose time is over.
    pub(in crate::embedded) fn purge(&mut self, now: Timestamp) {
        let hasher = &self.hasher;
        self.of.retain(|_, own| {
            while own.made.front().is_some_and(|made| made.expires_at <= now) {
                own.drop_front(hasher);
            }
            own.shrink(hasher);
            !own.made.is_empty()
        });
    }

    /// Returns what the keys have made, those of a sender oldest first.
    pub(in crate::embedded) fn iter(&self) -> impl Iterator<Item = Sent> {
        self.of.iter().flat_map(|(sender, own)| {
            let numbered = own.made.iter().zip(0_u32..);
            let counting = numbered.filter(|(made, index)| {
                let number = own.first.wrapping_add(*index);
                own.numbers.find(self.hasher.hash_one(made.key), |one| *one == number).is_some()
            });
            counting.map(|(made, _)| made.sent(sender))
        })
    }
}

impl Own {
    /// Adds the newest key; one that is there already, whose time is over, is the newest then.
    fn push(&mut self, made: Made, max: usize, hasher: &RandomState) {
        let hash = hasher.hash_one(made.key);
        let of = |number: u32| self.made.get(index(self.first, number));
        if let Ok(old) =
            self.numbers.find_entry(hash, |number| of(*number).is_some_and(|m| m.key == made.key))
        {
            old.remove();
        }
        // LIMIT: delivery.idempotency_keys_max
        while self.numbers.len() >= max && self.drop_front(hasher) {}
        if max == 0 {
            return;
        }
        // Those made anew leave their place behind; they are cleared away before they are many.
        if self.made.len() >= self.numbers.len().saturating_mul(2).max(FEW) {
            self.clear_away(hasher);
        }
        let len = u32::try_from(self.made.len()).unwrap_or(u32::MAX);
        self.made.push_back(made);
        self.number(hash, self.first.wrapping_add(len), hasher);
    }

    fn get(&self, key: u128, hasher: &RandomState) -> Option<&Made> {
        let of = |number: u32| self.made.get(index(self.first, number));
        let is_it = |number: &u32| of(*number).is_some_and(|made| made.key == key);
        self.numbers.find(hasher.hash_one(key), is_it).and_then(|number| of(*number))
    }

    fn number(&mut self, hash: u64, number: u32, hasher: &RandomState) {
        let (made, first) = (&self.made, self.first);
        let again = |number: &u32| {
            made.get(index(first, *number)).map_or(0, |made| hasher.hash_one(made.key))
        };
        self.numbers.insert_unique(hash, number, again);
    }

    /// Forgets the oldest; false if there is none.
    fn drop_front(&mut self, hasher: &RandomState) -> bool {
        let Some(oldest) = self.made.pop_front() else { return false };
        let number = self.first;
        self.first = number.wrapping_add(1);
        let hash = hasher.hash_one(oldest.key);
        if let Ok(counting) = self.numbers.find_entry(hash, |one| *one == number) {
            counting.remove();
        }
        true
    }

    /// Numbers those that count anew, and forgets the others.
    fn clear_away(&mut self, hasher: &RandomState) {
        let (numbers, first) = (std::mem::take(&mut self.numbers), self.first);
        let mut next = first;
        self.made.retain(|made| {
            let number = next;
            next = number.wrapping_add(1);
            numbers.find(hasher.hash_one(made.key), |one| *one == number).is_some()
        });
        self.first = 0;
        self.numbers.reserve(self.made.len(), |_| 0);
        for number in 0..u32::try_from(self.made.len()).unwrap_or(u32::MAX) {
            let Some(made) = self.made.get(index(0, number)) else { break };
            self.number(hasher.hash_one(made.key), number, hasher);
        }
    }

    /// Gives back what was needed once and is not any more.
    fn shrink(&mut self, hasher: &RandomState) {
        if self.made.len() < self.made.capacity() / 4 {
            self.made.shrink_to_fit();
            let (made, first) = (&self.made, self.first);
            self.numbers.shrink_to_fit(|number| {
                made.get(index(first, *number)).map_or(0, |made| hasher.hash_one(made.key))
            });
        }
    }
}

/// Returns where among those that are numbered from `first` on a number is.
fn index(first: u32, number: u32) -> usize {
    usize::try_from(number.wrapping_sub(first)).unwrap_or(usize::MAX)
}

/// The largest number of keys that can be numbered, with as many beside them that do not count.
const NUMBERED_MAX: usize = 1 << 30;
/// So few are not cleared away.
const FEW: usize = 16;

impl Made {
    fn sent(&self, sender: &AgentId) -> Sent {
        Sent {
            sender: sender.clone(),
            key: self.key,
            content: self.content,
            message: self.message,
            correlation: self.correlation.as_deref().copied(),
            expires_at: self.expires_at,
        }
    }
}

#[cfg(test)]
mod tests;
