//! Texts that many messages have in common, each in memory once.
//!
//! It gives nothing a meaning: a text that is not kept here is only one more copy.

use std::collections::HashSet;
use std::sync::Arc;

use gate::types::AgentId;

use crate::embedded::change::Head;

/// The texts.
#[derive(Debug, Default)]
pub(in crate::embedded) struct Names {
    agents: HashSet<AgentId>,
    texts: HashSet<Arc<str>>,
}

impl Names {
    /// Returns a head that shares its names with others.
    pub(in crate::embedded) fn head(&mut self, mut head: Head) -> Head {
        head.sender = self.agent(head.sender);
        head.queue.agent = self.agent(head.queue.agent);
        head.message_type = self.text(head.message_type);
        head
    }

    pub(in crate::embedded) fn agent(&mut self, agent: AgentId) -> AgentId {
        if let Some(kept) = self.agents.get(&agent) {
            return kept.clone();
        }
        // What was given out goes on without this.
        if self.agents.len() >= KEPT_MAX {
            self.agents.clear();
        }
        self.agents.insert(agent.clone());
        agent
    }

    pub(in crate::embedded) fn text(&mut self, text: Arc<str>) -> Arc<str> {
        if let Some(kept) = self.texts.get(&text) {
            return Arc::clone(kept);
        }
        if text.len() > LEN_MAX {
            return text;
        }
        if self.texts.len() >= KEPT_MAX {
            self.texts.clear();
        }
        self.texts.insert(Arc::clone(&text));
        text
    }
}

/// LIMIT: names that are kept, of agents and of others.
const KEPT_MAX: usize = 16_384;
/// LIMIT: bytes of a text that is kept; a longer one is nobody else's.
const LEN_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_in_memory_once_however_often_it_comes() {
        let mut names = Names::default();
        let agent = |name: &str| AgentId::parse(name).unwrap();
        let (one, two) = (names.agent(agent("a")), names.agent(agent("a")));
        assert!(std::ptr::eq(one.as_str(), two.as_str()));
        assert_eq!(names.agent(agent("b")).as_str(), "b");
        let (one, two) = (names.text("t".into()), names.text("t".into()));
        assert!(Arc::ptr_eq(&one, &two));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut names = Names::default();
        for number in 0..3 * KEPT_MAX {
            assert_eq!(*names.text(number.to_string().into()), *number.to_string());
            names.agent(AgentId::parse(&number.to_string()).unwrap());
        }
        assert!(names.texts.len() <= KEPT_MAX && names.agents.len() <= KEPT_MAX);
        let long: Arc<str> = "x".repeat(LEN_MAX + 1).into();
        assert_eq!(names.text(Arc::clone(&long)), long);
        assert!(!names.texts.contains(&long));
    }
}
