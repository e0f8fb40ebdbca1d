//! The gate in its present life: started, killed, started again over what was left.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use gate::ports::{FieldSealer, Ids, InPlace};
use gate::tasks::Tasks;
use gate::types::AgentId;
use gate::{Gate, Parts};
use inspect::{Dlp, DlpSpec, MergeStrategy};
use parking_lot::Mutex;
use store::{Bounds, Memory};
use tokio::sync::watch;

use crate::chance::Chance;
use crate::clock::JumpingClock;
use crate::disk::{Life, Trouble};
use crate::plan::Plan;

/// The gate, and what outlives it.
pub(crate) struct Site {
    pub(crate) plan: Plan,
    pub(crate) clock: Arc<JumpingClock>,
    pub(crate) tasks: Tasks,
    pub(crate) trouble: watch::Sender<Trouble>,
    present: watch::Sender<Option<Present>>,
    memory: Mutex<Arc<Memory>>,
    chance: Mutex<Chance>,
}

/// A gate that lives.
#[derive(Clone)]
pub(crate) struct Present {
    pub(crate) gate: Arc<Gate>,
    /// Becomes true when it is killed.
    pub(crate) over: watch::Receiver<bool>,
    kill: watch::Sender<bool>,
}

impl Site {
    pub(crate) fn new(plan: Plan, seed: u64) -> Arc<Self> {
        Arc::new(Self {
            plan,
            clock: Arc::new(JumpingClock::new()),
            tasks: Tasks::default(),
            trouble: watch::Sender::new(Trouble::default()),
            present: watch::Sender::new(None),
            memory: Mutex::new(Arc::new(Memory::new(Bounds::default()))),
            chance: Mutex::new(Chance::of(seed, SITE)),
        })
    }

    /// Starts the gate; where the disk is in trouble, as often as it takes.
    pub(crate) async fn start(&self) -> anyhow::Result<()> {
        loop {
            let (kill, over) = watch::channel(false);
            let memory = Arc::clone(&self.memory.lock());
            let chance = Chance::of(self.draw(), SITE);
            let agents = self.plan.agents.clone();
            let trouble = self.trouble.subscribe();
            let life = Life::begin(memory, agents, over.clone(), chance, trouble);
            match Gate::open(self.parts(life)?).await {
                Ok(gate) => {
                    self.present.send_replace(Some(Present { gate, over, kill }));
                    return Ok(());
                }
                Err(_busy) => tokio::time::sleep(AGAIN).await,
            }
        }
    }

    /// Kills the gate: from this moment on nothing that it does has an effect. Returns false if
    /// there is none.
    pub(crate) fn crash(&self) -> bool {
        let Some(present) = self.present.send_replace(None) else { return false };
        present.kill.send_replace(true);
        let left = Arc::new(self.memory.lock().restarted());
        *self.memory.lock() = left;
        // Its tasks would wait for ever in a process that is no more.
        drop(self.tasks.spawn(async move { present.gate.drain(Duration::ZERO).await }));
        true
    }

    /// Waits until there is a gate.
    pub(crate) async fn present(&self) -> Option<Present> {
        let mut present = self.present.subscribe();
        let found = present.wait_for(Option::is_some).await.ok()?;
        found.clone()
    }

    /// Lets an agent go on a little later than each other one.
    ///
    /// Whoever waits for the same news is woken in an order that the runtime draws; a run must not
    /// depend on it.
    pub(crate) async fn step_apart(&self, agent: &AgentId) {
        tokio::time::sleep(apart(&self.plan.agents, agent)).await;
    }

    /// Returns what is on the disk.
    pub(crate) fn memory(&self) -> Arc<Memory> {
        Arc::clone(&self.memory.lock())
    }

    fn draw(&self) -> u64 {
        u64::try_from(self.chance.lock().number() >> 64).unwrap_or_default()
    }

    fn parts(&self, life: Arc<Life>) -> anyhow::Result<Parts> {
        let clock: Arc<JumpingClock> = Arc::clone(&self.clock);
        Ok(Parts {
            fingerprint: "simulation".to_owned(),
            store: life,
            clock,
            ids: Arc::new(Numbers(Mutex::new(Chance::of(self.draw(), SITE)))),
            sealer: Arc::new(NoSealer),
            aside: Arc::new(InPlace),
            settings: self.plan.settings(),
            agents: self.plan.registrations(),
            operators: BTreeSet::new(),
            rules: self.plan.rules.clone(),
            policy: None,
            dlp: no_inspection()?,
            observers: Vec::new(),
            tracer: None,
        })
    }
}

/// Returns a time that no other agent has.
pub(crate) fn apart(agents: &[AgentId], agent: &AgentId) -> Duration {
    let place = agents.iter().position(|one| one == agent).unwrap_or_default();
    Duration::from_millis(1 + place as u64)
}

/// The number of the actor that starts gates.
const SITE: u64 = 1;
/// The pause before a start is tried again.
const AGAIN: Duration = Duration::from_millis(200);

/// Returns a policy that looks for nothing: what is found depends on neither time nor faults.
fn no_inspection() -> anyhow::Result<Dlp> {
    let spec = DlpSpec { merge_strategy: MergeStrategy::Replace, ..DlpSpec::default() };
    Ok(Dlp::compile(&spec)?)
}

/// Numbers that are the same in each run of a seed.
struct Numbers(Mutex<Chance>);

impl Ids for Numbers {
    fn random(&self) -> u128 {
        self.0.lock().number()
    }
}

/// Nobody has registered a key.
struct NoSealer;

impl FieldSealer for NoSealer {
    fn check_key(&self, _key: &str) -> Result<(), String> {
        Err("there are no keys in a simulation".to_owned())
    }

    fn seal(
        &self,
        _key: &str,
        _recipient: &str,
        _plaintext: &str,
    ) -> Result<String, inspect::SealError> {
        Err(inspect::SealError)
    }
}
