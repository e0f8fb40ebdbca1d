//! One attacker among honest agents: what it gets, what it costs, and whether others notice.
//!
//! | module | holds |
//! |---|---|
//! | `ground` | the gate and its agents |
//! | `honest` | a hundred agents at work |
//! | `attacks` | the table of attacks |
//! | `frames`, `calls`, `native` | the attacks: of frames, of calls, of the native session |
//! | `wire` | TLS and HTTP/2 by hand |
//! | `grpc` | calls by hand, over an HTTP/2 library |
//! | `attacker` | the process that attacks |
//! | `tally` | what it got |
//! | `measure`, `process` | what the others and the gate noticed |
//! | `verdict` | whether that is harm |
//! | `spoils` | what became of messages that were taken from attackers |
//! | `loops` | agents that answer each message with another |
//! | `consumers` | receivers that stop, crawl, or refuse everything |
//! | `crowd` | thousands that send to one |

#![expect(clippy::indexing_slicing, reason = "of JSON values, where what is absent is null")]

mod attacker;
mod attacks;
mod calls;
mod consumers;
mod crowd;
mod frames;
mod ground;
mod grpc;
mod honest;
mod loops;
mod measure;
mod native;
mod process;
mod spoils;
mod tally;
mod verdict;
mod wire;

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Map, Value, json};

pub use self::attacker::attack_if_told;
use self::attacks::{ATTACKS, Attack};
use self::ground::{Ground, MEMORY_BYTES_MAX};
use self::honest::{Finished, Load};
use self::measure::{Measured, Plan, measure, rounded};
use self::tally::Taken;
use self::verdict::{Noticed, judge};
use super::{Effort, Report};

/// A machine that does other things too makes single measurements worthless.
const TRIES: usize = 3;

pub(super) async fn run(effort: Effort, report: &mut Report) -> Result<()> {
    let loops = Box::pin(loops::run(report)).await;
    report.case("loops of agents come to an end", loops);
    let consumers = Box::pin(consumers::run(report)).await;
    report.case("receivers that do not receive harm nobody", consumers);
    let crowd = Box::pin(crowd::run(effort, report)).await;
    report.case("a crowd of senders harms nobody but itself", crowd);
    Box::pin(attacks(effort, report)).await
}

async fn attacks(effort: Effort, report: &mut Report) -> Result<()> {
    let ground = Ground::start(&json!({})).await?;
    report.figure("settings", ground.settings.clone());
    let load = Load::start(&ground).await?;
    let mut found = Found::default();
    let ended = found.try_all(effort, report, (&ground, &load)).await;
    // Also of those that were tried before something went wrong.
    found.report(report);
    report.figure("memory_bytes_bound", MEMORY_BYTES_MAX);
    ended?;
    let finished = load.finish().await;
    if let Ok(Finished { sent, again }) = finished {
        report.figure("honest_messages", sent);
        report.figure("honest_messages_again", again);
    }
    report.case("nothing of honest agents was refused or lost", finished.map(drop));
    let kept = Box::pin(spoils::reconcile(&ground, &found.taken)).await;
    if let Ok(figures) = &kept {
        report.figure("attackers_messages", figures.clone());
    }
    report.case("what was taken from attackers is not lost either", kept.map(drop));
    ground.gate.stop().await
}

/// What the attacks did, one after the other.
#[derive(Debug, Default)]
struct Found {
    /// Every try of each.
    table: Map<String, Value>,
    /// Of each the try that counts, and what the honest agents noticed.
    last: Vec<(&'static str, Measured, Noticed)>,
    taken: Taken,
}

impl Found {
    async fn try_all(
        &mut self,
        effort: Effort,
        report: &mut Report,
        (ground, load): (&Ground, &Load),
    ) -> Result<()> {
        let window = Duration::from_millis(if effort.is_short { 900 } else { 4_000 });
        let windows = usize::try_from(effort.rounds(2, 5))?;
        let plan = Plan { window, windows };
        // The first messages find cold caches.
        tokio::time::sleep(window).await;
        for attack in ATTACKS.iter().filter(|attack| attack.is_short || !effort.is_short) {
            let judged = self.try_one(effort, attack, (ground, load, plan)).await?;
            report.case(attack.name, judged);
        }
        Ok(())
    }

    async fn try_one(
        &mut self,
        effort: Effort,
        attack: &'static Attack,
        (ground, load, plan): (&Ground, &Load, Plan),
    ) -> Result<Result<()>> {
        let mut tries: Vec<(Measured, Noticed)> = Vec::new();
        let judged = loop {
            let measured = measure(ground, load, attack, plan).await?;
            for (to, ids) in &measured.got.taken {
                self.taken.entry(to.clone()).or_default().extend(ids.iter().cloned());
            }
            let judged = judge(attack, &measured);
            let noticed = Noticed::of(&measured, effort.is_short);
            tries.push((measured, noticed));
            let is_good = judged.is_ok() && noticed == Noticed::Nothing;
            if is_good || effort.is_short || tries.len() >= TRIES {
                break judged;
            }
        };
        let noticed = Noticed::together(tries.iter().map(|(_, noticed)| *noticed));
        let rows = tries.iter().map(|(measured, noticed)| {
            let mut row = measured.json();
            row["p99"] = noticed.name().into();
            row
        });
        self.table.insert(attack.name.to_owned(), rows.collect());
        let counts = tries.into_iter().find(|(_, one)| *one == noticed);
        let Some((measured, _)) = counts else { return Ok(judged) };
        let (with_us, without_us) = (measured.with_us, measured.without_us);
        self.last.push((attack.name, measured, noticed));
        Ok(judged.and_then(|()| {
            ensure!(
                noticed != Noticed::Waits,
                "the p99 of honest agents grew from {without_us} to {with_us} us"
            );
            Ok(())
        }))
    }

    /// Notes the worst of all.
    fn report(&mut self, report: &mut Report) {
        report.figure("attacks", std::mem::take(&mut self.table));
        let worst = |of: fn(&Measured) -> f64| {
            rounded(self.last.iter().map(|(_, measured, _)| of(measured)).fold(0.0, f64::max))
        };
        report.figure("p99_ratio_max", worst(|measured| measured.ratio));
        report.figure("p99_ratio_noise_max", worst(|measured| measured.noise));
        let longest = self.last.iter().map(|(_, measured, _)| measured.with_us).max();
        report.figure("p99_us_max", longest.unwrap_or_default());
        let unknown = self.last.iter().filter(|(.., noticed)| *noticed == Noticed::Unknown);
        let unknown: Vec<&str> = unknown.map(|(name, ..)| *name).collect();
        report.figure("p99_not_measurable", unknown);
    }
}
