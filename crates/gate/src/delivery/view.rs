//! Sessions as operators see them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Hub;
use super::live::Live;
use crate::types::{AgentId, InstanceId, Intake, Timestamp};

/// An open session as operators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionView {
    /// Whose.
    pub agent: AgentId,
    /// Which running copy.
    pub instance: InstanceId,
    /// What it is there to receive.
    pub intake: Intake,
    /// When it was opened.
    pub since: Timestamp,
    /// Messages that it holds unanswered.
    pub in_flight: usize,
    /// The bytes of their envelopes.
    pub in_flight_bytes: usize,
}

impl Hub {
    /// Returns all open sessions.
    #[must_use]
    pub fn sessions(&self) -> Vec<SessionView> {
        // Each has a lock of its own, for which nobody else should wait with the lock of all.
        let live: Vec<_> =
            self.live.lock().values().flat_map(BTreeMap::values).map(Arc::clone).collect();
        live.iter().filter(|live| live.is_open()).map(|live| view(live)).collect()
    }
}

fn view(live: &Live) -> SessionView {
    let (in_flight, in_flight_bytes) = live.held();
    SessionView {
        agent: live.agent.clone(),
        instance: live.instance.clone(),
        intake: live.intake(),
        since: live.since,
        in_flight,
        in_flight_bytes,
    }
}
