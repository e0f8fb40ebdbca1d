//! What can go wrong for a program that uses this library.
//!
//! A refusal of the gate keeps its stable code and its reason. Nothing here holds a payload or a
//! key.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use thiserror::Error;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};
use wire::palisade::bus::v1 as bus;
use workload::WorkloadError;

/// Says why a call did not do what was asked.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The gate said no.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The time for the call was over. A message may still have been taken; sent again with the
    /// same key ([`Outgoing::key`](crate::Outgoing::key)) it is not taken twice.
    #[error("no answer in time")]
    Timeout,
    /// The client was closed.
    #[error("the client is closed")]
    Closed,
    /// The connection ended before the answer came, and the call cannot be repeated safely: the
    /// message was taken or not. By the native session the client repeats by itself.
    #[error("the connection ended before the answer: the message may or may not have been taken")]
    Interrupted,
    /// No connection came about.
    #[error("no connection to `{addr}`: {source}: check the address and that the gate runs")]
    Connect {
        /// Where to.
        addr: String,
        /// What the system says.
        source: Arc<io::Error>,
    },
    /// The own TLS files are not usable.
    #[error(transparent)]
    Tls(#[from] Arc<identity::TlsError>),
    /// The Workload API gives nothing that can be used.
    #[error(transparent)]
    Workload(#[from] Arc<WorkloadError>),
    /// The identity that the Workload API gives cannot be used.
    #[error("the identity that the Workload API gives cannot be used: {0}")]
    Svid(#[from] identity::SvidError),
    /// One side did not accept the other's certificate.
    #[error(
        "the TLS handshake with `{addr}` failed: {source}: check that both certificates come from \
         the authority that the other side trusts, and are in date"
    )]
    Handshake {
        /// With whom.
        addr: String,
        /// What TLS says; a `received fatal alert` is the other side's refusal.
        source: rustls::Error,
    },
    /// What was to be sent, or an option, is not acceptable.
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

impl Error {
    /// Returns a stable code: the gate's own for a refusal.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Refused(refused) if refused.code.is_empty() => "refused",
            Self::Refused(refused) => &refused.code,
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::Interrupted => "interrupted",
            Self::Connect { .. } => "no_connection",
            Self::Tls(tls) => tls.code(),
            Self::Workload(cause) => cause.code(),
            Self::Svid(_) => "workload_api_useless",
            Self::Handshake { .. } => "tls_handshake",
            Self::Invalid(_) => "invalid_argument",
        }
    }
}

impl Error {
    /// Returns the status of the call, or the one that it would have had.
    pub(crate) const fn status(&self) -> Code {
        match self {
            Self::Refused(refused) => refused.status,
            Self::Timeout => Code::DeadlineExceeded,
            Self::Closed => Code::Cancelled,
            Self::Interrupted
            | Self::Connect { .. }
            | Self::Tls(_)
            | Self::Workload(_)
            | Self::Svid(_)
            | Self::Handshake { .. } => Code::Unavailable,
            Self::Invalid(_) => Code::InvalidArgument,
        }
    }
}

/// Says what is wrong with what the program itself gave.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum Invalid {
    /// The address is not one.
    #[error("`{addr}` is not an address: write `host:port`, such as `localhost:50051`")]
    Addr {
        /// What was given, escaped for printing.
        addr: String,
    },
    /// The name of the server cannot stand in a certificate.
    #[error("`{name}` is not a server's name: give a DNS name or an IP address")]
    ServerName {
        /// What was given, escaped for printing.
        name: String,
    },
    /// A bound is zero.
    #[error("`{option}` must not be zero")]
    Zero {
        /// Which option.
        option: &'static str,
    },
    /// The payload cannot be written as JSON.
    #[error("the payload cannot be written as JSON: {0}")]
    Payload(Arc<serde_json::Error>),
    /// The payload is JSON of another kind.
    #[error("the payload must be a JSON object")]
    NotAnObject,
    /// The payload exceeds the limit.
    #[error("the payload has {bytes} bytes, at most {max} are accepted")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// A trace context is not one.
    #[error("the trace context is not of the form of W3C Trace Context, version 00")]
    Trace,
    /// The message that is to be answered did not ask.
    #[error("the message expects no reply")]
    NotARequest,
    /// The certificate files now belong to another agent than the one that connected first.
    #[error("the certificate now is that of another agent: make a new client for it")]
    AgentChanged,
    /// What arrived does not fit the type that the program wants.
    #[error("the payload does not fit: {0}")]
    Misfit(Arc<serde_json::Error>),
}

