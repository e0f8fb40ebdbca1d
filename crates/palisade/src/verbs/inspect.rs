//! `palisade inspect`: the gate's inspection on its own, one JSON line in, one out.
//!
//! It needs no server and keeps nothing; what it prints has places and kinds, never the text that
//! was found.

use std::path::PathBuf;
use std::process::ExitCode;

use inspect::{Dlp, DlpSpec};

use crate::configuration;
use crate::failure::Failure;
use crate::output::Output;

mod dlp;

/// What `palisade inspect` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Find sensitive values: reads JSON lines with a `text` or a `data` object from standard
    /// input, prints findings and the action for each.
    ///
    /// A line in: {"text": "card 4111 1111 1111 1111"} or {"data": {"ssn": "536-22-8145"}}.
    /// A line out: {"findings":[{"type","start","end","severity"}],"action":"block"}, with the
    /// place in characters of `text`, or of the value at `path` in `data`. A line that cannot be
    /// read gives {"error":{"code","message","line"}}, and the exit code is 1 at the end.
    Dlp(DlpArgs),
}

#[derive(Debug, clap::Args)]
struct DlpArgs {
    /// Use the rules under `gateway.dlp` of this configuration instead of the built-in ones.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Inspects standard input.
#[expect(clippy::unused_async, reason = "all verbs have one shape")]
pub(crate) async fn run(args: Args, _out: &Output) -> anyhow::Result<ExitCode> {
    let What::Dlp(args) = args.what;
    let spec = match args.config {
        Some(path) => configuration::load(Some(&path))?.gateway.dlp,
        None => DlpSpec::default(),
    };
    let dlp = Dlp::compile(&spec).map_err(|error| Failure::usage("dlp_rule", error))?;
    // Nothing else runs in this process, so blocking on standard input is no harm.
    let input = std::io::BufReader::with_capacity(BUFFER_BYTES, std::io::stdin());
    let output = std::io::BufWriter::with_capacity(BUFFER_BYTES, std::io::stdout());
    dlp::run(&dlp, input, output)
}

const BUFFER_BYTES: usize = 256 * 1024;
