//! One run: everything goes wrong for a while, then nothing, and then the books must agree.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use gate::ports::{Found, MessageState, Read, Scan, Store as _};
use gate::types::{Action, Answer, MessageId};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use crate::agent::Agent;
use crate::chance::Chance;
use crate::ledger::{Figures, Ledger};
use crate::network::request;
use crate::plan::{Event, Plan};
use crate::site::Site;

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What happened, in numbers.
    pub figures: Figures,
    /// Promises that were broken; none, if all is well.
    pub broken: Vec<String>,
    /// Everything that happened, each with its time in milliseconds.
    pub events: Vec<String>,
}

/// Runs the simulation of a seed.
///
/// # Errors
/// Returns an error if the simulation itself cannot go on.
pub fn run(seed: u64) -> Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .context("no runtime")?;
    runtime.block_on(Run::new(seed).whole())
}

struct Run {
    seed: u64,
    site: Arc<Site>,
    ledger: Arc<Mutex<Ledger>>,
    calm: watch::Sender<bool>,
}

/// The longest that senders take, and that queues take to become empty: more than all backoffs.
const PATIENCE: Duration = Duration::from_secs(4 * 24 * 3_600);
/// The pause between two looks at queues.
const LOOK: Duration = Duration::from_secs(5);

impl Run {
    fn new(seed: u64) -> Self {
        Self {
            seed,
            site: Site::new(Plan::draw(seed), seed),
            ledger: Arc::default(),
            calm: watch::Sender::new(false),
        }
    }

    async fn whole(self) -> Result<Outcome> {
        self.site.start().await?;
        let mut senders = Vec::new();
        for (number, id) in self.site.plan.agents.iter().enumerate() {
            let agent = Arc::new(Agent {
                id: id.clone(),
                site: Arc::clone(&self.site),
                ledger: Arc::clone(&self.ledger),
                connected: watch::Sender::new(None),
                calm: self.calm.subscribe(),
            });
            let actor = 2 * number as u64 + 10;
            let receiving = Arc::clone(&agent).receive(Chance::of(self.seed, actor));
            drop(self.site.tasks.spawn(receiving));
            senders.push(self.site.tasks.spawn(agent.send(Chance::of(self.seed, actor + 1))));
        }
        self.trouble().await?;
        for sender in senders {
            timeout(PATIENCE, sender).await.context("a sender is stuck")??;
        }
        self.calm_down().await?;
        self.check().await
    }

    /// Lets the events of the plan happen.
    async fn trouble(&self) -> Result<()> {
        let begin = Instant::now();
        for (at, event) in &self.site.plan.events {
            sleep_until(begin + *at).await;
            self.ledger.lock().event(&format!("{event:?}"));
            match *event {
                Event::Jump { by, is_forward } => self.site.clock.jump(by, is_forward),
                Event::Disk(trouble) => drop(self.site.trouble.send_replace(trouble)),
                Event::Crash { down } => {
                    let site = Arc::clone(&self.site);
                    // Aside: it starts only when later events have put the disk right.
                    if self.site.crash() {
                        drop(self.site.tasks.spawn(async move {
                            tokio::time::sleep(down).await;
                            site.start().await
                        }));
                    }
                }
            }
        }
        Ok(())
    }

    /// Restarts the gate once more, and waits until everything that was accepted has its end.
    async fn calm_down(&self) -> Result<()> {
        self.site.trouble.send_replace(crate::disk::Trouble::default());
        self.calm.send_replace(true);
        self.site.present().await.context("no gate")?;
        self.site.crash();
        self.site.start().await?;
        let empty = async {
            while self.queued().await? > 0 {
                tokio::time::sleep(LOOK).await;
            }
            anyhow::Ok(())
        };
        match timeout(PATIENCE, empty).await {
            Ok(done) => done,
            Err(_elapsed) => bail!("{} messages are stuck in queues", self.queued().await?),
        }
    }

    async fn queued(&self) -> Result<u64> {
        let memory = self.site.memory();
        let mut all = 0;
        for agent in &self.site.plan.agents {
            match memory.read(Read::Depth(agent.clone())).await? {
                Some(Found::Depth(depth)) => all += depth,
                other => bail!("no depth but {other:?}"),
            }
        }
        Ok(all)
    }

