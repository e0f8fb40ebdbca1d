//! Spans and counts of what a client does, on their way to an OpenTelemetry collector.
//!
//! Texts that the program or other agents chose are searched for sensitive values before they
//! leave the process; payloads are never looked at.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use ::telemetry::{Attribute, Exporter, Kind, Masker, Place, Span, Status};
use tokio::sync::watch;
use tokio::time::Instant;
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
        Box::new(Begun { span, trace, operation: work.operation, counts, since })
    }
}

#[derive(Debug)]
struct Begun {
    /// Nothing where the trace is not kept.
    span: Option<(Span, Exporter)>,
    trace: Option<TraceContext>,
    operation: Operation,
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
            Ending::Failed(code) => Some(code),
        };
        self.counts.ended(self.operation, failed, self.since.elapsed());
        let Some((mut span, exporter)) = self.span else { return };
        span.end_ns = now();
        match ending {
            Ending::Done(id) => {
                span.attributes.extend(id.map(|id| Attribute::text(MESSAGE_ID, id)));
            }
            Ending::Failed(code) => {
                span.status = Status::Failed;
                span.attributes.push(Attribute::text("error.type", code));
            }
        }
        exporter.offer(Box::new(span));
    }
}

fn begun(work: &Work<'_>, place: Place) -> Span {
    let name = counts::name(work.operation);
    let (kind, operation) = match work.operation {
        Operation::Send | Operation::Reply => (Kind::Producer, "send"),
        Operation::Request => (Kind::Client, "send"),
        Operation::Process => (Kind::Consumer, "process"),
    };
    let now = now();
    let mut span = Span::new(place, name, kind, (now, now));
    let text = |key, text: &str| Attribute::text(key, text);
    // What is received was sent to the own agent.
    let is_received = work.operation == Operation::Process;
    let destination = if is_received { work.agent } else { work.other };
    let client = format!("{}/{}", work.agent, work.instance);
    span.attributes = vec![
        Attribute::fixed("messaging.system", "palisade"),
        Attribute::fixed("messaging.operation.name", name),
        Attribute::fixed("messaging.operation.type", operation),
        text("messaging.client.id", &client),
        text("palisade.message.type", work.message_type),
    ];
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
    span
}

/// Returns nanoseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "stamps spans; no decision hangs on it")]
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

const MESSAGE_ID: &str = "messaging.message.id";
