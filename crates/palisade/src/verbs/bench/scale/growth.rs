//! What sessions, agents and time cost.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Context as _;
use palisade_client::{Client, Wire};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::verbs::bench::compare::{Sample, Shape, loaded, ring};
use crate::verbs::bench::process;
use crate::verbs::bench::target::{Extra, Own};
use crate::verbs::bench::timing::Spread;

/// How a cost is measured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rounds {
    pub(super) rounds: u32,
    pub(super) seconds: u64,
}

impl Rounds {
    /// Returns the usual load.
    pub(super) const fn shape(self, sessions: u32) -> Shape {
        Shape { sessions, in_flight: IN_FLIGHT, window: Duration::from_secs(self.seconds) }
    }
}

/// Measures the memory of sessions that do nothing.
pub(super) async fn idle(count: u32) -> anyhow::Result<Value> {
    let agents: Vec<_> = (0..AGENTS).map(|number| (ring::agent(number), String::new())).collect();
    let own = Own::start(&agents, Extra::default()).await?;
    let pid = own.pid()?;
    // One connection beforehand: what the first one makes is not of each.
    let first = Client::connect(own.options(&ring::agent(0))?).await?;
    sleep(SETTLE).await;
    let before = process::rss_bytes(pid)?;
    let mut clients = Vec::new();
    for number in 0..count {
        clients.push(Client::connect(own.options(&ring::agent(number % AGENTS))?).await?);
    }
    sleep(SETTLE).await;
    let each = process::rss_bytes(pid)?.saturating_sub(before) / u64::from(count.max(1));
    drop((first, clients));
    own.finish().await?;
    Ok(json!({
        "sessions": count,
        "bytes_each": each,
        "at_most": SESSION_BYTES_MAX,
        "reached": each <= SESSION_BYTES_MAX,
    }))
}

/// Compares the cost of a message among few and among many registered agents.
pub(super) async fn agents(few: u32, many: u32, rounds: Rounds) -> anyhow::Result<Value> {
    let mut costs: [Vec<Sample>; 2] = Default::default();
    for _ in 0..rounds.rounds {
        for (samples, count) in costs.iter_mut().zip([few, many]) {
            let mut others = String::new();
            for number in AGENTS..count {
                writeln!(others, "  {}: {{ allow: [\"*\"] }}", ring::agent(number))?;
            }
            let extra = Extra { agents: others, ..Extra::default() };
            let own = Own::start(&ring::agents(AGENTS), extra).await?;
            samples.push(loaded(&own, Wire::Native, rounds.shape(AGENTS)).await?);
            own.finish().await?;
        }
    }
    let [few_us, many_us] = costs.each_ref().map(|samples| cost(samples));
    let (few_us, many_us) = few_us.zip(many_us).context("nothing was measured")?;
    Ok(json!({
        "agents": [few.max(AGENTS), many.max(AGENTS)],
        "cpu_us": [few_us, many_us],
        "ratio": many_us.median / few_us.median,
        "reached": many_us.median / few_us.median <= NOISE,
    }))
}

/// Watches the memory of one server while messages pass.
pub(super) async fn memory(messages: u64, rounds: Rounds) -> anyhow::Result<Value> {
    let own = Own::start(&ring::agents(AGENTS), Extra::default()).await?;
    let pid = own.pid()?;
    let (mut passed, mut seen) = (0, Vec::new());
    while passed < messages {
        passed += loaded(&own, Wire::Native, rounds.shape(AGENTS)).await?.accepted;
        seen.push((passed, process::rss_bytes(pid)?));
    }
    own.finish().await?;
    // Caches and tables have their size after the first tenth.
    let early = seen.iter().find(|(passed, _)| *passed >= messages / 10);
    let (early, late) = early.zip(seen.last()).context("nothing was measured")?;
    let allowed = early.1 + early.1 / 10 + MEMORY_NOISE_BYTES;
    Ok(json!({
        "messages": [early.0, late.0],
        "rss_bytes": [early.1, late.1],
        "at_most": allowed,
        "reached": late.1 <= allowed,
    }))
}

/// Compares the throughput of many and of few sessions.
pub(super) async fn sessions(rounds: Rounds) -> anyhow::Result<Value> {
    let mut ratios = Vec::new();
    for _ in 0..rounds.rounds {
        let mut times = Vec::new();
        for count in [16, 256] {
            let own = Own::start(&ring::agents(count), Extra::default()).await?;
            times.push(loaded(&own, Wire::Native, rounds.shape(count)).await?.time_us);
            own.finish().await?;
        }
        ratios.extend(times.first().zip(times.last()).map(|(few, many)| few / many));
    }
    let ratio = Spread::of(ratios).context("nothing was measured")?;
    Ok(json!({
        "sessions": [16, 256],
        "throughput_ratio": ratio,
        "at_least": 0.9,
        "reached": ratio.median >= 0.9,
    }))
}

/// Returns the server's CPU time per message over all rounds.
pub(super) fn cost(samples: &[Sample]) -> Option<Spread> {
    Spread::of(samples.iter().filter_map(|sample| sample.cpu_us))
}

/// Agents that send; more sessions are further instances of them.
pub(super) const AGENTS: u32 = 16;
/// Messages in flight of each session, as in comparisons with others.
const IN_FLIGHT: usize = 32;
/// What two measurements of the same differ by on a machine that does other things too.
pub(super) const NOISE: f64 = 1.1;
const SESSION_BYTES_MAX: u64 = 64 << 10;
const MEMORY_NOISE_BYTES: u64 = 8 << 20;
const SETTLE: Duration = Duration::from_secs(2);
