//! A picture as one JSON object.

use palisade_client::admin::{OverviewResponse, Traffic};
use serde_json::{Value, json};

use super::units::per_second;

/// Returns a picture as programs get it.
pub(super) fn object(picture: &OverviewResponse) -> Value {
    let period = picture.period.unwrap_or_default();
    json!({
        "at_ms": picture.at_ms,
        "up_ms": picture.up_ms,
        "period_ms": picture.period_ms,
        "ready": picture.ready,
        "not_ready": picture.not_ready,
        "policy_revision": picture.policy_revision,
        "total": traffic(&picture.total.unwrap_or_default()),
        "period": traffic(&period),
        "rates": {
            "accepted_per_second": per_second(period.accepted, picture.period_ms),
            "delivered_per_second": per_second(period.delivered, picture.period_ms),
            "refused_per_second": per_second(period.refused, picture.period_ms),
            "bytes_in_per_second": per_second(period.bytes_in, picture.period_ms),
            "bytes_out_per_second": per_second(period.bytes_out, picture.period_ms),
        },
        "decisions": picture.decisions.iter().map(|one| {
            (one.decision.clone(), json!({ "total": one.total, "period": one.period }))
        }).collect::<serde_json::Map<_, _>>(),
        "latencies": picture.latencies.iter().map(|one| {
            let times = json!({
                "count": one.count, "p50_us": one.p50_us, "p95_us": one.p95_us,
                "p99_us": one.p99_us,
            });
            (one.stage.clone(), times)
        }).collect::<serde_json::Map<_, _>>(),
        "agents_registered": picture.agents_registered,
        "agents_connected": picture.agents_connected,
        "sessions_open": picture.sessions_open,
        "messages_queued": picture.messages_queued,
        "circuits_open": picture.circuits_open,
        "records": picture.store.unwrap_or_default().records,
        "agents": picture.agents.iter().map(|one| json!({
            "agent_id": one.agent_id, "sessions": one.sessions, "in_flight": one.in_flight,
            "queued": one.queued,
        })).collect::<Vec<_>>(),
        "sessions": picture.sessions.iter().map(|one| json!({
            "agent_id": one.agent_id, "instance_id": one.instance_id, "in_flight": one.in_flight,
            "in_flight_bytes": one.in_flight_bytes, "since_ms": one.since_ms,
            "replies_only": one.replies_only,
        })).collect::<Vec<_>>(),
        "circuits": picture.circuits.iter().map(|one| json!({
            "target_id": one.target_id,
            "sender_id": (!one.sender_id.is_empty()).then_some(&one.sender_id),
            "state": one.state, "since_ms": one.since_ms, "failures": one.failures,
        })).collect::<Vec<_>>(),
        "refusals": picture.refusals.iter().map(|one| json!({
            "at_ms": one.at_ms, "request_id": one.request_id, "event_type": one.event_type,
            "caller_id": one.caller_id, "target_id": one.target_id, "decision": one.decision,
            "code": one.code, "reason": one.reason,
        })).collect::<Vec<_>>(),
    })
}

fn traffic(traffic: &Traffic) -> Value {
    json!({
        "accepted": traffic.accepted,
        "refused": traffic.refused,
        "delivered": traffic.delivered,
        "acknowledged": traffic.acknowledged,
        "retried": traffic.retried,
        "redelivered": traffic.redelivered,
        "expired": traffic.expired,
        "dead_lettered": traffic.dead_lettered,
        "bytes_in": traffic.bytes_in,
        "bytes_out": traffic.bytes_out,
    })
}
