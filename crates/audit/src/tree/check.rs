//! Checks proofs that somebody else made; trusts nothing of them.
//!
//! The procedures are those of RFC 9162, 2.1.3.2 and 2.1.4.2, for the trees of RFC 6962.

use super::{empty_root, node_hash};
use crate::Hash;

/// Says why a proof proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The tree has no such leaf, or the older tree is the larger one.
    #[error("the proof is for a place that the tree does not have")]
    OutOfRange,
    /// The proof has more or fewer hashes than trees of these sizes need.
    #[error("the proof does not have the length that trees of these sizes need")]
    WrongLength,
    /// The hashes lead to another root.
    #[error("the proof leads to another root")]
    WrongRoot,
}

/// Checks that a leaf is at `index`, counted from 0, in the tree of `size` leaves with this root.
///
/// # Errors
/// Says why the proof does not show it.
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    size: u64,
    root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::OutOfRange);
    }
    let (mut at, mut last, mut hash) = (index, size - 1, *leaf);
    for step in proof {
        if last == 0 {
            return Err(ProofError::WrongLength);
        }
        if at & 1 == 1 || at == last {
            hash = node_hash(step, &hash);
            up_to_right_child(&mut at, &mut last);
        } else {
            hash = node_hash(&hash, step);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    if last != 0 {
        return Err(ProofError::WrongLength);
    }
    if hash == *root { Ok(()) } else { Err(ProofError::WrongRoot) }
}

/// A tree by its size and root.
type Tree<'a> = (u64, &'a Hash);

/// Checks that an older tree is the beginning of a newer one; each is its size and its root.
///
/// # Errors
/// Says why the proof does not show it.
pub fn verify_consistency(old: Tree<'_>, new: Tree<'_>, proof: &[Hash]) -> Result<(), ProofError> {
    let ((old, old_root), (new, new_root)) = (old, new);
    if old > new {
        return Err(ProofError::OutOfRange);
    }
    if old == 0 || old == new {
        let is_same = if old == new { old_root == new_root } else { *old_root == empty_root() };
        return match (proof.is_empty(), is_same) {
            (false, _) => Err(ProofError::WrongLength),
            (true, false) => Err(ProofError::WrongRoot),
            (true, true) => Ok(()),
        };
    }
    // The root of a perfect older tree is not in the proof: it is where the path begins.
    let (first, rest) = if old.is_power_of_two() {
        (old_root, proof)
    } else {
        proof.split_first().ok_or(ProofError::WrongLength)?
    };
    let shift = (old - 1).trailing_ones();
    let (mut at, mut last) = ((old - 1).unbounded_shr(shift), (new - 1).unbounded_shr(shift));
    let (mut old_hash, mut new_hash) = (*first, *first);
    for step in rest {
        if last == 0 {
            return Err(ProofError::WrongLength);
        }
        if at & 1 == 1 || at == last {
            old_hash = node_hash(step, &old_hash);
            new_hash = node_hash(step, &new_hash);
            up_to_right_child(&mut at, &mut last);
        } else {
            new_hash = node_hash(&new_hash, step);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    if last != 0 {
        return Err(ProofError::WrongLength);
    }
    let holds = old_hash == *old_root && new_hash == *new_root;
    if holds { Ok(()) } else { Err(ProofError::WrongRoot) }
}

/// Passes over the levels at which the node at the right edge has no sibling.
const fn up_to_right_child(at: &mut u64, last: &mut u64) {
    while *at & 1 == 0 && *at != 0 {
        (*at, *last) = (*at >> 1, *last >> 1);
    }
}
