//! `palisade dev`: one command to a working gate for local work.
//!
//! It makes what is missing in a folder, overwrites nothing, serves, and says how to connect. It
//! is the same server with the same rules as any: mTLS, deny by default, everything audited.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use server::config::Environment;

use crate::configuration::{self, DEV_FOLDER, FILE_NAME};
use crate::failure::Failure;
use crate::keyring::Keyring;
use crate::output::Output;
use crate::verbs::serve::{READY, serve};

/// What `palisade dev` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder for keys, configuration and store; it is made if need be.
    #[arg(long, default_value = DEV_FOLDER)]
    dir: PathBuf,
    /// Where to listen, whatever the configuration says.
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// The agents to make, the first two of which may message each other.
    #[arg(long, value_delimiter = ',', default_value = "alice,bob,carol", value_name = "NAMES")]
    agents: Vec<String>,
}

/// Makes what is missing and serves.
pub(crate) async fn run(args: Args, out: &Output) -> anyhow::Result<ExitCode> {
    make(&args).map_err(|error| {
        let dir = args.dir.display();
        Failure::failed("dev_folder", format!("cannot make `{dir}` ready: {error:#}"))
    })?;
    let mut variables: Vec<_> = std::env::vars_os().collect();
    variables.extend(args.listen.map(|listen| (LISTEN_KEY.into(), listen.to_string().into())));
    let environment: Environment = variables.into_iter().collect();
    let config = configuration::read(&args.dir.join(FILE_NAME), &environment)?;
    for agent in args.agents.iter().filter(|agent| !config.agents.contains_key(*agent)) {
        out.note(&format!(
            "{agent} has a certificate but may not connect: add it under `agents` in {}",
            args.dir.join(FILE_NAME).display()
        ));
    }
    Box::pin(serve(config, |addr| {
        let said = if out.json {
            let (dir, agents) = (&args.dir, &args.agents);
            out.json(&serde_json::json!({ "listening": addr, "dir": dir, "agents": agents }))
        } else {
            out.line(&format!("{READY}{addr}\n{}", how_to_connect(&args, addr)))
        };
        if let Err(error) = said {
            tracing::warn!(%addr, %error, "listening, but could not say so");
        }
    }))
    .await?;
    Ok(ExitCode::SUCCESS)
}

fn make(args: &Args) -> anyhow::Result<()> {
    let keyring = Keyring::open(&args.dir)?;
    keyring.server()?;
    keyring.audit_key()?;
    keyring.operator(OPERATOR)?;
    for agent in &args.agents {
        keyring.agent(agent)?;
    }
    // Keys have no place in a repository.
    write_new(&args.dir.join(".gitignore"), "*\n")?;
    write_new(&args.dir.join(FILE_NAME), &configuration_text(&args.agents))
}

/// Writes a file unless there is one.
fn write_new(path: &Path, text: &str) -> anyhow::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o644).open(path) {
        Ok(mut file) => file.write_all(text.as_bytes()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
    .with_context(|| format!("cannot write `{}`", path.display()))
}

fn configuration_text(agents: &[String]) -> String {
    let mut text = String::from(CONFIGURATION_HEAD);
    for (index, agent) in agents.iter().enumerate() {
        let partner = match index {
            0 => agents.get(1),
            1 => agents.first(),
            _ => None,
        };
        let allow = partner.map_or("", String::as_str);
        text.push_str(&format!("  {agent}: {{ allow: [{allow}] }}\n"));
    }
    text
}

/// Returns commands to copy into another terminal.
fn how_to_connect(args: &Args, addr: SocketAddr) -> String {
    let mut common = String::new();
    if args.dir != Path::new(DEV_FOLDER) {
        common.push_str(&format!(" --dir {}", args.dir.display()));
    }
    if addr.to_string() != DEFAULT_ADDR {
        common.push_str(&format!(" --addr {addr}"));
    }
    // As this very program was called, so that the lines work where it is not on the path.
    let program = std::env::args().next().unwrap_or_else(|| "palisade".to_owned());
    let config = args.dir.join(FILE_NAME);
    let config = config.display();
    let mut text = String::from("\nIn other terminals, in this folder:\n");
    if let [first, second, ..] = args.agents.as_slice() {
        text.push_str(&format!(
            "  {program} listen{common} --as {second}\n  \
             {program} send{common} --as {first} {second} note '{{\"text\":\"hello\"}}'\n  \
             {program} send{common} --as {first} {second} note '{{\"ssn\":\"536-22-8145\"}}'\n"
        ));
    }
    text.push_str(&format!(
        "  {program} agents{common} list\n  {program} audit --config {config} tail -f\n\
         Rules and agents are in {config}. End with Ctrl-C."
    ));
    text
}

/// The name of the operator whose certificate is made.
const OPERATOR: &str = "operator";
/// The environment's name for the address in the configuration.
const LISTEN_KEY: &str = "PALISADE_SERVER__LISTEN";
/// Where verbs connect to unless told otherwise.
const DEFAULT_ADDR: &str = "127.0.0.1:50051";
const CONFIGURATION_HEAD: &str = "\
# Made by `palisade dev` for local work; it is never overwritten, change it as you like.
# Every key with its default: config/palisade.yaml in the repository, or `palisade config schema`.
server:
  listen: 127.0.0.1:50051
  tls: { cert: server.pem, key: server.key, client_ca: ca.pem }
gateway:
  rate_limit: { per_minute: 1000, per_hour: 20000 }
storage: { engine: embedded, path: data, durability: fsync }
# Checkpoints of the audit log, for `palisade audit verify`.
audit: { signing_key: audit.key }
# Who may use `palisade agents` and `palisade dlq`.
operators: [operator]
# The allowlist. Nobody may message anybody unless a rule here says so.
agents:
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_two_agents_may_message_each_other_and_the_others_nobody() {
        let text = configuration_text(&["a", "b", "c"].map(str::to_owned));
        let rules = text.split_once("agents:\n").unwrap().1;
        assert_eq!(rules, "  a: { allow: [b] }\n  b: { allow: [a] }\n  c: { allow: [] }\n");
    }

    #[test]
    fn what_is_made_is_a_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("new");
        let agents = vec!["alice".to_owned(), "bob".to_owned()];
        let args = Args { dir: dir.clone(), listen: None, agents };
        make(&args).unwrap();
        make(&args).unwrap();
        let config = configuration::read(&dir.join(FILE_NAME), &Environment::default()).unwrap();
        assert!(config.agents["alice"].allow.contains("bob"));
        assert_eq!(config.server.listen.to_string(), DEFAULT_ADDR);
    }
}
