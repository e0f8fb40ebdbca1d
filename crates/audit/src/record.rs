//! The audit record: what was asked, by whom, and what was decided.
//!
//! A record carries no payload and no matched text, only commitments and kinds. Its
//! place in the log is not part of it: that is the [`crate::Link`].

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::{Deserialize, Serialize};

use crate::json::{Layout, Object};

/// One audited event, ready to be written.
///
/// Fields that are unknown are `None`, or empty where a text is required.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record<'a> {
    /// When it happened: RFC 3339, UTC, microseconds.
    #[serde(borrow)]
    pub timestamp: Cow<'a, str>,
    /// What happened, as a token: `message.send`, `authentication`, `policy.changed`.
    #[serde(borrow)]
    pub event_type: Cow<'a, str>,
    /// The person behind it, if one is known.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<Cow<'a, str>>,
    /// The acting principal; empty if nobody was recognised.
    #[serde(borrow)]
    pub agent_id: Cow<'a, str>,
    /// The request that this record answers for.
    #[serde(borrow)]
    pub request_id: Cow<'a, str>,
    /// Whether something in the payload was redacted or encrypted.
    pub sensitive_data_masked: bool,
    /// How it ended.
    pub outcome: Outcome,
    /// The decision token, such as `ALLOWED`.
    #[serde(borrow)]
    pub decision: Cow<'a, str>,
    /// The stable code of the reason for a refusal.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Cow<'a, str>>,
    /// The rule that decided.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<Cow<'a, str>>,
    /// The message.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<Cow<'a, str>>,
    /// The agent that sent it.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub sender_id: Option<Cow<'a, str>>,
    /// The running copy of the sender.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub sender_instance_id: Option<Cow<'a, str>>,
    /// The agent it was meant for.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub target_id: Option<Cow<'a, str>>,
    /// The message's type, as the sender named it.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub message_type: Option<Cow<'a, str>>,
    /// What ties request and reply together.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<Cow<'a, str>>,
    /// How long the decision took, in microseconds.
    pub latency_us: u64,
    /// The commitment to the payload as delivered; see
    /// [`Salt::commitment`](crate::Salt::commitment).
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub payload_commitment: Option<Cow<'a, str>>,
    /// The kinds of what inspection found; never the text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub violations: Vec<String>,
    /// The policy revision that was in force.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub policy_revision: Option<Cow<'a, str>>,
    /// The remote address.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub peer: Option<Cow<'a, str>>,
    /// The SPIFFE id of the credential.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub spiffe_id: Option<Cow<'a, str>>,
    /// More about the event, for changes made by an operator.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub detail: BTreeMap<String, String>,
}

/// How an audited event ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// What was asked was done.
    #[default]
    Success,
    /// A rule forbade it.
    Refused,
    /// It failed.
    Error,
}

impl Outcome {
    /// Returns the word that stands for the outcome in a record.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Refused => "refused",
            Self::Error => "error",
        }
    }
}

