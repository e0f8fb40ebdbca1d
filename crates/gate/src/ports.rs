//! What the gate needs from the outside: a store, a clock, random numbers, a sealer.
//!
//! The store knows no policy: it keeps values, queues, dead letters, counters and the audit
//! chain, and commits batches of changes to them atomically.

mod batch;
mod store;

pub use batch::{Batch, CounterClass, Entry, Expect, Key, Op, QueueKey, Retry, Settlement, Space};
pub use store::{
    Claim, DeadLetter, DeadLetterScan, Found, Leased, Leases, MessageState, MessageView, Read,
    Scan, Store, StoreError, Versioned, WindowView,
};

use crate::types::Timestamp;

/// Tells the time.
pub trait Clock: Send + Sync + 'static {
    /// Returns the wall-clock time.
    fn now(&self) -> Timestamp;
}

/// Makes random numbers that cannot be guessed.
pub trait Ids: Send + Sync + 'static {
    /// Returns a random 128-bit number.
    fn random(&self) -> u128;
}

/// Encrypts fields to a recipient; provided by the server from the identity crate.
pub trait FieldSealer: Send + Sync + 'static {
    /// Checks a key text as an agent registers it.
    ///
    /// # Errors
    ///
    /// Returns what is wrong with it.
    fn check_key(&self, key: &str) -> Result<(), String>;

    /// Encrypts `plaintext` to `key` so that only `recipient` can open it.
    ///
    /// # Errors
    ///
    /// Returns nothing but the fact that it failed; inspection then blocks.
    fn seal(
        &self,
        key: &str,
        recipient: &str,
        plaintext: &str,
    ) -> Result<String, inspect::SealError>;
}
