//! Crashes and disks: nothing that was acknowledged is lost.
//!
//! | module | holds |
//! |---|---|
//! | `load` | agents at work |
//! | `late` | messages that end by themselves |
//! | `ledger` | what they were told and what they got |
//! | `records` | the audit log and the dead letters, held against that |
//! | `round` | what is checked after every fault |
//! | `recovery` | how long a start takes |
//! | `crash` | `kill -9` and loss of power at any moment |
//! | `failpoints` | the engine, ended at every step on disk |
//! | `disk` | a disk that fails, is full or is slow |
//! | `flips` | flipped bits in every kind of file |
//! | `starved` | no file descriptors, no processor |

#![expect(clippy::indexing_slicing, reason = "of JSON values, where what is absent is null")]

mod crash;
mod disk;
mod failpoints;
mod flips;
mod late;
mod ledger;
mod load;
mod records;
mod recovery;
mod round;
mod starved;

use anyhow::Result;

use self::crash::Crash;
use super::{Effort, Report};
use crate::Dice;

pub(super) async fn run(effort: Effort, report: &mut Report) -> Result<()> {
    let mut dice = Dice::thrown();
    report.figure("seed", dice.seed());
    let killed = Box::pin(crash::run(Crash::Kill, effort, report, &mut dice)).await;
    report.case("a gate that is killed under load loses nothing", killed);
    let ended = Box::pin(failpoints::run(effort, report)).await;
    report.case("an engine that ends at any step on disk loses nothing", ended);
    on_a_frail_disk(effort, report, &mut dice).await;
    let flipped = Box::pin(flips::run(effort, report, &mut dice)).await;
    report.case("a flipped bit in any file is found with its place or does nothing", flipped);
    let starved = Box::pin(starved::descriptors(report)).await;
    report.case("strangers that take every descriptor stop nobody who is in", starved);
    let stopped = Box::pin(starved::stopped(report)).await;
    report.case("a gate that is stopped for a while delivers nothing twice", stopped);
    let recovered = Box::pin(recovery::run(effort, report)).await;
    report.case("a start reads a long log back", recovered);
    Ok(())
}

/// The cases that need FUSE; where it is missing, they fail, or are skipped if that is known.
async fn on_a_frail_disk(effort: Effort, report: &mut Report, dice: &mut Dice) {
    let cut = Box::pin(crash::run(Crash::Power, effort, report, dice)).await;
    report.case("a gate whose power is cut under load loses nothing", cut);
    let failed = Box::pin(disk::failed_sync(effort, report, dice)).await;
    report.case("a gate whose sync fails acknowledges nothing more and ends", failed);
    let full = Box::pin(disk::full(report)).await;
    report.case("a gate on a full disk says so and resumes", full);
    let slow = Box::pin(disk::slow(report)).await;
    report.case("a gate on a slow disk loses nothing and nobody", slow);
}
