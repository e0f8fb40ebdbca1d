//! From the queue to the receiver: who is connected, what they hold, and how it ends.
//!
//! Sessions pull: a session leases messages from its agent's queues when its receiver can take
//! them, hands them over, and settles each lease as acknowledged, to be retried or dead. The
//! store keeps the queues; nothing here survives a restart or needs to.

mod expiry;
mod session;
mod settle;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

pub use session::{Delivery, Session, SessionHandle};
pub use settle::{Outcome, Settled};

use crate::circuits::Circuits;
use crate::ports::{Clock, Ids, Store};
use crate::settings::DeliverySettings;
use crate::tasks::Tasks;
use crate::types::{AgentId, InstanceId, Intake, MessageId, Refusal, SessionId};
use session::Live;

/// Everything that sessions share.
pub struct Hub {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn Ids>,
    pub(crate) settings: DeliverySettings,
    pub(crate) circuits: Option<Circuits>,
    pub(crate) tasks: Tasks,
    live: Mutex<HashMap<AgentId, BTreeMap<InstanceId, Arc<Live>>>>,
    /// Agents of which a session ended with messages unanswered, and how many answers it takes
    /// until they are trusted with many at once again.
    suspects: Mutex<HashMap<AgentId, usize>>,
    closing: watch::Sender<bool>,
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// What a hub is made of.
pub(crate) struct HubParts {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn Ids>,
    pub(crate) settings: DeliverySettings,
    pub(crate) circuits: Option<Circuits>,
    pub(crate) tasks: Tasks,
}

impl Hub {
    pub(crate) fn new(parts: HubParts) -> Arc<Self> {
        Arc::new(Self {
            store: parts.store,
            clock: parts.clock,
            ids: parts.ids,
            settings: parts.settings,
            circuits: parts.circuits,
            tasks: parts.tasks,
            live: Mutex::new(HashMap::new()),
            suspects: Mutex::new(HashMap::new()),
            closing: watch::Sender::new(false),
        })
    }

    /// Takes the place of an instance so that no second session of it can open meanwhile.
    ///
    /// # Errors
    ///
    /// Returns [`Refusal::InstanceConnected`] if it is taken, and [`Refusal::Backpressure`]
    /// when the agent has as many sessions as it may.
    pub(crate) fn reserve(
        self: &Arc<Self>,
        agent: &AgentId,
        instance: &InstanceId,
        intake: Intake,
    ) -> Result<Reservation, Refusal> {
        let mut live = self.live.lock();
        let sessions = live.entry(agent.clone()).or_default();
        if sessions.contains_key(instance) {
            return Err(Refusal::InstanceConnected);
        }
        // LIMIT: server.limits.sessions_per_agent_max
        if sessions.len() >= self.settings.sessions_per_agent_max {
            let retry_after = std::time::Duration::from_secs(1);
            return Err(Refusal::Backpressure { what: "the agent's session table", retry_after });
        }
        let id = SessionId::from_random(self.ids.random());
        let place = Arc::new(Live::new(id, agent.clone(), instance.clone(), intake));
        sessions.insert(instance.clone(), Arc::clone(&place));
        Ok(Reservation { hub: Arc::clone(self), live: place })
    }

    /// Returns whether this instance has an open session.
    #[must_use]
    pub fn is_connected(&self, agent: &AgentId, instance: &InstanceId) -> bool {
        let live = self.live.lock();
        live.get(agent).and_then(|of| of.get(instance)).is_some_and(|live| live.is_open())
    }

    /// Returns whether any instance of the agent has an open session.
    #[must_use]
    pub fn is_active(&self, agent: &AgentId) -> bool {
        self.live.lock().get(agent).is_some_and(|of| of.values().any(|live| live.is_open()))
    }

    /// Returns whether any open session of the agent takes messages, not only replies.
    #[must_use]
    pub fn takes_messages(&self, agent: &AgentId) -> bool {
        let live = self.live.lock();
        let takes = |of: &Live| of.is_open() && of.intake() == Intake::Everything;
        live.get(agent).is_some_and(|of| of.values().any(|live| takes(live)))
    }

    /// Returns the instances of an agent that have open sessions.
    #[must_use]
    pub fn instances(&self, agent: &AgentId) -> Vec<String> {
        let live = self.live.lock();
        let Some(sessions) = live.get(agent) else { return Vec::new() };
        let open = sessions.values().filter(|live| live.is_open());
        open.map(|live| live.instance.to_string()).collect()
    }

    /// Returns how many sessions are open.
    #[must_use]
    pub fn session_count(&self) -> usize {
        self.live.lock().values().map(BTreeMap::len).sum()
    }

    /// Ends all sessions; each hands over nothing more.
    pub fn close_sessions(&self) {
        self.closing.send_replace(true);
    }

    /// Returns whether sessions are being ended.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }

    pub(crate) fn closing(&self) -> watch::Receiver<bool> {
        self.closing.subscribe()
    }

    /// Takes note that a session of the agent ended with `count` messages unanswered.
    fn suspect(&self, agent: &AgentId, count: usize) {
        if count > 0 {
            *self.suspects.lock().entry(agent.clone()).or_default() += count;
        }
    }

    /// Takes note that a session of the agent answered `count` messages.
    fn trust(&self, agent: &AgentId, count: usize) {
        let mut suspects = self.suspects.lock();
        if let Some(left) = suspects.get_mut(agent) {
            *left = left.saturating_sub(count);
            if *left == 0 {
                suspects.remove(agent);
            }
        }
    }

    fn is_suspicious(&self, agent: &AgentId) -> bool {
        self.suspects.lock().contains_key(agent)
    }

    /// Returns the session that a message was handed to last, taking it from what that holds.
    fn take_from_holder(&self, agent: &AgentId, message: MessageId) -> Option<Arc<Live>> {
        let live = self.live.lock();
        let holder = live.get(agent)?.values().find(|live| live.take_message(message))?;
        Some(Arc::clone(holder))
    }

    fn leave(&self, live: &Live) {
        let mut all = self.live.lock();
        if let Some(sessions) = all.get_mut(&live.agent) {
            sessions.remove(&live.instance);
            if sessions.is_empty() {
                all.remove(&live.agent);
            }
        }
    }
}

/// The place of an instance; given back when dropped, however that comes about.
#[derive(Debug)]
pub(crate) struct Reservation {
    hub: Arc<Hub>,
    live: Arc<Live>,
}

impl Reservation {
    /// Opens the session; from now on it may send and is delivered to.
    pub(crate) fn open(self) -> Session {
        self.live.open();
        Session::new(self)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.hub.leave(&self.live);
        if self.live.is_open() {
            self.hub.end(&self.live);
        }
    }
}
