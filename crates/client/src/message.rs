//! A message as it arrived, and what became of one that was sent.
//!
//! The fields are what the gate wrote into the envelope: the sender is who the gate verified, not
//! who the sender said it was.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use wire::palisade::bus::v1 as bus;

use crate::cause::Cause;
use crate::error::{Error, Invalid};
use crate::posting::Text;
use crate::shared::Shared;
use crate::trace::TraceContext;
use crate::{payload, sealed};

/// Names a message; opaque.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct MessageId(String);

impl MessageId {
    /// Takes an id as the gate gave it out.
    #[must_use]
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// Returns the id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Says as what the gate has a message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Accepted {
    /// The message's id.
    pub message_id: MessageId,
    /// Whether an earlier publish with the same key had made the message, and this one made none.
    pub duplicate: bool,
    pub(crate) correlation: String,
}

impl Accepted {
    pub(crate) fn new(message_id: String) -> Self {
        Self { message_id: MessageId(message_id), duplicate: false, correlation: String::new() }
    }
}

impl From<bus::Accepted> for Accepted {
    fn from(accepted: bus::Accepted) -> Self {
        let bus::Accepted { message_id, correlation_id: correlation, duplicate } = accepted;
        Self { message_id: MessageId(message_id), duplicate, correlation }
    }
}

/// Holds a message for this agent.
#[derive(Clone)]
pub struct Message {
    /// The message's id; the same again when it is delivered again.
    pub message_id: MessageId,
    /// The agent that sent it.
    pub sender_id: String,
    /// The instance of that agent.
    pub sender_instance_id: Option<String>,
    /// The agent that it is for.
    pub target_id: String,
    /// Free text by which a receiver tells messages apart.
    pub message_type: String,
    /// The payload, sealed fields opened if there is an opening key.
    pub data: Value,
    /// Where sealed fields are that did not open, as JSON pointers into `data`.
    pub unopened: Vec<String>,
    /// What a request and its reply have in common.
    pub correlation_id: Option<String>,
    /// Whether the sender waits for a reply.
    pub expects_reply: bool,
    /// Whether this is a reply.
    pub is_reply: bool,
    /// When the gate took it, in seconds since 1970.
    pub timestamp: f64,
    /// How many messages led to this one, as far as their senders said so.
    pub hops: u32,
    pub(crate) trace: Option<Arc<TraceContext>>,
    shared: Arc<Shared>,
}

impl Message {
    /// Reads the payload of what arrived, and opens what is sealed in it.
    pub(crate) fn new(envelope: Envelope, shared: &Arc<Shared>) -> Result<Self, Invalid> {
        let trace = envelope.meta.trace().map(Arc::new);
        let mut data = envelope.data.read().map_err(|error| Invalid::Misfit(Arc::new(error)))?;
        let unopened = match &shared.opening_key {
            Some(key) => sealed::open_all(&mut data, key, shared.agent()),
            None => Vec::new(),
        };
        Ok(Self {
            message_id: MessageId(envelope.message_id),
            sender_id: envelope.sender_id,
            sender_instance_id: envelope.meta.sender_instance_id,
            target_id: envelope.target_id,
            message_type: envelope.message_type,
            data,
            unopened,
            correlation_id: envelope.meta.correlation_id,
            expects_reply: envelope.meta.expects_reply,
            is_reply: envelope.meta.is_reply,
            timestamp: envelope.timestamp,
            hops: envelope.meta.hops,
            trace,
            shared: Arc::clone(shared),
        })
    }

    /// Returns the trace that the message is part of, if its sender gave one.
    #[must_use]
    pub fn trace(&self) -> Option<&TraceContext> {
        self.trace.as_deref()
    }

    /// Returns the payload as a type of the program.
    ///
    /// # Errors
    /// Returns [`Invalid::Misfit`] if it does not fit.
    pub fn typed<T: DeserializeOwned>(&self) -> Result<T, Error> {
        T::deserialize(&self.data).map_err(|error| Invalid::Misfit(Arc::new(error)).into())
    }

    /// Answers a request; only the first reply to it counts.
    ///
    /// # Errors
    /// Returns an error if the message expects no reply, or the gate refuses the reply.
    pub async fn reply(
        &self,
        message_type: &str,
        data: &impl Serialize,
    ) -> Result<MessageId, Error> {
        let correlation = match &self.correlation_id {
            Some(correlation) if self.expects_reply => correlation,
            Some(_) | None => return Err(Invalid::NotARequest.into()),
        };
        let json = payload::to_json(data, self.shared.message_bytes_max)?;
        // The gate counts the hops of a reply itself.
        let cause = Cause { hops: 0, trace: self.trace.clone() };
        self.shared.reply(correlation, Text { message_type, json, cause }).await
    }
}

