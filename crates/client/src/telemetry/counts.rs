//! What an agent did, counted and timed by the names that OpenTelemetry has for it.
//!
//! Source: OpenTelemetry semantic conventions, messaging metrics and RPC metrics.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ::telemetry::{Buckets, Family, FamilyKind, Point, Reading, Value, rpc};
use tonic::Code;

use super::now;
use crate::tracer::Operation;

/// Counts of a process, from its start on.
#[derive(Debug)]
pub(super) struct Counts {
    since_ns: u64,
    times: Mutex<BTreeMap<Key, Times>>,
}

/// What was done, and with which code and status it failed.
type Key = (Operation, Option<(Cow<'static, str>, Option<&'static str>)>);

/// How often something was done, and how long it took.
#[derive(Debug, Default, Clone)]
struct Times {
    counts: [u64; BOUNDS.len() + 1],
    sum: f64,
}

impl Counts {
    pub(super) fn new() -> Self {
        Self { since_ns: now(), times: Mutex::default() }
    }

    /// Counts something that is over; `failed` says with which code and status.
    pub(super) fn ended(
        &self,
        operation: Operation,
        failed: Option<(&str, Option<Code>)>,
        took: Duration,
    ) {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let status = |status: Code| rpc::status_name(status.into());
        let failed = failed.map(|(code, of)| (Cow::Owned(code.to_owned()), of.map(status)));
        let mut key = (operation, failed);
        if times.len() >= KEYS_MAX && !times.contains_key(&key) {
            key.1 = Some((Cow::Borrowed("_OTHER"), Some("UNKNOWN")));
        }
        let seconds = took.as_secs_f64();
        let bucket = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len());
        let times = times.entry(key).or_default();
        times.sum += seconds;
        if let Some(count) = times.counts.get_mut(bucket) {
            *count += 1;
        }
    }

    /// Reads everything out.
    pub(super) fn reading(&self) -> Reading {
        let times = self.times.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (messages, calls): (Vec<_>, Vec<_>) =
            times.into_iter().partition(|((of, _), _)| of.is_message());
        let (processed, sent): (Vec<_>, Vec<_>) =
            messages.into_iter().partition(|((of, _), _)| *of == Operation::Process);
        let mut families = Vec::new();
        if !sent.is_empty() {
            let help = "Messages that were handed to the gate, or were to be.";
            families.push(counter("messaging.client.sent.messages", help, &sent));
            let help = "From handing a message over to its outcome; of a request to its reply.";
            families.push(histogram("messaging.client.operation.duration", help, sent));
        }
        if !processed.is_empty() {
            let help = "Messages that were handed to the program.";
            families.push(counter("messaging.client.consumed.messages", help, &processed));
            let help = "From handing a message to the program to its answer.";
            families.push(histogram("messaging.process.duration", help, processed));
        }
        if !calls.is_empty() {
            let help = "Calls that are about no message that is sent, until their answer.";
            families.push(histogram("rpc.client.call.duration", help, calls));
        }
        Reading { since_ns: self.since_ns, at_ns: now(), families }
    }
}

type Counted = (Key, Times);

fn counter(name: &'static str, help: &'static str, of: &[Counted]) -> Family {
    let point = |(key, times): &Counted| Point {
        labels: labels(key.clone()),
        value: Value::Whole(times.counts.iter().sum()),
    };
    let (kind, points) = (FamilyKind::Counter, of.iter().map(point).collect());
    Family { name: name.into(), help: help.into(), unit: "", kind, points }
}

fn histogram(name: &'static str, help: &'static str, of: Vec<Counted>) -> Family {
    let point = |(key, times): Counted| {
        let Times { counts, sum } = times;
        let buckets = Buckets { bounds: BOUNDS.to_vec(), counts: counts.to_vec(), sum };
        Point { labels: labels(key), value: Value::Buckets(buckets) }
    };
    let (kind, points) = (FamilyKind::Histogram, of.into_iter().map(point).collect());
    Family { name: name.into(), help: help.into(), unit: "s", kind, points }
}

