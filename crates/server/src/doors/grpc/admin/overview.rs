//! The pictures of an overview: how the gate is at a moment, and what came since the one before.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, stream};
use gate::Gate;
use gate::circuits::{CircuitView, State};
use gate::delivery::SessionView;
use gate::observe::{HistogramView, Reading, Stage};
use gate::overview::{AgentActivity, Outlook, Overview};
use gate::recent::PastRefusal;
use gate::types::{AdminCommand, Intake, Refusal, Unavailable};
use tonic::Status;
use wire::palisade::admin::v1 as admin;

use super::super::status::status;
use crate::readiness::Readiness;

/// The server's side of an overview.
pub(in crate::doors::grpc) type Pictures =
    Pin<Box<dyn Stream<Item = Result<admin::OverviewResponse, Status>> + Send>>;

/// How often a picture is wanted, and how many rows its lists may have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rhythm {
    interval: Duration,
    rows: usize,
}

// LIMIT: the time between two pictures, in milliseconds.
const INTERVAL_MS: std::ops::RangeInclusive<u32> = 100..=60_000;
const INTERVAL_USUAL_MS: u32 = 1_000;
const ROWS_USUAL: usize = 100;

/// What an overview with an impossible rhythm asks of the pipeline, which refuses and records it.
pub(super) const UNKNOWN_RHYTHM: AdminCommand =
    AdminCommand::Malformed { field: "interval_ms", reason: "must be 100 to 60000" };

/// Reads how often a picture is wanted; nothing if that is out of bounds.
pub(super) fn rhythm(request: admin::OverviewRequest) -> Option<Rhythm> {
    let interval_ms = match request.interval_ms {
        0 => INTERVAL_USUAL_MS,
        other => other,
    };
    let rows = match request.rows_max {
        0 => ROWS_USUAL,
        other => usize::try_from(other).unwrap_or(usize::MAX),
    };
    let interval = Duration::from_millis(interval_ms.into());
    INTERVAL_MS.contains(&interval_ms).then_some(Rhythm { interval, rows })
}

/// Returns a picture at once and one after each interval, until the client ends it or the server
/// drains. A client that does not read is not painted for.
pub(super) fn pictures(
    gate: Arc<Gate>,
    readiness: Readiness,
    outlook: Outlook,
    rhythm: Rhythm,
) -> Pictures {
    let painter = Painter { gate, readiness, outlook, rhythm, before: None };
    Box::pin(stream::unfold(Some(painter), |painter| async {
        let mut painter = painter?;
        let picture = painter.next().await;
        let painter = picture.is_ok().then_some(painter);
        Some((picture.map_err(|refusal| status(&refusal)), painter))
    }))
}

struct Painter {
    gate: Arc<Gate>,
    readiness: Readiness,
    outlook: Outlook,
    rhythm: Rhythm,
    /// What was counted at the picture before, and how long the gate was up then.
    before: Option<(Reading, Duration)>,
}

impl Painter {
    async fn next(&mut self) -> Result<admin::OverviewResponse, Refusal> {
        if self.before.is_some() {
            let mut closing = self.gate.hub().closing();
            let closed = closing.wait_for(|closing| *closing);
            if tokio::time::timeout(self.rhythm.interval, closed).await.is_ok() {
                return Err(Refusal::Unavailable(Unavailable::Draining));
            }
        }
        let overview = self.gate.look(&self.outlook, self.rhythm.rows).await;
        let overview = overview
            .map_err(|cause| Refusal::Unavailable(Unavailable::Store(cause.to_string())))?;
        let (before, since) = self.before.take().unwrap_or_default();
        let picture = paint(&overview, &before, since, self.not_ready());
        self.before = Some((overview.reading, overview.up));
        Ok(picture)
    }

    fn not_ready(&self) -> Vec<String> {
        let reasons = self.readiness.reasons();
        reasons.into_iter().map(|reason| reason.reason().to_owned()).collect()
    }
}

fn paint(
    overview: &Overview,
    before: &Reading,
    since: Duration,
    not_ready: Vec<String>,
) -> admin::OverviewResponse {
    let Overview { reading, .. } = overview;
    let (total, then) = (traffic(reading), traffic(before));
    let levels = &reading.levels;
    admin::OverviewResponse {
        at_ms: overview.at.millis(),
        up_ms: millis(overview.up),
        period_ms: millis(overview.up.saturating_sub(since)),
        policy_revision: levels.policy_revision.clone(),
        ready: not_ready.is_empty(),
        not_ready,
        total: Some(total),
        period: Some(between(&total, &then)),
        decisions: decisions(reading, before),
        latencies: latencies(reading, before),
        agents_registered: levels.agents as u64,
        agents_connected: levels.agents_connected as u64,
        sessions_open: levels.sessions as u64,
        messages_queued: overview.queued,
        circuits_open: (levels.circuits_open + levels.circuits_half_open) as u64,
        agents: overview.agents.iter().map(agent).collect(),
        sessions: overview.sessions.iter().map(session).collect(),
        circuits: overview.circuits.iter().map(circuit).collect(),
        refusals: overview.refusals.iter().map(refusal).collect(),
        store: Some(admin::StoreFigures { records: overview.records }),
    }
}

