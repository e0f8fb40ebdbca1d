//! Crashes and disks: nothing that was acknowledged is lost.
//!
//! | module | holds |
//! |---|---|
//! | `load` | agents at work |
//! | `ledger` | what they were told and what they got |
//! | `round` | what is checked after every fault |
//! | `crash` | `kill -9` and loss of power at any moment |

#![expect(clippy::indexing_slicing, reason = "of JSON values, where what is absent is null")]

mod crash;
mod ledger;
mod load;
mod round;

use anyhow::Result;

use self::crash::Crash;
use super::{Effort, Report};
use crate::Dice;

pub(super) async fn run(effort: Effort, report: &mut Report) -> Result<()> {
    let mut dice = Dice::thrown();
    report.figure("seed", dice.seed());
    let killed = Box::pin(crash::run(Crash::Kill, effort, report, &mut dice)).await;
    report.case("a gate that is killed under load loses nothing", killed);
    let cut = Box::pin(crash::run(Crash::Power, effort, report, &mut dice)).await;
    report.case("a gate whose power is cut under load loses nothing", cut);
    Ok(())
}
