//! Measures one attack: windows without and with it take turns, and the p99 of the honest agents in
//! one kind is compared with that in the other.
//!
//! The figure of an attack is the median over its windows with it, by the median over those
//! without. The same figure is taken where nobody attacks in any window (A/A): what it differs
//! from 1 is noise, and an attack must exceed the worst of these by a tenth to have failed.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::attacker::Attacker;
use super::attacks::Attack;
use super::ground::Ground;
use super::honest::Load;
use super::process::{memory_bytes_max, processor_ms};
use super::tally::merge;

/// How long and how often is measured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// One window.
    pub(super) window: Duration,
    /// Windows with the attack; there is one more without.
    pub(super) windows: usize,
}

/// What one attack did.
#[derive(Debug, Clone)]
pub(super) struct Measured {
    /// The p99 of honest agents with the attack by that without.
    pub(super) ratio: f64,
    /// Medians of the p99s, in microseconds.
    pub(super) with_us: u64,
    pub(super) without_us: u64,
    /// What the attacker got, over all windows.
    pub(super) got: BTreeMap<String, u64>,
    /// The processor of the gate that went to the attack: milliseconds in a second.
    pub(super) processor_ms_per_s: i64,
    /// The most memory that the gate had so far.
    pub(super) memory_bytes_max: u64,
}

impl Measured {
    pub(super) fn json(&self) -> Value {
        json!({
            "p99_ratio": (self.ratio * 1_000.0).round() / 1_000.0,
            "p99_us_with": self.with_us,
            "p99_us_without": self.without_us,
            "attacker_got": self.got,
            "gate_cpu_ms_per_s": self.processor_ms_per_s,
            "gate_rss_mib_max": self.memory_bytes_max >> 20,
        })
    }
}

/// Between two windows: what was begun in one is not counted to the next.
const PAUSE: Duration = Duration::from_millis(300);

/// Measures an attack; without one, how much two halves of the same differ.
pub(super) async fn measure(
    ground: &Ground,
    load: &Load,
    attack: Option<&Attack>,
    plan: Plan,
) -> Result<Measured> {
    let pid = ground.gate.pid()?;
    let (mut with, mut without) = (Vec::new(), Vec::new());
    let (mut cost_with, mut cost_without) = (0_u64, 0_u64);
    let mut got = BTreeMap::new();
    for turn in 0..=plan.windows.saturating_mul(2) {
        let is_with = turn % 2 == 1;
        let attacker = match attack.filter(|_| is_with) {
            Some(attack) => Some(Attacker::start(ground, attack)?),
            None => None,
        };
        sleep(PAUSE).await;
        let (from, cost) = (load.now(), processor_ms(pid)?);
        sleep(plan.window).await;
        let (to, cost) = (load.now(), processor_ms(pid)?.saturating_sub(cost));
        if let Some(attacker) = attacker {
            merge(&mut got, &attacker.stop().await?);
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
    let (with_us, without_us) = (median(&mut with), median(&mut without));
    Ok(Measured {
        ratio: as_f64(with_us) / as_f64(without_us.max(1)),
        with_us,
        without_us,
        got,
        #[expect(clippy::cast_possible_truncation, reason = "milliseconds of a second")]
        processor_ms_per_s: processor.round() as i64,
        memory_bytes_max: memory_bytes_max(pid)?,
    })
}

fn median(values: &mut [u64]) -> u64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of minutes")]
const fn as_f64(value: u64) -> f64 {
    value as f64
}
