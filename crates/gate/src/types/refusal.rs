//! Why the gate says no.
//!
//! A refusal is data, not an error: the caller can act on it, a door turns it into a status,
//! the commit stage into a record. Texts name no payload and no secret.

use std::fmt;
use std::time::Duration;

use super::Decision;

/// What could not answer, so that the gate had to refuse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unavailable {
    /// The store could not be reached or refused the write.
    Store(String),
    /// The disk is full.
    DiskFull,
    /// The gate is draining.
    Draining,
    /// A promise of ours did not hold; counted and logged.
    Internal(&'static str),
}

/// Why a call was refused; the first stage that refuses decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The credential did not hold.
    Credential {
        /// Stable code, such as `missing_spiffe_san`.
        code: &'static str,
        /// A sentence for a person.
        reason: String,
    },
    /// The credential has ended since the connection was made.
    CredentialExpired,
    /// The agent is not registered with this gate.
    AgentNotAllowlisted,
    /// This principal may not use this door, such as an agent that administers.
    WrongPrincipal {
        /// What kind of principal the action is for.
        needs: &'static str,
    },
    /// The stream ended before its hello.
    MissingHello,
    /// The first event was no hello.
    ExpectedHello,
    /// The instance id is malformed.
    InvalidInstance,
    /// The instance has a live session already.
    InstanceConnected,
    /// The instance that the message names has no live session.
    SessionNotConnected,
    /// The payload is not acceptable.
    Payload(inspect::Invalid),
    /// The request is no message of the contract.
    MalformedRequest,
    /// The request is larger than what the wire reads.
    MessageTooLarge,
    /// The message type is too long.
    MessageTypeTooLong {
        /// Its length in bytes.
        bytes: usize,
        /// The longest that is accepted.
        max: usize,
    },
    /// The envelope would be larger than what receivers take.
    EnvelopeTooLarge {
        /// Its size in bytes.
        bytes: usize,
        /// The largest that is accepted.
        max: usize,
    },
    /// More messages led to this one than may.
    TooManyHops {
        /// How many.
        hops: u32,
        /// The most that are accepted.
        max: u32,
    },
    /// A field of the request is malformed.
    Field {
        /// Which.
        field: &'static str,
        /// A sentence for a person.
        reason: String,
    },
    /// A reply without a correlation.
    MissingCorrelation,
    /// No open request has this correlation.
    UnknownCorrelation,
    /// The request's time is over.
    CorrelationExpired,
    /// Another agent was asked.
    ReplySenderMismatch,
    /// The sender has used the idempotency key for another content.
    KeyReused,
    /// The state would be larger than its limit.
    StateTooLarge {
        /// Its size in bytes.
        bytes: usize,
        /// The largest that is accepted.
        max: usize,
    },
    /// No dead letter, role or agent of this name.
    NotFound {
        /// What was looked for.
        what: &'static str,
    },
    /// The access rules say no; also the answer for a target that does not exist.
    NotAuthorized {
        /// Stable code: `denied`, `blocked`, `target_unknown` or `target_offline`.
        code: &'static str,
        /// Which rule decided.
        by: String,
    },
    /// A rate limit is used up.
    RateLimited {
        /// `minute` or `hour`.
        window: &'static str,
        /// When the next message may pass.
        retry_after: Duration,
    },
    /// The target keeps failing.
    CircuitOpen {
        /// When a probe may pass.
        retry_after: Duration,
    },
    /// Inspection found what must not pass.
    DlpBlocked {
        /// Whether it was blocked because a field could not be encrypted.
        unsealed: bool,
    },
    /// The target's queue or the store is full.
    Backpressure {
        /// What is full.
        what: &'static str,
        /// When to try again.
        retry_after: Duration,
    },
    /// The call took longer to arrive or to be decided than a door waits.
    CallTimeout,
    /// A connection did too much of what costs others, and was closed.
    ConnectionCut {
        /// Stable code, such as `too_many_cancels`.
        code: &'static str,
        /// A sentence for a person.
        reason: &'static str,
    },
    /// A stage could not answer; the gate fails closed.
    Unavailable(Unavailable),
}

