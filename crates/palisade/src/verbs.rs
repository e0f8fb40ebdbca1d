//! The verbs, one file each.
//!
//! A verb turns its arguments into calls of the crates below and prints what came of it.

pub(crate) mod cert;
pub(crate) mod completions;
