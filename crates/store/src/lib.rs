//! The storage engines behind `gate::ports::Store` and their conformance suite.
//!
//! [`Memory`] is the model that every engine is checked against. No engine knows a policy: they
//! keep values, queues, dead letters, counters and the audit chain.

mod bounds;
mod memory;
pub mod suite;

pub use bounds::Bounds;
pub use memory::Memory;
