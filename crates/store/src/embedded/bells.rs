//! Wakes those who wait for an agent's queues.
//!
//! It holds an entry per agent that somebody waits for and nothing else: whether a queue has
//! changed is asked of the state.

use std::collections::HashMap;

use gate::types::AgentId;
use parking_lot::Mutex;
use tokio::sync::watch;

/// The waiters of all agents.
#[derive(Debug, Default)]
pub(super) struct Bells {
    agents: Mutex<HashMap<AgentId, watch::Sender<u64>>>,
}

/// One waiter.
#[derive(Debug)]
pub(super) struct Waiter<'a> {
    bells: &'a Bells,
    agent: AgentId,
    number: Option<watch::Receiver<u64>>,
}

impl Bells {
    /// Tells the waiters of an agent the number of a change.
    pub(super) fn ring(&self, agent: &AgentId, number: u64) {
        if let Some(bell) = self.agents.lock().get(agent) {
            bell.send_replace(number);
        }
    }

    pub(super) fn waiter(&self, agent: AgentId) -> Waiter<'_> {
        let mut agents = self.agents.lock();
        let bell = agents.entry(agent.clone()).or_insert_with(|| watch::Sender::new(0));
        let number = Some(bell.subscribe());
        drop(agents);
        Waiter { bells: self, agent, number }
    }
}

impl Waiter<'_> {
    /// Returns the number of the first change behind `seen`.
    pub(super) async fn rung(&mut self, seen: u64) -> u64 {
        let Some(receiver) = &mut self.number else { return seen };
        let rung = receiver.wait_for(|number| *number > seen).await;
        // The sender is in the map as long as a waiter is.
        rung.map_or(seen, |number| *number)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut agents = self.bells.agents.lock();
        self.number = None;
        if agents.get(&self.agent).is_some_and(|bell| bell.receiver_count() == 0) {
            agents.remove(&self.agent);
        }
    }
}
