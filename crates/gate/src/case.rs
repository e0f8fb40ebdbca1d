//! The open record of one run: it is opened before the first stage, so every path is recorded.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use audit::{Outcome, Record, Salt};
use bytes::Bytes;

use crate::circuits::Probe;
use crate::gate::Gate;
use crate::observe::{Marks, Observed, Stage};
use crate::pipeline::moment;
use crate::ports::Op;
use crate::registry::Snapshot;
use crate::types::{
    Action, Decision, MessageId, Outgoing, Principal, Refusal, Timestamp, TraceContext,
};

/// What is known so far about one call.
#[derive(Debug)]
pub(crate) struct Case {
    /// The request's id, and the message's if it becomes one.
    pub(crate) id: MessageId,
    /// When the call came in.
    pub(crate) at: Timestamp,
    /// The one snapshot that judges this call.
    pub(crate) snapshot: Arc<Snapshot>,
    /// When each stage ended.
    pub(crate) marks: Marks,
    /// Which stage refused it, if one did.
    pub(crate) refused_at: Option<Stage>,
    /// Whether it came by a native session, with others.
    pub(crate) is_published: bool,
    /// Whether the door refused it and no stage.
    pub(crate) is_door_refusal: bool,
    /// The caller's trace, and what the tracer made of it.
    given: TraceContext,
    continued: Option<TraceContext>,
    /// The payload's size in bytes as it came.
    pub(crate) payload_bytes: usize,
    /// The kind of call.
    pub(crate) event_type: &'static str,
    /// Who asks, once authenticated.
    pub(crate) principal: Option<Principal>,
    /// What an acceptance will be recorded as.
    pub(crate) decision: Decision,
    /// Which rule decided.
    pub(crate) decided_by: Option<String>,
    /// Counts the call, whether a later stage accepts it or not.
    pub(crate) count: Option<Op>,
    /// The probes that the message stands for.
    pub(crate) probe: Probe,
    /// The sender's instance.
    pub(crate) instance: Option<String>,
    /// The target as the caller named it.
    pub(crate) target: Option<String>,
    /// The message type.
    pub(crate) message_type: Option<String>,
    /// The correlation of a request or reply.
    pub(crate) correlation: Option<String>,
    /// The commitment to the payload as it will be delivered, with its salt.
    pub(crate) commitment: Option<(String, Salt)>,
    /// The kinds of what inspection found.
    pub(crate) violations: Vec<String>,
    /// Whether inspection changed the payload.
    pub(crate) masked: bool,
    /// By which a retry is known; empty if it is not.
    pub(crate) key: String,
    /// Hashes of the key and of what is sent with it, once they are known.
    pub(crate) hashes: Option<(u128, u128)>,
    /// The message that an earlier call with this key made.
    pub(crate) original: Option<MessageId>,
    /// How long the message is kept, if not as long as others.
    pub(crate) ttl: Option<Duration>,
    /// More for the record of an operator's change.
    pub(crate) detail: BTreeMap<String, String>,
    peer: String,
}

/// What stands in a record for a text that may not stand there.
pub(crate) const HIDDEN: &str = "[REDACTED]";

// LIMIT: characters of a caller's text that stand in a record.
const TEXT_CHARS_MAX: usize = 256;

impl Case {
    /// Opens the record of what somebody at `peer` asks.
    pub(crate) fn open(gate: &Gate, peer: &str, trace: TraceContext, action: &Action) -> Self {
        let mut case = Self {
            id: MessageId::from_random(gate.ids.random()),
            at: gate.clock.now(),
            snapshot: gate.registry.snapshot(),
            marks: Marks::begin(gate.clock.elapsed()),
            refused_at: None,
            is_published: false,
            is_door_refusal: false,
            continued: gate.tracer.as_ref().map(|tracer| tracer.begin(&trace)),
            given: trace,
            payload_bytes: 0,
            event_type: action.event_type(),
            principal: None,
            decision: Decision::Allowed,
            decided_by: None,
            count: None,
            probe: Probe::default(),
            instance: None,
            target: None,
            message_type: None,
            correlation: None,
            commitment: None,
            violations: Vec::new(),
            masked: false,
            key: String::new(),
            hashes: None,
            original: None,
            ttl: None,
            detail: BTreeMap::new(),
            peer: peer.to_owned(),
        };
        case.note(action);
        case
    }

