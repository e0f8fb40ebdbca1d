//! The list of metrics: names, meanings, labels.

use std::collections::{BTreeMap, BTreeSet};

use ::telemetry::Exporter;
use gate::observe::{HistogramView, Reading, Stage};
use identity::Validity;
use store::Figures;

use super::{Kind, Metric, Sample, Value};
use crate::doors::grpc::DoorMeasures;
use crate::readiness::NotReady;

// What histograms of times count in, and what is shown.
const NANOS: f64 = 1e9;

fn metric(name: &'static str, help: &'static str, kind: Kind, samples: Vec<Sample>) -> Metric {
    Metric { name, help, kind, samples }
}

fn counter(name: &'static str, help: &'static str, count: u64) -> Metric {
    metric(name, help, Kind::Counter, vec![Sample { labels: vec![], value: Value::count(count) }])
}

fn gauge(name: &'static str, help: &'static str, count: u64) -> Metric {
    Metric { kind: Kind::Gauge, ..counter(name, help, count) }
}

fn histogram(name: &'static str, help: &'static str, view: HistogramView, scale: f64) -> Metric {
    let value = Value::histogram(view, scale);
    metric(name, help, Kind::Histogram, vec![Sample { labels: vec![], value }])
}

/// Counters with one label.
fn by(
    name: &'static str,
    help: &'static str,
    label: &'static str,
    counts: &BTreeMap<String, u64>,
) -> Metric {
    let sample = |(text, count): (&String, &u64)| Sample {
        labels: vec![(label, text.clone())],
        value: Value::count(*count),
    };
    metric(name, help, Kind::Counter, counts.iter().map(sample).collect())
}

pub(super) fn of_export(exporter: Option<&Exporter>, list: &mut Vec<Metric>) {
    let counts = [
        ("exported", exporter.map_or(0, Exporter::exported)),
        ("dropped", exporter.map_or(0, Exporter::dropped)),
    ];
    let counts = counts.map(|(outcome, count)| (outcome.to_owned(), count)).into();
    let help = "Spans for a collector, by what became of them.";
    list.push(by("palisade_telemetry_spans", help, "outcome", &counts));
}

pub(super) fn of_server(not_ready: &BTreeSet<NotReady>, list: &mut Vec<Metric>) {
    let version = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
    let build = Sample { labels: version, value: Value::Number(1.0) };
    list.push(metric("palisade_build_info", "The version that runs.", Kind::Gauge, vec![build]));
    let ready = u64::from(not_ready.is_empty());
    list.push(gauge("palisade_ready", "Whether calls are taken: 1, or 0.", ready));
    let reasons = NotReady::ALL.into_iter().map(|reason| Sample {
        labels: vec![("reason", reason.code().to_owned())],
        value: Value::count(u64::from(not_ready.contains(&reason))),
    });
    let help = "Whether calls are not taken for this reason: 1, or 0.";
    list.push(metric("palisade_not_ready", help, Kind::Gauge, reasons.collect()));
}

pub(super) fn of_certificate(own: Validity, now_unix: i64, list: &mut Vec<Metric>) {
    let Validity { not_before_unix, not_after_unix } = own;
    #[expect(clippy::cast_precision_loss, reason = "exporters have no larger numbers")]
    let gauge = |name, help, from_unix| {
        let seconds = Value::Number(not_after_unix.saturating_sub(from_unix) as f64);
        metric(name, help, Kind::Gauge, vec![Sample { labels: vec![], value: seconds }])
    };
    list.extend([
        gauge(
            "palisade_certificate_remaining_seconds",
            "The time until the server's own certificate ends; negative when it has ended.",
            now_unix,
        ),
        gauge(
            "palisade_certificate_lifetime_seconds",
            "The time for which the server's own certificate is valid in all.",
            not_before_unix,
        ),
    ]);
}

pub(super) fn of_gate(reading: &Reading, list: &mut Vec<Metric>) {
    let runs = reading.runs.iter().map(|((event, decision), count)| Sample {
        labels: vec![("event", event.clone()), ("decision", (*decision).to_owned())],
        value: Value::count(*count),
    });
    let help = "Calls that were decided, by kind and decision.";
    list.push(metric("palisade_runs", help, Kind::Counter, runs.collect()));
    let help = "Refused calls, by the code that the caller got.";
    list.push(by("palisade_refusals", help, "code", &reading.refusals));
    let help = "What inspection found, by kind.";
    list.push(by("palisade_findings", help, "kind", &reading.findings));
    let stages = Stage::ALL.into_iter().zip(&reading.stages).map(|(stage, view)| Sample {
        labels: vec![("stage", stage.as_str().to_owned())],
        value: Value::histogram(view.clone(), NANOS),
    });
    let help = "The time that each stage took.";
    let kind = Kind::Histogram;
    list.push(metric("palisade_stage_duration_seconds", help, kind, stages.collect()));
    list.extend([
        histogram(
            "palisade_run_duration_seconds",
            "The time from a call's arrival at the gate to its answer.",
            reading.run.clone(),
            NANOS,
        ),
        histogram(
            "palisade_payload_bytes",
            "Sizes of messages' payloads as they came.",
            reading.payloads.clone(),
            1.0,
        ),
        histogram(
            "palisade_answer_duration_seconds",
            "The time from a hand-over to its receiver's answer.",
            reading.answers.clone(),
            NANOS,
        ),
    ]);
    of_delivery(reading, list);
    of_levels(reading, list);
}

