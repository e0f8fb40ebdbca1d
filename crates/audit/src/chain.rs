//! The hash chain: each link seals its entry and, through it, all before.
//!
//! A chain shows what was changed inside the log. It cannot show a tail that was
//! cut off, or a log that was written anew, to someone who kept no earlier head.

use sha2::{Digest, Sha256};

use crate::leaf_hash;

/// A SHA-256 value.
pub type Hash = [u8; 32];

/// The place of an entry in the log, sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The number of the entry; the first is 1.
    pub seq: u64,
    /// The hash of the entry before; zeros before the first.
    pub prev: Hash,
    /// The hash of this entry, which covers `seq`, `prev` and, through its leaf, the body.
    pub hash: Hash,
}

impl Link {
    /// Returns the link that a body has at this place.
    #[must_use]
    pub fn of(seq: u64, prev: Hash, body: &[u8]) -> Self {
        Self::of_leaf(seq, prev, &leaf_hash(body))
    }

    /// Returns the link at this place of the body with this leaf hash, so that one pass over a
    /// body serves chain and tree.
    #[must_use]
    pub fn of_leaf(seq: u64, prev: Hash, leaf: &Hash) -> Self {
        let hash = Sha256::new()
            .chain_update(DOMAIN)
            .chain_update(seq.to_be_bytes())
            .chain_update(prev)
            .chain_update(leaf)
            .finalize()
            .into();
        Self { seq, prev, hash }
    }
}

/// The end of a log, to which the next entry is linked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    next_seq: u64,
    head: Hash,
}

impl Chain {
    /// Returns the chain of an empty log.
    #[must_use]
    pub const fn genesis() -> Self {
        Self::resume(1, [0; 32])
    }

    /// Returns the chain of a log whose last entry has this hash and the number before `next_seq`.
    #[must_use]
    pub const fn resume(next_seq: u64, head: Hash) -> Self {
        Self { next_seq, head }
    }

    /// Links a body as the next entry.
    pub fn append(&mut self, body: &[u8]) -> Link {
        let link = Link::of(self.next_seq, self.head, body);
        self.head = link.hash;
        self.next_seq = self.next_seq.saturating_add(1);
        link
    }

    /// Returns the number that the next entry gets.
    #[must_use]
    pub const fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Returns the hash of the last entry; zeros for an empty log.
    #[must_use]
    pub const fn head(&self) -> Hash {
        self.head
    }
}

impl Default for Chain {
    fn default() -> Self {
        Self::genesis()
    }
}

/// Keeps these hashes apart from those of any other format.
const DOMAIN: &[u8] = b"palisade.audit.v2\0";

#[cfg(test)]
mod tests;
