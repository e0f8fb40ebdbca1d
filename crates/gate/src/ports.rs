//! What the gate needs from the outside: a store, a clock, random numbers, a sealer, and where
//! long computations go; and who may look on.
//!
//! The store knows no policy: it keeps values, queues, dead letters, counters and the audit
//! chain, and commits batches of changes to them atomically.

mod aside;
mod batch;
mod store;

pub use aside::{Aside, InPlace, NoRoom, Work};
pub use batch::{
    Batch, CounterClass, Entry, Expect, Key, Op, QueueKey, Retry, Sent, Settlement, Space,
};
pub use store::{
    Claim, DeadLetter, DeadLetterScan, Found, Leased, Leases, MessageState, MessageView, Read,
    Scan, Store, StoreError, Versioned, WindowView,
};

use std::time::Duration;

use crate::observe::{MessageStep, Observed};
use crate::types::{Timestamp, TraceContext};

/// Tells the time.
pub trait Clock: Send + Sync + 'static {
    /// Returns the wall-clock time.
    fn now(&self) -> Timestamp;

    /// Returns the time since some fixed moment, which never goes back: for how long things take.
    fn elapsed(&self) -> Duration;
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

/// Looks on: a tracer's export, the memory of recent runs.
///
/// It is called on the task that does the work, so it must neither wait nor take long; what it
/// keeps it must bound. It sees no payload.
pub trait Observer: Send + Sync + 'static {
    /// Is shown a run that has ended, once.
    fn finished(&self, run: &Observed<'_>);

    /// Is shown what happened to a message behind the pipeline.
    fn moved(&self, step: &MessageStep<'_>);
}

/// Gives each run its place in a trace.
pub trait Tracer: Send + Sync + 'static {
    /// Returns the context that goes on with the run's message, from the one that its caller sent:
    /// the same trace with a span of the gate as the parent of what follows.
    fn begin(&self, given: &TraceContext) -> TraceContext;
}
