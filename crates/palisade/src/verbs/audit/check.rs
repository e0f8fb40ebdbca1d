//! `palisade audit verify`: is the log whole.

use std::path::PathBuf;
use std::process::ExitCode;

use audit::{Damage, Hash, Report, from_hex, to_hex};
use serde::Serialize;

use super::anchor::{self, Anchor, Keys};
use super::{Entries, Log};
use crate::failure::{EXIT_FAILED, Failure};
use crate::output::Output;

#[derive(Debug, clap::Args)]
pub(super) struct CheckArgs {
    /// The number that the last record must have, from a copy kept elsewhere: without it a log
    /// that was cut off at its end looks whole.
    #[arg(long, value_name = "N", requires = "expect_head")]
    expect_seq: Option<u64>,
    /// The hash that the last record must have, as an earlier run printed it.
    #[arg(long, value_name = "HEX", requires = "expect_seq")]
    expect_head: Option<String>,
    /// A checkpoint from a copy kept elsewhere; may be repeated. Without it the newest ones of the
    /// store are taken, which show what was changed later, but not who changed both.
    #[arg(long, value_name = "FILE")]
    checkpoint: Vec<PathBuf>,
    #[command(flatten)]
    keys: Keys,
}

/// What was found in the log and against its checkpoints.
#[derive(Debug, Serialize)]
struct Found {
    #[serde(flatten)]
    report: Report,
    checkpoints: Vec<Anchor>,
    alarms: Vec<String>,
}

/// Checks the log and prints what was found.
pub(super) fn run(args: &CheckArgs, log: &Log, out: &Output) -> anyhow::Result<ExitCode> {
    // Before the log: that of a running server grows meanwhile.
    let checkpoints = anchors(args, log)?;
    let mut report = walk(log, &checkpoints)?;
    if let (Some(seq), Some(head)) = (args.expect_seq, &args.expect_head) {
        let head = from_hex(head).ok_or_else(|| {
            Failure::usage("hash", "--expect-head takes 64 hexadecimal digits, as verify prints")
        })?;
        report = report.against(seq, head);
    }
    let alarms = match log {
        Log::Store(store) => anchor::alarms(store),
        Log::Lines(_) => Vec::new(),
    };
    report.ok &= alarms.is_empty();
    let found = Found { report, checkpoints, alarms };
    if out.json {
        out.json(&found)?;
    } else {
        print(&found, out)?;
    }
    Ok(if found.report.ok { ExitCode::SUCCESS } else { ExitCode::from(EXIT_FAILED) })
}

/// Returns the checkpoints that were named, else the newest of the store.
fn anchors(args: &CheckArgs, log: &Log) -> Result<Vec<Anchor>, Failure> {
    let files = match log {
        _ if !args.checkpoint.is_empty() => args.checkpoint.clone(),
        Log::Store(store) => anchor::newest(store),
        Log::Lines(_) => Vec::new(),
    };
    let mut anchors = Vec::new();
    let mut refused = None;
    for file in &files {
        match Anchor::of(file, &args.keys) {
            Ok(anchor) => anchors.push(anchor),
            // Not each of the store's own is cosigned by each witness.
            Err(error) if args.checkpoint.is_empty() && args.keys.wants_witness() => {
                refused = Some(error);
            }
            Err(error) => return Err(error),
        }
    }
    if let Some(refused) = refused.filter(|_| anchors.is_empty()) {
        return Err(refused);
    }
    if anchors.is_empty() && (args.keys.wants_witness() || args.keys.has_log_key()) {
        let text = "there is no checkpoint to check with the key: name one with --checkpoint";
        return Err(Failure::failed("no_checkpoint", text));
    }
    Ok(anchors)
}

/// Checks a log from its first entry; a sink's file may begin later, its older part being in
/// another file.
fn walk(log: &Log, anchors: &[Anchor]) -> anyhow::Result<Report> {
    let mut entries = log.entries(1)?;
    let start = match log {
        Log::Store(_) => None,
        Log::Lines(_) => first_link(&mut entries),
    };
    let entries = match &start {
        Some(_) => log.entries(1)?,
        None => entries,
    };
    match start {
        Some((seq, _)) if seq > 1 && anchors.is_empty() => Ok(audit::verify(entries, start)),
        Some((seq, _)) if seq > 1 => {
            let text = format!(
                "the file begins with record {seq}, and a checkpoint is over all from the first: \
                 give the store with --data"
            );
            Err(Failure::failed("checkpoint_unreachable", text).into())
        }
        Some(_) | None => {
            let trees: Vec<audit::Anchor> = anchors.iter().map(Anchor::tree).collect();
            Ok(audit::verify_against(entries, &trees))
        }
    }
}

fn first_link(entries: &mut Entries) -> Option<(u64, Hash)> {
    let link = entries.next()?.ok()?.link;
    Some((link.seq, link.prev))
}

fn print(found: &Found, out: &Output) -> anyhow::Result<()> {
    let report = &found.report;
    for alarm in &found.alarms {
        out.line(&format!("alarm of the server: {alarm}"))?;
    }
    for anchor in &found.checkpoints {
        out.line(&anchor.line())?;
    }
    for problem in &report.problems {
        out.line(&problem.to_string())?;
    }
    let hidden = report.problem_count.saturating_sub(report.problems.len() as u64);
    if hidden > 0 {
        out.line(&format!("and {hidden} more"))?;
    }
    let verdict = if report.ok { "ok" } else { "NOT OK" };
    out.line(&format!(
        "{verdict}: {} entries, {} to {}, head {}",
        report.entries,
        report.first_seq,
        report.last_seq,
        to_hex(&report.head),
    ))?;
    Ok(())
}

/// Makes the error for a log that cannot be read on.
pub(super) fn damaged(damage: &Damage) -> anyhow::Error {
    let text = format!("the audit log is damaged: {damage}; run `palisade audit verify`");
    Failure::failed("audit_damaged", text).into()
}
