//! The parts of a payload that somebody may look at, as places in its text.
//!
//! A node holds no text; it is read together with the document.

use std::ops::Range;

/// Stands for "no node".
pub(crate) const NONE: u32 = u32::MAX;

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Object,
    Array,
    Key,
    Text,
    Integer,
    /// A number with a fraction or an exponent.
    Float,
}

/// A container, key, string or number; literals have none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    /// Whether a string has no escapes.
    pub(crate) plain: bool,
    pub(super) start: u32,
    pub(super) end: u32,
    /// The container around it.
    pub(crate) parent: u32,
    /// In an object the node of the value's key, in an array the index; for a key, the key before.
    pub(crate) slot: u32,
}

impl Node {
    /// Returns the bytes between the quotes, or those of the number.
    pub(crate) fn range(&self) -> Range<usize> {
        index(self.start)..index(self.end)
    }
}

pub(super) fn index(at: u32) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}
