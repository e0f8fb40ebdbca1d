//! What observers are shown: names, times and outcomes, never a payload.

use super::{Marks, Stage};
use crate::types::{
    AgentId, Decision, InstanceId, MessageId, Refusal, SessionId, Timestamp, TraceContext,
};

/// A finished run.
///
/// What the caller named is shown as its record shows it: shortened, and hidden where inspection
/// would not let it pass.
#[derive(Debug, Clone, Copy)]
pub struct Observed<'a> {
    /// The id that its record carries; the message's id if it is one.
    pub id: MessageId,
    /// The kind of call, such as `message.send`.
    pub event_type: &'static str,
    /// Whether it came by a native session, with others: then it is no call by itself.
    pub is_published: bool,
    /// Whether the call is a message; one that was refused is not kept.
    pub is_message: bool,
    /// The agent's id or the operator's name; empty if nobody was authenticated.
    pub caller: &'a str,
    /// Whether the caller is an agent.
    pub is_agent: bool,
    /// Where from, as text; empty if unknown.
    pub peer: &'a str,
    /// The sender's instance.
    pub instance: Option<&'a str>,
    /// To whom.
    pub target: Option<&'a str>,
    /// Free text by which receivers choose a handler.
    pub message_type: Option<&'a str>,
    /// What ties a reply to its request.
    pub correlation: Option<&'a str>,
    /// The outcome.
    pub decision: Decision,
    /// The code of a refusal.
    pub code: Option<&'static str>,
    /// The refusal itself.
    pub refusal: Option<&'a Refusal>,
    /// The sentence of a refusal.
    pub reason: Option<&'a str>,
    /// Which rule let it pass, where one did.
    pub decided_by: Option<&'a str>,
    /// The stage that refused; nothing if none did, or the door.
    pub refused_at: Option<Stage>,
    /// The name of the rules that judged it.
    pub policy_revision: &'a str,
    /// When the run began.
    pub started: Timestamp,
    /// When its stages ended.
    pub marks: Marks,
    /// The trace that the caller sent along.
    pub given: &'a TraceContext,
    /// The trace that goes on with the message; the given one if there is no tracer.
    pub trace: &'a TraceContext,
    /// The payload's size in bytes as it came; zero if there is none.
    pub payload_bytes: usize,
    /// How many kinds of findings stand in the record.
    pub findings: usize,
}

/// What happened to a message behind the pipeline.
#[derive(Debug, Clone, Copy)]
pub struct MessageStep<'a> {
    /// What.
    pub kind: StepKind,
    /// To which message.
    pub message: MessageId,
    /// Who sent it.
    pub sender: &'a AgentId,
    /// Who receives it.
    pub target: &'a AgentId,
    /// Free text by which receivers choose a handler; empty for one that expired.
    pub message_type: &'a str,
    /// The receiver's instance.
    pub instance: Option<&'a InstanceId>,
    /// The receiver's session.
    pub session: Option<SessionId>,
    /// The how-many-eth hand-over this is about, from 1.
    pub attempt: u32,
    /// When it happened.
    pub at: Timestamp,
    /// When the message was handed over; nothing if it was not.
    pub handed_over: Option<Timestamp>,
    /// The envelope's size in bytes; zero for one that expired.
    pub bytes: usize,
    /// The trace that the envelope carries; empty for one that expired.
    pub trace: &'a TraceContext,
}

impl MessageStep<'_> {
    /// Logs it, beside the run that took the message.
    pub(crate) fn log(&self) {
        // Without a reader of such lines not even the span is made.
        if !tracing::enabled!(tracing::Level::DEBUG) {
            return;
        }
        self.trace.log_span().in_scope(|| {
            tracing::debug!(id = %self.message, agent = %self.target, attempt = self.attempt,
                "{}", self.kind.as_str());
        });
    }
}

impl StepKind {
    /// Returns its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Acknowledged => "acknowledged",
            Self::Retried => "retried",
            Self::DeadLettered { .. } => "dead_lettered",
            Self::Expired => "expired",
        }
    }
}

/// What can happen to a message behind the pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepKind {
    /// It was handed to a session.
    Delivered,
    /// Its receiver acknowledged it, durably.
    Acknowledged,
    /// Its receiver refused it, and it is tried again.
    Retried,
    /// It became a dead letter.
    DeadLettered {
        /// Why, such as `refused`.
        code: &'static str,
    },
    /// Nobody took it in its time.
    Expired,
}
