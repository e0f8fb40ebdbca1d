//! The gate put together: its parts, its start and its end.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use inspect::Dlp;
use policy::RuleBook;
use tokio::sync::Semaphore;

use crate::circuits::Circuits;
use crate::delivery::{Hub, HubParts};
use crate::observe::{Levels, Reading, Watch};
use crate::overview::OUTLOOKS_MAX;
use crate::ports::{
    Aside, Batch, Clock, FieldSealer, Found, Ids, Observer, Op, Scan, Space, Store, StoreError,
    Tracer,
};
use crate::recent::Recent;
use crate::refusals::Refusals;
use crate::registry::{Registration, Registry, Rules};
use crate::settings::Settings;
use crate::tasks::Tasks;
use crate::types::{AgentId, Decision, Timestamp};

/// What a gate is made of.
pub struct Parts {
    /// Keeps everything that outlives a call.
    pub store: Arc<dyn Store>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Makes ids.
    pub ids: Arc<dyn Ids>,
    /// Encrypts fields.
    pub sealer: Arc<dyn FieldSealer>,
    /// Takes long computations.
    pub aside: Arc<dyn Aside>,
    /// What the operator set.
    pub settings: Settings,
    /// The registered agents: the allowlist.
    pub agents: BTreeMap<AgentId, Registration>,
    /// The operators who may administer, by the name in their certificates.
    pub operators: BTreeSet<String>,
    /// The configured access rules.
    pub rules: RuleBook,
    /// The rules of the policy files, if there are any.
    pub policy: Option<Arc<policy::Engine>>,
    /// The compiled inspection rules.
    pub dlp: Dlp,
    /// Who looks on; nobody if empty.
    pub observers: Vec<Arc<dyn Observer>>,
    /// Gives runs their places in traces; callers' traces are passed on as they are without one.
    pub tracer: Option<Arc<dyn Tracer>>,
    /// A hash of the whole configuration, by which records tell one from another.
    pub fingerprint: String,
}

/// The one way in: every door calls [`Gate::run`], and there is nothing else to call.
pub struct Gate {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn Ids>,
    pub(crate) sealer: Arc<dyn FieldSealer>,
    pub(crate) aside: Arc<dyn Aside>,
    pub(crate) settings: Settings,
    pub(crate) operators: BTreeSet<String>,
    pub(crate) registry: Registry,
    pub(crate) dlp: Arc<Dlp>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) tasks: Tasks,
    pub(crate) watch: Arc<Watch>,
    pub(crate) tracer: Option<Arc<dyn Tracer>>,
    pub(crate) refusals: Refusals,
    pub(crate) recent: Arc<Recent>,
    pub(crate) outlooks: Arc<Semaphore>,
    /// When it was opened, by the clock that never goes back.
    pub(crate) began: Duration,
    draining: AtomicBool,
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").field("settings", &self.settings).finish_non_exhaustive()
    }
}

// How often counted refusals are looked for.
const LEFT_OUT_PERIOD: Duration = Duration::from_secs(5);

impl Gate {
    /// Puts a gate together, takes over what its store kept, records the configuration in
    /// force and starts its background work.
    ///
    /// # Errors
    ///
    /// Returns [`StoreError`] when the store cannot be read or the record cannot be written.
    pub async fn open(mut parts: Parts) -> Result<Arc<Self>, StoreError> {
        let fingerprint = std::mem::take(&mut parts.fingerprint);
        let recent = Arc::new(Recent::new(parts.settings.delivery.trace_bytes_max));
        parts.observers.push(Arc::<Recent>::clone(&recent));
        let watch = Arc::new(Watch { observers: parts.observers, ..Watch::default() });
        let Parts { store, clock, ids, sealer, aside, settings, agents, tracer, .. } = parts;
        let rules = Rules { book: parts.rules, engine: parts.policy };
        let (operators, dlp) = (parts.operators, Arc::new(parts.dlp));
        let (now, began) = (clock.now(), clock.elapsed());
        let registry = Registry::load(agents, rules, store.as_ref(), now).await?;
        let circuits = settings.circuit.map(Circuits::new);
        if let Some(circuits) = &circuits {
            let scan = Scan::Values { space: Space::Circuit, after: None, now };
            for found in store.scan(scan, 100_000).await? {
                if let Found::Value(value) = found {
                    circuits.restore(&value.key, &value.value);
                }
            }
        }
        let tasks = Tasks::default();
        let hub = Hub::new(HubParts {
            store: Arc::clone(&store),
            clock: Arc::clone(&clock),
            ids: Arc::clone(&ids),
            settings: settings.delivery.clone(),
            circuits,
            tasks: tasks.clone(),
            watch: Arc::clone(&watch),
        });
        let gate = Arc::new(Self {
            store,
            clock,
            ids,
            sealer,
            aside,
            settings,
            operators,
            registry,
            dlp,
            hub,
            tasks,
            watch,
            tracer,
            refusals: Refusals::default(),
            recent,
            outlooks: Arc::new(Semaphore::new(OUTLOOKS_MAX)),
            began,
            draining: AtomicBool::new(false),
        });
        let detail = [("configuration", fingerprint)];
        gate.record_event("config.loaded", detail).await?;
        gate.tasks.spawn(Arc::clone(&gate).record_left_out());
        gate.tasks.spawn(Arc::clone(&gate.hub).expire_messages());
        Ok(gate)
    }

