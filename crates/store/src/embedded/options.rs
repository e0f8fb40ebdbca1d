//! What can be set about the embedded engine.
//!
//! Not read from a file here: the server's configuration does that.

use std::fmt;
use std::sync::Arc;

use crate::Bounds;

/// When a batch counts as durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// After the disk has confirmed it: nothing that was confirmed is lost with the power.
    #[default]
    Fsync,
    /// After the system has taken it: the end of the process loses nothing, a loss of power
    /// loses what the system had not written back, usually the last 30 seconds.
    Relaxed,
}

/// What to call when the engine has to stop for good.
#[derive(Clone)]
pub struct FatalHook(Arc<dyn Fn(&str) + Send + Sync>);

impl FatalHook {
    /// Wraps a function that is given the reason; it is called once, from a thread of the engine.
    pub fn new(hook: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(hook))
    }

    pub(super) fn call(&self, why: &str) {
        (self.0)(why);
    }
}

impl Default for FatalHook {
    fn default() -> Self {
        Self::new(|_| ())
    }
}

impl fmt::Debug for FatalHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FatalHook")
    }
}

/// What can be set about an [`Embedded`](super::Embedded) store.
#[derive(Debug, Clone)]
pub struct Options {
    /// How much is kept.
    pub bounds: Bounds,
    /// When a batch counts as durable.
    pub durability: Durability,
    /// Bytes of envelopes of waiting messages that stay in memory; the others are read back.
    pub cache_bytes: u64,
    /// The size of a log segment.
    pub segment_bytes: u64,
    /// Bytes of sealed log after which a checkpoint is made.
    pub checkpoint_bytes: u64,
    /// The size after which the next audit archive file begins.
    pub archive_bytes: u64,
    /// Batches that may wait for the committer.
    pub waiting_max: usize,
    /// Bytes of batches that may wait for the committer.
    pub waiting_bytes_max: usize,
    /// Called when a write or a sync of the log has failed: no later batch is taken then.
    pub on_fatal: FatalHook,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            bounds: Bounds::default(),
            durability: Durability::Fsync,
            cache_bytes: 64 << 20,
            segment_bytes: 64 << 20,
            checkpoint_bytes: 64 << 20,
            archive_bytes: 64 << 20,
            waiting_max: 16_384,
            waiting_bytes_max: 128 << 20,
            on_fatal: FatalHook::default(),
        }
    }
}
