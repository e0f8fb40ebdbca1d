//! `palisade bench compare`: this server beside another one, in the same run.
//!
//! Every side gets the same load: connections, messages in flight, payload. The sides take turns,
//! in another order each round, each with a server that is started anew, so that whatever the
//! machine does besides meets all of them. Figures are of the server's process only.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use indicatif::ProgressBar;
use palisade_client::Wire;
use serde_json::json;

use super::target::Credential;
use crate::failure::Failure;
use crate::output::Output;

mod board;
mod exporting;
mod nats;
mod own;
mod ratio;
mod report;
pub(super) mod ring;

pub(super) use board::{Sample, Shape};
pub(super) use own::loaded;
use report::{Runs, finish};

/// With what to compare.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Peer {
    /// Compare with a NATS server: mutual TLS, SPIFFE IDs, streams in files.
    ///
    /// Each of N sessions is an agent of its own that sends 256 bytes of clean JSON to the next
    /// agent and acknowledges what it receives, with the same number of messages in flight on all
    /// sides. NATS runs with its default sync, every two minutes, and once more with
    /// `sync_interval: always`; ours always answers after fsync, and has every stage on.
    ///
    /// A ratio is ours divided by theirs, of the server's CPU time and of the time that passes for
    /// each message: below 1 means that we cost less.
    Nats(NatsArgs),
    /// Compare with a given server of the MAS wire, such as the one in Python.
    ///
    /// All sessions are of the one agent of the certificate, which sends to itself, so a rule must
    /// allow that and limits must not bite. Without --server-pid only throughput is compared.
    Mas(MasArgs),
    /// Compare with and without telemetry: what it costs the one server to export.
    ///
    /// The load is that of `nats`, by the native session. Telemetry is off; on with no trace kept;
    /// on with every trace kept and a collector that takes all; and the same with one that takes
    /// connections and never answers. A ratio is that by telemetry off: 1 means that it is free.
    Telemetry(LoadArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct LoadArgs {
    /// How many rounds.
    #[arg(long, default_value_t = 5, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// How long each side is measured in each round, after a second to warm up.
    #[arg(long, default_value_t = 2, value_name = "SECONDS")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// How many sessions; each number is measured by itself.
    #[arg(long, value_delimiter = ',', default_value = "1,16,256", value_name = "N,...")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1024))]
    sessions: Vec<u32>,
    /// Messages in flight of each session, from publishing to acknowledgement.
    #[arg(long, default_value_t = 32, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=200))]
    in_flight: u32,
}

#[derive(Debug, clap::Args)]
pub(super) struct NatsArgs {
    #[command(flatten)]
    load: LoadArgs,
    /// The program to compare with; by default the one that scripts/test.sh installs, or the one
    /// on the PATH.
    #[arg(long, value_name = "FILE", env = "PALISADE_NATS_SERVER")]
    nats_server: Option<PathBuf>,
    /// How messages come to their receivers at NATS.
    #[arg(long, value_enum, default_value_t = nats::Consumer::Pull)]
    consumer: nats::Consumer,
}

#[derive(Debug, clap::Args)]
pub(super) struct MasArgs {
    #[command(flatten)]
    load: LoadArgs,
    /// Where the server listens.
    #[arg(long, value_name = "HOST:PORT")]
    addr: String,
    /// The authority of its certificate.
    #[arg(long, value_name = "FILE")]
    ca: PathBuf,
    /// The certificate of the agent to send and receive as.
    #[arg(long, value_name = "FILE")]
    cert: PathBuf,
    /// Its key.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Its process on this machine, to measure its CPU time.
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,
}

/// One of the servers under comparison, and how it is spoken to.
#[derive(Debug)]
enum Side {
    Own(Wire),
    OwnAlone(Wire),
    Exporting(exporting::Export),
    Nats(nats::Setup),
    Given(String, Credential, Option<u32>),
}

impl Side {
    const fn name(&self) -> &'static str {
        match self {
            Self::Own(Wire::Native) | Self::OwnAlone(Wire::Native) => "native",
            Self::Own(Wire::Mas) | Self::OwnAlone(Wire::Mas) => "mas_unary",
            Self::Exporting(export) => export.name(),
            Self::Nats(nats::Setup { sync: nats::Sync::Default, .. }) => "nats",
            Self::Nats(nats::Setup { sync: nats::Sync::Always, .. }) => "nats_always",
            Self::Given(..) => "given",
        }
    }

    async fn sample(&self, shape: Shape) -> anyhow::Result<Sample> {
        match self {
            Self::Own(wire) => own::sample(*wire, shape).await,
            Self::OwnAlone(wire) => own::alone(*wire, shape).await,
            Self::Exporting(export) => exporting::sample(*export, shape).await,
            Self::Nats(setup) => nats::sample(setup, shape).await,
            Self::Given(addr, credential, pid) => own::given(addr, credential, *pid, shape).await,
        }
    }
}

