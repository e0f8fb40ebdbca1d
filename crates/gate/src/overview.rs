//! How the gate does, for operators who look on.
//!
//! It changes nothing. Whoever looks has passed the pipeline: an [`Outlook`] is what that gives.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use crate::circuits::CircuitView;
use crate::delivery::SessionView;
use crate::gate::Gate;
use crate::observe::Reading;
use crate::ports::{Found, Read, Scan, StoreError};
use crate::recent::PastRefusal;
use crate::types::{AgentId, Refusal, Timestamp};

/// The permission to look on, as long as it is held; given by the pipeline only.
#[derive(Debug)]
pub struct Outlook {
    _place: OwnedSemaphorePermit,
}

// LIMIT: operators that look on at once; each picture walks over all sessions.
pub(crate) const OUTLOOKS_MAX: usize = 16;

// LIMIT: rows of each list of a picture.
const ROWS_MAX: usize = 1_000;

/// The gate at one moment.
#[derive(Debug, Clone)]
pub struct Overview {
    /// When.
    pub at: Timestamp,
    /// The time since the start.
    pub up: Duration,
    /// All that is counted.
    pub reading: Reading,
    /// The busiest agents, by what they hold and what waits for them; also those for which
    /// something waits and that are not registered any more.
    pub agents: Vec<AgentActivity>,
    /// The busiest sessions, by what they hold.
    pub sessions: Vec<SessionView>,
    /// Circuits that are not closed, the newest first.
    pub circuits: Vec<CircuitView>,
    /// The last refusals, the newest first.
    pub refusals: Vec<PastRefusal>,
    /// Messages that wait, in all queues together.
    pub queued: u64,
    /// Entries of the audit log.
    pub records: u64,
}

/// What an agent has under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentActivity {
    /// Which.
    pub agent: AgentId,
    /// Its open sessions.
    pub sessions: usize,
    /// Messages that they hold unanswered.
    pub in_flight: usize,
    /// Messages that wait in its queues.
    pub queued: u64,
}

impl Gate {
    /// Gives an operator the permission to look on.
    pub(crate) fn outlook(&self) -> Result<Outlook, Refusal> {
        let place = Arc::clone(&self.outlooks).try_acquire_owned();
        let full = |_| Refusal::Backpressure {
            what: "the number of operators that look on",
            retry_after: Duration::from_secs(1),
        };
        Ok(Outlook { _place: place.map_err(full)? })
    }

    /// Looks at the gate; each list has at most `rows` rows.
    ///
    /// # Errors
    ///
    /// Returns [`StoreError`] when the store does not answer.
    pub async fn look(&self, _outlook: &Outlook, rows: usize) -> Result<Overview, StoreError> {
        let rows = rows.min(ROWS_MAX);
        let at = self.clock.now();
        let mut sessions = self.hub.sessions();
        let agents = self.activity(&sessions, rows).await?;
        let queued = self.store.read(Read::TotalDepth).await?;
        let queued = if let Some(Found::Depth(queued)) = queued { queued } else { 0 };
        sessions.sort_by_key(|session| {
            (Reverse(session.in_flight), session.agent.clone(), session.instance.clone())
        });
        sessions.truncate(rows);
        let circuits = self.hub.circuits.as_ref();
        let records = self.store.read(Read::RecordCount).await?;
        let records = if let Some(Found::RecordCount(count)) = records { count } else { 0 };
        Ok(Overview {
            at,
            up: self.clock.elapsed().saturating_sub(self.began),
            reading: self.measures(),
            agents,
            sessions,
            circuits: circuits.map(|circuits| circuits.not_closed(rows)).unwrap_or_default(),
            refusals: self.recent.refusals(),
            queued,
            records,
        })
    }

    /// Returns the busiest agents: those with the longest queues, in which messages stay that
    /// sessions hold; then those with a session; then any.
    ///
    /// The store is asked once, however many agents there are.
    async fn activity(
        &self,
        sessions: &[SessionView],
        rows: usize,
    ) -> Result<Vec<AgentActivity>, StoreError> {
        let mut open: BTreeMap<&AgentId, (usize, usize)> = BTreeMap::new();
        for session in sessions {
            let (count, in_flight) = open.entry(&session.agent).or_default();
            *count += 1;
            *in_flight += session.in_flight;
        }
        let row = |agent: &AgentId, queued: u64| {
            let (sessions, in_flight) = open.get(agent).copied().unwrap_or_default();
            AgentActivity { agent: agent.clone(), sessions, in_flight, queued }
        };
        let mut agents = Vec::with_capacity(rows);
        for found in self.store.scan(Scan::Queues, rows).await? {
            if let Found::Queue(agent, queued) = found {
                agents.push(row(&agent, queued));
            }
        }
        // Where there is room for more, these have been all that anything waits for.
        let seen: BTreeSet<AgentId> = agents.iter().map(|agent| agent.agent.clone()).collect();
        let snapshot = self.registry.snapshot();
        let connected = open.keys().copied();
        let others = snapshot.agents.keys().filter(|agent| !open.contains_key(agent));
        let idle = connected.chain(others).filter(|agent| !seen.contains(*agent));
        let room = rows.saturating_sub(agents.len());
        agents.extend(idle.take(room).map(|agent| row(agent, 0)));
        agents.sort_by_key(|agent| {
            let busy = (Reverse(agent.queued), Reverse(agent.in_flight), Reverse(agent.sessions));
            (busy, agent.agent.clone())
        });
        Ok(agents)
    }
}
