//! The one binary: `serve` and every other verb.
//!
//! It parses the command line, sets up logging and hands over to a verb; what the gate does is in
//! the crates below.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the command line prints; all printing goes through `output`"
)]

use std::process::ExitCode;

mod child;
mod cli;
mod clock;
mod configuration;
mod connect;
mod failure;
mod keyring;
mod output;
mod telemetry;
mod verbs;

fn main() -> ExitCode {
    cli::run()
}

/// Messages are many small allocations; measured against the system's allocator, this one is
/// cheaper for them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
