//! One run of the command line, as a shell would start it.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::time::timeout;

use crate::started::Started;

/// A command line that is about to be run.
#[derive(Debug)]
pub struct Program {
    command: Command,
    input: Vec<u8>,
}

/// What a run left behind; printed for a person, it is cut short.
pub struct Run {
    /// The exit code.
    pub code: i32,
    /// What stood on standard output.
    pub stdout: String,
    /// What stood on standard error.
    pub stderr: String,
}

impl Program {
    /// Prepares a run in a folder, with nothing in the environment that configures a gate.
    ///
    /// # Errors
    /// Returns an error if the binary has not been built.
    pub fn new(folder: &Path, arguments: &[&str]) -> Result<Self> {
        Ok(Self::of(Command::new(binary()?), folder, arguments))
    }

    /// Prepares a run that may have only so many files and sockets open.
    ///
    /// # Errors
    /// Returns an error if the binary has not been built.
    pub fn limited(folder: &Path, arguments: &[&str], descriptors: u64) -> Result<Self> {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -n {descriptors} && exec \"$0\" \"$@\"")]);
        shell.arg(binary()?);
        Ok(Self::of(shell, folder, arguments))
    }

    fn of(mut command: Command, folder: &Path, arguments: &[&str]) -> Self {
        command.args(arguments).current_dir(folder).kill_on_drop(true);
        for (name, _value) in env::vars_os() {
            if configures_a_gate(&name) {
                command.env_remove(name);
            }
        }
        Self { command, input: Vec::new() }
    }

    /// Sets a variable of the environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Gives the run something to read on standard input.
    #[must_use]
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = bytes.into();
        self
    }

    /// Starts it, to go on while the test does.
    ///
    /// # Errors
    /// Returns what the system says.
    pub fn start(self) -> Result<Started> {
        let mut command = self.command;
        command.stderr(Stdio::null());
        Started::new(command)
    }

    /// Returns the prepared command.
    pub(crate) fn into_command(self) -> Command {
        self.command
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// Returns an error if it does not end in time, ends by a signal, or writes no text.
    pub async fn run(mut self) -> Result<Run> {
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().context("the binary did not start")?;
        let mut stdin = child.stdin.take().context("no standard input")?;
        let feed = async {
            // A program that ends early does not want the rest.
            drop(stdin.write_all(&self.input).await);
            drop(stdin);
        };
        let run = async { tokio::join!(feed, child.wait_with_output()).1 };
        let Ok(output) = timeout(RUN_TIMEOUT, run).await else {
            bail!("a run did not end within {RUN_TIMEOUT:?}: {:?}", self.command);
        };
        let output = output?;
        Ok(Run {
            code: output.status.code().context("the run was ended by a signal")?,
            stdout: String::from_utf8(output.stdout)?,
            stderr: String::from_utf8(output.stderr)?,
        })
    }
}

impl Run {
    /// Returns the run if it ended well.
    ///
    /// # Errors
    /// Says what it printed otherwise.
    pub fn ok(self) -> Result<Self> {
        self.ended(0)
    }

    /// Returns the run if it ended with this code.
    ///
    /// # Errors
    /// Says what it printed otherwise.
    pub fn ended(self, code: i32) -> Result<Self> {
        ensure!(self.code == code, "ended with {} and not {code}: {self:?}", self.code);
        Ok(self)
    }

    /// Returns standard output as one JSON value.
    ///
    /// # Errors
    /// Returns an error if it is none.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.stdout).with_context(|| format!("no JSON: {self:?}"))
    }

    /// Returns standard output as one JSON value a line.
    ///
    /// # Errors
    /// Returns an error if a line is none.
    pub fn json_lines(&self) -> Result<Vec<Value>> {
        let line = |line| serde_json::from_str(line).with_context(|| format!("no JSON: {line}"));
        self.stdout.lines().map(line).collect()
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("code", &self.code)
            .field("stdout", &excerpt(&self.stdout))
            .field("stderr", &excerpt(&self.stderr))
            .finish()
    }
}

/// Returns a text without its middle if it is long: a whole audit log helps nobody.
pub(crate) fn excerpt(text: &str) -> String {
    let count = text.chars().count();
    if count <= 2 * EXCERPT_CHARS {
        return text.to_owned();
    }
    let head: String = text.chars().take(EXCERPT_CHARS).collect();
    let tail: String = text.chars().skip(count - EXCERPT_CHARS).collect();
    format!("{head} [... {} characters ...] {tail}", count - 2 * EXCERPT_CHARS)
}

/// Returns the binary that is tested: the one that `PALISADE_BIN` names, else the release build.
///
/// # Errors
/// Says how to build it if it is not there.
pub fn binary() -> Result<PathBuf> {
    let built = || target().join("release/palisade");
    let path = env::var_os("PALISADE_BIN").map_or_else(built, PathBuf::from);
    ensure!(
        path.is_file(),
        "`{}` is not there: `cargo build --release -p palisade` makes it",
        path.display()
    );
    Ok(path.canonicalize()?)
}

/// Returns the folder that cargo builds into.
fn target() -> PathBuf {
    let usual = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    env::var_os("CARGO_TARGET_DIR").map_or_else(usual, PathBuf::from)
}

fn configures_a_gate(name: &OsString) -> bool {
    let name = name.to_string_lossy().to_ascii_uppercase();
    name.starts_with("PALISADE_") || name.starts_with("GATEWAY_")
}

/// What is shown of the beginning and of the end of a long output.
const EXCERPT_CHARS: usize = 2_000;
/// LIMIT: longer than the longest run, which is the demo on a busy machine.
const RUN_TIMEOUT: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_output_is_shown_by_its_beginning_and_its_end() {
        let text = format!("first {} last", "ä".repeat(500_000));
        let run = Run { code: 1, stdout: text, stderr: "short".to_owned() };
        let shown = format!("{run:?}");
        assert!(shown.len() < 10_000, "{} bytes", shown.len());
        assert!(shown.contains("first ä") && shown.contains("ä last"), "{shown}");
        assert!(shown.contains("496011 characters") && shown.contains("\"short\""), "{shown}");
    }
}
