//! A message as the program gives it out.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::error::Error;
use crate::payload;
use crate::trace::TraceContext;

/// Holds a message that is to be sent by [`Client::publish`](crate::Client::publish).
#[derive(Clone)]
pub struct Outgoing {
    pub(crate) target: String,
    pub(crate) message_type: String,
    pub(crate) json: String,
    pub(crate) key: Option<String>,
    pub(crate) trace: Option<TraceContext>,
    pub(crate) receipts: bool,
    pub(crate) expires_after: Option<Duration>,
}

impl Outgoing {
    /// Takes target, type and payload.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`] if the payload is no JSON object.
    pub fn new(
        target: impl Into<String>,
        message_type: impl Into<String>,
        data: &impl Serialize,
    ) -> Result<Self, Error> {
        Ok(Self::json(target, message_type, payload::to_json(data, usize::MAX)?))
    }

    /// Takes target, type and a payload that is JSON text already.
    #[must_use]
    pub fn json(
        target: impl Into<String>,
        message_type: impl Into<String>,
        json: impl Into<String>,
    ) -> Self {
        Self {
            target: target.into(),
            message_type: message_type.into(),
            json: json.into(),
            key: None,
            trace: None,
            receipts: false,
            expires_after: None,
        }
    }

    /// Sets the idempotency key, at most 64 bytes: all publishes of this agent with one key make
    /// one message, also those of another run of the program.
    ///
    /// Without it each publish has its own, by which the client itself repeats it safely.
    #[must_use]
    pub fn key(self, key: impl Into<String>) -> Self {
        Self { key: Some(key.into()), ..self }
    }

    /// Makes the message part of a trace.
    #[must_use]
    pub fn trace(self, trace: TraceContext) -> Self {
        Self { trace: Some(trace), ..self }
    }

    /// Asks the gate to tell what becomes of the message, for
    /// [`Sent::acknowledged`](crate::Sent::acknowledged); without it that asks from time to time.
    #[must_use]
    pub fn receipts(self) -> Self {
        Self { receipts: true, ..self }
    }

    /// Sets for how long the message is kept for its target; never longer than the gate keeps any.
    ///
    /// A server without the native session keeps it as long as any.
    #[must_use]
    pub fn expires_after(self, time: Duration) -> Self {
        Self { expires_after: Some(time), ..self }
    }
}

/// Prints no payload.
impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing")
            .field("target", &self.target)
            .field("message_type", &self.message_type)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}
