//! Where long computations go, so that short ones need not wait behind them.
//!
//! What is computed there decides nothing by itself: its stage waits for it and goes on.

/// A computation.
pub type Work = Box<dyn FnOnce() + Send>;

/// Takes computations away from the threads that serve everyone.
pub trait Aside: Send + Sync + 'static {
    /// Has `work` of the agent `owner` run, now or later; it runs also if its caller has gone.
    ///
    /// # Errors
    ///
    /// Returns [`NoRoom`] when too much waits already; `work` is dropped then.
    fn run(&self, owner: &str, work: Work) -> Result<(), NoRoom>;
}

/// Says that too much waits already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoRoom {
    /// What is full, with the key that bounds it.
    pub what: &'static str,
}

/// Computes at once and in place: where nobody else waits, or time must not matter.
#[derive(Debug, Clone, Copy, Default)]
pub struct InPlace;

impl Aside for InPlace {
    fn run(&self, _owner: &str, work: Work) -> Result<(), NoRoom> {
        work();
        Ok(())
    }
}
