//! The way of a message as an operator gets it: one list of steps from records and memory.

use std::time::Duration;

use audit::Record;
use gate::observe::StepKind;
use gate::ports::MessageState;
use gate::recent::{PastRun, PastStep};
use gate::way::Way;
use wire::palisade::admin::v1 as admin;

/// Tells a way.
pub(super) fn tell(way: &Way) -> admin::TraceMessageResponse {
    let id = way.id.to_string();
    let call = way.records.iter().find(|(_, record)| is_call(record, &id));
    let (searched_from, searched_to) = way.searched.unwrap_or_default();
    let mut told = admin::TraceMessageResponse {
        message_id: id.clone(),
        stages_known: way.run.is_some(),
        trace_id: way.run.and_then(|run| run.trace).map(hex).unwrap_or_default(),
        steps: steps(way, &id),
        searched_from,
        searched_to,
        ..admin::TraceMessageResponse::default()
    };
    if let Some(view) = &way.view {
        told.sender_id = view.sender.to_string();
        told.target_id = view.target.to_string();
        told.state = state(view.state).to_owned();
        told.attempts = view.attempts;
        told.reason.clone_from(&view.reason);
    }
    if let Some((_, record)) = call {
        let text =
            |text: &Option<std::borrow::Cow<'_, str>>| text.as_deref().unwrap_or("").to_owned();
        told.sender_id = match text(&record.sender_id) {
            empty if empty.is_empty() => text(&record.user_id),
            sender => sender,
        };
        told.sender_instance_id = text(&record.sender_instance_id);
        if told.target_id.is_empty() {
            told.target_id = text(&record.target_id);
        }
        told.event_type = record.event_type.to_string();
        told.message_type = text(&record.message_type);
        told.decision = record.decision.to_string();
        told.code = text(&record.reason);
        told.decided_by = text(&record.decided_by);
        told.policy_revision = text(&record.policy_revision);
    }
    told
}

/// Returns whether a record is that of the call itself.
fn is_call(record: &Record<'_>, id: &str) -> bool {
    record.request_id == id && !matches!(&*record.event_type, "expired" | "dead_letter")
}

/// Returns all that happened, in its order.
fn steps(way: &Way, id: &str) -> Vec<admin::TraceStep> {
    let mut steps: Vec<_> = way.run.iter().flat_map(stages).collect();
    steps.extend(way.steps.iter().map(step));
    for (number, record) in &way.records {
        let mut step = recorded(*number, record);
        // The record of a call tells when it began; the record itself is what the commit writes.
        if is_call(record, id) {
            let took = Duration::from_micros(record.latency_us);
            step.at_us = step.at_us.saturating_add(micros(took));
            step.took_ns = Some(nanos(took));
            if let Some(run) = &way.run {
                let ended = run.marks.end(gate::observe::Stage::Commit);
                let at = run.started.micros() + micros(ended.unwrap_or_default());
                step.at_us = step.at_us.max(at);
            }
        }
        steps.push(step);
    }
    // What has the same time stays in the order of knowledge: stages, then what came of them.
    steps.sort_by_key(|step| step.at_us);
    steps
}

fn stages(run: &PastRun) -> impl Iterator<Item = admin::TraceStep> {
    let (started, refused_at) = (run.started, run.refused_at);
    let spans: Vec<_> = run.marks.spans().collect();
    spans.into_iter().map(move |(stage, began, ended)| admin::TraceStep {
        step: stage.as_str().to_owned(),
        at_us: started.micros().saturating_add(micros(began)),
        took_ns: Some(nanos(ended.saturating_sub(began))),
        outcome: if refused_at == Some(stage) { "refused" } else { "passed" }.to_owned(),
        ..admin::TraceStep::default()
    })
}

fn step(step: &PastStep) -> admin::TraceStep {
    let (name, outcome) = match step.kind {
        StepKind::Delivered => ("delivered", ""),
        StepKind::Acknowledged => ("acknowledged", ""),
        StepKind::Retried => ("retried", "refused by its receiver, to be tried again"),
        StepKind::DeadLettered { code } => ("dead_lettered", code),
        StepKind::Expired => ("expired", "nobody took it in its time"),
    };
    admin::TraceStep {
        step: name.to_owned(),
        at_us: step.at.micros(),
        took_ns: step.handed_over.map(|handed_over| nanos(step.at.since(handed_over))),
        outcome: outcome.to_owned(),
        attempt: step.attempt,
        instance_id: step.instance.as_ref().map(ToString::to_string).unwrap_or_default(),
        record: 0,
    }
}

fn recorded(number: u64, record: &Record<'_>) -> admin::TraceStep {
    let at_us = audit::to_micros(&record.timestamp);
    let outcome = match &record.reason {
        Some(reason) => format!("{}: {reason}", record.decision),
        None => record.decision.to_string(),
    };
    admin::TraceStep {
        step: record.event_type.to_string(),
        at_us: at_us.and_then(|at| u64::try_from(at).ok()).unwrap_or_default(),
        outcome,
        record: number,
        ..admin::TraceStep::default()
    }
}

const fn state(state: MessageState) -> &'static str {
    match state {
        MessageState::Queued => "queued",
        MessageState::Delivered => "delivered",
        MessageState::Acknowledged => "acknowledged",
        MessageState::Expired => "expired",
        MessageState::DeadLettered => "dead_lettered",
    }
}

fn hex(trace: u128) -> String {
    format!("{trace:032x}")
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
