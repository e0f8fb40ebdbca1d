//! An attacker: a process of its own that computes only while nobody else does, since it stands
//! for another machine; one that shares the processor as an equal would measure the scheduler.

use std::env;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::attacks::Attack;
use super::ground::Ground;
use super::tally::Tally;
use super::wire::Target;

/// What is attacked, and how, stands in these.
const ATTACK: &str = "SUITE_ATTACK";
const ADDR: &str = "SUITE_ATTACK_ADDR";
const FOLDER: &str = "SUITE_ATTACK_FOLDER";

/// A running attacker; it is killed when it is dropped.
#[derive(Debug)]
pub(super) struct Attacker(Child);

impl Attacker {
    /// Starts an attack.
    pub(super) fn start(ground: &Ground, attack: &Attack) -> Result<Self> {
        // Of util-linux, which every Debian has; it becomes the attacker, with the same number.
        // A low priority would not do: such a process still runs for milliseconds on end.
        let mut command = Command::new("chrt");
        command.args(["--idle", "0"]).arg(env::current_exe()?);
        command.env(ATTACK, attack.name).env(ADDR, ground.gate.addr().to_string());
        command.env(FOLDER, ground.site.folder()).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        Ok(Self(command.spawn().context("the attacker did not start: no chrt")?))
    }

    /// Ends it; returns what it got.
    pub(super) async fn stop(mut self) -> Result<Value> {
        drop(self.0.stdin.take());
        let output = timeout(PATIENCE, self.0.wait_with_output()).await;
        let output = output.context("the attacker does not end")??;
        serde_json::from_slice(&output.stdout).context("the attacker said nothing")
    }
}

const PATIENCE: Duration = Duration::from_secs(20);

/// Attacks if this process was started for that; tells whether it was.
///
/// # Errors
/// Returns an error if what is asked for makes no sense.
#[expect(clippy::print_stdout, reason = "the suite reads what it got there")]
pub async fn attack_if_told() -> Result<bool> {
    let Some(name) = env::var_os(ATTACK) else { return Ok(false) };
    let name = name.to_string_lossy();
    let attack = Attack::named(&name).with_context(|| format!("no attack `{name}`"))?;
    let folder = PathBuf::from(env::var_os(FOLDER).context("no folder")?);
    let target = Target { addr: env::var(ADDR)?.parse()?, folder };
    let tally = Tally::default();
    let told_to_end = tokio::task::spawn_blocking(|| {
        drop(std::io::stdin().read(&mut [0]));
    });
    tokio::select! {
        () = attack.run(target, tally.clone()) => {}
        _ = told_to_end => {}
    }
    println!("{}", tally.json());
    Ok(true)
}
