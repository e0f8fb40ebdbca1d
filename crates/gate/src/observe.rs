//! What the gate can tell about itself: how often, how long, and who wants to hear of each run.
//!
//! It decides nothing and holds no payload. Everything counted is an atomic number, so that a
//! message waits for nobody who looks; everything named is bounded.

mod counters;
mod histogram;
mod marks;
mod measures;
mod seen;

pub use counters::Counters;
pub use histogram::{Histogram, HistogramView, LATENCY_NANOS, LENGTHS, SIZES};
pub use marks::{Marks, Stage};
pub(crate) use measures::Measures;
pub use measures::{Levels, Reading};
pub use seen::{MessageStep, Observed, StepKind};

use std::fmt;
use std::sync::Arc;

use crate::ports::Observer;

/// Who hears of what: the gate's own numbers, and whoever was attached.
#[derive(Default)]
pub(crate) struct Watch {
    pub(crate) measures: Measures,
    pub(crate) observers: Vec<Arc<dyn Observer>>,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("observers", &self.observers.len()).finish_non_exhaustive()
    }
}

impl Watch {
    /// Tells everybody who listens; `step` is only made if somebody does.
    pub(crate) fn moved<'a>(&self, step: impl FnOnce() -> MessageStep<'a>) {
        if self.observers.is_empty() {
            return;
        }
        let step = step();
        step.log();
        for observer in &self.observers {
            observer.moved(&step);
        }
    }

    /// Returns whether anybody listens.
    pub(crate) const fn is_heard(&self) -> bool {
        !self.observers.is_empty()
    }
}
