//! `palisade completions`: the completion script of a shell.
//!
//! It only prints; where the script belongs is the shell's business.

use std::process::ExitCode;

use crate::cli;
use crate::output::Output;

/// What `palisade completions` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell to complete in.
    shell: clap_complete::Shell,
}

/// Prints the script.
#[expect(clippy::unused_async, reason = "all verbs have one shape")]
pub(crate) async fn run(args: Args, out: &Output) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut cli::grammar(), "palisade", &mut script);
    let script = String::from_utf8(script)?;
    if out.json {
        out.json(&serde_json::json!({ "script": script }))?;
    } else {
        out.line(script.trim_end())?;
    }
    Ok(ExitCode::SUCCESS)
}