/// Holds a refusal of the gate.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}", self.sentence())]
pub struct Refused {
    /// The status of the call.
    pub status: Code,
    /// The stable code, such as `not_authorized`.
    pub code: String,
    /// The decision as the audit log names it, such as `AUTHZ_DENIED`; empty if the server does
    /// not say.
    pub decision: String,
    /// A sentence for a person.
    pub reason: Option<String>,
    /// When to try again, where that helps.
    pub retry_after: Option<Duration>,
}

impl Refused {
    pub(crate) fn from_status(status: &Status) -> Self {
        let metadata = status.metadata();
        let code = text(metadata, "palisade-code").unwrap_or_else(|| clean(status.message()));
        Self {
            status: status.code(),
            code,
            decision: text(metadata, "palisade-decision").unwrap_or_default(),
            reason: text(metadata, "palisade-reason"),
            retry_after: text(metadata, "retry-after-ms")
                .and_then(|milliseconds| milliseconds.parse().ok())
                .map(Duration::from_millis),
        }
    }

    /// Takes the refusal of one publish, which comes without a status.
    pub(crate) fn from_outcome(refused: bus::Refused) -> Self {
        let bus::Refused { code, decision, reason, retry_after_ms } = refused;
        let status = status_of(&code, &decision);
        Self::told((status, &code), &decision, &reason, retry_after_ms)
    }

    /// Takes why the gate ends a session.
    pub(crate) fn from_goodbye(goodbye: bus::Goodbye) -> Self {
        let bus::Goodbye { code, reason, retry_after_ms } = goodbye;
        Self::told((Code::Unavailable, &code), "", &reason, retry_after_ms)
    }

    fn told(
        (status, code): (Code, &str),
        decision: &str,
        reason: &str,
        retry_after_ms: u64,
    ) -> Self {
        Self {
            status,
            code: clean(code),
            decision: clean(decision),
            reason: (!reason.is_empty()).then(|| clean(reason)),
            retry_after: (retry_after_ms > 0).then(|| Duration::from_millis(retry_after_ms)),
        }
    }

    /// Tells whether it is this session or its gate that is ending, so that the next one may do.
    pub(crate) fn is_about_session(&self) -> bool {
        let is_ending = matches!(self.code.as_str(), "session_not_connected" | "draining");
        is_ending || self.is_about_certificate()
    }

    /// Tells whether it is the connection's certificate that does not count any more.
    pub(crate) fn is_about_certificate(&self) -> bool {
        matches!(
            self.code.as_str(),
            "credential_expired" | "certificate_revoked" | "certificate_untrusted"
        )
    }

    fn sentence(&self) -> String {
        let mut sentence = if self.code.is_empty() {
            format!("refused: {}", self.status.description())
        } else {
            format!("refused: {}", self.code)
        };
        if !self.decision.is_empty() {
            sentence = format!("{sentence} ({})", self.decision);
        }
        if let Some(reason) = &self.reason {
            sentence = format!("{sentence}: {reason}");
        }
        sentence
    }
}

/// Says what the gate should do with a message that a handler could not take.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{reason}")]
pub struct HandlerError {
    /// Whether the message should be delivered again later.
    pub retryable: bool,
    /// Why; the gate keeps it with the dead letter, so it must not hold a secret.
    pub reason: String,
}

