//! The Merkle tree over the records: hashes, the growing edge and proofs, as RFC 6962 defines them.
//!
//! Pure computation: where inner hashes are kept is [`crate::TileWriter`]'s and
//! [`crate::TileSource`]'s concern, who signs a root is not decided here.

mod check;
mod frontier;
mod proof;

use sha2::{Digest, Sha256};

pub use check::{ProofError, verify_consistency, verify_inclusion};
pub use frontier::Frontier;
pub use proof::{consistency_proof, inclusion_proof, tree_root};

use crate::Hash;

/// Returns the hash of a leaf: SHA-256 of a zero byte and the record's body (RFC 6962, 2.1).
#[must_use]
pub fn leaf_hash(body: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(body).finalize().into()
}

/// Returns the hash of an inner node: SHA-256 of a one byte and its two children (RFC 6962, 2.1).
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut bytes = [1; 65];
    for (byte, from) in bytes.iter_mut().skip(1).zip(left.iter().chain(right)) {
        *byte = *from;
    }
    Sha256::digest(bytes).into()
}

/// Returns the root of a tree without leaves: SHA-256 of nothing (RFC 6962, 2.1).
#[must_use]
pub fn empty_root() -> Hash {
    Sha256::digest([]).into()
}

/// Returns where a tree of more than one leaf is split: the largest power of two below its size.
const fn split(size: u64) -> u64 {
    1 << (u64::BITS - 1 - (size - 1).leading_zeros())
}

#[cfg(test)]
mod tests;
