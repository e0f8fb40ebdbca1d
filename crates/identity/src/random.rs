//! Random bytes of cryptographic quality, from the library that also does TLS.

/// The system gives no random numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random numbers")]
pub struct NoRandom;

/// Fills bytes with what nobody can guess.
///
/// # Errors
/// Fails if the system has no random numbers; the bytes are not to be used then.
pub fn fill_random(bytes: &mut [u8]) -> Result<(), NoRandom> {
    aws_lc_rs::rand::fill(bytes).map_err(|_unspecified| NoRandom)
}
