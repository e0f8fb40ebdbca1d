//! The time of day: it follows the runtime's invented time, and jumps when told to.

use std::time::Duration;

use gate::ports::Clock;
use gate::types::Timestamp;
use parking_lot::Mutex;
use tokio::time::Instant;

/// A wall clock that somebody sets now and then.
#[derive(Debug)]
pub(crate) struct JumpingClock {
    started: Instant,
    /// What it shows at `started`.
    base: Mutex<Timestamp>,
}

impl JumpingClock {
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            base: Mutex::new(Timestamp::from_micros(1_800_000_000_000_000)),
        }
    }

    /// Sets the clock forward or back.
    pub(crate) fn jump(&self, by: Duration, is_forward: bool) {
        let mut base = self.base.lock();
        let by = u64::try_from(by.as_micros()).unwrap_or(u64::MAX);
        let micros = base.micros();
        *base = Timestamp::from_micros(if is_forward {
            micros.saturating_add(by)
        } else {
            micros.saturating_sub(by)
        });
    }
}

impl Clock for JumpingClock {
    fn now(&self) -> Timestamp {
        self.base.lock().after(self.started.elapsed())
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}