fn labels((operation, failed): Key) -> Vec<(&'static str, Cow<'static, str>)> {
    let mut labels = Vec::with_capacity(4);
    match operation.method().filter(|_| !operation.is_message()) {
        Some(method) => {
            let status = failed.as_ref().map_or(Some("OK"), |(_, status)| *status);
            labels.extend([("rpc.system.name", "grpc".into()), ("rpc.method", method.into())]);
            labels.extend(status.map(|status| ("rpc.response.status_code", status.into())));
        }
        None => labels.extend([
            ("messaging.system", "palisade".into()),
            ("messaging.operation.name", name(operation).into()),
        ]),
    }
    labels.extend(failed.map(|(code, _)| ("error.type", code)));
    labels
}

/// Returns the name of an operation, as spans have it: that of the gate's event where there is one.
pub(super) const fn name(operation: Operation) -> &'static str {
    match operation {
        Operation::Send => "send",
        Operation::Request => "request",
        Operation::Reply => "reply",
        Operation::Process => "process",
        Operation::Status => "message.status",
        Operation::Discover => "discover",
        Operation::ReadState => "state.read",
        Operation::UpdateState => "state.update",
        Operation::ResetState => "state.reset",
    }
}

/// The buckets that the conventions name, in seconds.
const BOUNDS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
/// LIMIT: operations with their codes that are told apart.
const KEYS_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_is_counted_and_timed_by_operation_and_code() {
        let counts = Counts::new();
        counts.ended(Operation::Send, None, Duration::from_millis(3));
        counts.ended(Operation::Send, None, Duration::from_secs(11));
        let denied = Some(("not_authorized", Some(Code::PermissionDenied)));
        counts.ended(Operation::Send, denied, Duration::from_millis(60));
        counts.ended(Operation::Discover, None, Duration::from_millis(5));
        counts.ended(Operation::ReadState, denied, Duration::from_millis(5));
        counts.ended(Operation::Process, None, Duration::from_millis(5));
        let reading = counts.reading();
        assert!(reading.at_ns >= reading.since_ns);
        let family = |name: &str| reading.families.iter().find(|one| one.name == name).unwrap();
        let sent = family("messaging.client.sent.messages");
        let whole: Vec<_> = sent.points.iter().map(|point| point.value.clone()).collect();
        assert_eq!(whole, [Value::Whole(2), Value::Whole(1)]);
        assert_eq!(sent.points[1].labels[2], ("error.type", "not_authorized".into()));
        let took = &family("messaging.client.operation.duration").points[0];
        let Value::Buckets(buckets) = &took.value else { panic!("{took:?}") };
        assert_eq!((buckets.counts[0], buckets.counts[14]), (1, 1));
        assert!((buckets.sum - 11.003).abs() < 1e-9);
        let process = &family("messaging.process.duration").points[0];
        let Value::Buckets(buckets) = &process.value else { panic!("{process:?}") };
        assert_eq!(buckets.counts[0], 1, "a bound belongs to its bucket");
        let calls = &family("rpc.client.call.duration").points;
        let labels: Vec<_> = calls.iter().map(|point| point.labels.clone()).collect();
        let system = ("rpc.system.name", Cow::from("grpc"));
        let of = |method: &'static str, status: &'static str| {
            let method = ("rpc.method", Cow::from(method));
            vec![system.clone(), method, ("rpc.response.status_code", Cow::from(status))]
        };
        let mut read = of("mas.runtime.v1.RuntimeService/GetState", "PERMISSION_DENIED");
        read.push(("error.type", "not_authorized".into()));
        assert_eq!(labels, [of("mas.runtime.v1.RuntimeService/Discover", "OK"), read]);
    }

    #[test]
    fn the_document_has_every_metric_and_every_operation() {
        let document = include_str!("../../../../docs/telemetry.md");
        let counts = Counts::new();
        for operation in Operation::ALL {
            counts.ended(operation, None, Duration::from_millis(1));
            assert!(document.contains(&format!("`{}", name(operation))), "{operation:?}");
        }
        let families = counts.reading().families;
        assert_eq!(families.len(), 5);
        for family in families {
            assert!(document.contains(&format!("| `{}` |", family.name)), "{}", family.name);
        }
    }

    #[test]
    fn codes_without_end_are_one() {
        let counts = Counts::new();
        for code in 0..2 * KEYS_MAX {
            counts.ended(Operation::Reply, Some((&code.to_string(), None)), Duration::ZERO);
        }
        assert_eq!(counts.reading().families[0].points.len(), KEYS_MAX + 1);
    }
}