/// Compares, and prints ratios with their spread.
pub(super) async fn run(peer: Peer, out: &Output) -> anyhow::Result<ExitCode> {
    match peer {
        Peer::Nats(args) => with_nats(args, out).await,
        Peer::Mas(args) => with_mas(args, out).await,
        Peer::Telemetry(load) => with_telemetry(&load, out).await,
    }
}

async fn with_telemetry(load: &LoadArgs, out: &Output) -> anyhow::Result<ExitCode> {
    let sides = exporting::Export::ALL.map(Side::Exporting);
    let runs = rounds(load, &sides, out).await?;
    let ratios = |runs: &Runs| {
        let by_off = |export: exporting::Export| runs.ratios(export.name(), "off");
        json!({
            "sessions": runs.sessions,
            "none_kept": by_off(exporting::Export::NoneKept),
            "all_kept": by_off(exporting::Export::AllKept),
            "dead_collector": by_off(exporting::Export::DeadCollector),
        })
    };
    finish("telemetry", load, (&runs, &ratios), json!({ "peer": "telemetry off" }), out)
}

async fn with_nats(args: NatsArgs, out: &Output) -> anyhow::Result<ExitCode> {
    let program = nats::find(args.nats_server.as_deref())?;
    let version = nats::version(&program).await?;
    let peer = |sync| {
        let (program, consumer) = (program.clone(), args.consumer);
        Side::Nats(nats::Setup { program, sync, consumer })
    };
    let sides = [
        Side::Own(Wire::Native),
        Side::Own(Wire::Mas),
        peer(nats::Sync::Default),
        peer(nats::Sync::Always),
    ];
    let runs = rounds(&args.load, &sides, out).await?;
    let ratios = |runs: &Runs| {
        json!({
            "sessions": runs.sessions,
            "native": runs.ratios("native", "nats"),
            "mas_unary": runs.ratios("mas_unary", "nats"),
            "always": runs.ratios("native", "nats_always"),
            "mas_unary_always": runs.ratios("mas_unary", "nats_always"),
        })
    };
    finish("nats", &args.load, (&runs, &ratios), json!({ "peer": version }), out)
}

async fn with_mas(args: MasArgs, out: &Output) -> anyhow::Result<ExitCode> {
    if let Some(pid) = args.server_pid.filter(|pid| !super::process::exists(*pid)) {
        let text = format!("there is no process {pid} to measure");
        return Err(Failure::usage("no_such_process", text).into());
    }
    let credential = Credential { ca: args.ca, cert: args.cert, key: args.key };
    let peer = args.addr.clone();
    let sides = [Side::OwnAlone(Wire::Mas), Side::Given(args.addr, credential, args.server_pid)];
    let runs = rounds(&args.load, &sides, out).await?;
    let ratios = |runs: &Runs| {
        let ours = runs.ratios("mas_unary", "given");
        json!({ "sessions": runs.sessions, "mas_unary": ours })
    };
    finish("mas", &args.load, (&runs, &ratios), json!({ "peer": peer }), out)
}

/// Lets all sides take their turns.
async fn rounds(load: &LoadArgs, sides: &[Side], out: &Output) -> anyhow::Result<Vec<Runs>> {
    let progress = if out.terminal { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
    progress.enable_steady_tick(Duration::from_millis(100));
    let mut all = Vec::new();
    for sessions in &load.sessions {
        let shape = Shape {
            sessions: *sessions,
            in_flight: usize::try_from(load.in_flight)?,
            window: Duration::from_secs(load.seconds),
        };
        let mut runs = Runs {
            sessions: *sessions,
            sides: sides.iter().map(|side| (side.name(), Vec::new())).collect(),
        };
        for round in 0..load.rounds {
            for at in order(usize::try_from(round)?, sides.len()) {
                let side = sides.get(at).context("there is no such side")?;
                progress.set_message(format!("{sessions} sessions, {round}: {}", side.name()));
                let sample = side.sample(shape).await.with_context(|| side.name())?;
                if let Some((_, samples)) = runs.sides.get_mut(at) {
                    samples.push(sample);
                }
            }
        }
        all.push(runs);
    }
    progress.finish_and_clear();
    Ok(all)
}

/// Returns in which order the sides have their turns in a round: another one begins each time, so
/// that none has the machine always as the same neighbour left it.
fn order(round: usize, sides: usize) -> impl Iterator<Item = usize> {
    (0..sides).map(move |turn| (turn + round) % sides)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_side_begins_once_in_as_many_rounds_and_has_a_turn_in_each() {
        let rounds: Vec<Vec<usize>> = (0..3).map(|round| order(round, 3).collect()).collect();
        assert_eq!(rounds, [[0, 1, 2], [1, 2, 0], [2, 0, 1]]);
    }
}
