//! The verbs, one file each.
//!
//! A verb turns its arguments into calls of the crates below and prints what came of it.

pub(crate) mod agents;
pub(crate) mod audit;
pub(crate) mod bench;
pub(crate) mod cert;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod demo;
pub(crate) mod dev;
pub(crate) mod dlq;
pub(crate) mod inspect;
pub(crate) mod listen;
pub(crate) mod request;
pub(crate) mod send;
pub(crate) mod serve;
pub(crate) mod status;
pub(crate) mod top;
pub(crate) mod trace;
pub(crate) mod witness;
