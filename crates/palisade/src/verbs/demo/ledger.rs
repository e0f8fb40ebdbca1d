//! What the audit log says about the demo, read back from the store's folder.
//!
//! The demo is as expected only if log and wire agree; this is where they are compared.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use audit::{Anchor, Filter, Found, Record, Report, SignedCheckpoint, to_hex};
use serde_json::{Value, json};

use super::story::Step;
use crate::verbs::audit::key;

/// What became of the demo.
#[derive(Debug)]
pub(super) struct Verdict {
    /// How often each decision was made about a message.
    decisions: BTreeMap<String, u64>,
    /// How many messages were taken by a receiver.
    delivered: usize,
    audit: Report,
    /// What was not as expected.
    pub(super) problems: Vec<String>,
}

/// Checks the log and fills the steps' decisions in.
pub(super) fn check(data: &Path, key: &Path, steps: &mut [Step]) -> Verdict {
    let (signed, unsigned) = match checkpoint(data, key) {
        Ok(signed) => (Some(signed), None),
        Err(error) => (None, Some(format!("{error:#}"))),
    };
    let audit = audit::verify_against(store::read_audit(data, 1), signed.as_slice());
    let mut problems: Vec<String> = audit.problems.iter().map(ToString::to_string).collect();
    problems.extend(unsigned);
    if let Some(signed) = signed.filter(|signed| signed.size != audit.entries) {
        problems.push(format!("{} of {} records are signed", signed.size, audit.entries));
    }
    let mut decisions = BTreeMap::new();
    let everything = Filter { limit: usize::MAX, ..Filter::default() };
    for found in audit::query(store::read_audit(data, 1), &everything) {
        match found {
            Ok(found) if is_message(&found.record) => {
                *decisions.entry(found.record.decision.to_string()).or_default() += 1;
                enter(data, &found, steps, &mut problems);
            }
            Ok(_other) => {}
            Err(damage) => problems.push(damage.to_string()),
        }
    }
    compare(steps, &decisions, &mut problems);
    let delivered = steps.iter().filter(|step| step.is_delivered).count();
    Verdict { decisions, delivered, audit, problems }
}

/// Returns what the gate signed last, if the key is the gate's.
fn checkpoint(data: &Path, key: &Path) -> anyhow::Result<Anchor> {
    let signed = SignedCheckpoint::parse(&std::fs::read(data.join("tree/checkpoint"))?)?;
    signed.check_log(key::load(key)?.verifier())?;
    let signed = signed.checkpoint();
    Ok(Anchor { size: signed.size, root: signed.root })
}

fn is_message(record: &Record<'_>) -> bool {
    EVENTS.contains(&record.event_type.as_ref())
}

/// Finds the steps of a record's message and fills in what only the log knows.
fn enter(data: &Path, found: &Found, steps: &mut [Step], problems: &mut Vec<String>) {
    let record = &found.record;
    for step in steps.iter_mut().filter(|step| is_of(record, step)) {
        step.decision = record.decision.to_string();
        let kinds = record.violations.join(", ");
        if !kinds.is_empty() {
            step.why = format!("found: {kinds}");
        } else if step.why.is_empty() {
            step.why = record.decided_by.as_deref().unwrap_or_default().to_owned();
        }
        let Some(sent) = &step.sent else { continue };
        let unchanged = match store::read_salt(data, found.link.seq) {
            Ok(salt) => salt.is_some_and(|salt| {
                record.payload_commitment.as_deref()
                    == Some(salt.commitment(&sent.to_string()).as_str())
            }),
            Err(error) => {
                problems.push(error.to_string());
                continue;
            }
        };
        let changes = matches!(step.expected, "DLP_REDACTED" | "DLP_ENCRYPTED");
        if unchanged == changes {
            let what = if changes { "was delivered as it was sent" } else { "was changed" };
            problems
                .push(format!("{}: by its commitment in the log the payload {what}", step.step));
        }
    }
}

/// Tells whether a record is of a step: by its message, or for a refusal, which has none that the
/// sender knows, by who, whom and the decision, of which the story has no two.
fn is_of(record: &Record<'_>, step: &Step) -> bool {
    match &step.message_id {
        Some(id) => record.message_id.as_deref() == Some(id.as_str()),
        None => {
            record.decision == step.decision
                && record.sender_id.as_deref() == Some(step.who)
                && record.target_id.as_deref() == Some(step.whom)
        }
    }
}

fn compare(steps: &[Step], decisions: &BTreeMap<String, u64>, problems: &mut Vec<String>) {
    for step in steps {
        if step.decision != step.expected {
            let (name, expected) = (step.step, step.expected);
            let was = if step.decision.is_empty() { "not in the log" } else { &step.decision };
            problems.push(format!("{name}: the decision is {was}, not {expected}"));
        }
    }
    for decision in DECISIONS {
        let logged = decisions.get(decision).copied().unwrap_or_default();
        // A replayed letter is the second step of one message, so steps count by message.
        let mut seen: Vec<_> = steps
            .iter()
            .filter(|step| step.decision == decision)
            .map(|step| step.message_id.as_ref())
            .collect();
        let refusals = seen.iter().filter(|id| id.is_none()).count();
        seen.retain(Option::is_some);
        seen.sort_unstable();
        seen.dedup();
        let on_the_wire = refusals + seen.len();
        if on_the_wire == 0 || u64::try_from(on_the_wire) != Ok(logged) {
            problems.push(format!("{decision}: {on_the_wire} on the wire, {logged} in the log"));
        }
    }
}

impl Verdict {
    /// Tells whether everything was as expected.
    pub(super) const fn ok(&self) -> bool {
        self.audit.ok && self.problems.is_empty()
    }

    /// Returns the report for programs.
    pub(super) fn report(&self, steps: &[Step], took: Duration) -> Value {
        json!({
            "ok": self.ok(),
            "decisions": self.decisions,
            "delivered": self.delivered,
            "audit": {
                "entries": self.audit.entries,
                "verified": self.audit.ok,
                "head": to_hex(&self.audit.head),
            },
            "restarts": 1,
            "seconds": took.as_secs_f64(),
            "steps": steps,
            "problems": self.problems,
        })
    }

    /// Returns the last line for people.
    pub(super) fn summary(&self, took: Duration) -> String {
        let counts: Vec<String> =
            self.decisions.iter().map(|(name, count)| format!("{count} {name}")).collect();
        let verified = if self.audit.ok { "verified" } else { "NOT VERIFIED" };
        format!(
            "{}\n{} delivered and taken, none lost although the gate was killed once.\n\
             Audit log: {} entries, {verified}, head {}\n{} in {:.1} s",
            counts.join(", "),
            self.delivered,
            self.audit.entries,
            to_hex(&self.audit.head),
            if self.ok() { "As expected" } else { "NOT AS EXPECTED" },
            took.as_secs_f64(),
        )
    }
}

const EVENTS: [&str; 3] = ["message.send", "message.request", "message.reply"];
/// The decisions that the demo must provoke.
const DECISIONS: [&str; 8] = [
    "ALLOWED",
    "ALERT",
    "DLP_REDACTED",
    "DLP_ENCRYPTED",
    "DLP_BLOCKED",
    "RATE_LIMITED",
    "CIRCUIT_OPEN",
    "AUTHZ_DENIED",
];