impl Refusal {
    /// Returns the decision that the audit record names.
    #[must_use]
    pub const fn decision(&self) -> Decision {
        match self {
            Self::Credential { .. }
            | Self::CredentialExpired
            | Self::AgentNotAllowlisted
            | Self::WrongPrincipal { .. } => Decision::AuthnFailed,
            Self::MissingHello
            | Self::ExpectedHello
            | Self::InvalidInstance
            | Self::InstanceConnected
            | Self::SessionNotConnected
            | Self::Payload(_)
            | Self::MalformedRequest
            | Self::MessageTooLarge
            | Self::MessageTypeTooLong { .. }
            | Self::EnvelopeTooLarge { .. }
            | Self::TooManyHops { .. }
            | Self::Field { .. }
            | Self::MissingCorrelation
            | Self::UnknownCorrelation
            | Self::CorrelationExpired
            | Self::KeyReused
            | Self::StateTooLarge { .. }
            | Self::NotFound { .. }
            | Self::CallTimeout => Decision::Invalid,
            Self::ReplySenderMismatch | Self::NotAuthorized { .. } => Decision::AuthzDenied,
            Self::RateLimited { .. } | Self::ConnectionCut { .. } => Decision::RateLimited,
            Self::CircuitOpen { .. } => Decision::CircuitOpen,
            Self::DlpBlocked { .. } => Decision::DlpBlocked,
            Self::Backpressure { .. } | Self::Unavailable(_) => Decision::Backpressure,
        }
    }

    /// Returns the stable code; MAS clients know most of them as the status text.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Credential { code, .. } | Self::ConnectionCut { code, .. } => code,
            Self::CallTimeout => "call_timeout",
            Self::CredentialExpired => "credential_expired",
            Self::AgentNotAllowlisted => "agent_not_allowlisted",
            Self::WrongPrincipal { .. } => "wrong_principal",
            Self::MissingHello => "missing_hello",
            Self::ExpectedHello => "expected_hello",
            Self::InvalidInstance => "invalid_instance_id",
            Self::InstanceConnected => "instance_already_connected",
            Self::SessionNotConnected => "session_not_connected",
            Self::Payload(invalid) => invalid.code(),
            Self::MalformedRequest => "malformed_request",
            Self::MessageTooLarge => "message_too_large",
            Self::MessageTypeTooLong { .. } => "message_type_too_long",
            Self::EnvelopeTooLarge { .. } => "envelope_too_large",
            Self::TooManyHops { .. } => "too_many_hops",
            Self::Field { .. } => "invalid_field",
            Self::MissingCorrelation => "missing_correlation_id",
            Self::UnknownCorrelation => "unknown_correlation_id",
            Self::CorrelationExpired => "correlation_id_expired",
            Self::ReplySenderMismatch => "reply_sender_mismatch",
            Self::KeyReused => "idempotency_key_reused",
            Self::StateTooLarge { .. } => "state_too_large",
            Self::NotFound { .. } => "not_found",
            Self::NotAuthorized { .. } => "not_authorized",
            Self::RateLimited { .. } => "rate_limited",
            Self::CircuitOpen { .. } => "circuit_open",
            Self::DlpBlocked { .. } => "dlp_blocked",
            Self::Backpressure { .. } => "backpressure",
            Self::Unavailable(Unavailable::Store(_)) => "store_unavailable",
            Self::Unavailable(Unavailable::DiskFull) => "disk_full",
            Self::Unavailable(Unavailable::Draining) => "draining",
            Self::Unavailable(Unavailable::Internal(_)) => "internal",
        }
    }

    /// Returns when to try again, for the refusals where that helps.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. }
            | Self::CircuitOpen { retry_after }
            | Self::Backpressure { retry_after, .. } => Some(*retry_after),
            Self::Unavailable(_) => Some(Duration::from_secs(1)),
            Self::Credential { .. }
            | Self::CredentialExpired
            | Self::AgentNotAllowlisted
            | Self::WrongPrincipal { .. }
            | Self::MissingHello
            | Self::ExpectedHello
            | Self::InvalidInstance
            | Self::InstanceConnected
            | Self::SessionNotConnected
            | Self::Payload(_)
            | Self::MalformedRequest
            | Self::MessageTooLarge
            | Self::MessageTypeTooLong { .. }
            | Self::EnvelopeTooLarge { .. }
            | Self::TooManyHops { .. }
            | Self::Field { .. }
            | Self::MissingCorrelation
            | Self::UnknownCorrelation
            | Self::CorrelationExpired
            | Self::ReplySenderMismatch
            | Self::KeyReused
            | Self::StateTooLarge { .. }
            | Self::NotFound { .. }
            | Self::NotAuthorized { .. }
            | Self::DlpBlocked { .. }
            | Self::CallTimeout
            | Self::ConnectionCut { .. } => None,
        }
    }

    /// Returns the sentence of a refusal that carries no values.
    const fn fixed_sentence(&self) -> &'static str {
        match self {
            Self::CredentialExpired => {
                "the certificate of this connection has expired; reconnect with a new one"
            }
            Self::AgentNotAllowlisted => {
                "the agent is not registered with this gate; add it under `agents` in the \
                 configuration"
            }
            Self::MissingHello => "the stream ended before its hello",
            Self::ExpectedHello => "the first event of a session must be its hello",
            Self::InvalidInstance => {
                "the instance id must have 1 to 32 of letters, digits, `_` and `-`"
            }
            Self::InstanceConnected => {
                "an instance of this id is connected already; choose another instance id"
            }
            Self::SessionNotConnected => {
                "the named instance of the sender has no live session; open one first"
            }
            Self::MissingCorrelation => "a reply must name the request's correlation",
            Self::UnknownCorrelation => {
                "no open request has this correlation; it was answered, or its time is over"
            }
            Self::CorrelationExpired => "the time for this reply is over",
            Self::ReplySenderMismatch => "another agent was asked",
            Self::KeyReused => {
                "this idempotency key was used for another content; a new message needs a new key"
            }
            Self::MalformedRequest => "the request is no message of this method; see proto/",
            Self::MessageTooLarge => "the request is larger than this door reads",
            Self::CallTimeout => {
                "the call did not arrive, or was not decided, in the time that it has; if it was \
                 decided later, its record says how"
            }
            Self::Credential { .. }
            | Self::WrongPrincipal { .. }
            | Self::Payload(_)
            | Self::MessageTypeTooLong { .. }
            | Self::EnvelopeTooLarge { .. }
            | Self::TooManyHops { .. }
            | Self::Field { .. }
            | Self::StateTooLarge { .. }
            | Self::NotFound { .. }
            | Self::NotAuthorized { .. }
            | Self::RateLimited { .. }
            | Self::CircuitOpen { .. }
            | Self::DlpBlocked { .. }
            | Self::Backpressure { .. }
            | Self::ConnectionCut { .. }
            | Self::Unavailable(_) => "",
        }
    }
}

