//! The demo's folder and gate: authority, certificates, configuration, one server process.
//!
//! What happens on it is in `scenes`.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use palisade_client::{Client, Operator};
use tempfile::TempDir;

use super::actor::Actor;
use crate::child::Gate;
use crate::keyring::{AUDIT_KEY, Keyring};

/// A folder with everything a gate needs, and the gate.
#[derive(Debug)]
pub(super) struct Stage {
    folder: TempDir,
    keyring: Keyring,
    gate: Option<Gate>,
    addr: String,
}

impl Stage {
    /// Makes the folder.
    pub(super) fn build() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("palisade-demo-")
            .tempdir()
            .context("cannot make a temporary folder")?;
        let keyring = Keyring::open(folder.path())?;
        keyring.server()?;
        keyring.audit_key()?;
        keyring.operator(OPERATOR)?;
        for agent in AGENTS {
            keyring.agent(agent)?;
        }
        fs::write(folder.path().join(CONFIG_FILE), CONFIGURATION)?;
        Ok(Self { folder, keyring, gate: None, addr: String::new() })
    }

    /// Starts the gate on a free port.
    pub(super) async fn open(&mut self) -> anyhow::Result<()> {
        let gate = Gate::start(&self.folder.path().join(CONFIG_FILE), None).await?;
        self.addr = gate.addr().to_string();
        self.gate = Some(gate);
        Ok(())
    }

    /// Kills the gate as a crash would and starts it again at the same address.
    pub(super) async fn crash_and_restart(&mut self) -> anyhow::Result<()> {
        let gate = self.gate.take().context("the gate is not running")?;
        let addr = gate.addr();
        gate.kill().await?;
        let again = Gate::start(&self.folder.path().join(CONFIG_FILE), Some(addr)).await;
        self.gate = Some(again.context("after a crash")?);
        Ok(())
    }

    /// Ends the gate in good order.
    pub(super) async fn close(&mut self) -> anyhow::Result<()> {
        self.gate.take().context("the gate is not running")?.stop().await
    }

    /// Connects an agent.
    pub(super) async fn agent(&self, name: &'static str) -> anyhow::Result<Actor> {
        let options = self.keyring.options(&self.addr, name)?;
        let client = Client::connect(options).await.with_context(|| format!("as {name}"))?;
        Ok(Actor::new(name, client))
    }

    /// Connects the operator.
    pub(super) async fn operator(&self) -> anyhow::Result<Operator> {
        let options = self.keyring.options(&self.addr, OPERATOR)?;
        Operator::connect(options).await.context("as the operator")
    }

    /// Returns where the gate's store is.
    pub(super) fn data_folder(&self) -> PathBuf {
        self.folder.path().join(DATA_FOLDER)
    }

    /// Returns where the key is that signs the audit log.
    pub(super) fn audit_key(&self) -> PathBuf {
        self.folder.path().join(AUDIT_KEY)
    }

    /// Leaves the folder to the user.
    pub(super) fn keep(self) -> PathBuf {
        self.folder.keep()
    }
}

const OPERATOR: &str = "operator";
const AGENTS: [&str; 6] = ["alice", "bob", "carol", "dave", "eve", "frank"];
const CONFIG_FILE: &str = "palisade.yaml";
const DATA_FOLDER: &str = "data";
/// Everything that is not said here has its default; the limits are small so that they are met.
const CONFIGURATION: &str = "\
server:
  listen: 127.0.0.1:0
  tls: { cert: server.pem, key: server.key, client_ca: ca.pem }
operators: [operator]
agents:
  alice: { allow: [bob, carol, dave] }
  bob: { allow: [alice] }
  carol: { allow: [] }
  dave: { allow: [] }
  eve: { allow: [] }
  frank: { allow: [bob], limits: { per_minute: 2, per_hour: 100 } }
gateway:
  circuit_breaker: { failure_threshold: 3 }
  dlp:
    rules:
      - { id: accounts, type: account_number, pattern: 'ACCT-[0-9]{8}', action: encrypt,
          severity: high, description: only the recipient may read account numbers }
delivery: { retry_backoff_ms: 100, retry_backoff_max_ms: 1000 }
storage: { engine: embedded, path: data, durability: fsync }
audit: { signing_key: audit.key, checkpoint_seconds: 0.2 }
";
