//! Whether the engine takes batches, for those who route traffic to it.
//!
//! It decides nothing: a batch is refused where it cannot be written.

use std::sync::OnceLock;

use gate::ports::StoreError;
use tokio::sync::watch;

use super::FatalHook;

/// Whether a store takes batches.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Condition {
    /// It does.
    #[default]
    Taking,
    /// The disk is full; reads go on, and batches are taken again when there is room.
    Full,
    /// Never again; says why.
    Failed(String),
}

/// The end of the taking of batches, and who is told of it.
#[derive(Debug)]
pub(super) struct Fatal {
    why: OnceLock<String>,
    hook: FatalHook,
    condition: watch::Sender<Condition>,
}

impl Fatal {
    pub(super) fn new(hook: FatalHook) -> Self {
        Self { why: OnceLock::new(), hook, condition: watch::Sender::new(Condition::Taking) }
    }

    /// Returns why no batch is taken any more, if so.
    pub(super) fn error(&self) -> Option<StoreError> {
        self.why.get().map(|why| StoreError::Unreachable(why.clone()))
    }

    /// Ends the taking of batches for good.
    pub(super) fn die(&self, why: String) {
        if self.why.set(why).is_ok()
            && let Some(why) = self.why.get()
        {
            tracing::error!(why, "the store takes no more batches");
            self.condition.send_replace(Condition::Failed(why.clone()));
            self.hook.call(why);
        }
    }

    /// Notes whether the disk is full; tells it once per change.
    pub(super) fn set_full(&self, is_full: bool) {
        self.condition.send_if_modified(|condition| match (&condition, is_full) {
            (Condition::Taking, true) => {
                tracing::error!("the disk is full; batches are refused until there is room");
                *condition = Condition::Full;
                true
            }
            (Condition::Full, false) => {
                tracing::info!("there is room on the disk again; batches are taken");
                *condition = Condition::Taking;
                true
            }
            (Condition::Taking | Condition::Full | Condition::Failed(_), _) => false,
        });
    }

    pub(super) fn watch(&self) -> watch::Receiver<Condition> {
        self.condition.subscribe()
    }
}