impl HandlerError {
    /// Returns an error after which the message is delivered again, up to the gate's limit.
    #[must_use]
    pub fn retryable(reason: impl Into<String>) -> Self {
        Self { retryable: true, reason: reason.into() }
    }

    pub(crate) fn unreadable() -> Self {
        Self::fatal("the envelope is not readable")
    }

    /// Returns an error after which the message becomes a dead letter at once.
    #[must_use]
    pub fn fatal(reason: impl Into<String>) -> Self {
        Self { retryable: false, reason: reason.into() }
    }
}

/// Returns the status that a unary call would have with a refusal.
fn status_of(code: &str, decision: &str) -> Code {
    match (decision, code) {
        (_, "wrong_principal") => Code::PermissionDenied,
        (_, "backpressure" | "envelope_too_large" | "message_too_large") => Code::ResourceExhausted,
        (
            _,
            "too_many_hops"
            | "session_not_connected"
            | "idempotency_key_reused"
            | "correlation_id_expired",
        ) => Code::FailedPrecondition,
        (_, "call_timeout") => Code::DeadlineExceeded,
        ("AUTHN_FAILED", _) => Code::Unauthenticated,
        ("AUTHZ_DENIED" | "DLP_BLOCKED", _) => Code::PermissionDenied,
        ("INVALID", _) => Code::InvalidArgument,
        ("RATE_LIMITED", _) => Code::ResourceExhausted,
        ("CIRCUIT_OPEN", _) => Code::FailedPrecondition,
        ("BACKPRESSURE", _) => Code::Unavailable,
        _ => Code::Unknown,
    }
}

/// Tells whether a status was made on this side because the connection broke.
pub(crate) fn is_transport(status: &Status) -> bool {
    // The library attaches a source to what it made of an error; what came over the wire has none.
    std::error::Error::source(status).is_some()
}

fn text(metadata: &MetadataMap, key: &'static str) -> Option<String> {
    let value = metadata.get(key)?.to_str().ok()?;
    Some(clean(&percent_decode_str(value).decode_utf8_lossy()))
}

/// Keeps what another program wrote from steering a terminal, and within bounds.
fn clean(text: &str) -> String {
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().take(TEXT_CHARS_MAX).map(printable).collect()
}

/// LIMIT: longer than any sentence of the gate.
const TEXT_CHARS_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_of_the_gate_is_read_from_its_metadata() {
        let mut metadata = MetadataMap::new();
        metadata.insert("palisade-code", "rate_limited".parse().unwrap());
        metadata.insert("palisade-decision", "RATE_LIMITED".parse().unwrap());
        metadata.insert("palisade-reason", "50%25 h%C3%B6her%0a".parse().unwrap());
        metadata.insert("retry-after-ms", "1500".parse().unwrap());
        let status = Status::with_metadata(Code::ResourceExhausted, "other", metadata);
        assert!(!is_transport(&status));
        let refused = Refused::from_status(&status);
        assert_eq!(refused.code, "rate_limited");
        assert_eq!(refused.reason.as_deref(), Some("50% höher "));
        assert_eq!(refused.retry_after, Some(Duration::from_millis(1500)));
        assert_eq!(refused.to_string(), "refused: rate_limited (RATE_LIMITED): 50% höher ");
    }

    #[test]
    fn a_refusal_without_metadata_has_the_text_as_its_code() {
        let refused = Refused::from_status(&Status::permission_denied("not_authorized"));
        assert_eq!((refused.code.as_str(), refused.decision.as_str()), ("not_authorized", ""));
        assert_eq!(refused.to_string(), "refused: not_authorized");
        assert_eq!((refused.reason, refused.retry_after), (None, None));
    }

    #[test]
    fn what_broke_on_this_side_is_no_refusal() {
        let broken = Status::from_error(Box::new(io::Error::other("gone")));
        assert!(is_transport(&broken));
    }
}
