//! The computing part of inspection: it holds all that it needs, so that it can go on aside.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use ::inspect::{Dlp, Document, Inspection, Limits, Outcome, Seal, SealError};

use crate::case::Case;
use crate::gate::Gate;
use crate::ports::FieldSealer;
use crate::registry::Snapshot;
use crate::types::{AgentId, Decision, Refusal, Unavailable};

/// The fields of a state that are set, and to what.
pub(super) type Updates = BTreeMap<String, String>;

// LIMIT: kinds of findings that stand in a record.
const VIOLATIONS_MAX: usize = 64;

/// A search of what goes to one recipient.
pub(super) struct Search {
    /// None if nothing is searched.
    dlp: Option<Arc<Dlp>>,
    sealer: Arc<dyn FieldSealer>,
    snapshot: Arc<Snapshot>,
    recipient: AgentId,
}

/// What a search found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The kinds of the findings.
    pub(super) kinds: Vec<String>,
    /// What follows; nothing if all is as it should be.
    pub(super) decision: Option<Decision>,
    /// Whether it is blocked only because it could not be encrypted.
    pub(super) unsealed: bool,
    /// The text, if it had to be changed.
    pub(super) changed: Option<String>,
}

impl Found {
    fn of(Inspection { outcome, findings }: Inspection) -> Self {
        let kinds = findings.iter().take(VIOLATIONS_MAX).map(|one| one.kind.to_string()).collect();
        let strictest = findings.iter().map(|finding| finding.action).max();
        let (decision, changed) = match outcome {
            Outcome::Clean => (None, None),
            Outcome::Alerted => (Some(Decision::Alert), None),
            Outcome::Redacted(text) => (Some(Decision::DlpRedacted), Some(text)),
            Outcome::Encrypted(text) => (Some(Decision::DlpEncrypted), Some(text)),
            Outcome::Blocked => (Some(Decision::DlpBlocked), None),
        };
        let unsealed = strictest == Some(::inspect::Action::Encrypt);
        Self { kinds, decision, unsealed, changed }
    }

    /// Tells whether what was searched may go on.
    pub(super) fn passes(&self) -> bool {
        self.decision != Some(Decision::DlpBlocked)
    }
}

impl Search {
    pub(super) fn of(gate: &Gate, case: &Case, recipient: &AgentId) -> Self {
        Self {
            dlp: gate.settings.dlp.then(|| Arc::clone(&gate.dlp)),
            sealer: Arc::clone(&gate.sealer),
            snapshot: Arc::clone(&case.snapshot),
            recipient: recipient.clone(),
        }
    }

    /// Searches a document.
    pub(super) fn document(&self, document: &Document) -> Found {
        let Some(dlp) = &self.dlp else { return Found::default() };
        let registration = self.snapshot.registration(&self.recipient);
        let key = registration.and_then(|one| one.sealing_key.as_deref());
        let sealer = key.map(|key| RecipientSealer { search: self, key });
        Found::of(dlp.inspect(document, sealer.as_ref().map(|sealer| sealer as &dyn Seal)))
    }

    /// Searches the values of a state update as the members of one object; returns them as they
    /// may be kept.
    ///
    /// MAS clients keep JSON texts in these values, so a value that is JSON is searched as such
    /// and stays JSON; any other is searched as a text.
    ///
    /// # Errors
    ///
    /// Returns [`Refusal::Payload`] when they are too much together.
    pub(super) fn updates(
        &self,
        updates: Updates,
        limits: &Limits,
    ) -> Result<(Found, Updates), Refusal> {
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
        let found = self.document(&document);
        let Some(changed) = &found.changed else { return Ok((found, updates)) };
        let Members(members) = serde_json::from_str(changed).map_err(|_never| broken_mask())?;
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
        Ok((found, masked))
    }
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
    Refusal::Unavailable(Unavailable::Internal("a masked state is no map"))
}

/// Encrypts fields to one recipient.
struct RecipientSealer<'a> {
    search: &'a Search,
    key: &'a str,
}

impl Seal for RecipientSealer<'_> {
    fn seal(&self, plaintext: &str) -> Result<String, SealError> {
        let Search { sealer, recipient, .. } = self.search;
        sealer.seal(self.key, recipient.as_str(), plaintext)
    }
}
