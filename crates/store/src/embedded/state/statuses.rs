//! How finished messages ended; bounded, the oldest end is forgotten for a new one.

use std::collections::{HashMap, VecDeque};

use gate::ports::{MessageState, MessageView};
use gate::types::{AgentId, MessageId};
use serde::{Deserialize, Serialize};

/// How a message ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::embedded) struct Ended {
    pub(in crate::embedded) sender: AgentId,
    pub(in crate::embedded) target: AgentId,
    pub(in crate::embedded) attempts: u32,
    pub(in crate::embedded) state: MessageState,
}

/// The remembered ends.
#[derive(Debug)]
pub(in crate::embedded) struct Statuses {
    max: usize,
    order: VecDeque<MessageId>,
    ends: HashMap<MessageId, (u64, Ended)>,
    /// How many ends there ever were.
    count: u64,
}

impl Statuses {
    pub(in crate::embedded) fn new(max: usize) -> Self {
        Self { max, order: VecDeque::new(), ends: HashMap::new(), count: 0 }
    }

    pub(in crate::embedded) fn push(&mut self, message: MessageId, ended: Ended) {
        self.order.push_back(message);
        self.ends.insert(message, (self.count, ended));
        self.count = self.count.saturating_add(1);
        while self.order.len() > self.max {
            if let Some(oldest) = self.order.pop_front() {
                self.ends.remove(&oldest);
            }
        }
    }

    pub(in crate::embedded) fn view(&self, message: MessageId) -> Option<MessageView> {
        let (_, ended) = self.ends.get(&message)?;
        Some(MessageView {
            message,
            sender: ended.sender.clone(),
            target: ended.target.clone(),
            state: ended.state,
            attempts: ended.attempts,
            reason: String::new(),
        })
    }

    /// Returns the number of a message's end, counted from the first there was.
    pub(in crate::embedded) fn number(&self, message: MessageId) -> Option<u64> {
        self.ends.get(&message).map(|(number, _)| *number)
    }

    /// Returns the number that the next end gets.
    pub(in crate::embedded) const fn next(&self) -> u64 {
        self.count
    }

    /// Returns the lowest number that is still remembered when there are `count` ends.
    pub(in crate::embedded) fn oldest_of(&self, count: u64) -> u64 {
        count.saturating_sub(self.max as u64)
    }

    /// Returns the ends, oldest first.
    pub(in crate::embedded) fn iter(&self) -> impl Iterator<Item = (MessageId, &Ended)> {
        let end = |message: &MessageId| self.ends.get(message).map(|(_, ended)| (*message, ended));
        self.order.iter().filter_map(end)
    }
}
