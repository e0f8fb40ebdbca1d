//! Who accounts for how much: messages and bytes, by agent.
//!
//! It counts and bounds nothing; who has nothing any more has no entry.

use std::collections::HashMap;

use gate::types::AgentId;

use crate::bounds::Load;

/// Messages and bytes, by agent.
#[derive(Debug, Default)]
pub(in crate::embedded) struct Tally(HashMap<AgentId, Load>);

impl Tally {
    pub(super) fn add(&mut self, agent: &AgentId, bytes: u64) {
        // Not `entry`: the agent is there most of the time, and then nothing is copied.
        if let Some(load) = self.0.get_mut(agent) {
            *load = load.with(bytes);
        } else {
            self.0.insert(agent.clone(), Load::default().with(bytes));
        }
    }

    pub(super) fn remove(&mut self, agent: &AgentId, bytes: u64) {
        let Some(load) = self.0.get_mut(agent) else { return };
        *load = load.without(bytes);
        if load.len == 0 {
            self.0.remove(agent);
        }
    }

    pub(super) fn of(&self, agent: &AgentId) -> Load {
        self.0.get(agent).copied().unwrap_or_default()
    }
}
