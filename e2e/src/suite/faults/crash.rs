//! `kill -9` and loss of power under load, at any moment.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::load::{Load, settings};
use super::round::{Sums, verify};
use crate::suite::Effort;
use crate::{Dice, FrailDisk, Gate, Loss, Report, Site, Start};

/// What happens to a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Crash {
    /// Its process is killed.
    Kill,
    /// Its machine loses power: what was not synced is gone, or a part of it.
    Power,
}

impl Crash {
    const fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Power => "power",
        }
    }
}

/// Crashes a gate under load again and again and looks each time whether anything is missing.
pub(super) async fn run(
    crash: Crash,
    effort: Effort,
    report: &mut Report,
    dice: &mut Dice,
) -> Result<()> {
    let mut sums = Sums::default();
    let mut left = effort.rounds(20, 500);
    let mut outcome = Ok(());
    while left > 0 && outcome.is_ok() {
        let rounds = left.min(ROUNDS_PER_STORE);
        outcome = Box::pin(on_one_store(crash, rounds, &mut sums, dice)).await;
        left -= rounds;
    }
    sums.tell(crash.name(), report);
    outcome.with_context(|| format!("after {} rounds", sums.rounds))
}

async fn on_one_store(crash: Crash, rounds: u32, sums: &mut Sums, dice: &mut Dice) -> Result<()> {
    let site = Site::new(&small_segments())?;
    let is_frail = crash == Crash::Power;
    let disk = is_frail.then(|| FrailDisk::mount(&site.path("data"))).transpose()?;
    let mut gate = site.start_as(QUIET).await?;
    let load = Load::with_late(&site, &gate).await?;
    for _round in 0..rounds {
        let seed = dice.seed();
        let crashed = round(&site, disk.as_ref(), gate, &load, (&mut *sums, &mut *dice));
        match Box::pin(crashed).await.with_context(|| format!("with PALISADE_SEED={seed}")) {
            Ok(started) => gate = started,
            Err(error) => {
                sums.add(&load);
                return Err(error);
            }
        }
    }
    sums.add(&load);
    sums.close(&site, &gate, &load).await.context("when what ends late has ended")?;
    gate.stop().await?;
    verify(&site).await
}

async fn round(
    site: &Site,
    disk: Option<&FrailDisk>,
    gate: Gate,
    load: &Load,
    (sums, dice): (&mut Sums, &mut Dice),
) -> Result<Gate> {
    let how = Start { listen: Some(gate.addr()), ..QUIET };
    let moment = Duration::from_millis(1 + dice.below(500));
    let loss = if dice.below(3) == 0 { Loss::Everything } else { Loss::Some };
    let crash = async {
        sleep(moment).await;
        gate.kill().await?;
        if let Some(disk) = disk {
            disk.lose_power(loss, dice);
        }
        verify(site).await?;
        sums.restart(site, how).await
    };
    let gate = load.during(crash).await?;
    sums.check(site, &gate, load).await?;
    Ok(gate)
}

/// Segments and checkpoints so small that every round has some.
pub(super) fn small_segments() -> Value {
    let mut settings = settings();
    settings["storage"] =
        json!({ "segment_bytes": 65_536, "checkpoint_bytes": 131_072, "cache_bytes": 65_536 });
    settings
}

/// Without a log for developers, which would slow the load down.
pub(super) const QUIET: Start = Start { listen: None, log: "warn", descriptors: None };
/// Keeps the time for reading the whole audit log after each round within bounds.
const ROUNDS_PER_STORE: u32 = 10;
