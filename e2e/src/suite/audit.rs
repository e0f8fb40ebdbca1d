//! The audit log in the hands of a third party: every change is found.
//!
//! | module | holds |
//! |---|---|
//! | `desk` | a gate with a key, a witness and a log to play with |
//! | `proofs` | what is signed, proven and checked, also by a verifier that shares no code |
//! | `tamper` | everything that can be done to records |
//! | `harm` | and to files |
//! | `place` | where a check must say that it was done |
//! | `erasure` | salts that are erased behind a signed tree |
//! | `history` | kills, restored backups, and what the witness says |
//! | `speed` | how quickly a large log is verified |

#![expect(clippy::indexing_slicing, reason = "of JSON values and of lines that are there")]

mod desk;
mod erasure;
mod harm;
mod history;
mod place;
mod proofs;
mod speed;
mod tamper;

use anyhow::Result;

use self::desk::Desk;
use super::{Effort, Report};
use crate::Dice;

pub(super) async fn run(effort: Effort, report: &mut Report) -> Result<()> {
    let mut dice = Dice::thrown();
    report.figure("seed", dice.seed());
    let desk = Desk::new().await?;
    desk.work(u64::from(effort.rounds(300, 3_000))).await?;
    let signed = Box::pin(proofs::signed(&desk, report)).await;
    report.case("the log is signed, cosigned and verified, also by another program", signed);
    let proven = Box::pin(proofs::proven(&desk, &mut dice, report)).await;
    report.case("records are proven to somebody who has only the keys", proven);
    let consistent = Box::pin(proofs::consistent(&desk, report)).await;
    report.case("each checkpoint continues the one before", consistent);
    let lines = Box::pin(tamper::lines(&desk, effort, &mut dice, report)).await;
    report.case("each changed record is found and named", lines);
    let files = Box::pin(harm::files(&desk, effort, &mut dice, report)).await;
    report.case("each changed, missing or foreign file is found and named", files);
    let erased = Box::pin(erasure::erased(&desk, report)).await;
    report.case("erased salts leave the signed tree as it was", erased);
    let killed = Box::pin(history::killed(effort, &mut dice, report)).await;
    report.case("the tree goes on over kills of gate and witness", killed);
    let restored = Box::pin(history::restored(desk, report)).await;
    report.case("a restored backup is refused by the witness and raises the alarm", restored);
    let broken = Box::pin(history::broken()).await;
    report.case("a log that does not fit its tree is not signed again", broken);
    let speed = Box::pin(speed::run(effort, report)).await;
    report.case("a large log is verified quickly", speed);
    Ok(())
}
