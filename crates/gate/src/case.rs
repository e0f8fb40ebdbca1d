//! The open record of one run: it is opened before the first stage, so every path is recorded.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use audit::{Outcome, Record, Salt};
use bytes::Bytes;

use crate::circuits::Probe;
use crate::gate::Gate;
use crate::pipeline::moment;
use crate::ports::Op;
use crate::registry::Snapshot;
use crate::types::{
    Action, Call, Decision, MessageId, Principal, Refusal, Timestamp, TraceContext,
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
    /// The caller's trace.
    pub(crate) trace: TraceContext,
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
    /// More for the record of an operator's change.
    pub(crate) detail: BTreeMap<String, String>,
    peer: String,
}

/// What stands in a record for a text that may not stand there.
pub(crate) const HIDDEN: &str = "[REDACTED]";

// LIMIT: characters of a caller's text that stand in a record.
const TEXT_CHARS_MAX: usize = 256;

impl Case {
    /// Opens the record of a call.
    pub(crate) fn open(gate: &Gate, call: &Call) -> Self {
        let mut case = Self {
            id: MessageId::from_random(gate.ids.random()),
            at: gate.clock.now(),
            snapshot: gate.registry.snapshot(),
            trace: call.trace.clone(),
            event_type: call.action.event_type(),
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
            detail: BTreeMap::new(),
            peer: call.peer.clone(),
        };
        case.note(&call.action);
        case
    }

    /// Notes what the caller named, so that a refusal at the first stage names it too.
    fn note(&mut self, action: &Action) {
        match action {
            Action::Send { target, message } | Action::Request { target, message, .. } => {
                self.target = Some(shortened(target));
                self.message_type = Some(shortened(&message.message_type));
                self.instance = Some(shortened(&message.instance));
            }
            Action::Reply { correlation, message } => {
                self.correlation = Some(shortened(correlation));
                self.message_type = Some(shortened(&message.message_type));
                self.instance = Some(shortened(&message.instance));
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
        // A stage before inspection may have refused, and then nobody has looked at the type.
        let text = self.message_type.as_deref();
        let message_type = text.map(|text| if gate.hides(text) { HIDDEN } else { text });
        let record = Record {
            outcome: Outcome::Refused,
            decision: refusal.decision().as_str().into(),
            reason: Some(reason.into()),
            // Not the acceptance that an earlier stage noted.
            decided_by: Some(refusal.to_string().into()),
            // Nothing was delivered.
            payload_commitment: None,
            sensitive_data_masked: false,
            message_type: message_type.map(Into::into),
            ..self.record(gate)
        };
        Op::record(record.encode())
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
            message_id: self.event_type.starts_with("message.").then(|| self.id.to_string().into()),
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
