//! One attacker among honest agents: what it gets, what it costs, and whether others notice.
//!
//! | module | holds |
//! |---|---|
//! | `ground` | the gate and its agents |
//! | `honest` | a hundred agents at work |
//! | `attacks` | the table of attacks |
//! | `frames`, `calls` | the attacks: of frames, of calls |
//! | `wire` | TLS and HTTP/2 by hand |
//! | `attacker` | the process that attacks |
//! | `tally` | what it got |
//! | `measure`, `process` | what the others and the gate noticed |
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
mod honest;
mod loops;
mod measure;
mod process;
mod tally;
mod wire;

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

pub use self::attacker::attack_if_told;
use self::attacks::{ATTACKS, Attack};
use self::ground::{Ground, MEMORY_BYTES_MAX};
use self::honest::Load;
use self::measure::{Measured, Plan, measure};
use super::{Effort, Report};

/// How much slower the slowest hundredth of honest messages may be, beyond the noise.
const RATIO_MAX: f64 = 1.10;
/// A machine that does other things too makes single measurements worthless.
const TRIES: usize = 3;
/// What the short form asks instead: a few hundred messages cannot tell a tenth from noise.
const SHORT_P99_US_MAX: u64 = 1_000_000;

pub(super) async fn run(effort: Effort, report: &mut Report) -> Result<()> {
    report.case("loops of agents come to an end", Box::pin(loops::run()).await);
    report.case("receivers that do not receive harm nobody", Box::pin(consumers::run()).await);
    let crowd = Box::pin(crowd::run(effort, report)).await;
    report.case("a crowd of senders harms nobody but itself", crowd);
    Box::pin(attacks(effort, report)).await
}

async fn attacks(effort: Effort, report: &mut Report) -> Result<()> {
    let window = Duration::from_millis(if effort.is_short { 1_200 } else { 4_000 });
    let windows = usize::try_from(effort.rounds(2, 5))?;
    let plan = Plan { window, windows };
    let ground = Ground::start(&json!({})).await?;
    let load = Load::start(&ground).await?;
    // The first messages find cold caches.
    tokio::time::sleep(window).await;
    let mut noise = noise(&ground, &load, plan, 1.0).await?;
    let mut table = serde_json::Map::new();
    for attack in ATTACKS.iter().filter(|attack| attack.is_short || !effort.is_short) {
        let mut tries = Vec::new();
        let judged = loop {
            let measured = measure(&ground, &load, Some(attack), plan).await?;
            let mut judged = judge(attack, &measured);
            if judged.is_ok() {
                judged = slowed(effort, &measured, noise);
            }
            tries.push(measured.json());
            if judged.is_ok() || effort.is_short || tries.len() >= TRIES {
                break judged;
            }
            // Perhaps it is the machine: how much does it differ from itself by now?
            noise = self::noise(&ground, &load, plan, noise).await?;
        };
        report.case(attack.name, judged);
        table.insert(attack.name.to_owned(), Value::Array(tries));
    }
    noise = self::noise(&ground, &load, plan, noise).await?;
    report.figure("attacks", table);
    report.figure("noise_p99_ratio", noise);
    report.figure("memory_bytes_bound", MEMORY_BYTES_MAX);
    let finished = load.finish().await;
    if let Ok(sent) = finished {
        report.figure("honest_messages", sent);
    }
    report.case("nothing of honest agents was refused or lost", finished.map(drop));
    ground.gate.stop().await
}

/// Returns the worst ratio of windows without an attack, this time and before.
async fn noise(ground: &Ground, load: &Load, plan: Plan, before: f64) -> Result<f64> {
    let Measured { ratio, .. } = measure(ground, load, None, plan).await?;
    Ok(before.max(ratio).max(1.0 / ratio.max(f64::MIN_POSITIVE)))
}

/// Checks what the attacker got, and what the gate spent.
fn judge(attack: &Attack, measured: &Measured) -> Result<()> {
    let got = &measured.got;
    ensure!(
        attack.gets.iter().any(|name| got.get(*name).is_some_and(|count| *count > 0)),
        "the attacker got {got:?} and none of {:?}",
        attack.gets
    );
    ensure!(
        measured.memory_bytes_max <= MEMORY_BYTES_MAX,
        "the gate had {} MiB in memory",
        measured.memory_bytes_max >> 20
    );
    Ok(())
}

/// Checks what the honest agents noticed.
fn slowed(effort: Effort, measured: &Measured, noise: f64) -> Result<()> {
    if effort.is_short {
        let us = measured.with_us;
        ensure!(us < SHORT_P99_US_MAX, "the p99 of honest agents grew to {us} us");
        return Ok(());
    }
    ensure!(
        measured.ratio < RATIO_MAX * noise,
        "the p99 of honest agents grew from {} to {} us, noise is a factor of {noise:.2}",
        measured.without_us,
        measured.with_us
    );
    Ok(())
}
