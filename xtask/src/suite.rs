//! Runs a suite of the crate `e2e` against the release binary.

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};

/// Which suite is run, and for how long.
#[derive(Debug, Clone, Args)]
pub(crate) struct Asked {
    /// Which suite
    #[arg(value_enum)]
    name: Name,
    /// Runs the short form, as the test command does
    #[arg(long)]
    short: bool,
    /// Rounds of the cases that come in rounds
    #[arg(long)]
    rounds: Option<u32>,
    /// Prints nothing but the report on standard output; it is always JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    All,
    Faults,
    Audit,
    Identity,
    Abuse,
}

/// Builds what a suite needs, and runs it.
///
/// # Errors
///
/// Fails when a program that it needs can't be started.
pub(crate) fn run(root: &Path, asked: &Asked) -> Result<ExitCode> {
    let mut builds = vec![
        // As the test command builds it: another selection would unify features differently.
        cargo(root, &["build", "--workspace", "--bin", "suite"]),
    ];
    if std::env::var_os("PALISADE_BIN").is_none() {
        builds.insert(0, cargo(root, &["build", "--release", "-p", "palisade"]));
    }
    for mut build in builds {
        build.stdout(Stdio::null());
        if !build.status().context("cargo did not start")?.success() {
            return Ok(ExitCode::FAILURE);
        }
    }
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), Into::into);
    let mut suite = Command::new(target.join("debug/suite"));
    suite.current_dir(root);
    if asked.name != Name::All {
        suite.arg(asked.name.to_possible_value().context("no name")?.get_name());
    }
    if asked.short {
        suite.arg("--short");
    }
    if let Some(rounds) = asked.rounds {
        suite.args(["--rounds", &rounds.to_string()]);
    }
    let status = suite.status().context("the suite did not start")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn cargo(root: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.args(arguments).current_dir(root);
    command
}