/// Prints who and what, but never the payload.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("message_id", &self.message_id)
            .field("sender_id", &self.sender_id)
            .field("target_id", &self.target_id)
            .field("message_type", &self.message_type)
            .field("data", &"[redacted]")
            .finish_non_exhaustive()
    }
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageState {
    /// Not this agent's message, never seen, or too long ago.
    Unknown,
    /// Waits for the target.
    Queued,
    /// Handed to the target and not answered yet.
    Delivered,
    /// The target took it.
    Acknowledged,
    /// Nobody took it in time.
    Expired,
    /// It will not be delivered; an operator can look at it and replay it.
    DeadLettered,
}

impl MessageState {
    /// Returns the state as scripts see it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Queued => "queued",
            Self::Delivered => "delivered",
            Self::Acknowledged => "acknowledged",
            Self::Expired => "expired",
            Self::DeadLettered => "dead_lettered",
        }
    }

    /// Tells whether nothing further will happen to the message by itself.
    #[must_use]
    pub const fn is_final(self) -> bool {
        match self {
            Self::Unknown | Self::Queued | Self::Delivered => false,
            Self::Acknowledged | Self::Expired | Self::DeadLettered => true,
        }
    }
}

/// Holds what became of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MessageStatus {
    /// Where it is.
    pub state: MessageState,
    /// How often it was handed to a session so far.
    pub attempts: u32,
    /// Why it became a dead letter; empty otherwise.
    pub reason: String,
}

impl From<bus::MessageStatusResponse> for MessageStatus {
    fn from(response: bus::MessageStatusResponse) -> Self {
        let state = match response.state() {
            bus::MessageState::Unspecified => MessageState::Unknown,
            bus::MessageState::Queued => MessageState::Queued,
            bus::MessageState::Delivered => MessageState::Delivered,
            bus::MessageState::Acknowledged => MessageState::Acknowledged,
            bus::MessageState::Expired => MessageState::Expired,
            bus::MessageState::DeadLettered => MessageState::DeadLettered,
        };
        Self { state, attempts: response.attempts, reason: response.reason }
    }
}

/// The envelope as the gate writes it; fields that are not needed here are skipped.
#[derive(Deserialize)]
pub(crate) struct Envelope {
    pub(crate) message_id: String,
    pub(crate) sender_id: String,
    pub(crate) target_id: String,
    pub(crate) message_type: String,
    pub(crate) data: Payload,
    #[serde(default)]
    pub(crate) meta: Meta,
    #[serde(default)]
    pub(crate) timestamp: f64,
}

/// The payload of an envelope.
pub(crate) enum Payload {
    Read(Value),
    /// JSON text, which is read when the program takes the message.
    Text(prost::bytes::Bytes),
}

impl Payload {
    fn read(self) -> Result<Value, serde_json::Error> {
        match self {
            Self::Read(value) => Ok(value),
            Self::Text(text) => serde_json::from_slice(&text),
        }
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(Self::Read)
    }
}

impl Envelope {
    /// Takes a delivery of the native session.
    pub(crate) fn of(delivery: bus::Delivery, agent: &str) -> Self {
        let given = |text: String| (!text.is_empty()).then_some(text);
        let kind = delivery.kind();
        let meta = Meta {
            correlation_id: given(delivery.correlation_id),
            expects_reply: kind == bus::MessageKind::Request,
            is_reply: kind == bus::MessageKind::Reply,
            sender_instance_id: given(delivery.sender_instance_id),
            hops: delivery.hops,
            traceparent: given(delivery.traceparent),
            tracestate: given(delivery.tracestate),
        };
        Self {
            message_id: delivery.message_id,
            sender_id: delivery.sender_id,
            target_id: agent.to_owned(),
            message_type: delivery.message_type,
            data: Payload::Text(delivery.payload),
            meta,
            timestamp: Duration::from_micros(delivery.accepted_at_us).as_secs_f64(),
        }
    }
}

/// Prints no payload.
impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope").field("message_id", &self.message_id).finish_non_exhaustive()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Meta {
    pub(crate) correlation_id: Option<String>,
    pub(crate) expects_reply: bool,
    pub(crate) is_reply: bool,
    pub(crate) sender_instance_id: Option<String>,
    pub(crate) hops: u32,
    traceparent: Option<String>,
    tracestate: Option<String>,
}

impl Meta {
    fn trace(&self) -> Option<TraceContext> {
        TraceContext::arrived(self.traceparent.as_deref(), self.tracestate.as_deref())
    }
}
