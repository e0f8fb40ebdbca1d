//! Spans and counts of what a client does, on their way to an OpenTelemetry collector.
//!
//! Texts that the program or other agents chose are searched for sensitive values before they
//! leave the process; payloads are never looked at.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use ::telemetry::{Attribute, Exporter, Kind, Masker, Place, Span, Status, rpc};
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::Code;
use uuid::Uuid;

pub use ::telemetry::{Endpoint, Headers, Settings, SettingsError};

use crate::tasks;
use crate::trace::TraceContext;
use crate::tracer::{Ending, Operation, Tracer, Underway, Work};

mod counts;

use counts::Counts;

/// Exports spans and metrics; share it between the clients of a process.
#[derive(Debug)]
pub struct Telemetry {
    exporter: Exporter,
    counts: Arc<Counts>,
    ended: watch::Receiver<()>,
}

impl Telemetry {
    /// Starts the export on this runtime; an empty `instance` is drawn at random.
    #[must_use]
    pub fn start(mut settings: Settings) -> Arc<Self> {
        if settings.instance.is_empty() {
            settings.instance = Uuid::new_v4().simple().to_string();
        }
        let (exporter, worker) = Exporter::new(settings, Masker::standard());
        let counts = Arc::new(Counts::new());
        let counted = Arc::clone(&counts);
        let worker = worker.reading(Box::new(move || counted.reading()));
        let (running, ended) = watch::channel(());
        tasks::detach("telemetry", async move {
            Box::pin(worker.run()).await;
            drop(running);
        });
        Arc::new(Self { exporter, counts, ended })
    }

    /// Exports what waits and ends; a collector that does not answer is left after 5 seconds.
    pub async fn close(&self) {
        self.exporter.close();
        // An error says that the other half is gone, and that is what this waits for.
        while self.ended.clone().changed().await.is_ok() {}
    }

    /// Returns how many spans were lost, so far.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.exporter.dropped()
    }
}

impl Tracer for Telemetry {
    fn begin(&self, work: &Work<'_>, parent: Option<&TraceContext>) -> Box<dyn Underway> {
        let above = parent.and_then(|parent| Place::parse(parent.traceparent()));
        let place = self.exporter.place(above, || Uuid::new_v4().as_u128());
        let state = parent.filter(|_| above.is_some()).and_then(TraceContext::tracestate);
        // INVARIANT: what a place writes is a traceparent, and the state was in one already.
        let trace = TraceContext::arrived(Some(&place.to_string()), state);
        let span = place.is_sampled().then(|| {
            let mut span = begun(work, place);
            span.parent = above;
            (span, self.exporter.clone())
        });
        let (counts, since) = (Arc::clone(&self.counts), Instant::now());
        let (operation, is_call) = (work.operation, work.method.is_some());
        Box::new(Begun { span, trace, operation, is_call, counts, since })
    }
}

#[derive(Debug)]
struct Begun {
    /// Nothing where the trace is not kept.
    span: Option<(Span, Exporter)>,
    trace: Option<TraceContext>,
    operation: Operation,
    /// Whether it is a call by itself.
    is_call: bool,
    counts: Arc<Counts>,
    since: Instant,
}

impl Underway for Begun {
    fn trace(&self) -> Option<TraceContext> {
        self.trace.clone()
    }

    fn end(self: Box<Self>, ending: Ending<'_>) {
        let failed = match ending {
            Ending::Done(_) => None,
            Ending::Failed { code, status } => Some((code, status)),
        };
        self.counts.ended(self.operation, failed, self.since.elapsed());
        let Some((mut span, exporter)) = self.span else { return };
        span.end_ns = now();
        if self.is_call {
            let status = failed.map_or(Some(Code::Ok), |(_, status)| status);
            span.attributes.extend(status.map(|status| rpc::answer(status.into())));
        }
        match ending {
            Ending::Done(id) => {
                span.attributes.extend(id.map(|id| Attribute::text(MESSAGE_ID, id)));
            }
            Ending::Failed { code, .. } => {
                span.status = Status::Failed;
                span.attributes.push(Attribute::text("error.type", code));
            }
        }
        exporter.offer(Box::new(span));
    }
}

