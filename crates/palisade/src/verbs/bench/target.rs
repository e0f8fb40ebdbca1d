//! What is measured: an own server in a temporary folder, or one that is given.
//!
//! It connects the sessions; it sends nothing.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use audit::Filter;
use palisade_client::{Client, Options, Receive, Wire};
use tempfile::TempDir;

use super::load::Load;
use crate::child::Gate;
use crate::keyring::Keyring;

/// The server under load.
#[derive(Debug)]
pub(super) enum Target {
    Own(Box<Own>),
    Given(Given),
}

impl Target {
    /// Opens all sessions.
    pub(super) async fn connect(&self, sessions: u32) -> anyhow::Result<Load> {
        match self {
            Self::Own(own) => own.connect(sessions).await,
            Self::Given(given) => given.connect(sessions).await,
        }
    }

    /// Returns the process to measure.
    pub(super) fn pid(&self) -> anyhow::Result<Option<u32>> {
        match self {
            Self::Own(own) => own.pid().map(Some),
            Self::Given(given) => Ok(given.pid),
        }
    }

    /// Ends an own server and returns how many accepted messages its audit log has.
    pub(super) async fn finish(self) -> anyhow::Result<Option<u64>> {
        match self {
            Self::Own(own) => own.finish().await.map(Some),
            Self::Given(_) => Ok(None),
        }
    }
}

/// What a server has besides what every run has.
#[derive(Debug, Default)]
pub(super) struct Extra<'a> {
    /// Lines of agents without certificates.
    pub(super) agents: String,
    /// More keys of `storage`, each after a comma.
    pub(super) storage: &'a str,
    /// The value of `delivery`.
    pub(super) delivery: Option<&'a str>,
    /// The value of `gateway.telemetry`.
    pub(super) telemetry: Option<&'a str>,
    /// A folder whose store is not empty, instead of a new one.
    pub(super) folder: Option<TempDir>,
}

/// A server of our own.
#[derive(Debug)]
pub(super) struct Own {
    folder: TempDir,
    keyring: Keyring,
    gate: Gate,
}

impl Own {
    /// Starts a server for senders and receivers of their own.
    pub(super) async fn for_pipeline(sessions: u32) -> anyhow::Result<Self> {
        let receivers: Vec<String> = (0..RECEIVERS_MAX).map(receiver_name).collect();
        let mut agents: Vec<(String, String)> = Vec::new();
        for sender in 0..sessions.min(SENDERS_MAX) {
            agents.push((sender_name(sender), receivers.join(", ")));
        }
        agents.extend(receivers.into_iter().map(|receiver| (receiver, String::new())));
        Self::start(&agents, Extra::default()).await
    }

    /// Makes a folder with everything and starts the server: each agent has a certificate and
    /// may send to those that are named with it.
    pub(super) async fn start(
        agents: &[(String, String)],
        extra: Extra<'_>,
    ) -> anyhow::Result<Self> {
        let Extra { storage, delivery, telemetry, agents: others, folder } = extra;
        let folder = folder.map_or_else(new_folder, Ok)?;
        let keyring = Keyring::open(folder.path())?;
        keyring.server()?;
        keyring.audit_key()?;
        let mut configuration = String::from(CONFIGURATION_HEAD);
        if let Some(telemetry) = telemetry {
            writeln!(configuration, "  telemetry: {telemetry}")?;
        }
        writeln!(configuration, "storage: {{ path: {STORE}, durability: fsync{storage} }}")?;
        if let Some(delivery) = delivery {
            writeln!(configuration, "delivery: {delivery}")?;
        }
        configuration.push_str("agents:\n");
        for (agent, allow) in agents {
            keyring.agent(agent)?;
            writeln!(configuration, "  {agent}: {{ allow: [{allow}] }}")?;
        }
        configuration.push_str(&others);
        let file = folder.path().join("palisade.yaml");
        fs::write(&file, configuration)?;
        let gate = Gate::start(&file, None).await?;
        Ok(Self { folder, keyring, gate })
    }

