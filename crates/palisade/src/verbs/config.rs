//! `palisade config`: checks a configuration as `serve` would read it, or prints its schema.
//!
//! It starts nothing, and opens policy files but no certificate and no store.

use std::path::PathBuf;
use std::process::ExitCode;

use policy::{Fault, Policy};
use server::ServeError;
use server::config::{self, Summary};

use crate::configuration;
use crate::failure::Failure;
use crate::output::Output;

/// What `palisade config` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Check a configuration, environment included, and show what it comes to. Exits with 2 if
    /// anything is wrong, and names each problem with its place.
    Check(CheckArgs),
    /// Print the JSON Schema of a configuration, for editors and generators.
    Schema,
}

#[derive(Debug, clap::Args)]
struct CheckArgs {
    /// The configuration; without it the one that `serve` would find.
    file: Option<PathBuf>,
}

/// Checks or describes a configuration.
#[expect(clippy::unused_async, reason = "all verbs have one shape")]
pub(crate) async fn run(args: Args, out: &Output) -> anyhow::Result<ExitCode> {
    match args.verb {
        Verb::Check(args) => check(&args, out)?,
        Verb::Schema if out.json => out.json(&config::schema())?,
        Verb::Schema => out.line(&format!("{:#}", config::schema()))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn check(args: &CheckArgs, out: &Output) -> anyhow::Result<()> {
    let config = configuration::load(args.file.as_deref())?;
    let mut summary = config.summary();
    let engine = config.policy_engine().map_err(|faults| failure(&faults))?;
    summary.policy_revision = Policy::with(&config.rule_book(), engine).revision().to_owned();
    if out.json {
        let mut said = serde_json::to_value(&summary)?;
        if let Some(fields) = said.as_object_mut() {
            fields.insert("ok".to_owned(), true.into());
        }
        out.json(&said)?;
        return Ok(());
    }
    out.line(&format!("{}: ok", summary.file.display()))?;
    out.table(&["key", "value"], &rows(&summary))?;
    for warning in &summary.warnings {
        out.line(&format!("warning: {warning}"))?;
    }
    Ok(())
}

/// Says all faults of the policy files as `serve` does.
fn failure(faults: &[Fault]) -> Failure {
    let error = ServeError::Policy(faults.to_vec());
    Failure::usage(error.code(), &error)
}

fn rows(summary: &Summary) -> Vec<Vec<String>> {
    let limits = summary.rate_limit;
    let features = summary.features;
    let switch = |is_on: bool| if is_on { "on" } else { "off" }.to_owned();
    let audit_file = summary.audit_file.as_ref();
    let rows = [
        ("listen", summary.listen.to_string()),
        ("agents", format!("{} ({})", summary.agents, summary.agent_ids)),
        ("operators", summary.operators.to_string()),
        ("roles", format!("{} ({})", summary.roles, switch(features.rbac))),
        ("policy revision", summary.policy_revision.clone()),
        ("rate limit", format!("{} a minute, {} an hour", limits.per_minute, limits.per_hour)),
        ("dlp", format!("{}, {} own rules", switch(features.dlp), summary.dlp_rules)),
        ("circuit breaker", switch(features.circuit_breaker)),
        ("store", summary.storage.display().to_string()),
        ("audit copy", audit_file.map_or_else(|| "none".to_owned(), |at| at.display().to_string())),
        ("telemetry", summary.telemetry.clone().unwrap_or_else(|| "off".to_owned())),
    ];
    rows.into_iter().map(|(key, value)| vec![key.to_owned(), value]).collect()
}