    /// Notes that a stage has ended.
    pub(crate) fn mark(&mut self, gate: &Gate, stage: Stage) {
        self.marks.mark(stage, gate.clock.elapsed());
    }

    /// Notes that the stage under way has refused.
    pub(crate) fn mark_refusal(&mut self, gate: &Gate) {
        self.refused_at = self.marks.under_way();
        if let Some(stage) = self.refused_at {
            self.mark(gate, stage);
        }
    }

    /// Returns the trace that goes on with the message.
    pub(crate) fn trace(&self) -> &TraceContext {
        self.continued.as_ref().unwrap_or(&self.given)
    }

    /// Returns the span whose fields each log line of the run carries: its place in a trace that is
    /// kept, as the collector has it.
    pub(crate) fn log_span(&self) -> tracing::Span {
        self.continued.as_ref().map_or_else(tracing::Span::none, TraceContext::log_span)
    }

    /// Notes what the caller named, so that a refusal at the first stage names it too.
    fn note(&mut self, action: &Action) {
        match action {
            Action::Send { target, message } | Action::Request { target, message, .. } => {
                self.target = Some(shortened(target));
                self.message(message);
            }
            Action::Reply { correlation, message } => {
                self.correlation = Some(shortened(correlation));
                self.message(message);
            }
            Action::Open(crate::types::Hello::Instance(instance, _)) => {
                self.instance = Some(shortened(instance));
            }
            Action::Connect
            | Action::Oversize
            | Action::Malformed
            | Action::Refused(_)
            | Action::Open(_)
            | Action::Discover { .. }
            | Action::ReadState
            | Action::UpdateState { .. }
            | Action::ResetState
            | Action::MessageStatus { .. }
            | Action::RegisterKey { .. }
            | Action::Administer(_) => {}
        }
    }

    fn message(&mut self, message: &Outgoing) {
        self.message_type = Some(shortened(&message.message_type));
        self.instance = Some(shortened(&message.instance));
        self.payload_bytes = message.payload.len();
    }

    /// Returns where the call comes from, as text; empty if that is not known.
    pub(crate) fn peer(&self) -> &str {
        &self.peer
    }

    /// Returns by which name the caller's refusals are counted.
    pub(crate) fn principal_name(&self) -> &str {
        self.principal.as_ref().map_or("unauthenticated", |principal| &principal.spiffe_id)
    }

    /// Returns how long the call has taken so far.
    pub(crate) fn latency(&self, gate: &Gate) -> Duration {
        gate.clock.now().since(self.at)
    }

    /// Returns the record of an acceptance.
    pub(crate) fn accepted(&self, gate: &Gate) -> Op {
        let record = Record {
            outcome: Outcome::Success,
            decision: self.decision.as_str().into(),
            ..self.record(gate)
        };
        let salt = self.commitment.as_ref().map(|(_, salt)| *salt);
        Op::Record { body: Bytes::from(record.encode()), salt }
    }

    /// Returns the record of a refusal.
    pub(crate) fn refused(&self, gate: &Gate, refusal: &Refusal) -> Op {
        let reason =
            if let Refusal::NotAuthorized { code, .. } = refusal { code } else { refusal.code() };
        let record = Record {
            outcome: Outcome::Refused,
            decision: refusal.decision().as_str().into(),
            reason: Some(reason.into()),
            // Not the acceptance that an earlier stage noted.
            decided_by: Some(refusal.to_string().into()),
            // Nothing was delivered.
            payload_commitment: None,
            sensitive_data_masked: false,
            message_type: self.shown_type(gate).map(Into::into),
            ..self.record(gate)
        };
        Op::record(record.encode())
    }

