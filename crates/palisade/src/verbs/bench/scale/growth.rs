//! What sessions, agents and time cost.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, bail};
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
    pub(super) window: Duration,
}

impl Rounds {
    /// Returns the usual load.
    pub(super) const fn shape(self, sessions: u32) -> Shape {
        Shape { sessions, in_flight: IN_FLIGHT, window: self.window }
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
    let [few_samples, many_samples] = &costs;
    let ratio = ratio(few_samples, many_samples).context("nothing was measured")?;
    Ok(json!({
        "agents": [few.max(AGENTS), many.max(AGENTS)],
        "cpu_us": [few_us, many_us],
        "ratio": ratio,
        "reached": ratio.median <= NOISE,
    }))
}

/// Watches the memory of one server while messages pass: after a tenth of them, when as many keys
/// are remembered as may be (`keys`), and after a quarter and all of as many messages more.
pub(super) async fn memory(keys: u64, messages: u64, rounds: Rounds) -> anyhow::Result<Value> {
    let own = Own::start(&ring::agents(AGENTS), Extra::default()).await?;
    let pid = own.pid()?;
    let (mut passed, mut seen) = (0, Vec::new());
    while passed < keys + messages {
        passed += loaded(&own, Wire::Native, rounds.shape(AGENTS)).await?.accepted;
        seen.push((passed, process::rss_bytes(pid)?, process::peak_rss_bytes(pid)?));
    }
    own.finish().await?;
    let after = |count| seen.iter().find(|(passed, ..)| *passed >= count).or_else(|| seen.last());
    // The last one is judged by the one before: a quarter later, checkpoints were made with full
    // tables, too. It is judged by the peak, because what a checkpoint takes comes and goes.
    let counts = [messages / 10, keys, keys + messages / 4, keys + messages];
    let points: Vec<_> = counts.into_iter().filter_map(after).collect();
    let [.., (_, _, settled), (_, _, peak)] = points.as_slice() else {
        bail!("nothing was measured");
    };
    let allowed = settled + settled / 20;
    Ok(json!({
        "messages": points.iter().map(|point| point.0).collect::<Vec<_>>(),
        "rss_bytes": points.iter().map(|point| point.1).collect::<Vec<_>>(),
        "peak_rss_bytes": points.iter().map(|point| point.2).collect::<Vec<_>>(),
        "at_most": allowed,
        "reached": *peak <= allowed,
    }))
}

/// Compares the throughput of many and of few sessions.
pub(super) async fn sessions(counts: [u32; 2], rounds: Rounds) -> anyhow::Result<Value> {
    let mut ratios = Vec::new();
    for _ in 0..rounds.rounds {
        let mut times = Vec::new();
        for count in counts {
            let own = Own::start(&ring::agents(count), Extra::default()).await?;
            times.push(loaded(&own, Wire::Native, rounds.shape(count)).await?.time_us);
            own.finish().await?;
        }
        ratios.extend(times.first().zip(times.last()).map(|(few, many)| few / many));
    }
    let ratio = Spread::of(ratios).context("nothing was measured")?;
    Ok(json!({
        "sessions": counts,
        "throughput_ratio": ratio,
        "at_least": 0.9,
        "reached": ratio.median >= 0.9,
    }))
}

/// Returns the server's CPU time per message over all rounds.
pub(super) fn cost(samples: &[Sample]) -> Option<Spread> {
    Spread::of(samples.iter().filter_map(|sample| sample.cpu_us))
}

/// Returns by what the cost of a message is higher in each round of one than in those of the other.
pub(super) fn ratio(few: &[Sample], many: &[Sample]) -> Option<Spread> {
    let costs = |sample: (&Sample, &Sample)| sample.0.cpu_us.zip(sample.1.cpu_us);
    Spread::of(few.iter().zip(many).filter_map(costs).map(|(few, many)| many / few))
}

/// Keys that the agents together have remembered at most, with the default settings.
pub(super) const KEYS_MAX: u32 = AGENTS * 32_768;
/// Agents that send; more sessions are further instances of them.
pub(super) const AGENTS: u32 = 16;
/// Messages in flight of each session, as in comparisons with others.
const IN_FLIGHT: usize = 32;
/// What two measurements of the same differ by on a machine that does other things too.
pub(super) const NOISE: f64 = 1.1;
const SESSION_BYTES_MAX: u64 = 64 << 10;
const SETTLE: Duration = Duration::from_secs(2);
