//! The storage engines behind `gate::ports::Store` and their conformance suite.
//!
//! [`Embedded`] keeps everything in one folder of one machine; [`Memory`] is the model that it
//! is checked against. Neither knows a policy: they keep values, queues, dead letters, counters
//! and the audit chain.

mod bounds;
mod embedded;
mod memory;
pub mod suite;

pub use bounds::Bounds;
pub use embedded::{
    AuditTrail, Condition, Durability, Embedded, FatalHook, Figures, OpenError, Options,
    erase_salts, read_audit, read_salt,
};
pub use memory::Memory;
