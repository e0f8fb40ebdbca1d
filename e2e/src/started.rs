//! A process that goes on while the test does.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// A process whose lines are read one by one; it is killed when this is dropped.
#[derive(Debug)]
pub struct Started {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Started {
    /// Starts a command.
    ///
    /// # Errors
    /// Returns what the system says.
    pub(crate) fn new(mut command: Command) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let stdout = child.stdout.take().context("no standard output")?;
        Ok(Self { child, stdout: BufReader::new(stdout) })
    }

    /// Waits for the next line that it prints; empty at the end of its output.
    ///
    /// # Errors
    /// Returns an error if none comes in time.
    pub async fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        timeout(PATIENCE, self.stdout.read_line(&mut line)).await.context("no line came")??;
        Ok(line.trim_end().to_owned())
    }

    /// Waits for the next line that it prints, which is JSON.
    ///
    /// # Errors
    /// Returns an error if none comes in time, or one that is no JSON.
    pub async fn json(&mut self) -> Result<Value> {
        let line = self.line().await?;
        serde_json::from_str(&line).with_context(|| format!("no JSON: `{line}`"))
    }

    /// Asks it to end.
    ///
    /// # Errors
    /// Returns what the system says.
    pub fn terminate(&self) -> Result<()> {
        self.signal(Signal::TERM)
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// Returns what the system says.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill_process(self.pid()?, signal)?)
    }

    /// Returns its number.
    ///
    /// # Errors
    /// Returns an error if it has ended.
    pub(crate) fn pid(&self) -> Result<Pid> {
        let pid = self.child.id().context("the process has ended")?;
        Pid::from_raw(i32::try_from(pid)?).context("no process id")
    }

    /// Kills it as a crash would, without a chance to do anything.
    ///
    /// # Errors
    /// Returns what the system says.
    pub async fn kill(mut self) -> Result<()> {
        anyhow::ensure!(self.child.try_wait()?.is_none(), "the process had ended before");
        Ok(self.child.kill().await?)
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// Returns an error if it does not end in time.
    pub async fn ended(mut self) -> Result<ExitStatus> {
        Ok(timeout(PATIENCE, self.child.wait()).await.context("the process did not end")??)
    }
}

/// LIMIT: longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
