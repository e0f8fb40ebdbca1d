//! Who talks to whom: each agent sends to the next one, the last one to the first.
//!
//! So every connection sends and receives at the same rate; one alone sends to itself.

use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::Semaphore;

/// Returns the name of an agent.
pub(in crate::verbs::bench) fn agent(number: u32) -> String {
    format!("agent{number}")
}

/// Returns all agents of a ring, each with whom it may send to.
pub(in crate::verbs::bench) fn agents(sessions: u32) -> Vec<(String, String)> {
    (0..sessions).map(|number| (agent(number), partner(number, sessions))).collect()
}

/// Returns to whom an agent sends.
pub(super) fn partner(number: u32, sessions: u32) -> String {
    agent((number + 1) % sessions.max(1))
}

/// What a session may put in flight, and to whom it gives back what it has received.
#[derive(Debug, Clone)]
pub(super) struct Ends {
    /// Messages that the session may send.
    pub(super) own: Arc<Semaphore>,
    /// The same of the agent whose messages it receives.
    pub(super) sender: Arc<Semaphore>,
}

/// Returns both ends of one session.
///
/// # Errors
/// Returns an error if there is no such session.
pub(super) fn ends(flights: &[Arc<Semaphore>], number: u32) -> anyhow::Result<Ends> {
    let at = usize::try_from(number)?;
    let before = at.checked_sub(1).unwrap_or_else(|| flights.len().saturating_sub(1));
    let end = |at: usize| flights.get(at).cloned().context("there is no such session");
    Ok(Ends { own: end(at)?, sender: end(before)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_sends_is_given_back_by_its_partner() {
        let flights: Vec<_> = (0..3).map(|count| Arc::new(Semaphore::new(count))).collect();
        for (number, name) in [(0, "agent1"), (1, "agent2"), (2, "agent0")] {
            assert_eq!(partner(number, 3), name);
            let own = ends(&flights, number).unwrap().own;
            let receiver = (number + 1) % 3;
            assert!(Arc::ptr_eq(&own, &ends(&flights, receiver).unwrap().sender), "{number}");
        }
        assert_eq!(partner(0, 1), "agent0");
        assert!(ends(&flights, 3).is_err());
    }
}