fn of_delivery(reading: &Reading, list: &mut Vec<Metric>) {
    list.extend([
        counter("palisade_deliveries", "Hand-overs to sessions.", reading.delivered),
        counter(
            "palisade_delivered_bytes",
            "Bytes of envelopes that were handed over.",
            reading.delivered_bytes,
        ),
        counter(
            "palisade_redeliveries",
            "Hand-overs that were not a message's first.",
            reading.redelivered,
        ),
        counter("palisade_acknowledgements", "Acknowledged messages.", reading.acknowledged),
        counter(
            "palisade_retries",
            "Hand-overs that the receiver refused and that are tried again.",
            reading.retried,
        ),
        counter(
            "palisade_expirations",
            "Messages that nobody took in their time.",
            reading.expired,
        ),
        by(
            "palisade_dead_letters",
            "Messages that became dead letters, by the reason's code.",
            "reason",
            &reading.dead_letters,
        ),
    ]);
}

fn of_levels(reading: &Reading, list: &mut Vec<Metric>) {
    let levels = &reading.levels;
    let count = |count: usize| count as u64;
    let states = [("open", levels.circuits_open), ("half_open", levels.circuits_half_open)];
    let circuits = states.map(|(state, circuits)| Sample {
        labels: vec![("state", state.to_owned())],
        value: Value::count(count(circuits)),
    });
    let revision = vec![("revision", levels.policy_revision.clone())];
    let policy = Sample { labels: revision, value: Value::Number(1.0) };
    let help = "The name of the access rules in force.";
    list.extend([
        gauge("palisade_agents", "Registered agents.", count(levels.agents)),
        gauge(
            "palisade_agents_connected",
            "Agents with a session.",
            count(levels.agents_connected),
        ),
        gauge("palisade_sessions", "Open sessions.", count(levels.sessions)),
        gauge(
            "palisade_in_flight_messages",
            "Messages that sessions hold unanswered.",
            count(levels.in_flight),
        ),
        gauge(
            "palisade_in_flight_bytes",
            "Bytes of their envelopes.",
            count(levels.in_flight_bytes),
        ),
        metric(
            "palisade_circuits",
            "Circuits that are not closed, by state.",
            Kind::Gauge,
            circuits.into(),
        ),
        metric("palisade_policy_info", help, Kind::Gauge, vec![policy]),
    ]);
}

pub(super) fn of_door(door: &DoorMeasures, list: &mut Vec<Metric>) {
    list.extend([
        gauge("palisade_connections", "Connections after their handshake.", door.open()),
        counter("palisade_handshakes", "Handshakes that held.", door.handshakes()),
        by(
            "palisade_connection_failures",
            "Connections that ended before they could ask for anything, by code.",
            "code",
            &door.failures(),
        ),
        by(
            "palisade_connections_cut",
            "Connections that were ended for what their client did, by reason.",
            "reason",
            &door.cuts(),
        ),
    ]);
}

pub(super) fn of_store(figures: &Figures, list: &mut Vec<Metric>) {
    list.extend([
        gauge("palisade_store_queued_messages", "Messages in all queues.", figures.queued),
        gauge("palisade_store_queued_bytes", "Bytes of their envelopes.", figures.queued_bytes),
        gauge("palisade_store_dead_letters", "Dead letters that are kept.", figures.letters),
        gauge("palisade_store_dead_letter_bytes", "Bytes of them.", figures.letter_bytes),
        gauge(
            "palisade_store_waiting_bytes",
            "Bytes of changes that wait to be committed.",
            figures.waiting_bytes,
        ),
        gauge("palisade_audit_records", "Records in the audit log.", figures.records),
        histogram(
            "palisade_store_group_batches",
            "How many batches were committed together.",
            figures.groups.clone(),
            1.0,
        ),
        histogram(
            "palisade_store_write_duration_seconds",
            "The time that a group took to write and sync.",
            figures.writes.clone(),
            NANOS,
        ),
    ]);
}
