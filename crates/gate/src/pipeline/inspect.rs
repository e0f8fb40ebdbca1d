//! Stage 6: may the content pass, and in which form?
//!
//! Payloads of messages and values of state updates are searched; what is found is masked,
//! encrypted to the recipient, or stops the call. Findings keep kinds, never text.

use std::collections::BTreeMap;
use std::fmt;

use audit::Salt;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use ::inspect::{Document, Inspection, Outcome, Seal, SealError};

use super::circuit::Routed;
use crate::case::{Case, HIDDEN};
use crate::gate::Gate;
use crate::types::{AgentId, Decision, Envelope, Message, Refusal, Request};

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

// LIMIT: kinds of findings that stand in a record.
const VIOLATIONS_MAX: usize = 64;

pub(super) fn check(gate: &Gate, case: &mut Case, routed: Routed) -> Result<Cleared, Refusal> {
    let (agent, request) = routed.into_request();
    match request {
        Request::Message(message) => {
            let envelope = check_message(gate, case, &message)?;
            let request = Request::Message(message);
            Ok(Cleared { agent, request, envelope: Some(envelope) })
        }
        Request::UpdateState(updates) => {
            let updates = check_state(gate, case, agent.as_ref(), updates)?;
            Ok(Cleared { agent, request: Request::UpdateState(updates), envelope: None })
        }
        Request::Open(_)
        | Request::Discover(_)
        | Request::ReadState
        | Request::ResetState
        | Request::MessageStatus(_)
        | Request::RegisterKey(_)
        | Request::Administer(_) => Ok(Cleared { agent, request, envelope: None }),
    }
}

fn check_message(gate: &Gate, case: &mut Case, message: &Message) -> Result<String, Refusal> {
    let changed = search(gate, case, &message.target, &message.document);
    // Both are searched, so that a record names all that was found.
    check_type(gate, case, &message.message_type)?;
    let changed = changed?;
    let payload = changed.as_deref().unwrap_or_else(|| message.document.text());
    let salt = Salt::new(gate.ids.random());
    case.commitment = Some((salt.commitment(payload), salt));
    let envelope = Envelope {
        id: case.id,
        sender: message.sender.clone(),
        sender_instance: message.instance.clone(),
        target: message.target.clone(),
        message_type: message.message_type.clone(),
        kind: message.kind.clone(),
        timestamp: case.at,
        trace: case.trace.clone(),
        hops: message.hops,
    }
    .encode(payload);
    let bytes = envelope.len().saturating_add(DELIVERY_OVERHEAD);
    let max = gate.settings.delivery.envelope_bytes_max;
    if bytes > max {
        return Err(Refusal::EnvelopeTooLarge { bytes, max });
    }
    Ok(envelope)
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

/// Searches the values of a state update as the members of one object.
///
/// MAS clients keep JSON texts in these values, so a value that is JSON is searched as such and
/// stays JSON; any other is searched as a text.
fn check_state(
    gate: &Gate,
    case: &mut Case,
    agent: Option<&AgentId>,
    updates: BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, Refusal> {
    let Some(agent) = agent.filter(|_| !updates.is_empty()) else { return Ok(updates) };
    let limits = &gate.settings.validation.payload;
    // Each exactly one value, or two fields could be written as one.
    let is_json = |value: &str| {
        serde_json::from_str::<&RawValue>(value).is_ok()
            && Document::parse(&format!("{{\"v\":{value}}}"), limits).is_ok()
    };
    let mut text = String::from("{");
    for (index, (field, value)) in updates.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(&quoted(field));
        text.push(':');
        text.push_str(&if is_json(value) { value.clone() } else { quoted(value) });
    }
    text.push('}');
    let document = Document::parse(&text, limits).map_err(Refusal::Payload)?;
    let Some(changed) = search(gate, case, agent, &document)? else { return Ok(updates) };
    let Members(members) = serde_json::from_str(&changed).map_err(|_never| broken_mask())?;
    // Names may be masked too; the order is that of the updates.
    let mut masked = BTreeMap::new();
    for ((field, member), was) in members.into_iter().zip(updates.values()) {
        let value = if is_json(was) {
            member.get().to_owned()
        } else {
            serde_json::from_str(member.get()).map_err(|_never| broken_mask())?
        };
        masked.insert(field, value);
    }
    Ok(masked)
}

/// The members of an object in their order.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn broken_mask() -> Refusal {
    Refusal::Unavailable(crate::types::Unavailable::Internal("a masked state is no map"))
}

/// Searches a document; returns its text if it had to be changed.
fn search(
    gate: &Gate,
    case: &mut Case,
    recipient: &AgentId,
    document: &Document,
) -> Result<Option<String>, Refusal> {
    if !gate.settings.dlp {
        return Ok(None);
    }
    let snapshot = &case.snapshot;
    let key = snapshot.registration(recipient).and_then(|one| one.sealing_key.as_deref());
    let sealer = key.map(|key| RecipientSealer { gate, key, recipient });
    let Inspection { outcome, findings } =
        gate.dlp.inspect(document, sealer.as_ref().map(|sealer| sealer as &dyn Seal));
    let strictest = findings.iter().map(|finding| finding.action).max();
    case.violations =
        findings.iter().take(VIOLATIONS_MAX).map(|finding| finding.kind.to_string()).collect();
    match outcome {
        Outcome::Clean => Ok(None),
        Outcome::Alerted => {
            case.decision = Decision::Alert;
            Ok(None)
        }
        Outcome::Redacted(text) => {
            case.decision = Decision::DlpRedacted;
            case.masked = true;
            Ok(Some(text))
        }
        Outcome::Encrypted(text) => {
            case.decision = Decision::DlpEncrypted;
            case.masked = true;
            Ok(Some(text))
        }
        Outcome::Blocked => {
            let unsealed = strictest == Some(::inspect::Action::Encrypt);
            Err(Refusal::DlpBlocked { unsealed })
        }
    }
}

/// Encrypts fields to one recipient.
struct RecipientSealer<'a> {
    gate: &'a Gate,
    key: &'a str,
    recipient: &'a AgentId,
}

impl Seal for RecipientSealer<'_> {
    fn seal(&self, plaintext: &str) -> Result<String, SealError> {
        self.gate.sealer.seal(self.key, self.recipient.as_str(), plaintext)
    }
}
