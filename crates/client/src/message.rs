//! A message as it arrived, and what became of one that was sent.
//!
//! The fields are what the gate wrote into the envelope: the sender is who the gate verified, not
//! who the sender said it was.

use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use wire::palisade::bus::v1 as bus;

use crate::error::{Error, Invalid};
use crate::sealed;
use crate::shared::Shared;

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
    shared: Arc<Shared>,
}

impl Message {
    pub(crate) fn new(envelope: Envelope, shared: &Arc<Shared>) -> Self {
        let mut data = envelope.data;
        let unopened = match &shared.opening_key {
            Some(key) => sealed::open_all(&mut data, key, shared.agent()),
            None => Vec::new(),
        };
        Self {
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
            shared: Arc::clone(shared),
        }
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
        self.shared.reply(correlation, message_type, data).await
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
    pub(crate) data: Value,
    #[serde(default)]
    pub(crate) meta: Meta,
    #[serde(default)]
    pub(crate) timestamp: f64,
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
}
