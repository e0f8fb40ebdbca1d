//! A message that a session holds, and what is told of it.

use super::live::Live;
use super::{Hub, ReceiptKind};
use crate::observe::{MessageStep, StepKind};
use crate::ports::Leased;
use crate::types::{AgentId, Envelope, MessageId, Timestamp, TraceContext};

/// What a session holds unacknowledged.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) message: MessageId,
    pub(super) sender: AgentId,
    pub(super) message_type: String,
    pub(super) attempt: u32,
    pub(super) bytes: usize,
    /// When it was handed over.
    pub(super) at: Timestamp,
    /// The trace that its envelope carries, where somebody looks on.
    pub(super) trace: Option<Box<TraceContext>>,
}

/// The trace of a message that has none.
pub(super) static NO_TRACE: TraceContext = TraceContext { traceparent: None, tracestate: None };

impl Held {
    /// Returns the span of log lines that are about this message.
    pub(super) fn log_span(&self) -> tracing::Span {
        self.trace.as_deref().map_or_else(tracing::Span::none, TraceContext::log_span)
    }
}

impl Hub {
    /// Makes what is held of a message from its lease.
    pub(super) fn held(&self, leased: &Leased) -> Held {
        let trace = || Box::new(Envelope::trace_of(&leased.envelope));
        Held {
            message: leased.message,
            sender: leased.sender.clone(),
            message_type: leased.message_type.clone(),
            attempt: leased.attempt,
            bytes: leased.envelope.len(),
            at: self.clock.now(),
            trace: self.watch.is_heard().then(trace),
        }
    }

    /// Tells how a delivery ended, once that is durable.
    pub(super) fn note_settled(&self, live: &Live, held: &Held, kind: StepKind) {
        let (measures, now) = (self.watch.measures.mine(), self.clock.now());
        match kind {
            StepKind::Acknowledged => measures.acknowledged(now.since(held.at)),
            StepKind::Retried => measures.retried(now.since(held.at)),
            StepKind::DeadLettered { code } => measures.died(code),
            // Neither is the end of a delivery.
            StepKind::Delivered | StepKind::Expired => return,
        }
        match kind {
            StepKind::Acknowledged => self.tell(held, ReceiptKind::Acknowledged, ""),
            StepKind::DeadLettered { code } => self.tell(held, ReceiptKind::DeadLettered, code),
            StepKind::Retried | StepKind::Delivered | StepKind::Expired => {}
        }
        self.watch.moved(|| live.step(held, kind, now));
    }

    fn tell(&self, held: &Held, kind: ReceiptKind, reason: &str) {
        self.followers.tell(held.message, kind, held.attempt, reason);
    }
}

impl Live {
    /// Shows what happened to a message that is held here.
    pub(super) fn step<'a>(
        &'a self,
        held: &'a Held,
        kind: StepKind,
        at: Timestamp,
    ) -> MessageStep<'a> {
        MessageStep {
            kind,
            message: held.message,
            sender: &held.sender,
            target: &self.agent,
            message_type: &held.message_type,
            instance: Some(&self.instance),
            session: Some(self.id),
            attempt: held.attempt,
            at,
            handed_over: Some(held.at),
            bytes: held.bytes,
            trace: held.trace.as_deref().unwrap_or(&NO_TRACE),
        }
    }
}