/// Says why bytes are not a record.
#[derive(Debug, thiserror::Error)]
#[error("not an audit record: {0}")]
pub struct RecordError(#[from] serde_json::Error);

impl RecordError {
    /// Returns where in the bytes the reading stopped, counted from 1.
    #[must_use]
    pub fn column(&self) -> usize {
        self.0.column()
    }
}

impl<'a> Record<'a> {
    /// Returns the canonical bytes: compact JSON, fixed field order, one clean line.
    ///
    /// Control and direction characters are escaped. Absent fields are left out.
    /// A text over its limit is cut and ends with `…`, a list over its limit ends
    /// with the number of entries that were left out, so that the result never
    /// exceeds [`BODY_BYTES_MAX`].
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(USUAL_BYTES);
        let mut object = Object::open(&mut body, Layout::Compact);
        self.write(&mut object);
        object.close();
        body
    }

    /// Reads a record from its canonical bytes; fields it does not know are passed over.
    ///
    /// # Errors
    /// Refuses what is not a JSON object with these fields.
    pub fn decode(body: &'a [u8]) -> Result<Self, RecordError> {
        // Without this an array of values in field order would pass too.
        if !body.starts_with(b"{") {
            return Err(serde_json::Error::custom("a record begins with a bracket").into());
        }
        Ok(serde_json::from_slice(body)?)
    }

    /// Returns the record with nothing borrowed.
    #[must_use]
    pub fn into_owned(self) -> Record<'static> {
        Record {
            timestamp: own(self.timestamp),
            event_type: own(self.event_type),
            user_id: self.user_id.map(own),
            agent_id: own(self.agent_id),
            request_id: own(self.request_id),
            sensitive_data_masked: self.sensitive_data_masked,
            outcome: self.outcome,
            decision: own(self.decision),
            reason: self.reason.map(own),
            decided_by: self.decided_by.map(own),
            message_id: self.message_id.map(own),
            sender_id: self.sender_id.map(own),
            sender_instance_id: self.sender_instance_id.map(own),
            target_id: self.target_id.map(own),
            message_type: self.message_type.map(own),
            correlation_id: self.correlation_id.map(own),
            latency_us: self.latency_us,
            payload_commitment: self.payload_commitment.map(own),
            violations: self.violations,
            policy_revision: self.policy_revision.map(own),
            peer: self.peer.map(own),
            spiffe_id: self.spiffe_id.map(own),
            detail: self.detail,
        }
    }

    /// Writes the fields in their order.
    pub(crate) fn write(&self, object: &mut Object<'_>) {
        object.text("timestamp", &cut(&self.timestamp));
        object.text("event_type", &cut(&self.event_type));
        optional(object, "user_id", self.user_id.as_ref());
        object.text("agent_id", &cut(&self.agent_id));
        object.text("request_id", &cut(&self.request_id));
        object.boolean("sensitive_data_masked", self.sensitive_data_masked);
        object.text("outcome", self.outcome.as_str());
        object.text("decision", &cut(&self.decision));
        optional(object, "reason", self.reason.as_ref());
        optional(object, "decided_by", self.decided_by.as_ref());
        optional(object, "message_id", self.message_id.as_ref());
        optional(object, "sender_id", self.sender_id.as_ref());
        optional(object, "sender_instance_id", self.sender_instance_id.as_ref());
        optional(object, "target_id", self.target_id.as_ref());
        optional(object, "message_type", self.message_type.as_ref());
        optional(object, "correlation_id", self.correlation_id.as_ref());
        object.number("latency_us", self.latency_us);
        optional(object, "payload_commitment", self.payload_commitment.as_ref());
        self.write_violations(object);
        optional(object, "policy_revision", self.policy_revision.as_ref());
        optional(object, "peer", self.peer.as_ref());
        optional(object, "spiffe_id", self.spiffe_id.as_ref());
        self.write_detail(object);
    }

    fn write_violations(&self, object: &mut Object<'_>) {
        if self.violations.is_empty() {
            return;
        }
        let mut shown: Vec<Cow<'_, str>> =
            self.violations.iter().take(VIOLATIONS_MAX).map(|kind| cut(kind)).collect();
        if let Some(more) = self.violations.len().checked_sub(VIOLATIONS_MAX).filter(|n| *n > 0) {
            shown.push(Cow::Owned(format!("… {more} more")));
        }
        object.list("violations", shown.iter().map(AsRef::as_ref));
    }

    fn write_detail(&self, object: &mut Object<'_>) {
        if self.detail.is_empty() {
            return;
        }
        let mut shown: Vec<(Cow<'_, str>, Cow<'_, str>)> = self
            .detail
            .iter()
            .take(DETAIL_MAX)
            .map(|(key, value)| (cut(key), cut(value)))
            .collect();
        if let Some(more) = self.detail.len().checked_sub(DETAIL_MAX).filter(|n| *n > 0) {
            shown.push((Cow::Borrowed("…"), Cow::Owned(format!("{more} more"))));
        }
        object.map("detail", shown.iter().map(|(key, value)| (key.as_ref(), value.as_ref())));
    }
}

fn optional(object: &mut Object<'_>, key: &str, value: Option<&Cow<'_, str>>) {
    object.text_if_any(key, value.map(|value| cut(value)).as_deref());
}

fn own(text: Cow<'_, str>) -> Cow<'static, str> {
    Cow::Owned(text.into_owned())
}

fn cut(text: &str) -> Cow<'_, str> {
    if text.len() <= TEXT_BYTES_MAX {
        return Cow::Borrowed(text);
    }
    let end = text.floor_char_boundary(TEXT_BYTES_MAX - CUT.len());
    let (kept, _) = text.split_at_checked(end).unwrap_or(("", ""));
    Cow::Owned([kept, CUT].concat())
}

/// LIMIT: the bytes of an encoded record, with every field at its own limit and
/// every character escaped.
pub const BODY_BYTES_MAX: usize = 4 << 20;
/// LIMIT: the bytes of one text; a SPIFFE id, the longest that is accepted, has 2,048.
const TEXT_BYTES_MAX: usize = 2_048;
/// LIMIT: how many violations are listed.
const VIOLATIONS_MAX: usize = 100;
/// LIMIT: how many details are listed.
const DETAIL_MAX: usize = 32;
const CUT: &str = "…";
/// What a record of an ordinary message takes, so that writing it allocates once.
const USUAL_BYTES: usize = 768;

#[cfg(test)]
mod tests;
