//! What idempotency keys have made; bounded for each sender, whose oldest key is forgotten for a
//! new one.
//!
//! Whether a key may be used is judged by `plan`.

use std::collections::{HashMap, VecDeque};

use gate::ports::Sent;
use gate::types::{AgentId, CorrelationId, MessageId, Timestamp};

/// The keys of all senders.
#[derive(Debug)]
pub(in crate::embedded) struct Keys {
    max: usize,
    of: HashMap<AgentId, Own>,
}

/// The keys of one sender.
#[derive(Debug, Default)]
struct Own {
    made: HashMap<u128, Made>,
    /// By age.
    order: VecDeque<u128>,
}

#[derive(Debug)]
struct Made {
    content: u128,
    message: MessageId,
    correlation: Option<CorrelationId>,
    expires_at: Timestamp,
}

impl Keys {
    pub(in crate::embedded) fn new(max: usize) -> Self {
        Self { max, of: HashMap::new() }
    }

    pub(in crate::embedded) fn push(&mut self, sent: Sent) {
        let Sent { sender, key, content, message, correlation, expires_at } = sent;
        let own = self.of.entry(sender).or_default();
        let old = own.made.insert(key, Made { content, message, correlation, expires_at });
        if old.is_some() {
            // Its time was over, which is seldom: the walk costs nobody else anything.
            own.order.retain(|one| *one != key);
        }
        own.order.push_back(key);
        // LIMIT: delivery.idempotency_keys_max
        while own.order.len() > self.max {
            own.forget_oldest();
        }
    }

    /// Returns what a key has made, if its time is not over.
    pub(in crate::embedded) fn live(
        &self,
        sender: &AgentId,
        key: u128,
        now: Timestamp,
    ) -> Option<Sent> {
        let made = self.of.get(sender)?.made.get(&key).filter(|made| made.expires_at > now)?;
        Some(made.sent(sender, key))
    }

    /// Forgets the oldest keys whose time is over.
    pub(in crate::embedded) fn purge(&mut self, now: Timestamp) {
        self.of.retain(|_, own| {
            let is_over = |made: &Made| made.expires_at <= now;
            while own.order.front().is_some_and(|key| own.made.get(key).is_none_or(is_over)) {
                own.forget_oldest();
            }
            !own.order.is_empty()
        });
    }

    /// Returns what the keys have made, those of a sender oldest first.
    pub(in crate::embedded) fn iter(&self) -> impl Iterator<Item = Sent> {
        self.of.iter().flat_map(|(sender, own)| {
            let sent = |key: &u128| own.made.get(key).map(|made| made.sent(sender, *key));
            own.order.iter().filter_map(sent)
        })
    }
}

impl Own {
    fn forget_oldest(&mut self) {
        if let Some(key) = self.order.pop_front() {
            self.made.remove(&key);
        }
    }
}

impl Made {
    fn sent(&self, sender: &AgentId, key: u128) -> Sent {
        Sent {
            sender: sender.clone(),
            key,
            content: self.content,
            message: self.message,
            correlation: self.correlation,
            expires_at: self.expires_at,
        }
    }
}
