//! `palisade audit verify`: is the log whole.

use std::process::ExitCode;

use audit::{Damage, Hash, Report, from_hex, to_hex};

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
}

/// Checks the log and prints what was found.
pub(super) fn run(args: &CheckArgs, log: &Log, out: &Output) -> anyhow::Result<ExitCode> {
    let mut report = walk(log)?;
    if let (Some(seq), Some(head)) = (args.expect_seq, &args.expect_head) {
        let head = from_hex(head).ok_or_else(|| {
            Failure::usage("hash", "--expect-head takes 64 hexadecimal digits, as verify prints")
        })?;
        report = report.against(seq, head);
    }
    if out.json {
        out.json(&report)?;
    } else {
        print(&report, out)?;
    }
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::from(EXIT_FAILED) })
}

/// Checks a log from its first entry; a sink's file may begin later, its older part being in
/// another file.
fn walk(log: &Log) -> anyhow::Result<Report> {
    let mut entries = log.entries(1)?;
    let start = match log {
        Log::Store(_) => None,
        Log::Lines(_) => first_link(&mut entries),
    };
    let entries = match &start {
        Some(_) => log.entries(1)?,
        None => entries,
    };
    Ok(audit::verify(entries, start))
}

fn first_link(entries: &mut Entries) -> Option<(u64, Hash)> {
    let link = entries.next()?.ok()?.link;
    Some((link.seq, link.prev))
}

fn print(report: &Report, out: &Output) -> anyhow::Result<()> {
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
