//! Stage 6: may the content pass, and in which form?
//!
//! Payloads of messages and values of state updates are searched; what is found is masked,
//! encrypted to the recipient, or stops the call. Findings keep kinds, never text. Large ones are
//! searched aside; what follows from what was found is decided here.

mod search;

use audit::Salt;

use self::search::{Found, Search, Updates};
use super::circuit::Routed;
use crate::case::{Case, HIDDEN};
use crate::gate::Gate;
use crate::types::{
    AgentId, Decision, Envelope, Message, MessageId, Refusal, Request, Timestamp, TraceContext,
    Unavailable,
};

/// A request that has passed every stage; only [`check`] makes one.
#[derive(Debug)]
pub(super) struct Cleared {
    agent: Option<AgentId>,
    request: Request,
    envelope: Option<String>,
}

impl Cleared {
    /// Takes the proof apart: caller, request, and the envelope if it is a message.
    pub(super) fn into_parts(self) -> (Option<AgentId>, Request, Option<String>) {
        (self.agent, self.request, self.envelope)
    }
}

// What the wire adds to an envelope in a delivery: its id and two field headers.
const DELIVERY_OVERHEAD: usize = 64;

pub(super) async fn check(
    gate: &Gate,
    case: &mut Case,
    routed: Routed,
) -> Result<Cleared, Refusal> {
    let (agent, request) = routed.into_request();
    match request {
        Request::Message(message) => {
            let (message, envelope) = check_message(gate, case, message).await?;
            let request = Request::Message(message);
            Ok(Cleared { agent, request, envelope: Some(envelope) })
        }
        Request::UpdateState(updates) => {
            let updates = match &agent {
                Some(agent) if !updates.is_empty() => {
                    check_state(gate, case, agent, updates).await?
                }
                _ => updates,
            };
            Ok(Cleared { agent, request: Request::UpdateState(updates), envelope: None })
        }
        Request::Open(_)
        | Request::Repeat(_)
        | Request::Discover(_)
        | Request::ReadState
        | Request::ResetState
        | Request::MessageStatus(_)
        | Request::RegisterKey(_)
        | Request::Administer(_) => Ok(Cleared { agent, request, envelope: None }),
    }
}

async fn check_message(
    gate: &Gate,
    case: &mut Case,
    message: Box<Message>,
) -> Result<(Box<Message>, String), Refusal> {
    let search = Search::of(gate, case, &message.target);
    let salt = Salt::new(gate.ids.random());
    let head = Head { id: case.id, at: case.at, trace: case.trace().clone(), salt };
    let (owner, bytes) = (message.sender.clone(), message.document.text().len());
    let work = move || {
        let found = search.document(&message.document);
        let written = found.passes().then(|| head.write(&message, found.changed.as_deref()));
        (message, found, written)
    };
    let (message, found, written) = gate.compute(&owner, bytes, work).await?;
    let passes = note(case, &found);
    // Both are searched, so that a record names all that was found.
    check_type(gate, case, &message.message_type)?;
    passes?;
    let Some((commitment, envelope)) = written else {
        return Err(Refusal::Unavailable(Unavailable::Internal("a message was not written")));
    };
    case.commitment = Some((commitment, salt));
    let bytes = envelope.len().saturating_add(DELIVERY_OVERHEAD);
    let max = gate.settings.delivery.envelope_bytes_max;
    if bytes > max {
        return Err(Refusal::EnvelopeTooLarge { bytes, max });
    }
    Ok((message, envelope))
}

/// What the gate adds to a message.
struct Head {
    id: MessageId,
    at: Timestamp,
    trace: TraceContext,
    salt: Salt,
}

impl Head {
    /// Returns the commitment to a message's payload, and its envelope; `changed` is what
    /// inspection made of the payload, if it changed it.
    fn write(self, message: &Message, changed: Option<&str>) -> (String, String) {
        let payload = changed.unwrap_or_else(|| message.document.text());
        let envelope = Envelope {
            id: self.id,
            sender: message.sender.clone(),
            sender_instance: message.instance.clone(),
            target: message.target.clone(),
            message_type: message.message_type.clone(),
            kind: message.kind.clone(),
            timestamp: self.at,
            trace: self.trace,
            hops: message.hops,
        };
        (self.salt.commitment(payload), envelope.encode(payload))
    }
}

/// Notes what was found.
///
/// # Errors
///
/// Returns [`Refusal::DlpBlocked`] if it may not pass.
fn note(case: &mut Case, found: &Found) -> Result<(), Refusal> {
    case.violations.clone_from(&found.kinds);
    match found.decision {
        None => Ok(()),
        Some(Decision::DlpBlocked) => Err(Refusal::DlpBlocked { unsealed: found.unsealed }),
        Some(decision) => {
            case.decision = decision;
            case.masked = found.changed.is_some();
            Ok(())
        }
    }
}

/// Has the values of a state update searched.
async fn check_state(
    gate: &Gate,
    case: &mut Case,
    agent: &AgentId,
    updates: Updates,
) -> Result<Updates, Refusal> {
    let search = Search::of(gate, case, agent);
    let bytes = updates.iter().map(|(field, value)| field.len().saturating_add(value.len())).sum();
    let limits = gate.settings.validation.payload;
    let work = move || search.updates(updates, &limits);
    let (found, updates) = gate.compute(agent, bytes, work).await??;
    note(case, &found)?;
    Ok(updates)
}

/// Searches the message type: it stands in the log as it is, so nothing sensitive may hide there.
fn check_type(gate: &Gate, case: &mut Case, message_type: &str) -> Result<(), Refusal> {
    let kinds = gate.strict_kinds(message_type);
    if kinds.is_empty() {
        return Ok(());
    }
    case.message_type = Some(HIDDEN.to_owned());
    case.violations.extend(kinds);
    Err(Refusal::DlpBlocked { unsealed: false })
}

impl Gate {
    /// Returns whether a text has what may not stand in a record.
    pub(crate) fn hides(&self, text: &str) -> bool {
        !self.strict_kinds(text).is_empty()
    }

    /// Returns the kinds of what is in a text and may not pass as it is.
    fn strict_kinds(&self, text: &str) -> Vec<String> {
        if !self.settings.dlp {
            return Vec::new();
        }
        let findings = self.dlp.scan_text(text);
        let strict = findings.iter().filter(|finding| finding.action > ::inspect::Action::Alert);
        strict.map(|finding| finding.kind.to_string()).collect()
    }
}