    /// Says how to connect as one of the agents.
    pub(super) fn options(&self, agent: &str) -> anyhow::Result<Options> {
        self.keyring.options(&self.gate.addr().to_string(), agent)
    }

    /// Returns its process.
    pub(super) fn pid(&self) -> anyhow::Result<u32> {
        self.gate.pid()
    }

    async fn connect(&self, sessions: u32) -> anyhow::Result<Load> {
        let mut load = Load::default();
        for receiver in 0..sessions.min(RECEIVERS_MAX) {
            let mut options = self.options(&receiver_name(receiver))?;
            options.wire = Wire::Mas;
            load.receivers.push(Client::connect(options).await?);
        }
        for session in 0..sessions {
            let mut options = self.options(&sender_name(session % SENDERS_MAX))?;
            (options.receive, options.wire) = (Receive::Replies, Wire::Mas);
            let target = receiver_name(session % sessions.min(RECEIVERS_MAX));
            load.senders.push((Client::connect(options).await?, target));
        }
        Ok(load)
    }

    /// Ends it and returns how many accepted messages its audit log has.
    pub(super) async fn finish(self) -> anyhow::Result<u64> {
        self.gate.stop().await?;
        let filter = Filter {
            event_type: Some("message.send".to_owned()),
            limit: usize::MAX,
            ..Filter::default()
        };
        let mut decisions: BTreeMap<String, u64> = BTreeMap::new();
        let log = store::read_audit(&self.folder.path().join(STORE), 1);
        for found in audit::query(log, &filter) {
            *decisions.entry(found?.record.decision.into_owned()).or_default() += 1;
        }
        let allowed = decisions.remove("ALLOWED").unwrap_or_default();
        if let Some((decision, count)) = decisions.first_key_value() {
            bail!("the load was not the one that is meant: {count} messages were {decision}");
        }
        Ok(allowed)
    }
}

/// Makes a folder that goes when it is not held any more.
pub(super) fn new_folder() -> anyhow::Result<TempDir> {
    Ok(tempfile::Builder::new().prefix("palisade-bench-").tempdir()?)
}

/// A server that somebody else runs.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) addr: String,
    pub(super) credential: Credential,
    pub(super) pid: Option<u32>,
}

/// Whose sessions are opened.
#[derive(Debug)]
pub(super) struct Credential {
    pub(super) ca: PathBuf,
    pub(super) cert: PathBuf,
    pub(super) key: PathBuf,
}

impl Given {
    async fn connect(&self, sessions: u32) -> anyhow::Result<Load> {
        let mut load = Load::default();
        for _ in 0..sessions {
            let Credential { ca, cert, key } = &self.credential;
            let mut options = Options::new(&self.addr, ca, cert, key);
            options.wire = Wire::Mas;
            let client = Client::connect(options)
                .await
                .with_context(|| format!("cannot connect to {}", self.addr))?;
            let itself = client.agent_id().to_owned();
            load.receivers.push(client.clone());
            load.senders.push((client, itself));
        }
        Ok(load)
    }
}

fn sender_name(number: u32) -> String {
    format!("sender{number}")
}

fn receiver_name(number: u32) -> String {
    format!("receiver{number}")
}

/// Sessions beyond that are further instances of the same agents.
const SENDERS_MAX: u32 = 16;
const RECEIVERS_MAX: u32 = 4;
const CONFIGURATION_HEAD: &str = "\
server:
  listen: 127.0.0.1:0
  tls: { cert: server.pem, key: server.key, client_ca: ca.pem }
audit: { signing_key: audit.key }
gateway:
  rate_limit: { per_minute: 1000000000000, per_hour: 1000000000000 }
";
/// Where the store is, below the folder.
pub(super) const STORE: &str = "data";
