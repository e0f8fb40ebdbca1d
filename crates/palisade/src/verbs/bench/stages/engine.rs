//! A real gate over a real store in this process, without doors: calls go in as a door makes them.
//!
//! Two agents have sessions; one sends to the other, which acknowledges what it gets.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use gate::delivery::{Session, SessionHandle, Settled, Wanted};
use gate::observe::{MessageStep, Observed, Stage};
use gate::ports::{Clock, Ids, Observer, Store};
use gate::types::{
    Action, AgentId, Answer, Call, Caller, Hello, Intake, Item, Outgoing, Principal, PrincipalKind,
    Publish, Timestamp, TraceContext,
};
use gate::{Gate, Parts};
use store::{Bounds, Durability, Embedded, Memory, Options};
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::clock;
use crate::verbs::bench::load;

/// Where the gate keeps what it must.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keeps {
    /// In the model store, which has no disk and no thread; its own work is counted too.
    Model,
    /// In the store of the product, in a temporary folder, with fsync.
    Embedded,
}

/// The gate with its two sessions.
#[derive(Debug)]
pub(super) struct Engine {
    gate: Arc<Gate>,
    receiver: Session,
    answers: SessionHandle,
    sender: Session,
    next: u64,
    /// The store that has files and threads.
    files: Option<Arc<Embedded>>,
    _folder: TempDir,
}

impl Drop for Engine {
    fn drop(&mut self) {
        // It must not work in the folder any more when that goes.
        if let Some(Err(cause)) = self.files.as_ref().map(|files| files.close()) {
            tracing::warn!(%cause, "the store did not end well");
        }
    }
}

impl Engine {
    /// Makes everything anew.
    ///
    /// # Errors
    /// Returns what cannot be made.
    pub(super) async fn start(
        keeps: Keeps,
        observers: Vec<Arc<dyn Observer>>,
    ) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("palisade-bench-").tempdir()?;
        let mut files = None;
        let store: Arc<dyn Store> = match keeps {
            // It copies all that it remembers for each batch, so it must not remember much.
            Keeps::Model => {
                let bounds = Bounds { statuses_max: 1, sent_max: 1, ..Bounds::default() };
                Arc::new(Memory::new(bounds))
            }
            Keeps::Embedded => {
                let options = Options { durability: Durability::Fsync, ..Options::default() };
                let store = Embedded::open(&folder.path().join("data"), options)?;
                files = Some(Arc::clone(&store));
                store
            }
        };
        let gate = Gate::open(parts(folder.path(), store, observers)?).await?;
        let sender = open(&gate, SENDER).await?;
        let receiver = open(&gate, RECEIVER).await?;
        let answers = receiver.handle();
        Ok(Self { gate, receiver, answers, sender, next: 0, files, _folder: folder })
    }

    /// Lets messages go their whole way, so many at once: sent, decided, stored, delivered,
    /// acknowledged.
    ///
    /// # Errors
    /// Returns an error if one of them is refused or does not arrive.
    pub(super) async fn pass(&mut self, count: u32) -> anyhow::Result<()> {
        self.publish(count).await?;
        self.deliver(count).await
    }

    /// Does [`pass`](Self::pass) with messages that are published together, as a native session
    /// does.
    ///
    /// # Errors
    /// Returns an error if one of them is refused or does not arrive.
    pub(super) async fn pass_together(&mut self, count: u32) -> anyhow::Result<()> {
        let mut items = Vec::with_capacity(usize::try_from(count)?);
        for _ in 0..count {
            self.next += 1;
            let key = format!("key-{}", self.next);
            let (trace, wanted) = (TraceContext::default(), Wanted::default());
            items.push(Item { action: send(self.next), trace, key, ttl: None, wanted });
        }
        let publish = Publish { caller: caller(SENDER)?, peer: PEER.to_owned(), items };
        let handed = self.gate.publish(publish, &self.sender.handle()).await;
        handed.outcomes().await.into_iter().try_for_each(accepted)?;
        self.deliver(count).await
    }

    /// Sends messages at once.
    async fn publish(&mut self, count: u32) -> anyhow::Result<()> {
        if count == 1 {
            // As a door does for one call: no task besides that of the gate.
            self.next += 1;
            return accepted(self.gate.run(call(SENDER, send(self.next))?).await);
        }
        let mut runs = JoinSet::new();
        for _ in 0..count {
            self.next += 1;
            let (gate, call) = (Arc::clone(&self.gate), call(SENDER, send(self.next))?);
            runs.spawn(async move { accepted(gate.run(call).await) });
        }
        while let Some(run) = runs.join_next().await {
            run??;
        }
        Ok(())
    }

    /// Takes and acknowledges as many messages as were sent.
    async fn deliver(&mut self, count: u32) -> anyhow::Result<()> {
        let mut left = usize::try_from(count)?;
        while left > 0 {
            let deliveries = self.receiver.next().await.context("the session has ended")?;
            left = left.saturating_sub(deliveries.len());
            let answers = deliveries.iter().map(|one| Settled::acknowledged(one.id)).collect();
            self.answers.settle(answers).await;
        }
        Ok(())
    }
}

