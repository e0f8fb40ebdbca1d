//! A run of Python with clients that nobody here wrote, against a gate of ours.
//!
//! The programs are in `interop`; `scripts/test.sh` makes the environment that they run in.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::time::timeout;

use crate::gate::Gate;
use crate::program::binary;
use crate::site::Site;
use crate::started::Started;

/// A program of `interop` that is about to be run.
#[derive(Debug)]
pub struct Foreign {
    command: Command,
    name: String,
}

impl Foreign {
    /// Prepares a program to be run against a gate.
    ///
    /// # Errors
    /// Says how to make the environment if it is not there.
    pub fn new(site: &Site, gate: &Gate, name: &str) -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut command = Command::new(Self::program("python")?);
        command
            .arg(root.join("interop").join(name))
            .current_dir(site.folder())
            .env("GATE_ADDR", gate.addr().to_string())
            .env("GATE_BINARY", binary()?)
            .env("GATE_PROTO", root.join("../proto"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("GRPC_VERBOSITY", "NONE")
            .kill_on_drop(true);
        Ok(Self { command, name: name.to_owned() })
    }

    /// Returns where a program of the environment is.
    ///
    /// # Errors
    /// Says how to make the environment if it is not there.
    pub fn program(name: &str) -> Result<PathBuf> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let made = || root.join("../target/interop-venv");
        let venv = env::var_os("PALISADE_INTEROP_VENV").map_or_else(made, PathBuf::from);
        let program = venv.join("bin").join(name);
        ensure!(
            program.exists(),
            "no `{name}` for tests with foreign programs in `{}`: `scripts/test.sh` installs it",
            venv.display()
        );
        Ok(program)
    }

    /// Runs the program's tests.
    ///
    /// # Errors
    /// Returns what it printed if a test failed, or none ran.
    pub async fn test(self) -> Result<()> {
        let (name, report) = (self.name.clone(), self.run("").await?.1);
        let ran = report.lines().find(|line| line.starts_with("Ran ")).unwrap_or_default();
        let is_green = !ran.starts_with("Ran 0") && report.trim_end().ends_with("\nOK");
        ensure!(is_green, "{name}:\n{report}");
        Ok(())
    }

    /// Runs a program that takes one JSON value and answers with one.
    ///
    /// # Errors
    /// Returns what it printed if that is no JSON.
    pub async fn ask(self, question: &Value) -> Result<Value> {
        let (answer, report) = self.run(&question.to_string()).await?;
        serde_json::from_str(&answer).with_context(|| format!("{answer}{report}"))
    }

    /// Starts a program that goes on while the test does.
    ///
    /// # Errors
    /// Returns what the system says.
    pub fn start(self) -> Result<Started> {
        Started::new(self.command)
    }

    async fn run(mut self, input: &str) -> Result<(String, String)> {
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn()?;
        let mut stdin = child.stdin.take().context("no standard input")?;
        stdin.write_all(input.as_bytes()).await?;
        drop(stdin);
        let Ok(output) = timeout(TIMEOUT, child.wait_with_output()).await else {
            bail!("{} did not end within {TIMEOUT:?}", self.name);
        };
        let output = output?;
        Ok((String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?))
    }
}

/// LIMIT: longer than any program of `interop` on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(120);
