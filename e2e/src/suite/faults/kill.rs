//! `kill -9` under load, at any moment.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::json;
use tokio::time::sleep;

use super::dice::Dice;
use super::load::{Load, settings};
use super::round::{Sums, verify};
use crate::suite::Effort;
use crate::{Report, Site, Start};

/// Kills a gate under load again and again and looks each time whether anything is missing.
pub(super) async fn run(effort: Effort, report: &mut Report, dice: &mut Dice) -> Result<()> {
    let mut sums = Sums::default();
    let mut left = effort.rounds(20, 500);
    let mut outcome = Ok(());
    while left > 0 && outcome.is_ok() {
        let rounds = left.min(ROUNDS_PER_STORE);
        outcome = Box::pin(on_one_store(rounds, &mut sums, dice)).await;
        left -= rounds;
    }
    sums.tell("kill", report);
    outcome.with_context(|| format!("after {} rounds", sums.rounds))
}

async fn on_one_store(rounds: u32, sums: &mut Sums, dice: &mut Dice) -> Result<()> {
    let site = Site::new(&small_segments())?;
    let gate = site.start_as(QUIET).await?;
    let load = Load::connect(&site, &gate).await?;
    let done = kills(&site, gate, &load, rounds, (&mut *sums, dice)).await;
    sums.add(&load);
    done
}

async fn kills(
    site: &Site,
    mut gate: crate::Gate,
    load: &Load,
    rounds: u32,
    (sums, dice): (&mut Sums, &mut Dice),
) -> Result<()> {
    let how = Start { listen: Some(gate.addr()), ..QUIET };
    for _round in 0..rounds {
        let moment = Duration::from_millis(1 + dice.below(500));
        let crash = async {
            sleep(moment).await;
            gate.kill().await?;
            verify(site).await?;
            sums.restart(site, how).await
        };
        let at = || format!("killed at {moment:?}");
        gate = load.during(crash).await.with_context(at)?;
        sums.check(site, &gate, load).await.with_context(at)?;
    }
    gate.stop().await?;
    verify(site).await
}

/// Segments and checkpoints so small that every round has some.
pub(super) fn small_segments() -> serde_json::Value {
    let mut settings = settings();
    settings["storage"] =
        json!({ "segment_bytes": 65_536, "checkpoint_bytes": 131_072, "cache_bytes": 65_536 });
    settings
}

/// Without a log for developers, which would slow the load down.
pub(super) const QUIET: Start = Start { listen: None, log: "warn" };
/// Keeps the time for reading the whole audit log after each round within bounds.
const ROUNDS_PER_STORE: u32 = 10;
