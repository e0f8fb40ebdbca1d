//! Records as CSV for spreadsheets and as a JSON array for programs.
//!
//! An export is for reading, not for proof: it leaves out what a table cannot
//! show and escapes what could act on the reader's machine.

use std::io::{self, Write};

use crate::entry::{HASH, PREV_HASH, SEQ};
use crate::json::{self, Layout, Object};
use crate::{Damage, Found, to_hex};

/// Says why an export stopped.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The log is damaged; what was written before is sound.
    #[error("the log is damaged: {0}")]
    Damaged(#[from] Damage),
    /// The output could not be written.
    #[error("cannot write the export: {0}")]
    Io(#[from] io::Error),
}

/// Writes records as CSV with a heading and returns how many there were.
///
/// A cell that a spreadsheet would take for a formula gets a `'` in front.
///
/// # Errors
/// Fails if the output cannot be written or at the first damage of the log.
pub fn export_csv(
    out: impl Write,
    records: impl Iterator<Item = Result<Found, Damage>>,
) -> Result<u64, ExportError> {
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record(COLUMNS).map_err(output)?;
    let mut count = 0;
    for found in records {
        csv.write_record(row(&found?)).map_err(output)?;
        count += 1;
    }
    csv.flush()?;
    Ok(count)
}

/// Returns the output's own error, so that a closed pipe is still known as one.
fn output(error: csv::Error) -> io::Error {
    let text = error.to_string();
    if let csv::ErrorKind::Io(cause) = error.into_kind() { cause } else { io::Error::other(text) }
}

/// Writes records as one indented JSON array and returns how many there were.
///
/// # Errors
/// Fails if the output cannot be written or at the first damage of the log; the
/// array is then left open, so that no program takes it for whole.
pub fn export_json(
    mut out: impl Write,
    records: impl Iterator<Item = Result<Found, Damage>>,
) -> Result<u64, ExportError> {
    let mut count = 0;
    out.write_all(b"[")?;
    for found in records {
        let Found { link, record } = found?;
        let mut element = Vec::new();
        element.extend_from_slice(if count == 0 { b"\n  " } else { b",\n  " });
        let mut object = Object::open(&mut element, Layout::Indented);
        object.number(SEQ, link.seq);
        object.text(HASH, &to_hex(&link.hash));
        object.text(PREV_HASH, &to_hex(&link.prev));
        record.write(&mut object);
        object.close();
        out.write_all(&element)?;
        count += 1;
    }
    out.write_all(if count == 0 { b"]\n" } else { b"\n]\n" })?;
    out.flush()?;
    Ok(count)
}

fn row(found: &Found) -> [String; COLUMNS.len()] {
    let Found { link, record } = found;
    let optional = |text: Option<&str>| cell(text.unwrap_or_default());
    [
        link.seq.to_string(),
        cell(&record.timestamp),
        cell(&record.event_type),
        cell(&record.decision),
        cell(record.outcome.as_str()),
        optional(record.reason.as_deref()),
        optional(record.message_id.as_deref()),
        optional(record.sender_id.as_deref()),
        optional(record.sender_instance_id.as_deref()),
        optional(record.target_id.as_deref()),
        optional(record.message_type.as_deref()),
        optional(record.correlation_id.as_deref()),
        record.latency_us.to_string(),
        optional(record.payload_commitment.as_deref()),
        cell(&record.violations.join(";")),
        optional(record.policy_revision.as_deref()),
        to_hex(&link.prev),
        to_hex(&link.hash),
    ]
}

/// Returns a text that a spreadsheet shows and does not run.
fn cell(text: &str) -> String {
    let shown = json::shown(text);
    let runs = shown.starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']);
    if runs { format!("'{shown}") } else { shown }
}

const COLUMNS: [&str; 18] = [
    SEQ,
    "timestamp",
    "event_type",
    "decision",
    "outcome",
    "reason",
    "message_id",
    "sender_id",
    "sender_instance_id",
    "target_id",
    "message_type",
    "correlation_id",
    "latency_us",
    "payload_commitment",
    "violations",
    "policy_revision",
    PREV_HASH,
    HASH,
];

#[cfg(test)]
mod tests;
