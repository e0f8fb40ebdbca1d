//! `palisade bench`: what a gate costs and how quick it is, under a stated load.
//!
//! It measures and prints; it compares with nothing and judges nothing but losses.

use std::process::ExitCode;

use crate::output::Output;

mod latency;
mod load;
mod pipeline;
mod process;
mod target;

/// What `palisade bench` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    name: Name,
}

#[derive(Debug, clap::Subcommand)]
enum Name {
    /// Measure the whole way of a message: sent, decided, stored, audited, delivered, acknowledged.
    ///
    /// Each message is 256 bytes of clean JSON over mTLS, with every stage of the pipeline on, its
    /// default rules, limits that are never met, and a store that answers after fsync. A run has N
    /// sessions that send, each with one unary Send under way at a time, and min(N, 4) sessions of
    /// other agents that receive and acknowledge. The load comes from this process; the server is
    /// another one, started anew for each run in a temporary folder, whose CPU time and peak
    /// memory are read from /proc. After the run every message must have arrived and be in the
    /// audit log as ALLOWED, or the exit code is 1.
    ///
    /// With --addr an existing server of the MAS wire is measured: N sessions of the one agent of
    /// the certificate send to that agent and receive, so a rule must allow it to message itself.
    Pipeline(pipeline::PipelineArgs),
}

/// Measures.
pub(crate) async fn run(args: Args, out: &Output) -> anyhow::Result<ExitCode> {
    let Name::Pipeline(args) = args.name;
    pipeline::run(args, out).await
}
