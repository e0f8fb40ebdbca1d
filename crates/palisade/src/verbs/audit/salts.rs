//! `palisade audit match` and `erase`: what can be said about a payload, and until when.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use audit::{Filter, Record};
use serde_json::json;

use super::Log;
use super::check::damaged;
use crate::failure::{EXIT_FAILED, Failure};
use crate::output::Output;

#[derive(Debug, clap::Args)]
pub(super) struct MatchArgs {
    /// The number of the record.
    seq: u64,
    /// The payload's JSON text as it was delivered, byte for byte; a line end behind it does not
    /// matter.
    #[arg(long, value_name = "FILE")]
    payload: PathBuf,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(super) struct EraseArgs {
    /// The numbers of the records.
    #[arg(value_name = "SEQ")]
    records: Vec<u64>,
    /// All records of this message.
    #[arg(long, value_name = "ID")]
    message: Option<String>,
}

/// Compares a payload with the commitment of a record and prints the verdict.
pub(super) fn check(args: &MatchArgs, log: &Log, out: &Output) -> anyhow::Result<ExitCode> {
    let folder = store_of(log)?;
    let commitment = commitment(folder, args.seq)?;
    let payload = payload(&args.payload)?;
    let text = payload.strip_suffix('\n').unwrap_or(&payload);
    let (verdict, says) = match store::read_salt(folder, args.seq)? {
        None => ("erased", "its salt was erased, so nobody can tell any more"),
        Some(salt) if [&payload, text].map(|text| salt.commitment(text)).contains(&commitment) => {
            ("matches", "this payload was delivered")
        }
        Some(_) => ("differs", "another payload was delivered"),
    };
    if out.json {
        out.json(&json!({ "seq": args.seq, "verdict": verdict }))?;
    } else {
        out.line(&format!("{verdict}: record {}: {says}", args.seq))?;
    }
    Ok(if verdict == "matches" { ExitCode::SUCCESS } else { ExitCode::from(EXIT_FAILED) })
}

/// Erases the salts of records that have one or had one.
pub(super) fn erase(args: &EraseArgs, log: &Log, out: &Output) -> anyhow::Result<ExitCode> {
    let folder = store_of(log)?;
    let records = match &args.message {
        Some(id) => of_message(folder, id)?,
        None => args.records.clone(),
    };
    for seq in &records {
        commitment(folder, *seq)?;
    }
    store::erase_salts(folder, &records)?;
    if out.json {
        out.json(&json!({ "erased": records }))?;
    } else {
        let numbers: Vec<String> = records.iter().map(ToString::to_string).collect();
        out.line(&format!("erased the salts of records {}", numbers.join(", ")))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn store_of(log: &Log) -> Result<&Path, Failure> {
    match log {
        Log::Store(folder) => Ok(folder),
        Log::Lines(_) => {
            let text = "salts are in the store only: give its folder with --data instead of --file";
            Err(Failure::usage("store_needed", text))
        }
    }
}

/// Returns the commitment in a record.
fn commitment(folder: &Path, seq: u64) -> anyhow::Result<String> {
    let entry = store::read_audit(folder, seq).next().transpose();
    let entry = entry.map_err(|damage| damaged(&damage))?.filter(|entry| entry.link.seq == seq);
    let entry = entry
        .ok_or_else(|| Failure::failed("record_missing", format!("the log has no record {seq}")))?;
    let none = || {
        let text = format!("record {seq} has no commitment: it is not of a message that was taken");
        Failure::failed("no_commitment", text)
    };
    let record: Record<'_> = entry.record()?;
    Ok(record.payload_commitment.ok_or_else(none)?.into_owned())
}

/// Returns the records of a message that have a commitment.
fn of_message(folder: &Path, id: &str) -> anyhow::Result<Vec<u64>> {
    let filter = Filter { message_id: Some(id.to_owned()), limit: usize::MAX, ..Filter::default() };
    let mut records = Vec::new();
    for found in audit::query(store::read_audit(folder, 1), &filter) {
        let found = found.map_err(|damage| damaged(&damage))?;
        records.extend(found.record.payload_commitment.is_some().then_some(found.link.seq));
    }
    if records.is_empty() {
        let text = format!("the log has no record with a commitment of message `{id}`");
        return Err(Failure::failed("record_missing", text).into());
    }
    Ok(records)
}

fn payload(path: &Path) -> anyhow::Result<String> {
    let unreadable = || format!("cannot read `{}`", path.display());
    let mut text = String::new();
    let file = File::open(path).with_context(unreadable)?;
    file.take(PAYLOAD_BYTES_MAX).read_to_string(&mut text).with_context(unreadable)?;
    Ok(text)
}

/// LIMIT: no payload is longer.
const PAYLOAD_BYTES_MAX: u64 = 64 << 20;
