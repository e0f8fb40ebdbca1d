//! `palisade audit tail`: the newest records, and those that follow.

use std::collections::VecDeque;
use std::process::ExitCode;
use std::time::Duration;

use audit::{Filter, Found};

use super::{Log, check, show};
use crate::output::Output;

#[derive(Debug, clap::Args)]
pub(super) struct TailArgs {
    /// How many records.
    #[arg(short = 'n', long = "lines", default_value_t = 20, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u32).range(0..=100_000))]
    count: u32,
    /// Go on and print records as they come.
    #[arg(short, long)]
    follow: bool,
}

/// Prints the end of the log.
pub(super) async fn run(args: &TailArgs, log: &Log, out: &Output) -> anyhow::Result<ExitCode> {
    let mut newest: VecDeque<Found> = VecDeque::new();
    let count = usize::try_from(args.count)?;
    let mut next_seq = read(log, 1, |found| {
        newest.push_back(found);
        if newest.len() > count {
            newest.pop_front();
        }
        Ok(())
    })?;
    for found in &newest {
        show::line(found, out)?;
    }
    drop(newest);
    if !args.follow {
        return Ok(ExitCode::SUCCESS);
    }
    loop {
        tokio::time::sleep(POLL_INTERVAL).await;
        next_seq = read(log, next_seq, |found| show::line(&found, out))?;
    }
}

/// Hands on every record from a number on and returns the number that comes next.
fn read(
    log: &Log,
    mut next_seq: u64,
    mut each: impl FnMut(Found) -> anyhow::Result<()>,
) -> anyhow::Result<u64> {
    let everything = Filter { limit: usize::MAX, ..Filter::default() };
    for found in audit::query(log.entries(next_seq)?, &everything) {
        let found = found.map_err(|damage| check::damaged(&damage))?;
        next_seq = found.link.seq + 1;
        each(found)?;
    }
    Ok(next_seq)
}

/// How often the log is looked at; a person does not notice the difference to at once.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