/// Writes the sentence for a person: what was wrong and what to do.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Credential { reason, .. } => f.write_str(reason),
            Self::ConnectionCut { reason, .. } => f.write_str(reason),
            Self::CallTimeout
            | Self::CredentialExpired
            | Self::AgentNotAllowlisted
            | Self::MissingHello
            | Self::ExpectedHello
            | Self::InvalidInstance
            | Self::InstanceConnected
            | Self::SessionNotConnected
            | Self::MissingCorrelation
            | Self::UnknownCorrelation
            | Self::CorrelationExpired
            | Self::MalformedRequest
            | Self::MessageTooLarge
            | Self::KeyReused
            | Self::ReplySenderMismatch => f.write_str(self.fixed_sentence()),
            Self::WrongPrincipal { needs } => {
                write!(f, "this call needs the certificate of {needs}")
            }
            Self::Payload(invalid) => write!(f, "{invalid}"),
            Self::MessageTypeTooLong { bytes, max } => {
                write!(f, "the message type has {bytes} bytes, at most {max} are accepted")
            }
            Self::EnvelopeTooLarge { bytes, max } => {
                write!(f, "the envelope would have {bytes} bytes, receivers take at most {max}")
            }
            Self::TooManyHops { hops, max } => write!(
                f,
                "{hops} messages led to this one, at most {max} may; agents seem to answer each \
                 other without an end"
            ),
            Self::Field { field, reason } => write!(f, "`{field}` {reason}"),
            Self::StateTooLarge { bytes, max } => {
                write!(f, "the state would have {bytes} bytes, at most {max} are accepted")
            }
            Self::NotFound { what } => write!(f, "no such {what}"),
            Self::NotAuthorized { by, .. } => f.write_str(by),
            Self::RateLimited { window, retry_after } => write!(
                f,
                "the limit per {window} is used up; try again in {} ms",
                retry_after.as_millis()
            ),
            Self::CircuitOpen { retry_after } => write!(
                f,
                "the target keeps refusing messages; try again in {} ms",
                retry_after.as_millis()
            ),
            Self::DlpBlocked { unsealed: false } => {
                f.write_str("the payload has sensitive content that may not pass")
            }
            Self::DlpBlocked { unsealed: true } => {
                f.write_str("a field must be encrypted but the recipient has no registered key")
            }
            Self::Backpressure { what, retry_after } => {
                write!(f, "{what} is full; try again in {} ms", retry_after.as_millis())
            }
            Self::Unavailable(cause) => cause.fmt(f),
        }
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(_) => f.write_str("the store cannot answer; try again"),
            Self::DiskFull => f.write_str("the disk of the gate is full; try again later"),
            Self::Draining => f.write_str("the gate is shutting down; connect again"),
            Self::Internal(_) => f.write_str("the gate failed to answer; try again"),
        }
    }
}
