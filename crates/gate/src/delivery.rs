//! From the queue to the receiver: who is connected, what they hold, and how it ends.
//!
//! Sessions pull: a session leases messages from its agent's queues when its receiver can take
//! them, hands them over, and settles each lease as acknowledged, to be retried or dead. The
//! store keeps the queues; nothing here survives a restart or needs to.

mod expiry;
mod handle;
mod held;
mod live;
mod receipts;
mod session;
mod settle;
mod view;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

pub use handle::SessionHandle;
pub use receipts::{Receipt, ReceiptKind, Wanted};
pub use session::{Delivery, Session};
pub use settle::{Outcome, Settled};
pub use view::SessionView;

use crate::circuits::Circuits;
use crate::observe::{Levels, Watch};
use crate::ports::{Clock, Ids, Store};
use crate::settings::DeliverySettings;
use crate::tasks::Tasks;
use crate::types::{AgentId, InstanceId, Intake, MessageId, Refusal, SessionId};
use live::Live;
use receipts::Followers;

/// Everything that sessions share.
pub struct Hub {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn Ids>,
    pub(crate) settings: DeliverySettings,
    pub(crate) circuits: Option<Circuits>,
    pub(crate) tasks: Tasks,
    pub(crate) watch: Arc<Watch>,
    live: Mutex<HashMap<AgentId, BTreeMap<InstanceId, Arc<Live>>>>,
    /// Agents of which a session ended with messages unanswered, and how many answers it takes
    /// until they are trusted with many at once again.
    suspects: Mutex<HashMap<AgentId, usize>>,
    followers: Followers,
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
    pub(crate) watch: Arc<Watch>,
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
            watch: parts.watch,
            live: Mutex::new(HashMap::new()),
            suspects: Mutex::new(HashMap::new()),
            followers: Followers::default(),
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
        let name = (agent.clone(), instance.clone());
        let place = Arc::new(Live::new(id, name, intake, self.clock.now()));
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

    /// Returns what is at this moment, as far as it is known here.
    pub(crate) fn levels(&self) -> Levels {
        let (circuits_open, circuits_half_open) =
            self.circuits.as_ref().map_or((0, 0), Circuits::levels);
        let mut levels = Levels { circuits_open, circuits_half_open, ..Levels::default() };
        let live = self.live.lock();
        for sessions in live.values() {
            let mut open = sessions.values().filter(|live| live.is_open()).peekable();
            levels.agents_connected += usize::from(open.peek().is_some());
            for live in open {
                let (count, bytes) = live.held();
                levels.sessions += 1;
                levels.in_flight += count;
                levels.in_flight_bytes += bytes;
            }
        }
        levels
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

    /// Returns what becomes true when sessions are being ended.
    #[must_use]
    pub fn closing(&self) -> watch::Receiver<bool> {
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

    /// Forgets a message that was not committed.
    pub(crate) fn forget(&self, message: MessageId) {
        self.followers.forget(message);
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
