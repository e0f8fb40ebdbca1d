//! The gate put together: its parts, its start and its end.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use inspect::Dlp;
use parking_lot::Mutex;
use policy::RuleBook;

use crate::circuits::Circuits;
use crate::delivery::{Hub, HubParts};
use crate::ports::{Batch, Clock, FieldSealer, Found, Ids, Op, Scan, Space, Store, StoreError};
use crate::refusals::Refusals;
use crate::registry::{Registration, Registry};
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
    /// What the operator set.
    pub settings: Settings,
    /// The registered agents: the allowlist.
    pub agents: BTreeMap<AgentId, Registration>,
    /// The operators who may administer, by the name in their certificates.
    pub operators: BTreeSet<String>,
    /// The configured access rules.
    pub rules: RuleBook,
    /// The compiled inspection rules.
    pub dlp: Dlp,
    /// A hash of the whole configuration, by which records tell one from another.
    pub fingerprint: String,
}

/// The one way in: every door calls [`Gate::run`], and there is nothing else to call.
pub struct Gate {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn Ids>,
    pub(crate) sealer: Arc<dyn FieldSealer>,
    pub(crate) settings: Settings,
    pub(crate) operators: BTreeSet<String>,
    pub(crate) registry: Registry,
    pub(crate) dlp: Dlp,
    pub(crate) hub: Arc<Hub>,
    pub(crate) tasks: Tasks,
    pub(crate) totals: Totals,
    pub(crate) refusals: Refusals,
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

/// How many calls ended with each decision since the start.
#[derive(Debug, Default)]
pub struct Totals(Mutex<BTreeMap<&'static str, Arc<AtomicU64>>>);

impl Totals {
    pub(crate) fn count(&self, decision: Decision) {
        let total = Arc::clone(self.0.lock().entry(decision.as_str()).or_default());
        total.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the totals by decision.
    #[must_use]
    pub fn read(&self) -> BTreeMap<&'static str, u64> {
        let totals = self.0.lock();
        totals.iter().map(|(name, total)| (*name, total.load(Ordering::Relaxed))).collect()
    }
}

impl Gate {
    /// Puts a gate together, takes over what its store kept, records the configuration in
    /// force and starts its background work.
    ///
    /// # Errors
    ///
    /// Returns [`StoreError`] when the store cannot be read or the record cannot be written.
    pub async fn open(mut parts: Parts) -> Result<Arc<Self>, StoreError> {
        let fingerprint = std::mem::take(&mut parts.fingerprint);
        let Parts { store, clock, ids, sealer, settings, agents, operators, rules, dlp, .. } =
            parts;
        let now = clock.now();
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
        });
        let gate = Arc::new(Self {
            store,
            clock,
            ids,
            sealer,
            settings,
            operators,
            registry,
            dlp,
            hub,
            tasks,
            totals: Totals::default(),
            refusals: Refusals::default(),
            draining: AtomicBool::new(false),
        });
        let detail = [("configuration", fingerprint)];
        gate.record_event("config.loaded", detail).await?;
        gate.tasks.spawn(Arc::clone(&gate).record_left_out());
        gate.tasks.spawn(Arc::clone(&gate.hub).expire_messages());
        Ok(gate)
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

    /// Returns how many calls ended with each decision.
    #[must_use]
    pub const fn totals(&self) -> &Totals {
        &self.totals
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
