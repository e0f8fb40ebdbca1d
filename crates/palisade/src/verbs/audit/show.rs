//! Records for people: a row of a table, or one line of a log that grows.

use std::process::ExitCode;

use audit::{Damage, Entry, Found, Record};

use crate::output::{self, Output};

/// Prints records: a table, or a JSON line each.
///
/// # Errors
/// Returns what the output says, and the first damage of the log behind what was read before it.
pub(super) fn table(
    records: impl Iterator<Item = Result<Found, Damage>>,
    out: &Output,
) -> anyhow::Result<ExitCode> {
    let mut rows = Vec::new();
    let mut damage = None;
    for found in records {
        match found {
            Ok(found) if out.json => json_line(&found, out)?,
            Ok(found) => rows.push(row(&found)),
            Err(first) => {
                damage = Some(first);
                break;
            }
        }
    }
    if !out.json {
        out.table(&["seq", "time", "event", "who", "whom", "decision", "why"], &rows)?;
    }
    damage.map_or(Ok(ExitCode::SUCCESS), |damage| Err(super::check::damaged(&damage)))
}

/// Prints one record of a log that is followed.
pub(super) fn line(found: &Found, out: &Output) -> anyhow::Result<()> {
    if out.json {
        return json_line(found, out);
    }
    let record = &found.record;
    let mut text = format!(
        "{:>6} {} {:<16} {} {}",
        found.link.seq,
        record.timestamp,
        record.event_type,
        way(record),
        record.decision,
    );
    let why = why(record);
    if !why.is_empty() {
        text.push_str(": ");
        text.push_str(&why);
    }
    Ok(out.line(&output::clean(&text))?)
}

fn json_line(found: &Found, out: &Output) -> anyhow::Result<()> {
    let entry = Entry { link: found.link, body: found.record.encode().into() };
    Ok(out.line(&String::from_utf8(entry.to_line()?)?)?)
}

fn row(found: &Found) -> Vec<String> {
    let record = &found.record;
    vec![
        found.link.seq.to_string(),
        record.timestamp.to_string(),
        record.event_type.to_string(),
        who(record).to_owned(),
        record.target_id.as_deref().unwrap_or_default().to_owned(),
        record.decision.to_string(),
        why(record),
    ]
}

fn way(record: &Record<'_>) -> String {
    let who = who(record);
    record.target_id.as_deref().map_or_else(|| who.to_owned(), |whom| format!("{who} -> {whom}"))
}

/// Returns the agent, or else the operator.
fn who<'a>(record: &'a Record<'_>) -> &'a str {
    let agent = record.sender_id.as_deref().unwrap_or(&record.agent_id);
    if agent.is_empty() { record.user_id.as_deref().unwrap_or_default() } else { agent }
}

/// Says what decided, what was found, or what an operator changed.
fn why(record: &Record<'_>) -> String {
    let mut parts: Vec<String> = Vec::new();
    parts.extend(record.reason.as_deref().map(str::to_owned));
    parts.extend(record.decided_by.as_deref().map(str::to_owned));
    if !record.violations.is_empty() {
        parts.push(record.violations.join(", "));
    }
    parts.extend(record.detail.iter().map(|(key, value)| format!("{key}={value}")));
    parts.join("; ")
}
