//! A server process: started, stopped, killed, started again.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal};

use crate::program::Program;
use crate::site::Site;
use crate::started::Started;

/// How a gate is started, where the plain way will not do.
#[derive(Debug, Clone, Copy)]
pub struct Start {
    /// Where it listens; what the configuration says if absent.
    pub listen: Option<SocketAddr>,
    /// What it logs, as `PALISADE_LOG` takes it.
    pub log: &'static str,
    /// How many files and sockets it may have open; what this process may if absent.
    pub descriptors: Option<u64>,
}

impl Default for Start {
    fn default() -> Self {
        Self { listen: None, log: "debug", descriptors: None }
    }
}

/// A running gate; it is killed when it is dropped.
#[derive(Debug)]
pub struct Gate {
    process: Started,
    addr: SocketAddr,
    log: PathBuf,
}

impl Gate {
    /// Starts the gate of a site and waits until it says where it listens.
    ///
    /// # Errors
    /// Returns what it said if it did not start.
    pub(crate) async fn start(site: &Site, how: Start) -> Result<Self> {
        let config = site.path("palisade.yaml").display().to_string();
        // From elsewhere: the paths in a configuration start from its own folder.
        let arguments = ["serve", "--config", &config];
        let program = match how.descriptors {
            None => Program::new(Path::new("/"), &arguments)?,
            Some(most) => Program::limited(Path::new("/"), &arguments, most)?,
        };
        let program = program.env("PALISADE_LOG", how.log);
        let program = match how.listen {
            Some(addr) => program.env("PALISADE_SERVER__LISTEN", &addr.to_string()),
            None => program,
        };
        let log = site.path("gate.log");
        let log_file = File::options().create(true).append(true).open(&log)?;
        let mut command = program.into_command();
        command.stderr(log_file);
        let mut process = Started::new(command).context("the gate did not start")?;
        let line = process.line().await?;
        let addr = line
            .strip_prefix("palisade listening on ")
            .with_context(|| format!("the gate did not start: {}", tail(&log)))?;
        let addr = addr.parse().with_context(|| format!("`{addr}` is no address"))?;
        Ok(Self { process, addr, log })
    }

    /// Returns where it listens.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Returns everything that it has logged, at the level for developers.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Kills it as a crash would, without a chance to do anything.
    ///
    /// # Errors
    /// Returns what the system says.
    pub async fn kill(self) -> Result<()> {
        self.process.kill().await.with_context(|| tail(&self.log))
    }

    /// Kills it and starts it again at the same address.
    ///
    /// # Errors
    /// Returns what it said if it did not start.
    pub async fn crash(self, site: &Site) -> Result<Self> {
        let addr = self.addr;
        self.kill().await?;
        Self::start(site, Start { listen: Some(addr), ..Start::default() }).await
    }

    /// Asks it to end.
    ///
    /// # Errors
    /// Returns what the system says.
    pub fn terminate(&self) -> Result<()> {
        self.process.terminate()
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// Returns what the system says.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.process.signal(signal)
    }

    /// Returns the number of its process.
    ///
    /// # Errors
    /// Returns an error if it has ended.
    pub fn pid(&self) -> Result<Pid> {
        self.process.pid()
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// Returns an error if it does not end in time.
    pub async fn ended(self) -> Result<ExitStatus> {
        self.process.ended().await.with_context(|| tail(&self.log))
    }

    /// Asks it to end and waits until it has, cleanly.
    ///
    /// # Errors
    /// Returns an error if it does not end in time or not cleanly.
    pub async fn stop(self) -> Result<()> {
        self.terminate()?;
        let log = self.log.clone();
        let status = self.ended().await?;
        ensure!(status.success(), "the gate ended with {status}: {}", tail(&log));
        Ok(())
    }
}

/// Returns the end of the log, for messages of failed tests.
fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(LINES_SHOWN)..).unwrap_or_default().join("\n")
}

const LINES_SHOWN: usize = 20;
