//! A gate as a child process: this very program with `serve`.
//!
//! For verbs that show or measure a real server; it ends with the verb, whatever happens.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::verbs::serve::READY;

/// A running gate.
#[derive(Debug)]
pub(crate) struct Gate {
    child: Child,
    addr: SocketAddr,
    log: PathBuf,
    /// Held open: a server that prints into a closed pipe would notice.
    _stdout: BufReader<ChildStdout>,
}

impl Gate {
    /// Starts a gate and waits until it listens; `listen` overrides the configuration's address.
    ///
    /// Its log goes to `server.log` beside the configuration.
    ///
    /// # Errors
    /// Returns what the gate said if it ends instead, or does not listen in time.
    pub(crate) async fn start(config: &Path, listen: Option<SocketAddr>) -> anyhow::Result<Self> {
        let log = config.with_file_name("server.log");
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("serve").arg("--config").arg(config);
        for (name, _value) in std::env::vars_os() {
            let text = name.to_string_lossy().to_ascii_uppercase();
            // The configuration at hand is meant, whatever the user's own gate is set to.
            if text != LOG_VARIABLE
                && (text.starts_with("PALISADE_") || text.starts_with("GATEWAY_"))
            {
                command.env_remove(name);
            }
        }
        if let Some(listen) = listen {
            command.env("PALISADE_SERVER__LISTEN", listen.to_string());
        }
        let log_file = File::options().create(true).append(true).open(&log)?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log_file).kill_on_drop(true);
        let mut child = command.spawn().context("cannot start the gate")?;
        let mut stdout = BufReader::new(child.stdout.take().context("the gate has no output")?);
        let mut line = String::new();
        let read = timeout(START_TIMEOUT, stdout.read_line(&mut line)).await;
        let addr = match read {
            Ok(Ok(_size)) => line.trim().strip_prefix(READY).and_then(|addr| addr.parse().ok()),
            Ok(Err(_)) | Err(_) => None,
        };
        let Some(addr) = addr else {
            bail!("the gate did not start: {}", last_lines(&log));
        };
        Ok(Self { child, addr, log, _stdout: stdout })
    }

    /// Returns where it listens.
    pub(crate) const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Returns its process id.
    ///
    /// # Errors
    /// Returns an error if it has ended.
    pub(crate) fn pid(&self) -> anyhow::Result<u32> {
        self.child.id().with_context(|| format!("the gate has ended: {}", last_lines(&self.log)))
    }

    /// Ends it at once, as a crash or the system would.
    ///
    /// # Errors
    /// Returns what the system says.
    pub(crate) async fn kill(mut self) -> anyhow::Result<()> {
        self.pid()?;
        Ok(self.child.kill().await?)
    }

    /// Asks it to end and waits until it has.
    ///
    /// # Errors
    /// Returns an error if it does not end in time or not cleanly.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.pid()?)?).context("no process id")?;
        kill_process(pid, Signal::TERM)?;
        let Ok(status) = timeout(STOP_TIMEOUT, self.child.wait()).await else {
            bail!("the gate did not end within {STOP_TIMEOUT:?}: {}", last_lines(&self.log));
        };
        let status = status?;
        if !status.success() {
            bail!("the gate ended with {status}: {}", last_lines(&self.log));
        }
        Ok(())
    }
}

/// Returns the end of a server's log, for errors.
pub(crate) fn last_lines(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let start = lines.len().saturating_sub(LINES_SHOWN);
    let shown = lines.get(start..).unwrap_or_default();
    if shown.is_empty() { "it logged nothing".to_owned() } else { shown.join("; ") }
}

/// What is passed on to the gate of the environment that configures gates.
const LOG_VARIABLE: &str = "PALISADE_LOG";
/// LIMIT: an empty store opens in a fraction of a second, also on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// LIMIT: more than the default of `server.limits.drain_timeout_ms`.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);
const LINES_SHOWN: usize = 5;