fn traffic(reading: &Reading) -> admin::Traffic {
    let accepted = reading.runs.iter().filter(|((event, decision), _)| {
        matches!(event.as_str(), "message.send" | "message.request" | "message.reply")
            && matches!(*decision, "ALLOWED" | "ALERT" | "DLP_REDACTED" | "DLP_ENCRYPTED")
    });
    admin::Traffic {
        accepted: accepted.map(|(_, count)| count).sum(),
        refused: reading.refusals.values().sum(),
        delivered: reading.delivered,
        acknowledged: reading.acknowledged,
        retried: reading.retried,
        redelivered: reading.redelivered,
        expired: reading.expired,
        dead_lettered: reading.dead_letters.values().sum(),
        bytes_in: reading.payloads.sum,
        bytes_out: reading.delivered_bytes,
    }
}

const fn between(now: &admin::Traffic, then: &admin::Traffic) -> admin::Traffic {
    admin::Traffic {
        accepted: now.accepted.saturating_sub(then.accepted),
        refused: now.refused.saturating_sub(then.refused),
        delivered: now.delivered.saturating_sub(then.delivered),
        acknowledged: now.acknowledged.saturating_sub(then.acknowledged),
        retried: now.retried.saturating_sub(then.retried),
        redelivered: now.redelivered.saturating_sub(then.redelivered),
        expired: now.expired.saturating_sub(then.expired),
        dead_lettered: now.dead_lettered.saturating_sub(then.dead_lettered),
        bytes_in: now.bytes_in.saturating_sub(then.bytes_in),
        bytes_out: now.bytes_out.saturating_sub(then.bytes_out),
    }
}

fn decisions(reading: &Reading, before: &Reading) -> Vec<admin::DecisionCount> {
    let (now, then) = (by_decision(reading), by_decision(before));
    let counts = now.into_iter().map(|(decision, total)| admin::DecisionCount {
        decision: decision.to_owned(),
        total,
        period: total.saturating_sub(then.get(decision).copied().unwrap_or_default()),
    });
    counts.collect()
}

fn by_decision(reading: &Reading) -> BTreeMap<&'static str, u64> {
    let mut sums = BTreeMap::new();
    for ((_, decision), count) in &reading.runs {
        *sums.entry(*decision).or_default() += count;
    }
    sums
}

fn latencies(reading: &Reading, before: &Reading) -> Vec<admin::StageLatency> {
    let stages = Stage::ALL.iter().zip(reading.stages.iter().zip(&before.stages));
    let stages = stages.map(|(stage, (now, then))| latency(stage.as_str(), now, then));
    let total = latency("total", &reading.run, &before.run);
    let answer = latency("answer", &reading.answers, &before.answers);
    stages.chain([total, answer]).filter(|latency| latency.count > 0).collect()
}

fn latency(stage: &str, now: &HistogramView, then: &HistogramView) -> admin::StageLatency {
    let period = now.since(then);
    #[expect(clippy::cast_precision_loss, reason = "of times below a day nothing is lost")]
    let micros = |of| period.quantile(of) as f64 / 1_000.0;
    admin::StageLatency {
        stage: stage.to_owned(),
        count: period.count(),
        p50_us: micros(0.5),
        p95_us: micros(0.95),
        p99_us: micros(0.99),
    }
}

fn agent(agent: &AgentActivity) -> admin::AgentActivity {
    admin::AgentActivity {
        agent_id: agent.agent.to_string(),
        sessions: agent.sessions as u64,
        in_flight: agent.in_flight as u64,
        queued: agent.queued,
    }
}

fn session(session: &SessionView) -> admin::SessionActivity {
    admin::SessionActivity {
        agent_id: session.agent.to_string(),
        instance_id: session.instance.to_string(),
        in_flight: session.in_flight as u64,
        in_flight_bytes: session.in_flight_bytes as u64,
        since_ms: session.since.millis(),
        replies_only: session.intake == Intake::Replies,
    }
}

fn circuit(circuit: &CircuitView) -> admin::CircuitState {
    let state = match circuit.state {
        State::Closed => "closed",
        State::Open => "open",
        State::HalfOpen => "half_open",
    };
    admin::CircuitState {
        target_id: circuit.target.to_string(),
        sender_id: circuit.sender.as_ref().map(ToString::to_string).unwrap_or_default(),
        state: state.to_owned(),
        since_ms: circuit.since.millis(),
        failures: circuit.failures,
    }
}

fn refusal(refusal: &PastRefusal) -> admin::RecentRefusal {
    admin::RecentRefusal {
        at_ms: refusal.at.millis(),
        request_id: refusal.id.to_string(),
        event_type: refusal.event_type.to_owned(),
        caller_id: refusal.caller.clone(),
        target_id: refusal.target.clone(),
        decision: refusal.decision.to_string(),
        code: refusal.code.to_owned(),
        reason: refusal.reason.clone(),
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