    /// Returns what the operator set.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Returns who is connected.
    #[must_use]
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// Returns the registered agents and their rules.
    #[must_use]
    pub const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Returns how many calls ended with each decision since the start.
    #[must_use]
    pub fn decisions(&self) -> BTreeMap<&'static str, u64> {
        self.watch.measures.decisions()
    }

    /// Returns all numbers of this moment.
    #[must_use]
    pub fn measures(&self) -> Reading {
        let snapshot = self.registry.snapshot();
        let levels = Levels {
            agents: snapshot.agents.len(),
            policy_revision: snapshot.policy.revision().to_owned(),
            is_draining: self.is_draining(),
            ..self.hub.levels()
        };
        Reading { levels, ..self.watch.measures.read() }
    }

    /// Returns the tasks of this gate, for doors that start some.
    #[must_use]
    pub const fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    /// Returns the time by which the gate judges.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Takes nothing new, ends the sessions and waits for what is under way, up to `patience`.
    pub async fn drain(&self, patience: Duration) {
        self.draining.store(true, Ordering::Release);
        self.hub.close_sessions();
        if tokio::time::timeout(patience, self.tasks.drain()).await.is_err() {
            tracing::warn!("work was still under way when the time to drain was over");
        }
        self.flush_left_out(true).await;
        if let Err(cause) = self.record_event("server.stopped", []).await {
            tracing::warn!(%cause, "cannot record the stop");
        }
    }

    /// Returns whether the gate takes nothing new.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Records how many refusals were counted instead of recorded, until sessions are closed.
    async fn record_left_out(self: Arc<Self>) {
        let mut closing = self.hub.closing();
        loop {
            let closed = closing.wait_for(|closing| *closing);
            if tokio::time::timeout(LEFT_OUT_PERIOD, closed).await.is_ok() {
                return;
            }
            self.flush_left_out(false).await;
        }
    }

    async fn flush_left_out(&self, all: bool) {
        for (principal, left_out) in self.refusals.take(self.clock.now(), all) {
            let counts = left_out.iter().map(|(code, count)| (*code, count.to_string()));
            let detail = counts.chain([("principal", principal.clone())]);
            if let Err(cause) = self.record_event("refusals.counted", detail).await {
                tracing::warn!(%cause, "cannot record counted refusals; it is tried again");
                self.refusals.put_back(&principal, &left_out);
            }
        }
    }

    /// Records something that is no call: a start, a stop, a change of certificates.
    ///
    /// # Errors
    ///
    /// Returns [`StoreError`] when the record cannot be written.
    pub async fn record_event(
        &self,
        event_type: &'static str,
        detail: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Result<(), StoreError> {
        let snapshot = self.registry.snapshot();
        let record = audit::Record {
            timestamp: crate::pipeline::moment(self.clock.now()).into(),
            event_type: event_type.into(),
            outcome: audit::Outcome::Success,
            decision: Decision::Allowed.as_str().into(),
            policy_revision: Some(snapshot.policy.revision().into()),
            detail: detail.into_iter().map(|(name, text)| (name.to_owned(), text)).collect(),
            ..audit::Record::default()
        };
        self.store.commit(Batch { ops: vec![Op::record(record.encode())] }).await
    }
}
