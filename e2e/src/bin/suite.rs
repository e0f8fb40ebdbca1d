//! Runs one suite, or all of them, and prints one JSON report each on standard output; behind all
//! of them one more, about what they took together.

use std::process::ExitCode;

use clap::Parser;
use e2e::{Effort, Suite, Together, attack_if_told};

/// What is run, and for how long.
#[derive(Debug, Parser)]
struct Cli {
    /// Which suites; all of them if none is named
    #[arg(value_enum)]
    suites: Vec<Suite>,
    /// Runs the short form, as the test command does
    #[arg(long)]
    short: bool,
    /// Rounds of the cases that come in rounds
    #[arg(long)]
    rounds: Option<u32>,
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "a tool for the terminal")]
#[expect(clippy::print_stderr, reason = "a tool for the terminal")]
async fn main() -> ExitCode {
    match attack_if_told().await {
        Ok(true) => return ExitCode::SUCCESS,
        Ok(false) => {}
        Err(error) => {
            eprintln!("{error:#}");
            return ExitCode::FAILURE;
        }
    }
    let cli = Cli::parse();
    let effort = Effort { is_short: cli.short, rounds: cli.rounds };
    let all = [Suite::Faults, Suite::Audit, Suite::Identity, Suite::Abuse];
    let is_all = cli.suites.is_empty();
    let suites = if is_all { all.to_vec() } else { cli.suites };
    let mut reports = Vec::new();
    for suite in suites {
        let report = suite.run(effort).await;
        println!("{}", report.json());
        reports.push(report);
    }
    let together = Together::of(effort, &reports);
    if is_all {
        println!("{}", together.json());
    }
    if together.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
