//! `palisade bench stages`: what each part of a message's way costs, without a network.
//!
//! The same parts are counted to the instruction by `cargo xtask instructions`, which runs this
//! verb with `--only` and `--count`.

use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use anyhow::{Context as _, ensure};
use audit::{Chain, Record, Salt};
use clap::ValueEnum as _;
use gate::ports::Observer;
use inspect::{Dlp, DlpSpec, Document, Limits, Outcome};
use policy::{Action, AgentRules, Policy, RuleBook};
use serde::Serialize;
use tokio::runtime::{Builder, Runtime};

use super::load;
use super::timing::{self, Spread};
use crate::output::Output;

mod engine;

use engine::{Engine, Keeps, Seen};

#[derive(Debug, clap::Args)]
pub(super) struct StagesArgs {
    /// Only this one.
    #[arg(long, value_name = "STAGE")]
    only: Option<Stage>,
    /// Do it exactly so often and time nothing: for tools that count instructions.
    #[arg(long, value_name = "N", requires = "only")]
    count: Option<u32>,
}

/// A part of the way that can be done by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Stage {
    /// Checks and indexes the payload.
    Parse,
    /// Searches it with all default rules.
    Inspect,
    /// Asks the access rules.
    Authorize,
    /// Salts and hashes the payload.
    Commitment,
    /// Writes the audit record.
    Record,
    /// Takes the record into the hash chain.
    Chain,
    /// The whole way of one message over the model store: no disk, no other thread.
    Way,
    /// The whole way over the store of the product with fsync, 1 message at a time.
    Stored,
    /// Likewise, 64 messages at a time.
    StoredBatch,
    /// As `way`, of messages that a native session publishes 64 at a time, with keys.
    Native,
    /// Likewise, over the store of the product with fsync.
    StoredNative,
}

/// The figures of one stage.
#[derive(Debug, Serialize)]
struct Row {
    stage: String,
    ns: Option<Spread>,
}

/// Measures, or does what is to be counted.
pub(super) async fn run(args: StagesArgs, out: &Output) -> anyhow::Result<ExitCode> {
    let stages: Vec<Stage> = match args.only {
        Some(stage) => vec![stage],
        None => Stage::value_variants().to_vec(),
    };
    // A thread of its own, with a runtime that has no other: nothing is counted or timed that
    // only hands work from one thread to another.
    let (say, said) = tokio::sync::oneshot::channel();
    let worker = thread::Builder::new().name("stages".to_owned()).spawn(move || {
        // Whoever waited may have gone; then nobody wants the figures.
        drop(say.send(measure(&stages, args.count)));
    })?;
    let rows = said.await.context("the measuring thread has failed")?;
    let joined = worker.join();
    ensure!(joined.is_ok(), "the measuring thread has failed");
    let rows = rows?;
    if out.json {
        out.json(&serde_json::json!({
            "bench": "stages",
            "payload_bytes": load::PAYLOAD_BYTES,
            "stages": rows,
        }))?;
    } else {
        let cells: Vec<Vec<String>> =
            rows.iter().map(|row| vec![row.stage.clone(), timing::cell(row.ns)]).collect();
        out.table(&["stage", "ns per message"], &cells)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn measure(stages: &[Stage], count: Option<u32>) -> anyhow::Result<Vec<Row>> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    // Also what is dropped between two stages ends its tasks here.
    let _context = runtime.enter();
    let mut rows = Vec::new();
    for stage in stages {
        let (mut work, at_once) = stage.work(&runtime)?;
        let ns = match count {
            None => timing::time(&mut work)?.map(|spread| spread.divided(at_once)),
            Some(count) => {
                for _ in 0..count {
                    work()?;
                }
                None
            }
        };
        rows.push(Row { stage: stage.name(), ns });
    }
    if stages.len() > 1 && count.is_none() {
        rows.extend(pipeline(&runtime)?);
    }
    Ok(rows)
}

/// Asks the pipeline itself how long each of its stages takes, over the store of the product with
/// 64 messages at a time. A commit waits for its sync, so its time is hardly the CPU's.
fn pipeline(runtime: &Runtime) -> anyhow::Result<Vec<Row>> {
    let seen = Arc::new(Seen::default());
    let observer: Arc<dyn Observer> = Arc::<Seen>::clone(&seen);
    let mut engine = runtime.block_on(Engine::start(Keeps::Embedded, vec![observer]))?;
    let mut rounds = Vec::new();
    for _ in 0..PIPELINE_ROUNDS {
        runtime.block_on(async {
            for _ in 0..4 {
                engine.pass(64).await?;
            }
            anyhow::Ok(())
        })?;
        rounds.push(seen.take());
    }
    let rows = gate::observe::Stage::ALL.into_iter().map(|stage| {
        let means = rounds.iter().filter_map(|means| means.get(stage.index()));
        let ns = Spread::of(means.map(|mean| mean.as_secs_f64() * 1e9));
        Row { stage: format!("pipeline: {}", stage.as_str()), ns }
    });
    Ok(rows.collect())
}

/// One turn of a stage, and how many messages that is.
type Work<'a> = (Box<dyn FnMut() -> anyhow::Result<()> + 'a>, u32);

