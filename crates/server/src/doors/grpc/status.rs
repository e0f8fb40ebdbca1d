//! The one table from refusals to gRPC statuses.
//!
//! The status text is the stable code that MAS clients know; the decision, a sentence for a
//! person and the time to wait stand beside it in the metadata.

use gate::types::Refusal;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Status};

/// Turns a refusal into the status that its caller gets.
pub(crate) fn status(refusal: &Refusal) -> Status {
    let mut metadata = MetadataMap::new();
    let mut put = |name: &'static str, text: &str| {
        let escaped = utf8_percent_encode(text, ESCAPED).to_string();
        if let Ok(value) = MetadataValue::try_from(escaped) {
            metadata.insert(name, value);
        }
    };
    put("palisade-code", refusal.code());
    put("palisade-decision", refusal.decision().as_str());
    put("palisade-reason", &refusal.to_string());
    if let Some(wait) = refusal.retry_after() {
        // Rounded up, so that a caller who waits this long is not too early.
        put("retry-after-ms", &wait.as_millis().saturating_add(1).to_string());
    }
    Status::with_metadata(code(refusal), refusal.code(), metadata)
}

/// What may not stand in a header as it is, as for `grpc-message`.
const ESCAPED: &AsciiSet = &CONTROLS.add(b'%');

/// Returns the code alone.
pub(crate) const fn code(refusal: &Refusal) -> Code {
    match refusal {
        Refusal::Credential { .. } | Refusal::CredentialExpired | Refusal::AgentNotAllowlisted => {
            Code::Unauthenticated
        }
        Refusal::MissingHello
        | Refusal::ExpectedHello
        | Refusal::InvalidInstance
        | Refusal::Payload(_)
        | Refusal::MalformedRequest
        | Refusal::MessageTypeTooLong { .. }
        | Refusal::Field { .. }
        | Refusal::MissingCorrelation
        | Refusal::UnknownCorrelation => Code::InvalidArgument,
        Refusal::InstanceConnected
        | Refusal::SessionNotConnected
        | Refusal::CorrelationExpired
        | Refusal::KeyReused
        | Refusal::TooManyHops { .. }
        | Refusal::CircuitOpen { .. } => Code::FailedPrecondition,
        Refusal::WrongPrincipal { .. }
        | Refusal::ReplySenderMismatch
        | Refusal::NotAuthorized { .. }
        | Refusal::DlpBlocked { .. } => Code::PermissionDenied,
        Refusal::NotFound { .. } => Code::NotFound,
        Refusal::CallTimeout => Code::DeadlineExceeded,
        Refusal::MessageTooLarge
        | Refusal::EnvelopeTooLarge { .. }
        | Refusal::StateTooLarge { .. }
        | Refusal::RateLimited { .. }
        | Refusal::ConnectionCut { .. }
        | Refusal::Backpressure { .. } => Code::ResourceExhausted,
        Refusal::Unavailable(_) => Code::Unavailable,
    }
}
