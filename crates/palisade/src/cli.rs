//! The command line: its grammar, logging, and the way from a verb's result to an exit code.
//!
//! What a verb does is in its own file under `verbs`.

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::failure::{EXIT_FAILED, EXIT_USAGE, Failure};
use crate::output::{self, Output};
use crate::telemetry;
use crate::verbs;

/// One gate for every message between AI agents: identity, rules, limits, inspection, delivery and
/// an audit log that can be verified.
#[derive(Debug, Parser)]
#[command(name = "palisade", version, disable_help_subcommand = true)]
#[command(after_help = "Start with `palisade demo`. Exit codes: 0 ok, 1 failed, 2 usage or \
    configuration error.\nLogging goes to standard error; PALISADE_LOG sets its level, such as \
    `info` or `server=debug`.")]
pub(crate) struct Cli {
    /// Print JSON for programs instead of text for people.
    #[arg(long, global = true, display_order = 990)]
    json: bool,
    #[command(subcommand)]
    verb: Verb,
}

/// The verbs in the order in which a new user meets them.
#[derive(Debug, Subcommand)]
enum Verb {
    /// Show the gate at work: real agents, every decision, and the log that proves it.
    Demo(verbs::demo::Args),
    /// Make what a local gate needs, serve, and say how to connect.
    Dev(verbs::dev::Args),
    /// Run the gate: prints one line when it is ready, ends cleanly at SIGTERM.
    Serve(verbs::serve::Args),
    /// Send a message as an agent.
    Send(verbs::send::Args),
    /// Ask another agent something and print its reply.
    Request(verbs::request::Args),
    /// Print the messages for an agent, and answer them.
    Listen(verbs::listen::Args),
    /// Say what became of a message.
    Status(verbs::status::Args),
    /// List agents; change access rules, roles and limits of the running gate.
    Agents(verbs::agents::Args),
    /// List, show, replay and drop dead letters.
    Dlq(verbs::dlq::Args),
    /// Watch the running gate: agents, rates, decisions, latencies, refusals.
    Top(verbs::top::Args),
    /// Tell a message's whole way: each stage with its time, what decided, what came of it.
    Trace(verbs::trace::Args),
    /// Read, verify and export the audit log.
    Audit(verbs::audit::Args),
    /// Cosign the checkpoints of audit logs, on another machine than theirs.
    Witness(verbs::witness::Args),
    /// Run the gate's inspection on standard input.
    Inspect(verbs::inspect::Args),
    /// Check a configuration, or print its schema.
    Config(verbs::config::Args),
    /// Make, or look at, certificates for local work.
    Cert(verbs::cert::Args),
    /// Measure what a gate costs and how quick it is.
    Bench(verbs::bench::Args),
    /// Print the completion script of a shell.
    Completions(verbs::completions::Args),
}

impl Verb {
    /// Says what is logged unless the environment asks for something else.
    fn log_level(&self) -> &'static str {
        if matches!(self, Self::Serve(_) | Self::Witness(_)) { "info" } else { "warn" }
    }

    async fn run(self, out: &Output) -> anyhow::Result<ExitCode> {
        match self {
            Self::Demo(args) => Box::pin(verbs::demo::run(args, out)).await,
            Self::Dev(args) => Box::pin(verbs::dev::run(args, out)).await,
            Self::Serve(args) => Box::pin(verbs::serve::run(args, out)).await,
            Self::Send(args) => Box::pin(verbs::send::run(args, out)).await,
            Self::Request(args) => Box::pin(verbs::request::run(args, out)).await,
            Self::Listen(args) => Box::pin(verbs::listen::run(args, out)).await,
            Self::Status(args) => Box::pin(verbs::status::run(args, out)).await,
            Self::Agents(args) => Box::pin(verbs::agents::run(args, out)).await,
            Self::Dlq(args) => Box::pin(verbs::dlq::run(args, out)).await,
            Self::Top(args) => Box::pin(verbs::top::run(args, out)).await,
            Self::Trace(args) => Box::pin(verbs::trace::run(args, out)).await,
            Self::Audit(args) => Box::pin(verbs::audit::run(args, out)).await,
            Self::Witness(args) => Box::pin(verbs::witness::run(args, out)).await,
            Self::Inspect(args) => Box::pin(verbs::inspect::run(args, out)).await,
            Self::Config(args) => Box::pin(verbs::config::run(args, out)).await,
            Self::Cert(args) => Box::pin(verbs::cert::run(args, out)).await,
            Self::Bench(args) => Box::pin(verbs::bench::run(args, out)).await,
            Self::Completions(args) => Box::pin(verbs::completions::run(args, out)).await,
        }
    }
}

/// Returns the grammar, for completions.
pub(crate) fn grammar() -> clap::Command {
    Cli::command()
}

/// Runs the program and returns its exit code.
pub(crate) fn run() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return usage(&error, arguments.iter().any(|argument| argument == "--json")),
    };
    let out = Output::new(cli.json);
    let result = start_logging(cli.verb.log_level()).and_then(|()| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let result = runtime.block_on(async {
            let result = cli.verb.run(&out).await;
            telemetry::end().await;
            result
        });
        // A thread that still waits for standard input must not hold up the end.
        runtime.shutdown_background();
        result
    });
    match result {
        Ok(code) => code,
        Err(error) if output::is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            out.error(&error);
            output::failure(&error).map_or_else(|| EXIT_FAILED.into(), Failure::exit)
        }
    }
}

/// Answers a command line that cannot be parsed, or one that asks for help or the version.
fn usage(error: &clap::Error, json: bool) -> ExitCode {
    if !error.use_stderr() {
        // Whoever asked for help and closed the pipe has read enough.
        let _closed = error.print();
        return ExitCode::SUCCESS;
    }
    if json {
        let text = error.render().to_string();
        let message = text.lines().next().unwrap_or_default();
        let message = message.strip_prefix("error: ").unwrap_or(message);
        Output::new(true).error(&Failure::usage("usage", message).into());
    } else {
        let _closed = error.print();
    }
    ExitCode::from(EXIT_USAGE)
}

fn start_logging(default: &str) -> anyhow::Result<()> {
    let directives = std::env::var(LOG_VARIABLE).unwrap_or_else(|_unset| default.to_owned());
    let filter = EnvFilter::try_new(&directives).map_err(|error| {
        Failure::usage(
            "log_filter",
            format!("{LOG_VARIABLE} is no log filter: {error}; write `info` or `server=debug`"),
        )
    })?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::IsTerminal::is_terminal(&io::stderr()))
        .init();
    Ok(())
}

/// The environment variable that sets what is logged.
const LOG_VARIABLE: &str = "PALISADE_LOG";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_is_sound() {
        grammar().debug_assert();
    }
}