fn accepted(answer: Result<Answer, gate::types::Refusal>) -> anyhow::Result<()> {
    match answer {
        Ok(Answer::Accepted { .. }) => Ok(()),
        Ok(_) => bail!("a message was not answered as one"),
        Err(refusal) => bail!("a message was refused: {refusal}"),
    }
}

/// Makes what a server makes of a configuration, with a clock and ids that repeat.
fn parts(
    folder: &Path,
    store: Arc<dyn Store>,
    observers: Vec<Arc<dyn Observer>>,
) -> anyhow::Result<Parts> {
    let file = folder.join("palisade.yaml");
    std::fs::write(&file, CONFIGURATION)?;
    let config = crate::configuration::read(&file, &server::config::Environment::default())?;
    let turning = Arc::new(Turning { next: AtomicU64::new(0), origin: clock::instant() });
    let (clock, ids): (Arc<dyn Clock>, Arc<dyn Ids>) = (Arc::<Turning>::clone(&turning), turning);
    Ok(Parts { clock, ids, observers, ..server::gate_parts(&config, store)? })
}

/// A clock and a source of ids that are the same in every run, so that runs can be compared to the
/// instruction: each question is answered with the next number.
#[derive(Debug)]
struct Turning {
    next: AtomicU64,
    origin: Instant,
}

impl Turning {
    fn next(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }
}

/// Sums up how long each stage of the pipeline took, of messages.
#[derive(Debug, Default)]
pub(super) struct Seen(Mutex<(u32, [Duration; Stage::ALL.len()])>);

impl Seen {
    /// Returns the mean time of each stage since it was asked last.
    pub(super) fn take(&self) -> [Duration; Stage::ALL.len()] {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, sums) = std::mem::take(&mut *seen);
        sums.map(|sum| sum / count.max(1))
    }
}

impl Observer for Seen {
    fn finished(&self, run: &Observed<'_>) {
        if run.is_message {
            let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            seen.0 = seen.0.saturating_add(1);
            for (stage, begun, ended) in run.marks.spans() {
                if let Some(sum) = seen.1.get_mut(stage.index()) {
                    *sum += ended.saturating_sub(begun);
                }
            }
        }
    }

    fn moved(&self, _step: &MessageStep<'_>) {}
}

impl Clock for Turning {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(START_MICROS.saturating_add(self.next()))
    }

    fn elapsed(&self) -> Duration {
        // How long things take is asked of the real one.
        self.origin.elapsed()
    }
}

impl Ids for Turning {
    fn random(&self) -> u128 {
        // Spread over all bits, as the ids of a server are.
        u128::from(self.next()).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
    }
}

async fn open(gate: &Arc<Gate>, agent: &str) -> anyhow::Result<Session> {
    let hello = Hello::Instance(INSTANCE.to_owned(), Intake::Everything);
    match gate.run(call(agent, Action::Open(hello))?).await {
        Ok(Answer::Opened(session)) => Ok(session),
        Ok(_) => bail!("no session was opened"),
        Err(refusal) => bail!("the session was refused: {refusal}"),
    }
}

fn send(number: u64) -> Action {
    let message = Outgoing {
        instance: INSTANCE.to_owned(),
        message_type: load::MESSAGE_TYPE.to_owned(),
        payload: load::payload(number),
        hops: None,
    };
    Action::Send { target: RECEIVER.to_owned(), message }
}

fn call(agent: &str, action: Action) -> anyhow::Result<Call> {
    let trace = TraceContext::default();
    Ok(Call { caller: caller(agent)?, peer: PEER.to_owned(), trace, action })
}

fn caller(agent: &str) -> anyhow::Result<Caller> {
    Ok(Caller::Verified(Principal {
        kind: PrincipalKind::Agent(AgentId::parse(agent)?),
        spiffe_id: format!("spiffe://mas/agent/{agent}"),
        valid_until: Timestamp::from_micros(u64::MAX),
    }))
}

const PEER: &str = "127.0.0.1:50000";
const SENDER: &str = "sender";
const RECEIVER: &str = "receiver";
const INSTANCE: &str = "bench";
/// In November 2026; what stands in records is as long as it is now.
const START_MICROS: u64 = 1_795_000_000_000_000;
const CONFIGURATION: &str = "\
server:
  tls: { cert: server.pem, key: server.key, client_ca: ca.pem }
gateway:
  rate_limit: { per_minute: 1000000000000, per_hour: 1000000000000 }
agents:
  sender: { allow: [receiver] }
  receiver: { allow: [] }
";

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn messages_go_their_whole_way_over_both_stores() {
        for keeps in [Keeps::Model, Keeps::Embedded] {
            let seen = Arc::new(Seen::default());
            let observers: Vec<Arc<dyn Observer>> = vec![Arc::<Seen>::clone(&seen)];
            let mut engine = Engine::start(keeps, observers).await.unwrap();
            engine.pass(1).await.unwrap();
            engine.pass(70).await.unwrap();
            engine.pass_together(70).await.unwrap();
            assert_eq!(seen.0.lock().unwrap().0, 141, "{keeps:?}");
            let means = seen.take();
            assert!(means[Stage::Inspect.index()] > Duration::ZERO, "{means:?}");
            assert_eq!(seen.take(), [Duration::ZERO; 8]);
        }
    }
}
