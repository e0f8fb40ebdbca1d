//! A small log that was signed, in two versions, as inputs of the corpus hold it.
//!
//! Its keys are no secret: whoever finds an input that they accept and that is not of this log has
//! found a forgery.

use audit::{Frontier, Hash, SigningKey, leaf_hash};

/// One version of the log; both begin with the same five records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// As it was first.
    Honest,
    /// As it was rewritten.
    Rewritten,
}

impl Version {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Honest, Self::Rewritten];

    /// Returns the body of a record, counted from 0.
    #[must_use]
    pub fn body(self, number: u64) -> Vec<u8> {
        let is_changed = self == Self::Rewritten && number >= 5;
        let more = if is_changed { ",\"fork\":true" } else { "" };
        format!("{{\"n\":{number}{more}}}").into_bytes()
    }

    /// Returns the root over the first records; nothing if the log never had so many.
    #[must_use]
    pub fn root(self, size: u64) -> Option<Hash> {
        let mut tree = Frontier::new();
        (0..size.min(SIZE_MAX)).for_each(|number| tree.append(leaf_hash(&self.body(number))));
        (size <= SIZE_MAX).then(|| tree.root())
    }
}

/// Returns the key of the log.
///
/// # Panics
/// Never: the key is good.
#[must_use]
pub fn log() -> SigningKey {
    SigningKey::parse(LOG).expect("a key")
}

/// Returns the key of the witness that cosigned it.
///
/// # Panics
/// Never: the key is good.
#[must_use]
pub fn witness() -> SigningKey {
    SigningKey::parse(WITNESS).expect("a key")
}

/// When the witness cosigned, in seconds since 1970.
pub const COSIGNED_AT: u64 = 1_700_000_000;
/// How many records the log had at last.
pub const SIZE_MAX: u64 = 12;
const LOG: &str =
    "PRIVATE+KEY+fuzz.example/log+44c33050+AQcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH";
const WITNESS: &str =
    "PRIVATE+KEY+fuzz.example/witness+2af1aac1+BAkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJ";
