//! Commitments to payloads: a hash that tells nothing to who does not know the salt.
//!
//! A plain hash of a short payload can be guessed. With the salt, which is kept apart from record
//! and tree, it can be checked; when the salt is erased it can be neither.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::to_hex;

/// What makes a commitment unguessable: 16 random bytes of one record. Zeros stand for none.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Salt([u8; SALT_BYTES]);

impl Salt {
    /// No salt, or an erased one.
    pub const NONE: Self = Self([0; SALT_BYTES]);

    /// Makes a salt of a number that nobody can guess.
    #[must_use]
    pub const fn new(random: u128) -> Self {
        Self(random.to_be_bytes())
    }

    /// Returns the salt that was stored as these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; SALT_BYTES]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes, to be stored.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; SALT_BYTES] {
        &self.0
    }

    /// Returns the commitment to a payload: SHA-256 of the salt and the JSON text, in hexadecimal.
    #[must_use]
    pub fn commitment(&self, payload: &str) -> String {
        to_hex(&Sha256::new().chain_update(self.0).chain_update(payload).finalize())
    }
}

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Who has it can guess the payload.
        f.write_str("Salt([redacted])")
    }
}

/// Returns SHA-256 of a text, in hexadecimal.
///
/// Not for what may be guessed and must stay unknown: that needs a [`Salt`].
#[must_use]
pub fn text_hash(text: &str) -> String {
    to_hex(&Sha256::digest(text))
}

/// Returns the first 16 bytes of SHA-256 over texts, each behind its length.
///
/// Long enough that nobody finds two lists with one hash, as long as nobody but their author gains
/// by it.
#[must_use]
pub fn short_hash(parts: &[&[u8]]) -> u128 {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let mut short = [0; 16];
    for (to, from) in short.iter_mut().zip(hash.finalize()) {
        *to = from;
    }
    u128::from_be_bytes(short)
}

/// The bytes of a salt.
pub const SALT_BYTES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_hash_tells_apart_where_texts_end() {
        let whole: [&[u8]; 2] = [b"ab", b"c"];
        assert_eq!(short_hash(&whole), short_hash(&whole));
        assert_ne!(short_hash(&whole), short_hash(&[b"a", b"bc"]));
        assert_ne!(short_hash(&whole), short_hash(&[b"abc"]));
    }

    /// Computed by another program from the words of `docs/audit-format.md`.
    #[test]
    fn the_commitment_is_the_published_one() {
        let salt = Salt::new(0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f);
        assert_eq!(
            salt.commitment("{\"a\":1}"),
            "aed8a0ebb5f60a8aa06554873318b8e888584ebddf7878258719930ae328cbb2"
        );
        assert_eq!(
            text_hash("{\"a\":1}"),
            "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"
        );
    }

    #[test]
    fn a_salt_is_never_shown() {
        assert_eq!(format!("{:?}", Salt::new(7)), "Salt([redacted])");
    }
}