fn begun(work: &Work<'_>, place: Place) -> Span {
    let name = counts::name(work.operation);
    let kind = match work.operation {
        Operation::Send | Operation::Reply => Kind::Producer,
        Operation::Process => Kind::Consumer,
        Operation::Request
        | Operation::Status
        | Operation::Discover
        | Operation::ReadState
        | Operation::UpdateState
        | Operation::ResetState => Kind::Client,
    };
    let now = now();
    let mut span = Span::new(place, name, kind, (now, now));
    if let Some(method) = work.method {
        span.attributes.extend(rpc::call(method));
        if let Some((host, port)) = work.gate.rsplit_once(':') {
            span.attributes.push(Attribute::text("server.address", host));
            span.attributes.extend(
                port.parse::<u16>().ok().map(|port| Attribute::number("server.port", port)),
            );
        }
    }
    if work.operation.is_message() {
        say_message(&mut span, work, name);
    } else {
        let id = work.message_id.map(|id| Attribute::text(MESSAGE_ID, id));
        span.attributes.extend(id);
    }
    span
}

/// Says what the conventions for messaging ask for.
fn say_message(span: &mut Span, work: &Work<'_>, name: &'static str) {
    let text = |key, text: &str| Attribute::text(key, text);
    // What is received was sent to the own agent.
    let is_received = work.operation == Operation::Process;
    let operation = if is_received { "process" } else { "send" };
    let destination = if is_received { work.agent } else { work.other };
    let client = format!("{}/{}", work.agent, work.instance);
    span.attributes.extend([
        Attribute::fixed("messaging.system", "palisade"),
        Attribute::fixed("messaging.operation.name", name),
        Attribute::fixed("messaging.operation.type", operation),
        text("messaging.client.id", &client),
        text("palisade.message.type", work.message_type),
    ]);
    let optional = [
        ("messaging.destination.name", Some(destination).filter(|name| !name.is_empty())),
        ("palisade.sender", is_received.then_some(work.other)),
        (MESSAGE_ID, work.message_id),
        ("messaging.message.conversation_id", work.correlation_id),
    ];
    let optional = optional.into_iter().filter_map(|(key, value)| Some(text(key, value?)));
    span.attributes.extend(optional);
    let size = |bytes| Attribute::number("messaging.message.body.size", bytes);
    span.attributes.extend(work.bytes.map(size));
    span.of = Some(destination.to_owned()).filter(|name| !name.is_empty());
}

/// Returns nanoseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "stamps spans; no decision hangs on it")]
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

const MESSAGE_ID: &str = "messaging.message.id";

#[cfg(test)]
mod tests {
    use ::telemetry::AttributeValue;

    use super::*;

    fn text(span: &Span, key: &str) -> Option<String> {
        let found = span.attributes.iter().find(|one| one.key == key)?;
        Some(match &found.value {
            AttributeValue::Fixed(text) => (*text).to_owned(),
            AttributeValue::Text(text) | AttributeValue::Id(text) => text.clone(),
            AttributeValue::Number(number) => number.to_string(),
            AttributeValue::Fact(fact) => fact.to_string(),
        })
    }

    fn span(operation: Operation, method: Option<&'static str>, other: &str) -> Span {
        let work = Work {
            operation,
            agent: "alice",
            instance: "i1",
            gate: "gate.example.org:50051",
            method,
            other,
            message_type: "note",
            message_id: None,
            correlation_id: None,
            bytes: Some(2),
        };
        begun(&work, Place::root(1, 2, true))
    }

    #[test]
    fn a_call_is_described_as_the_conventions_for_grpc_ask() {
        let call = span(Operation::Discover, Operation::Discover.method(), "");
        assert_eq!((call.name, call.kind, &call.of), ("discover", Kind::Client, &None));
        for (key, value) in [
            ("rpc.system.name", "grpc"),
            ("rpc.method", "mas.runtime.v1.RuntimeService/Discover"),
            ("server.address", "gate.example.org"),
            ("server.port", "50051"),
        ] {
            assert_eq!(text(&call, key).as_deref(), Some(value), "{key}");
        }
        assert_eq!(text(&call, "messaging.system"), None, "it is no message");
    }

    #[test]
    fn a_message_is_a_call_only_where_it_has_a_method() {
        let unary = span(Operation::Send, Operation::Send.method(), "bob");
        assert_eq!(text(&unary, "rpc.method").as_deref(), Operation::Send.method());
        let native = span(Operation::Send, None, "bob");
        assert_eq!(text(&native, "rpc.method"), None);
        for message in [unary, native] {
            assert_eq!(text(&message, "messaging.system").as_deref(), Some("palisade"));
            assert_eq!(text(&message, "messaging.client.id").as_deref(), Some("alice/i1"));
            assert_eq!(message.of.as_deref(), Some("bob"));
        }
    }
}