impl Stage {
    fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    fn work(self, runtime: &Runtime) -> anyhow::Result<Work<'_>> {
        let text = load::payload(0);
        let limits = Limits::default();
        Ok(match self {
            Self::Parse => (
                Box::new(move || {
                    ensure!(Document::parse(&text, &limits)?.text() == text, "another text");
                    Ok(())
                }),
                1,
            ),
            Self::Inspect => {
                let dlp = Dlp::compile(&DlpSpec::default())?;
                let document = Document::parse(&text, &limits)?;
                let work = move || {
                    let inspection = dlp.inspect(&document, None);
                    ensure!(inspection.outcome == Outcome::Clean, "the payload is not clean");
                    Ok(())
                };
                (Box::new(work), 1)
            }
            Self::Authorize => (Box::new(authorize()), 1),
            Self::Commitment => {
                let work = move || {
                    ensure!(!Salt::new(1).commitment(&text).is_empty(), "no commitment");
                    Ok(())
                };
                (Box::new(work), 1)
            }
            Self::Record => (Box::new(|| record().map(drop)), 1),
            Self::Chain => {
                let (mut chain, body) = (Chain::default(), record()?);
                let work = move || {
                    chain.append(&body);
                    Ok(())
                };
                (Box::new(work), 1)
            }
            Self::Way => way(runtime, Keeps::Model, 1)?,
            Self::Stored => way(runtime, Keeps::Embedded, 1)?,
            Self::StoredBatch => way(runtime, Keeps::Embedded, 64)?,
            Self::Native => native(runtime, Keeps::Model, 64)?,
            Self::StoredNative => native(runtime, Keeps::Embedded, 64)?,
        })
    }
}

fn way(runtime: &Runtime, keeps: Keeps, at_once: u32) -> anyhow::Result<Work<'_>> {
    let mut engine = runtime.block_on(Engine::start(keeps, Vec::new()))?;
    Ok((Box::new(move || runtime.block_on(engine.pass(at_once))), at_once))
}

fn native(runtime: &Runtime, keeps: Keeps, at_once: u32) -> anyhow::Result<Work<'_>> {
    let mut engine = runtime.block_on(Engine::start(keeps, Vec::new()))?;
    Ok((Box::new(move || runtime.block_on(engine.pass_together(at_once))), at_once))
}

fn authorize() -> impl FnMut() -> anyhow::Result<()> {
    let allow = ["receiver".to_owned()].into();
    let sender = AgentRules { allow, ..AgentRules::default() };
    let agents = [("sender".to_owned(), sender)].into();
    let policy = Policy::compile(&RuleBook { agents, ..RuleBook::default() });
    move || {
        ensure!(policy.decide("sender", Action::Send, "receiver").is_allowed(), "not allowed");
        Ok(())
    }
}

/// Writes a record as an accepted message has it.
fn record() -> anyhow::Result<Vec<u8>> {
    let id = "0123456789abcdef0123456789abcdef";
    let record = Record {
        timestamp: "2026-11-22T12:00:00.000000Z".into(),
        event_type: "message.send".into(),
        agent_id: "sender".into(),
        request_id: id.into(),
        decision: "ALLOWED".into(),
        decided_by: Some("allow list of `sender`: `receiver`".into()),
        message_id: Some(id.into()),
        sender_id: Some("sender".into()),
        sender_instance_id: Some("bench".into()),
        target_id: Some("receiver".into()),
        message_type: Some(load::MESSAGE_TYPE.into()),
        latency_us: 50,
        payload_commitment: Some(id.repeat(2).into()),
        policy_revision: Some("0123456789abcdef".into()),
        peer: Some("127.0.0.1:50000".into()),
        spiffe_id: Some("spiffe://mas/agent/sender".into()),
        ..Record::default()
    };
    let bytes = record.encode();
    ensure!(!bytes.is_empty(), "an empty record");
    Ok(bytes)
}

const PIPELINE_ROUNDS: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_can_be_done_by_itself_so_often_as_asked() {
        let rows = measure(Stage::value_variants(), Some(3)).unwrap();
        assert_eq!(rows.len(), Stage::value_variants().len());
        assert!(rows.iter().all(|row| row.ns.is_none()));
    }
}