    /// Returns the message type of a refused call as it may be shown.
    fn shown_type(&self, gate: &Gate) -> Option<&str> {
        // A stage before inspection may have refused, and then nobody has looked at the type.
        let text = self.message_type.as_deref();
        text.map(|text| if gate.hides(text) { HIDDEN } else { text })
    }

    /// Shows the run to whoever looks on.
    pub(crate) fn show(&self, gate: &Gate, refusal: Option<&Refusal>) {
        let reason = refusal.map(ToString::to_string);
        let accepted = self.message_type.as_deref();
        let run = Observed {
            id: self.id,
            event_type: self.event_type,
            is_published: self.is_published,
            is_message: self.is_message(),
            caller: self.principal.as_ref().map_or("", Principal::name),
            is_agent: self.principal.as_ref().is_some_and(Principal::is_agent),
            peer: &self.peer,
            instance: self.instance.as_deref(),
            target: self.target.as_deref(),
            message_type: refusal.map_or(accepted, |_| self.shown_type(gate)),
            correlation: self.correlation.as_deref(),
            decision: refusal.map_or(self.decision, Refusal::decision),
            code: refusal.map(Refusal::code),
            refusal,
            reason: reason.as_deref(),
            decided_by: self.decided_by.as_deref().filter(|_| refusal.is_none()),
            refused_at: self.refused_at,
            policy_revision: self.snapshot.policy.revision(),
            started: self.at,
            marks: self.marks,
            given: &self.given,
            trace: self.trace(),
            payload_bytes: self.payload_bytes,
            findings: self.violations.len(),
        };
        for observer in &gate.watch.observers {
            observer.finished(&run);
        }
    }

    /// Returns whether the call is a message.
    pub(crate) fn is_message(&self) -> bool {
        matches!(self.event_type, "message.send" | "message.request" | "message.reply")
    }

    fn record(&self, gate: &Gate) -> Record<'_> {
        let name = self.principal.as_ref().map_or("", Principal::name);
        let is_agent = self.principal.as_ref().is_some_and(Principal::is_agent);
        Record {
            timestamp: moment(self.at).into(),
            event_type: self.event_type.into(),
            user_id: (!is_agent && !name.is_empty()).then(|| name.into()),
            agent_id: if is_agent { name.into() } else { "".into() },
            request_id: self.id.to_string().into(),
            sensitive_data_masked: self.masked,
            decided_by: self.decided_by.as_deref().map(Into::into),
            message_id: self
                .event_type
                .starts_with("message.")
                .then(|| self.original.unwrap_or(self.id).to_string().into()),
            sender_id: is_agent.then(|| name.into()),
            sender_instance_id: self.instance.as_deref().map(Into::into),
            target_id: self.target.as_deref().map(Into::into),
            message_type: self.message_type.as_deref().map(Into::into),
            correlation_id: self.correlation.as_deref().map(Into::into),
            latency_us: u64::try_from(self.latency(gate).as_micros()).unwrap_or(u64::MAX),
            payload_commitment: self.commitment.as_ref().map(|(text, _)| text.as_str().into()),
            violations: self.violations.clone(),
            policy_revision: Some(self.snapshot.policy.revision().into()),
            peer: (!self.peer.is_empty()).then(|| self.peer.as_str().into()),
            spiffe_id: self.principal.as_ref().map(|one| one.spiffe_id.as_str().into()),
            detail: self.detail.clone().into_iter().collect(),
            ..Record::default()
        }
    }
}

/// Returns the first characters of a caller's text.
pub(crate) fn shortened(text: &str) -> String {
    text.chars().take(TEXT_CHARS_MAX).collect()
}
