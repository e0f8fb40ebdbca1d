//! Makes proofs from the hashes of perfect subtrees, wherever they are kept.
//!
//! `node(level, index)` returns the root of the perfect subtree of `2^level` leaves
//! that begins at leaf `index * 2^level`.

use super::{empty_root, node_hash, split};
use crate::Hash;

/// Returns the root of a tree of this size.
///
/// # Errors
/// Fails if a node cannot be had.
pub fn tree_root<E>(
    size: u64,
    mut node: impl FnMut(u32, u64) -> Result<Hash, E>,
) -> Result<Hash, E> {
    if size == 0 { Ok(empty_root()) } else { range_root(0, size, &mut node) }
}

/// Returns the hashes that lead from the leaf at `index`, counted from 0, to the root of the tree
/// of `size` leaves, the lowest first (RFC 6962, 2.1.1); nothing if the tree has no such leaf.
///
/// # Errors
/// Fails if a node cannot be had.
pub fn inclusion_proof<E>(
    index: u64,
    size: u64,
    mut node: impl FnMut(u32, u64) -> Result<Hash, E>,
) -> Result<Option<Vec<Hash>>, E> {
    if index >= size {
        return Ok(None);
    }
    let (mut from, mut len) = (0, size);
    let mut path = Vec::new();
    while len > 1 {
        let left = split(len);
        if index - from < left {
            path.push(range_root(from + left, len - left, &mut node)?);
            len = left;
        } else {
            path.push(range_root(from, left, &mut node)?);
            (from, len) = (from + left, len - left);
        }
    }
    path.reverse();
    Ok(Some(path))
}

/// Returns the hashes that show that the tree of `old` leaves is the beginning of that of `new`
/// leaves (RFC 6962, 2.1.2); nothing if `old` is greater than `new`.
///
/// From a tree without leaves nothing has to be shown: the proof is empty.
///
/// # Errors
/// Fails if a node cannot be had.
pub fn consistency_proof<E>(
    old: u64,
    new: u64,
    mut node: impl FnMut(u32, u64) -> Result<Hash, E>,
) -> Result<Option<Vec<Hash>>, E> {
    if old > new {
        return Ok(None);
    }
    if old == 0 || old == new {
        return Ok(Some(Vec::new()));
    }
    let (mut from, mut len, mut is_left_edge) = (0, new, true);
    let mut path = Vec::new();
    while old - from < len {
        let left = split(len);
        if old - from <= left {
            path.push(range_root(from + left, len - left, &mut node)?);
            len = left;
        } else {
            path.push(range_root(from, left, &mut node)?);
            (from, len, is_left_edge) = (from + left, len - left, false);
        }
    }
    if !is_left_edge {
        path.push(range_root(from, len, &mut node)?);
    }
    path.reverse();
    Ok(Some(path))
}

/// Returns the root over `len` leaves from `from` on, where no more than the right edge is not
/// perfect. INVARIANT: `len` is not 0 and `from` is a multiple of the perfect part.
fn range_root<E>(
    mut from: u64,
    mut len: u64,
    node: &mut impl FnMut(u32, u64) -> Result<Hash, E>,
) -> Result<Hash, E> {
    let mut lefts = Vec::new();
    while !len.is_power_of_two() {
        let left = split(len);
        lefts.push(node(left.trailing_zeros(), from >> left.trailing_zeros())?);
        (from, len) = (from + left, len - left);
    }
    let level = len.trailing_zeros();
    let mut root = node(level, from >> level)?;
    for left in lefts.iter().rev() {
        root = node_hash(left, &root);
    }
    Ok(root)
}
