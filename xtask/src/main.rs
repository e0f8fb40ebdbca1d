//! Repository tasks: code generation, tidy, suites, fuzzing, instruction counts, ci.
//!
//! Not part of the product: nothing here is linked into the binary or the client library.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};

mod ci;
mod codegen;
mod fuzz;
mod instructions;
mod suite;
mod tidy;

/// The command line of `cargo xtask`.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Tasks of this repository")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Clone, Subcommand)]
enum Task {
    /// Regenerates crates/wire from the contracts in proto/
    Codegen {
        /// Changes nothing and fails if the checked-in code is stale
        #[arg(long)]
        check: bool,
    },
    /// Checks the shape of the repository: boundaries, names, stage table, module docs
    Tidy,
    /// Runs a long suite against the release binary and prints its report as one JSON object
    Suite(suite::Asked),
    /// Fuzzes every parser that faces the network or the disk
    Fuzz(fuzz::Asked),
    /// Counts the instructions of a message's way and compares them with the figures checked in
    Instructions(instructions::Asked),
    /// Runs everything that has to be green before a change lands
    Ci {
        /// Prints the closing report as JSON on standard output, all else on standard error
        #[arg(long)]
        json: bool,
    },
}

#[expect(clippy::print_stderr, reason = "a tool for the terminal")]
fn main() -> ExitCode {
    run(Cli::parse().task).unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(task: Task) -> Result<ExitCode> {
    let root = repository_root()?;
    match task {
        Task::Codegen { check: false } => codegen::write(&root).map(|()| ExitCode::SUCCESS),
        Task::Codegen { check: true } => codegen::check(&root).map(|()| ExitCode::SUCCESS),
        Task::Tidy => tidy::run(&root),
        Task::Suite(asked) => suite::run(&root, &asked),
        Task::Fuzz(asked) => fuzz::run(&root, &asked),
        Task::Instructions(asked) => instructions::run(&root, &asked),
        Task::Ci { json } => ci::run(&root, json),
    }
}

fn repository_root() -> Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().map(Path::to_path_buf).context("xtask has to lie one folder below the root")
}
