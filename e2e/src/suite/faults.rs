//! Crashes and disks: nothing that was acknowledged is lost.
//!
//! | module | holds |
//! |---|---|
//! | `load` | agents at work |
//! | `ledger` | what they were told and what they got |
//! | `round` | what is checked after every fault |
//! | `kill` | `kill -9` at any moment |

#![expect(clippy::indexing_slicing, reason = "of JSON values, where what is absent is null")]

mod dice;
mod kill;
mod ledger;
mod load;
mod round;

use anyhow::Result;

use self::dice::Dice;
use super::{Effort, Report};

pub(super) async fn run(effort: Effort, report: &mut Report) -> Result<()> {
    let mut dice = Dice::thrown();
    report.figure("seed", dice.seed());
    let killed = Box::pin(kill::run(effort, report, &mut dice)).await;
    report.case("a gate that is killed under load loses nothing", killed);
    Ok(())
}
