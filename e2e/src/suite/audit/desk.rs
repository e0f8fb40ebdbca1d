//! A gate with a key, a witness on the same machine, and a log to play with.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use audit::SignedCheckpoint;
use serde_json::{Value, json};

use crate::{Gate, Program, Run, Site, Started, eventually};

/// A site whose log is signed and cosigned.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) site: Site,
    pub(super) log_key: String,
    pub(super) witness_key: String,
    pub(super) witness: Started,
    url: String,
}

impl Desk {
    /// Makes the keys and starts the witness.
    pub(super) async fn new() -> Result<Self> {
        let site = Site::of_two()?;
        let log_key = key(&site, &["--out", "audit.key", "--origin", "example.com/audit"]).await?;
        let witness = ["--witness", "--out", "witness.key", "--origin", "example.com/witness"];
        let witness_key = key(&site, &witness).await?;
        let (witness, url) = start_witness(&site, &log_key, "127.0.0.1:0").await?;
        let desk = Self { site, log_key, witness_key, witness, url };
        desk.configure()?;
        Ok(desk)
    }

    fn configure(&self) -> Result<()> {
        self.site.configure(&json!({
            "agents": { "alice": { "allow": ["bob"] }, "bob": {} },
            "gateway": {
                "rate_limit": { "per_minute": 1_000_000, "per_hour": 1_000_000 },
                "audit": { "file_path": "audit.jsonl", "max_bytes": 1_000_000_000_u64 },
            },
            "storage": { "segment_bytes": 65_536, "checkpoint_bytes": 131_072 },
            "audit": {
                "signing_key": "audit.key",
                "checkpoint_seconds": 0.1,
                "witnesses": [{ "url": self.url, "key": self.witness_key }],
            },
        }))
    }

    /// Lets agents work for a number of messages and ends the gate in good order.
    pub(super) async fn work(&self, messages: u64) -> Result<()> {
        let gate = self.site.start().await?;
        send(&self.site, &gate, messages).await?;
        gate.stop().await
    }

    /// Kills the witness and starts it again at the same address.
    pub(super) async fn crash_witness(&mut self) -> Result<()> {
        let address = self.url.trim_start_matches("http://").to_owned();
        // A killed process frees its address at once: nobody waits for a word of it.
        let (state, log) = (&self.site, &self.log_key);
        let idle = Program::new(state.folder(), &["--version"])?.start()?;
        std::mem::replace(&mut self.witness, idle).kill().await?;
        self.witness = start_witness(state, log, &address).await?.0;
        Ok(())
    }

    /// Runs `palisade audit verify` on a store with both keys.
    pub(super) async fn verify(&self, data: &Path, more: &[&str]) -> Result<Run> {
        let data = data.display().to_string();
        let keys = ["--key", &self.log_key];
        let arguments = ["--json", "audit", "--data", &data, "verify"];
        self.site.run(&[&arguments[..], &keys, more].concat()).await
    }

    /// Returns the path of a file of the tree.
    pub(super) fn tree(&self, name: &str) -> PathBuf {
        self.site.path("data/tree").join(name)
    }

    /// Returns the file of the last cosigned checkpoint.
    pub(super) fn cosigned(&self) -> Result<PathBuf> {
        let files = fs::read_dir(self.tree("witnessed"))?;
        let file =
            files.filter_map(|file| Some(file.ok()?.path())).find(|p| p.extension().is_none());
        file.context("nothing was cosigned")
    }

    /// Returns the files of the checkpoints that were kept, the oldest first.
    pub(super) fn checkpoints(&self) -> Result<Vec<PathBuf>> {
        let files = fs::read_dir(self.tree("checkpoints"))?;
        let mut files: Vec<PathBuf> = files.filter_map(|file| Some(file.ok()?.path())).collect();
        files.sort();
        Ok(files)
    }

    /// Waits until all that is in the log is cosigned; returns how much that is.
    pub(super) async fn all_cosigned(&self) -> Result<u64> {
        eventually("the last checkpoint is cosigned", || async {
            let newest = size(&self.tree("checkpoint"))?;
            let cosigned = self.cosigned().and_then(|file| size(&file)).unwrap_or_default();
            Ok((newest == cosigned).then_some(newest))
        })
        .await
    }

    /// Runs the verifier that shares no code with us.
    pub(super) async fn python(&self, arguments: &[&str]) -> Result<Value> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop/audit_verify.py");
        let mut command = tokio::process::Command::new("python3");
        command.arg(script).args(arguments).current_dir(self.site.folder()).kill_on_drop(true);
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        let output = command.output().await.context("python3 did not start")?;
        let text = String::from_utf8(output.stdout)?;
        serde_json::from_str(&text)
            .with_context(|| format!("{text}{}", String::from_utf8_lossy(&output.stderr)))
    }
}

/// Returns the size that a checkpoint states.
pub(super) fn size(file: &Path) -> Result<u64> {
    Ok(SignedCheckpoint::parse(&fs::read(file)?)?.checkpoint().size)
}

/// Sends messages as alice, each acknowledged by the gate.
pub(super) async fn send(site: &Site, gate: &Gate, messages: u64) -> Result<()> {
    let alice = site.connect(gate, "alice").await?;
    for number in 0..messages {
        alice.send("bob", "note", &json!({ "number": number })).await?;
    }
    alice.close().await;
    Ok(())
}

/// Copies a folder with all that is in it.
pub(super) fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Returns what a run printed as JSON, after checking that it failed as a check does.
pub(super) fn refused(run: &Run) -> Result<Value> {
    ensure!(run.code == 1, "was not found: {run:?}");
    run.json()
}

async fn key(site: &Site, arguments: &[&str]) -> Result<String> {
    let made = site.run(&[&["--json", "audit", "key"], arguments].concat()).await?.ok()?.json()?;
    let key = made.pointer("/verifier_key").and_then(Value::as_str);
    Ok(key.context("no key was printed")?.to_owned())
}

async fn start_witness(site: &Site, log: &str, listen: &str) -> Result<(Started, String)> {
    let arguments = [
        "--json",
        "witness",
        "--listen",
        listen,
        "--key",
        "witness.key",
        "--log",
        log,
        "--state",
        "witness",
    ];
    let mut started = Program::new(site.folder(), &arguments)?.start()?;
    let line = started.json().await?;
    let address = line.pointer("/listening").and_then(Value::as_str).context("no address")?;
    Ok((started, format!("http://{address}")))
}