    async fn check(&self) -> Result<Outcome> {
        let allowed = self.check_records().await?;
        let dead = self.check_messages(&allowed).await?;
        self.ledger.lock().check_order();
        self.check_states().await?;
        let records = self.records().await?.len();
        let ledger = self.ledger.lock();
        let figures = ledger.figures(dead, records);
        Ok(Outcome { figures, broken: ledger.broken.clone(), events: ledger.events.clone() })
    }

    async fn records(&self) -> Result<Vec<audit::Entry>> {
        let found = self.site.memory().scan(Scan::Records { from: 1 }, usize::MAX).await?;
        let entry = |found| if let Found::Record(entry) = found { Some(entry) } else { None };
        Ok(found.into_iter().filter_map(entry).collect())
    }

    /// Checks the chain, and that limits held; returns the messages that were allowed.
    async fn check_records(&self) -> Result<BTreeSet<MessageId>> {
        let entries = self.records().await?;
        let report = audit::verify(audit::Unplaced(entries.iter().cloned().map(Ok)), None);
        if !report.ok {
            self.broken(format!("the audit log does not verify: {:?}", report.problems));
        }
        let mut allowed = BTreeSet::new();
        let mut times = std::collections::BTreeMap::<String, Vec<i64>>::new();
        for entry in &entries {
            let record = entry.record()?;
            if record.event_type != "message.send" || record.decision != "ALLOWED" {
                continue;
            }
            let id = record.message_id.as_deref().context("a message without its id")?;
            allowed.insert(MessageId::parse(id).ok().context("an id that is none")?);
            let at = audit::parse_moment(&record.timestamp, 0)?;
            times.entry(record.agent_id.to_string()).or_default().push(at);
        }
        if !self.site.plan.has_jumps() {
            self.check_limits(times);
        }
        Ok(allowed)
    }

    /// Checks that nobody sent more in any minute than allowed.
    fn check_limits(&self, times: std::collections::BTreeMap<String, Vec<i64>>) {
        let limit = usize::try_from(self.site.plan.limits.per_minute).unwrap_or(usize::MAX);
        for (agent, mut times) in times {
            times.sort_unstable();
            let over = times.windows(limit + 1).find(|window| {
                let span = window.last().zip(window.first()).map(|(last, first)| last - first);
                span.is_some_and(|span| span < 60_000_000)
            });
            if over.is_some() {
                self.broken(format!("{agent} sent more than {limit} messages in a minute"));
            }
        }
    }

    /// Checks that every message has its record and its end, and every record its message.
    async fn check_messages(&self, allowed: &BTreeSet<MessageId>) -> Result<usize> {
        let memory = self.site.memory();
        let (accepted, delivered) = {
            let ledger = self.ledger.lock();
            (ledger.accepted.clone(), ledger.delivered.clone())
        };
        for message in accepted.keys().chain(delivered.keys()) {
            if !allowed.contains(message) {
                self.broken(format!("{message} has no record that allows it"));
            }
        }
        let mut dead = 0;
        for message in allowed {
            let Some(Found::Message(view)) = memory.read(Read::Message(*message)).await? else {
                self.broken(format!("{message} is recorded as allowed and nowhere to be found"));
                continue;
            };
            let received = delivered.get(message).copied().unwrap_or_default();
            let is_right = match view.state {
                MessageState::Acknowledged => received.is_acknowledged,
                MessageState::DeadLettered => {
                    dead += 1;
                    self.site.plan.has_losers()
                }
                MessageState::Queued | MessageState::Delivered | MessageState::Expired => false,
            };
            if !is_right {
                self.broken(format!("{message} ended as {:?}: {view:?}, {received:?}", view.state));
            }
        }
        Ok(dead)
    }

    async fn check_states(&self) -> Result<()> {
        let present = self.site.present().await.context("no gate")?;
        for agent in &self.site.plan.agents {
            let answer = present.gate.run(request(agent, Action::ReadState)).await;
            let Ok(Answer::State(state)) = answer else {
                self.broken(format!("{agent} cannot read its state: {answer:?}"));
                continue;
            };
            let number = state.get("number").and_then(|text| text.parse().ok());
            self.ledger.lock().check_state(agent, number);
        }
        Ok(())
    }

    fn broken(&self, what: String) {
        self.ledger.lock().broken(what);
    }
}
