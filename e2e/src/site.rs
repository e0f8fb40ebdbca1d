//! A folder with an authority, certificates and a configuration: everything that a gate needs.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use identity::{DevCa, IdPattern, Overwrite, Validity};
use palisade_client::{Client, Operator, Options};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::gate::{Gate, Start};
use crate::health::Health;
use crate::program::{Program, Run};

/// A folder of its own for one test; it goes when the test ends.
#[derive(Debug)]
pub struct Site {
    folder: TempDir,
    ca: DevCa,
}

impl Site {
    /// Makes a site with certificates for the gate, an operator and each agent of the settings.
    ///
    /// The settings are laid over a configuration that listens on a free port; keys that they do
    /// not name keep their defaults.
    ///
    /// # Errors
    /// Returns an error if a file cannot be written.
    pub fn new(settings: &Value) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("palisade-e2e-").tempdir()?;
        let ca = DevCa::create("e2e", unix_now())?;
        ca.save(folder.path(), Overwrite::Refuse)?;
        let names = ["localhost", "127.0.0.1"].map(str::to_owned);
        let server = ca.issue_server(&names, None, valid()?)?;
        server.save(folder.path(), "server", Overwrite::Refuse)?;
        let site = Self { folder, ca };
        site.issue("/operator/{operator}", OPERATOR)?;
        for agent in settings.get("agents").and_then(Value::as_object).into_iter().flatten() {
            site.issue_agent(agent.0)?;
        }
        site.configure(settings)?;
        Ok(site)
    }

    /// Makes a site where `alice` and `bob` may message each other.
    ///
    /// # Errors
    /// Returns an error if a file cannot be written.
    pub fn of_two() -> Result<Self> {
        Self::new(
            &json!({ "agents": { "alice": { "allow": ["bob"] }, "bob": { "allow": ["alice"] } } }),
        )
    }

    /// Makes the certificate of an agent.
    ///
    /// # Errors
    /// Returns an error if the name cannot be an agent's.
    pub fn issue_agent(&self, name: &str) -> Result<()> {
        self.issue("/agent/{agent_id}", name)
    }

    fn issue(&self, path: &str, name: &str) -> Result<()> {
        let id = IdPattern::new("mas", path)?.format(name)?;
        let issued = self.ca.issue_agent(&id, valid()?)?;
        Ok(issued.save(self.folder.path(), name, Overwrite::Replace)?)
    }

    /// Writes the configuration anew.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written.
    pub fn configure(&self, settings: &Value) -> Result<()> {
        let mut whole = json!({
            "server": {
                "listen": "127.0.0.1:0",
                "tls": { "cert": "server.pem", "key": "server.key", "client_ca": "ca.pem" },
            },
            "operators": [OPERATOR],
            "storage": { "engine": "embedded", "path": "data", "durability": "fsync" },
        });
        lay_over(&mut whole, settings);
        // JSON is YAML.
        self.write("palisade.yaml", serde_json::to_string_pretty(&whole)?.as_bytes())
    }

    /// Writes a file of the folder.
    ///
    /// # Errors
    /// Returns an error if it cannot be written.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.path(name);
        fs::write(&path, bytes).with_context(|| format!("cannot write `{}`", path.display()))
    }

    /// Returns the folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the path of a file in the folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts the gate.
    ///
    /// # Errors
    /// Returns what it said if it did not start.
    pub async fn start(&self) -> Result<Gate> {
        self.start_as(Start::default()).await
    }

    /// Starts the gate in a certain way.
    ///
    /// # Errors
    /// Returns what it said if it did not start.
    pub async fn start_as(&self, how: Start) -> Result<Gate> {
        Gate::start(self, how).await
    }

    /// Returns what a client of ours needs to connect as somebody.
    #[must_use]
    pub fn options(&self, gate: &Gate, name: &str) -> Options {
        let (cert, key) = (format!("{name}.pem"), format!("{name}.key"));
        let addr = gate.addr().to_string();
        Options::new(addr, self.path("ca.pem"), self.path(&cert), self.path(&key))
    }

    /// Connects as an agent.
    ///
    /// # Errors
    /// Returns what the gate or the network said.
    pub async fn connect(&self, gate: &Gate, name: &str) -> Result<Client> {
        let client = Box::pin(Client::connect(self.options(gate, name))).await;
        client.with_context(|| format!("as {name}; the gate: {}", gate.log()))
    }

    /// Connects as the operator.
    ///
    /// # Errors
    /// Returns what the gate or the network said.
    pub async fn operator(&self, gate: &Gate) -> Result<Operator> {
        Operator::connect(self.options(gate, OPERATOR)).await.context("as the operator")
    }

    /// Connects as one who asks for the gate's health.
    ///
    /// # Errors
    /// Returns what the gate or the network said.
    pub async fn health(&self, gate: &Gate) -> Result<Health> {
        Health::connect(self, gate).await.context("to ask for health")
    }

    /// Runs the binary in this folder.
    ///
    /// # Errors
    /// Returns an error if it does not end in time.
    pub async fn run(&self, arguments: &[&str]) -> Result<Run> {
        Program::new(self.folder(), arguments)?.run().await
    }

    /// Runs `palisade audit` with `--json` on the site's store.
    ///
    /// # Errors
    /// Returns an error if it does not end in time.
    pub async fn audit(&self, arguments: &[&str]) -> Result<Run> {
        self.run(&[&["--json", "audit", "--data", "data"], arguments].concat()).await
    }

    /// Returns the records of the audit log that `palisade audit query` finds.
    ///
    /// # Errors
    /// Returns an error if the log cannot be read.
    pub async fn records(&self, filter: &[&str]) -> Result<Vec<Value>> {
        let arguments = [&["query", "--limit", "1000000"], filter].concat();
        self.audit(&arguments).await?.ok()?.json_lines()
    }
}

/// Returns the time in seconds since 1970.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "certificates are made for the time of the machine")]
pub fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

fn valid() -> Result<Validity> {
    Ok(Validity::from_days(unix_now(), 1)?)
}

/// Lays one tree of settings over another, key by key.
fn lay_over(under: &mut Value, over: &Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            for (key, value) in over {
                lay_over(under.entry(key.as_str()).or_insert(Value::Null), value);
            }
        }
        (under, over) => over.clone_into(under),
    }
}

pub(crate) const OPERATOR: &str = "operator";
