//! `palisade bench`: what a gate costs and how quick it is, under a stated load.
//!
//! It measures and prints; it judges nothing but losses.

use std::process::ExitCode;

use crate::output::Output;

mod compare;
mod inspect;
mod latency;
mod load;
mod pipeline;
mod policy;
mod process;
mod scale;
mod stages;
mod target;
mod timing;

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
    /// Compare this server with another one, side by side in the same run.
    #[command(subcommand)]
    Compare(compare::Peer),
    /// Measure what each part of a message's way costs, without a network.
    ///
    /// A real gate over a real store runs in this process; the payload is that of `pipeline`.
    /// Figures are elapsed nanoseconds of one thread for one message, with their spread.
    Stages(stages::StagesArgs),
    /// Measure what the inspection of clean payloads costs, by size and shape.
    Inspect,
    /// Measure what a question to the access rules costs, by the number of rules.
    Policy,
    /// Measure what grows with sessions, agents, messages and records, and what must not.
    ///
    /// The exit code is 1 if a line of the budget is not reached. The full size takes some
    /// minutes and about 3 GB of disk.
    Scale(scale::ScaleArgs),
}

/// Measures.
pub(crate) async fn run(args: Args, out: &Output) -> anyhow::Result<ExitCode> {
    match args.name {
        Name::Pipeline(args) => pipeline::run(args, out).await,
        Name::Compare(peer) => compare::run(peer, out).await,
        Name::Stages(args) => stages::run(args, out).await,
        Name::Inspect => inspect::run(out),
        Name::Policy => policy::run(out),
        Name::Scale(args) => scale::run(args, out).await,
    }
}

/// Returns a number of messages to calculate with.
///
/// No run has 2^32 of them; if one had, its figures would say so by being too small.
fn count(messages: u64) -> f64 {
    f64::from(u32::try_from(messages).unwrap_or(u32::MAX))
}

/// Returns how many threads this machine runs at once.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
