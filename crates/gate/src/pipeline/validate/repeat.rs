//! Has an idempotency key made a message already?

use crate::case::Case;
use crate::gate::Gate;
use crate::pipeline::commit::unavailable;
use crate::ports::{Found, Read, Sent};
use crate::types::{AgentId, Refusal};

// LIMIT: bytes of an idempotency key.
const KEY_BYTES_MAX: usize = 64;

/// Notes the hashes of the case's key and of what is sent with it.
///
/// # Errors
///
/// Refuses a key that is too long.
pub(super) fn note(case: &mut Case, content: &[&[u8]]) -> Result<(), Refusal> {
    if case.key.len() > KEY_BYTES_MAX {
        let reason = format!("has more than {KEY_BYTES_MAX} bytes");
        return Err(Refusal::Field { field: "idempotency_key", reason });
    }
    case.hashes = Some((audit::short_hash(&[case.key.as_bytes()]), audit::short_hash(content)));
    Ok(())
}

/// Finds what the case's key has made; the case is that of a repeat then.
///
/// # Errors
///
/// Refuses a key that was used with another content.
pub(in crate::pipeline) async fn find(
    gate: &Gate,
    case: &mut Case,
    sender: &AgentId,
) -> Result<Option<Sent>, Refusal> {
    let Some((key, content)) = case.hashes else { return Ok(None) };
    let wanted = Read::Sent { sender: sender.clone(), key, now: case.at };
    match gate.store.read(wanted).await {
        Ok(Some(Found::Sent(sent))) if sent.content == content => {
            case.event_type = "message.duplicate";
            case.original = Some(sent.message);
            case.correlation = sent.correlation.map(|correlation| correlation.to_string());
            case.decided_by = Some("idempotency key".to_owned());
            Ok(Some(sent))
        }
        Ok(Some(Found::Sent(_))) => Err(Refusal::KeyReused),
        Ok(_) => Ok(None),
        Err(cause) => Err(unavailable(&cause)),
    }
}
