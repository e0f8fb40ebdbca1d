//! `palisade trace`: a message's whole way, step by step.
//!
//! It needs an operator's certificate; what the sender alone may know is `palisade status`.

use std::process::ExitCode;

use palisade_client::admin::{TraceMessageRequest, TraceMessageResponse, TraceStep};
use serde_json::{Value, json};

use crate::connect::{self, Connect};
use crate::output::{Output, clean};
use crate::verbs::top::units;

/// What `palisade trace` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The id of a message, or of a call that was refused as `palisade top` shows it.
    message_id: String,
    /// How many records to search, from the newest back.
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    records: u64,
    #[command(flatten)]
    connect: Connect,
}

/// Asks the gate and prints what it knows; fails if it knows nothing.
pub(crate) async fn run(args: Args, out: &Output) -> anyhow::Result<ExitCode> {
    connect::conclude(trace(args, out).await, out)
}

async fn trace(args: Args, out: &Output) -> anyhow::Result<ExitCode> {
    let operator = args.connect.operator().await?;
    let request = TraceMessageRequest { message_id: args.message_id, records_max: args.records };
    let way = operator.trace(request).await?;
    if out.json {
        out.json(&object(&way))?;
    } else {
        print(&way, out)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print(way: &TraceMessageResponse, out: &Output) -> anyhow::Result<()> {
    for (name, text) in facts(way) {
        if !text.is_empty() {
            out.line(&clean(&format!("{name:<9} {text}")))?;
        }
    }
    out.line("")?;
    let began = began(&way.steps);
    let rows: Vec<_> = way.steps.iter().map(|step| row(step, began)).collect();
    out.table(&["at", "step", "took", "outcome", "attempt", "instance", "record"], &rows)?;
    for note in notes(way) {
        out.note(&note);
    }
    Ok(())
}

fn facts(way: &TraceMessageResponse) -> [(&'static str, String); 8] {
    let from = match (way.sender_id.as_str(), way.sender_instance_id.as_str()) {
        (sender, "") => sender.to_owned(),
        (sender, instance) => format!("{sender} ({instance})"),
    };
    let decision = match way.code.as_str() {
        "" => way.decision.clone(),
        code => format!("{}: {code}", way.decision),
    };
    let state = match (way.state.as_str(), way.attempts, way.reason.as_str()) {
        ("", ..) => String::new(),
        (state, 0, _) => state.to_owned(),
        (state, attempts, "") => format!("{state}, attempts: {attempts}"),
        (state, attempts, reason) => format!("{state}, attempts: {attempts}, {reason}"),
    };
    let kind = match (way.event_type.as_str(), way.message_type.as_str()) {
        (event, "") => event.to_owned(),
        (event, message_type) => format!("{event} `{message_type}`"),
    };
    let route = match way.target_id.as_str() {
        "" => from,
        target => format!("{from} -> {target}"),
    };
    let rule = match way.policy_revision.as_str() {
        "" => way.decided_by.clone(),
        revision => format!("{} (policy {revision})", way.decided_by),
    };
    [
        ("message", way.message_id.clone()),
        ("way", route),
        ("kind", kind),
        ("decision", decision),
        ("by", rule),
        ("state", state),
        ("trace", way.trace_id.clone()),
        ("began", units::moment(began(&way.steps))),
    ]
}

/// Says what could not be told, and what would help.
fn notes(way: &TraceMessageResponse) -> Vec<String> {
    let mut notes = Vec::new();
    if !way.stages_known {
        notes.push(
            "the times of its stages are no longer in memory; `delivery.trace_bytes_max` says how \
             much is kept"
                .to_owned(),
        );
    }
    if way.decision.is_empty() {
        notes.push(format!(
            "its record is not among those searched ({} to {}); search more with `--records N`",
            way.searched_from, way.searched_to
        ));
    }
    notes
}

/// Returns when it began, in microseconds since 1970.
fn began(steps: &[TraceStep]) -> u64 {
    steps.iter().map(|step| step.at_us).min().unwrap_or_default()
}

fn row(step: &TraceStep, began: u64) -> Vec<String> {
    let number = |number: u64| if number == 0 { String::new() } else { number.to_string() };
    #[expect(clippy::cast_precision_loss, reason = "a time for a person")]
    let micros = |micros: u64| units::micros(micros as f64);
    #[expect(clippy::cast_precision_loss, reason = "a time for a person")]
    let took = step.took_ns.map(|took| units::micros(took as f64 / 1_000.0));
    vec![
        format!("+{}", micros(step.at_us.saturating_sub(began))),
        step.step.clone(),
        took.unwrap_or_default(),
        step.outcome.clone(),
        number(step.attempt.into()),
        step.instance_id.clone(),
        number(step.record),
    ]
}

fn object(way: &TraceMessageResponse) -> Value {
    let began = began(&way.steps);
    let steps: Vec<_> = way
        .steps
        .iter()
        .map(|step| {
            json!({
                "step": step.step,
                "at_us": step.at_us,
                "offset_us": step.at_us.saturating_sub(began),
                "took_ns": step.took_ns,
                "outcome": step.outcome,
                "attempt": (step.attempt > 0).then_some(step.attempt),
                "instance_id": some(&step.instance_id),
                "record": (step.record > 0).then_some(step.record),
            })
        })
        .collect();
    json!({
        "message_id": way.message_id,
        "sender_id": some(&way.sender_id),
        "sender_instance_id": some(&way.sender_instance_id),
        "target_id": some(&way.target_id),
        "event_type": some(&way.event_type),
        "message_type": some(&way.message_type),
        "decision": some(&way.decision),
        "code": some(&way.code),
        "decided_by": some(&way.decided_by),
        "policy_revision": some(&way.policy_revision),
        "trace_id": some(&way.trace_id),
        "state": some(&way.state),
        "attempts": way.attempts,
        "reason": some(&way.reason),
        "stages_known": way.stages_known,
        "records_searched": { "from": way.searched_from, "to": way.searched_to },
        "steps": steps,
    })
}

/// Returns nothing for what is not known.
fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}
