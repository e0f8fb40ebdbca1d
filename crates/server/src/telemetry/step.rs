//! What happened to a message behind the pipeline, as a span: handed over, settled.

use ::telemetry::{Attribute, Kind, Place, Source, Span, Status};
use gate::observe::{MessageStep, StepKind};

use super::{below, client_id, nanos};

/// What is kept of a step until its span is made.
pub(super) struct Step {
    /// The place of the run that took the message.
    run: Place,
    kind: StepKind,
    id: String,
    sender: String,
    target: String,
    message_type: String,
    /// The receiver and its instance.
    client: Option<String>,
    attempt: u32,
    handed_over_ns: u64,
    at_ns: u64,
    bytes: usize,
}

impl Step {
    pub(super) fn of(step: &MessageStep<'_>, run: Place) -> Self {
        Self {
            run,
            kind: step.kind,
            id: step.message.to_string(),
            sender: step.sender.to_string(),
            target: step.target.to_string(),
            message_type: step.message_type.to_owned(),
            client: step.instance.map(|one| client_id(step.target.as_str(), one.as_str())),
            attempt: step.attempt,
            handed_over_ns: nanos(step.handed_over.unwrap_or(step.at)),
            at_ns: nanos(step.at),
            bytes: step.bytes,
        }
    }
}

impl Source for Step {
    fn count(&self) -> u64 {
        1
    }

    fn spans(self: Box<Self>, into: &mut Vec<Span>) {
        let delivery = below(&self.run, DELIVERIES + u64::from(self.attempt));
        let failed = match self.kind {
            StepKind::Delivered | StepKind::Acknowledged => None,
            StepKind::DeadLettered { code } => Some(code),
            kind @ (StepKind::Retried | StepKind::Expired) => Some(kind.as_str()),
        };
        let times = (self.handed_over_ns, self.at_ns);
        let mut span = if self.kind == StepKind::Delivered {
            Span::new(delivery, "deliver", Kind::Producer, times)
        } else {
            let place = below(&self.run, SETTLEMENTS + u64::from(self.attempt));
            let mut span = Span::new(place, "settle", Kind::Consumer, times);
            span.links.push(delivery);
            span.attributes.push(Attribute::fixed("messaging.operation.type", "settle"));
            span
        };
        span.parent = Some(self.run);
        span.attributes.extend([
            Attribute::fixed("messaging.system", "palisade"),
            Attribute::fixed("messaging.operation.name", span.name),
            Attribute::id("messaging.message.id", self.id),
            Attribute::number("messaging.message.envelope.size", self.bytes),
            Attribute::text("messaging.destination.name", self.target.as_str()),
            Attribute::text("palisade.sender", self.sender),
            Attribute::fixed("palisade.outcome", self.kind.as_str()),
            Attribute::number("palisade.attempt", self.attempt),
        ]);
        let texts = [
            ("palisade.message.type", Some(self.message_type).filter(|text| !text.is_empty())),
            ("messaging.client.id", self.client),
        ];
        let texts = texts.into_iter().filter_map(|(key, text)| Some(Attribute::text(key, text?)));
        span.attributes.extend(texts);
        if let Some(code) = failed {
            span.status = Status::Failed;
            span.attributes.push(Attribute::fixed("error.type", code));
        }
        span.of = Some(self.target);
        into.push(span);
    }
}

/// Below these are the numbers of the stages' spans.
const DELIVERIES: u64 = 1 << 8;
const SETTLEMENTS: u64 = 1 << 40;
