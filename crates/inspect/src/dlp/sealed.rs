//! What a sealed value looks like from outside.
//!
//! It opens nothing: whether a token was sealed by anybody is not to be seen without the key.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

/// Says whether a string has the form of a sealed value and is nothing else, so that its key does
/// not make a secret of it. Any secret is shorter, is not canonical base64url, or has been encoded
/// by somebody who would get it past any scanner.
pub(super) fn is_sealed(raw: &str) -> bool {
    let token = raw.strip_prefix(SEALED_PREFIX).filter(|token| token.len() >= TOKEN_LEN_MIN);
    token.is_some_and(|token| BASE64_URL_SAFE_NO_PAD.decode(token).is_ok())
}

/// What a sealed value begins with.
const SEALED_PREFIX: &str = "palisade:sealed:v1:";

/// The 32 bytes of a public key and the 16 of a tag, which every token has, in base64.
const TOKEN_LEN_MIN: usize = 64;
