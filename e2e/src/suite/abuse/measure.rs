//! Measures one attack: windows without and with it take turns, and the p99 of the honest agents in
//! one kind is compared with that in the other.
//!
//! The figure of an attack is the median over its windows with it, by the median over those
//! without. Every other window without is compared with those between them: what that differs from
//! 1 is noise, of the same minutes on the same machine.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::attacker::Attacker;
use super::attacks::Attack;
use super::ground::Ground;
use super::honest::Load;
use super::process::{memory_bytes_max, processor_ms};
use super::tally::Got;

/// How long and how often is measured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// One window.
    pub(super) window: Duration,
    /// Windows with the attack; there is one more without.
    pub(super) windows: usize,
}

/// What one attack did.
#[derive(Debug, Clone, Default)]
pub(super) struct Measured {
    /// The p99 of honest agents with the attack by that without.
    pub(super) ratio: f64,
    /// The p99 in some windows without the attack by that in the others, from 1 up.
    pub(super) noise: f64,
    /// Medians of the p99s, in microseconds.
    pub(super) with_us: u64,
    pub(super) without_us: u64,
    /// What the attacker got, over all windows.
    pub(super) got: Got,
    /// From the start of the first of these to the end of the last.
    pub(super) seconds: f64,
    /// The processor of the gate that went to the attack: milliseconds in a second.
    pub(super) processor_ms_per_s: i64,
    /// The most memory that the gate had so far.
    pub(super) memory_bytes_max: u64,
}

impl Measured {
    pub(super) fn json(&self) -> Value {
        json!({
            "p99_ratio": rounded(self.ratio),
            "p99_ratio_noise": rounded(self.noise),
            "p99_us_with": self.with_us,
            "p99_us_without": self.without_us,
            "attacker_got": self.got.counts,
            "gate_cpu_ms_per_s": self.processor_ms_per_s,
            "gate_rss_mib_max": self.memory_bytes_max >> 20,
        })
    }
}

/// Between two windows: what was begun in one is not counted to the next.
const PAUSE: Duration = Duration::from_millis(300);

/// Measures an attack.
pub(super) async fn measure(
    ground: &Ground,
    load: &Load,
    attack: &Attack,
    plan: Plan,
) -> Result<Measured> {
    let pid = ground.gate.pid()?;
    let (mut with, mut without) = (Vec::new(), Vec::new());
    let (mut cost_with, mut cost_without) = (0_u64, 0_u64);
    let (mut got, mut began, mut ended) = (Got::default(), None, 0);
    for turn in 0..=plan.windows.saturating_mul(2) {
        let is_with = turn % 2 == 1;
        let attacker = if is_with {
            began.get_or_insert_with(|| load.now());
            Some(Attacker::start(ground, attack)?)
        } else {
            None
        };
        sleep(PAUSE).await;
        let (from, cost) = (load.now(), processor_ms(pid)?);
        sleep(plan.window).await;
        let (to, cost) = (load.now(), processor_ms(pid)?.saturating_sub(cost));
        if let Some(attacker) = attacker {
            got.add(&attacker.stop().await?);
            ended = load.now();
        }
        sleep(PAUSE).await;
        load.settle().await?;
        let p99 = load.p99(from, to).context("honest agents sent too little to measure")?;
        let (windows, costs) =
            if is_with { (&mut with, &mut cost_with) } else { (&mut without, &mut cost_without) };
        windows.push(p99);
        *costs = costs.saturating_add(cost);
    }
    let per_second = |cost: u64, windows: usize| {
        let seconds = plan.window.as_secs_f64() * f64::from(u32::try_from(windows).unwrap_or(1));
        as_f64(cost) / seconds
    };
    let processor = per_second(cost_with, with.len()) - per_second(cost_without, without.len());
    let noise = noise(&without);
    let (with_us, without_us) = (median(&mut with), median(&mut without));
    Ok(Measured {
        ratio: ratio(with_us, without_us),
        noise,
        with_us,
        without_us,
        got,
        seconds: as_f64(ended.saturating_sub(began.unwrap_or_default())) / 1e6,
        #[expect(clippy::cast_possible_truncation, reason = "milliseconds of a second")]
        processor_ms_per_s: processor.round() as i64,
        memory_bytes_max: memory_bytes_max(pid)?,
    })
}

/// Returns by what factor windows differ from those between them.
fn noise(windows: &[u64]) -> f64 {
    let mut every_other: Vec<u64> = windows.iter().step_by(2).copied().collect();
    let mut between: Vec<u64> = windows.iter().skip(1).step_by(2).copied().collect();
    let ratio = ratio(median(&mut every_other), median(&mut between));
    ratio.max(1.0 / ratio.max(f64::MIN_POSITIVE))
}

/// Returns how much longer the first of two times is.
pub(super) fn ratio(one: u64, other: u64) -> f64 {
    as_f64(one) / as_f64(other.max(1))
}

/// A ratio as reports give it.
pub(super) fn rounded(ratio: f64) -> f64 {
    (ratio * 1_000.0).round() / 1_000.0
}

fn median(values: &mut [u64]) -> u64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of minutes")]
const fn as_f64(value: u64) -> f64 {
    value as f64
}
