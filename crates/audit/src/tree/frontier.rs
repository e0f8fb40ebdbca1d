//! The growing edge of a tree: all that is needed to append and to know the root.
//!
//! It keeps one hash per bit of the size and no leaf.

use super::{empty_root, node_hash};
use crate::Hash;

/// The roots of the perfect subtrees that a tree of some size consists of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    /// The largest subtree, which is the leftmost, first.
    nodes: Vec<Hash>,
}

impl Frontier {
    /// Returns the edge of a tree without leaves.
    #[must_use]
    pub const fn new() -> Self {
        Self { size: 0, nodes: Vec::new() }
    }

    /// Returns the edge of a tree of this size from the roots of its perfect subtrees, the largest
    /// first; nothing if their number is not that of the size's one bits.
    #[must_use]
    pub fn resume(size: u64, nodes: Vec<Hash>) -> Option<Self> {
        let fits = u32::try_from(nodes.len()).ok() == Some(size.count_ones());
        fits.then_some(Self { size, nodes })
    }

    /// Adds a leaf, in constant time on average.
    pub fn append(&mut self, leaf: Hash) {
        self.append_with(leaf, |_, _, _| {});
    }

    /// Adds a leaf and tells of each inner node that it completes: its level above the leaves, its
    /// index there and its hash.
    pub fn append_with(&mut self, leaf: Hash, mut completes: impl FnMut(u32, u64, &Hash)) {
        let mut hash = leaf;
        for level in 0..self.size.trailing_ones() {
            // INVARIANT: there is one node per one bit of the size, so none is missing here.
            let Some(left) = self.nodes.pop() else { break };
            hash = node_hash(&left, &hash);
            completes(level + 1, self.size.unbounded_shr(level + 1), &hash);
        }
        self.nodes.push(hash);
        self.size = self.size.saturating_add(1);
    }

    /// Returns how many leaves the tree has.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Returns the roots of the perfect subtrees, the largest first.
    #[must_use]
    pub fn nodes(&self) -> &[Hash] {
        &self.nodes
    }

    /// Returns the root of the tree.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut nodes = self.nodes.iter().rev();
        let Some(last) = nodes.next() else { return empty_root() };
        nodes.fold(*last, |right, left| node_hash(left, &right))
    }
}
