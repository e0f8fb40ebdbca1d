//! `palisade bench scale`: what grows with the number of sessions, agents, messages and records,
//! and what must not.
//!
//! Each question has its own server, started anew in a temporary folder.

use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum as _;
use serde_json::{Map, Value, json};

use crate::failure::EXIT_FAILED;
use crate::output::Output;

mod filled;
mod growth;

#[derive(Debug, clap::Args)]
pub(super) struct ScaleArgs {
    /// Only these questions.
    #[arg(long, value_delimiter = ',', value_name = "QUESTION,...")]
    only: Vec<Question>,
    /// How many times less than the full size: sessions, agents, messages and records.
    #[arg(long, default_value_t = 1, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1000))]
    divide: u32,
    /// How often each cost is measured; the middle one counts.
    #[arg(long, default_value_t = 3, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// How long each cost is measured, such as 2 or 0.5.
    #[arg(long, default_value = "2", value_name = "SECONDS", value_parser = seconds)]
    seconds: Duration,
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Question {
    /// The memory of each of 1,000 connected sessions that do nothing: at most 64 KiB.
    Idle,
    /// The cost of a message with 10,000 registered agents, beside that with 100: not more.
    Agents,
    /// The memory over a million messages, once the tables that are bounded are full: flat.
    Memory,
    /// The throughput of 256 sessions beside that of 16: at least 0.9.
    Sessions,
    /// The cost of a message with 10,000, 100,000 and 1,000,000 waiting messages: it does not grow.
    Stored,
    /// The same with dead letters.
    Letters,
    /// The same with audit records.
    Records,
}

/// Asks one question after the other and prints the answers.
pub(super) async fn run(args: ScaleArgs, out: &Output) -> anyhow::Result<ExitCode> {
    let questions: Vec<Question> =
        if args.only.is_empty() { Question::value_variants().to_vec() } else { args.only.clone() };
    let mut report = Map::new();
    for question in questions {
        let name = question.to_possible_value();
        let name = name.map_or_else(String::new, |value| value.get_name().to_owned());
        let answer = answer(question, &args).await?;
        if !out.json {
            out.line(&format!("{name}: {answer}"))?;
        }
        report.insert(name, answer);
    }
    let reached = report.values().all(|answer| answer.get("reached") == Some(&Value::Bool(true)));
    if out.json {
        report.insert("bench".to_owned(), "scale".into());
        report.insert("divided_by".to_owned(), args.divide.into());
        report.insert("machine".to_owned(), json!({ "cores": super::cores() }));
        report.insert("ok".to_owned(), reached.into());
        out.json(&report)?;
    }
    Ok(if reached { ExitCode::SUCCESS } else { ExitCode::from(EXIT_FAILED) })
}

async fn answer(question: Question, args: &ScaleArgs) -> anyhow::Result<Value> {
    let less = |full: u32| full.div_ceil(args.divide);
    let rounds = growth::Rounds { rounds: args.rounds, window: args.seconds };
    match question {
        Question::Idle => growth::idle(less(1_000).max(IDLE_MIN)).await,
        Question::Agents => growth::agents(less(100), less(10_000), rounds).await,
        Question::Memory => {
            growth::memory(u64::from(less(growth::KEYS_MAX)), less(1_000_000).into(), rounds).await
        }
        Question::Sessions => growth::sessions([16, 256].map(less), rounds).await,
        Question::Stored => filled::costs(filled::What::Messages, SIZES.map(less), rounds).await,
        Question::Letters => filled::costs(filled::What::Letters, SIZES.map(less), rounds).await,
        Question::Records => filled::costs(filled::What::Records, SIZES.map(less), rounds).await,
    }
}

/// Reads a number of seconds.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_error| "must be a number".to_owned())?;
    let is_good = (0.1..=600.0).contains(&seconds);
    is_good.then(|| Duration::from_secs_f64(seconds)).ok_or_else(|| "must be 0.1 to 600".to_owned())
}

/// What fewer sessions take does not show beside what a process takes and gives back by itself.
const IDLE_MIN: u32 = 50;
const SIZES: [u32; 3] = [10_000, 100_000, 1_000_000];
