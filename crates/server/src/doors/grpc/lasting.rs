//! A time that something lasts, and that doubles each time it is needed again soon.
//!
//! It does not say what lasts: a penalty, or a stay in the slow lane.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// A state that ends by itself.
#[derive(Debug)]
pub(super) struct Lasting {
    least: Duration,
    /// The longest time; also how long it is remembered afterwards.
    max: Duration,
    /// False most of the time, so that asking costs nothing.
    may_be_on: AtomicBool,
    /// How long the last one was, and when it ends.
    last: Mutex<Option<(Duration, Instant)>>,
}

impl Lasting {
    /// Makes one that is off; it never is on if `least` is zero.
    pub(super) fn new(least: Duration, max: Duration) -> Self {
        let (max, may_be_on) = (max.max(least), AtomicBool::new(false));
        Self { least, max, may_be_on, last: Mutex::default() }
    }

    /// Begins; while it is on, begins anew and is no longer than before. Returns how long it is on.
    pub(super) fn begin(&self) -> Duration {
        self.begin_with(Duration::ZERO)
    }

    /// Begins, and is on for a time more that does not count.
    pub(super) fn begin_with(&self, more: Duration) -> Duration {
        if self.least.is_zero() {
            return Duration::ZERO;
        }
        let now = Instant::now();
        let mut last = self.last.lock();
        let length = match *last {
            Some((length, until)) if now < until => length,
            Some((length, until)) if now < until + self.max => length * 2,
            Some(_) | None => self.least,
        };
        // LIMIT: server.limits.penalty_max_ms, slow_lane_max_ms.
        let length = length.min(self.max);
        let before = last.map_or(now, |(_, until)| until);
        let until = before.max(now + more + length);
        *last = Some((length, until));
        self.may_be_on.store(true, Ordering::Release);
        until - now
    }

    /// Tells whether it is on.
    pub(super) fn is_on(&self) -> bool {
        if !self.may_be_on.load(Ordering::Acquire) {
            return false;
        }
        let last = self.last.lock();
        let is_on = last.is_some_and(|(_, until)| Instant::now() < until);
        if !is_on {
            self.may_be_on.store(false, Ordering::Release);
        }
        is_on
    }

    /// Tells whether it is long over, so that forgetting it changes nothing.
    pub(super) fn is_forgotten(&self) -> bool {
        self.last.lock().is_none_or(|(_, until)| Instant::now() >= until + self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Returns for how many whole seconds it is on.
    async fn seconds(lasting: &Lasting) -> u32 {
        let mut seconds = 0;
        while lasting.is_on() {
            tokio::time::advance(SECOND).await;
            seconds += 1;
        }
        seconds
    }

    #[tokio::test(start_paused = true)]
    async fn it_doubles_when_it_is_needed_again_soon_up_to_its_longest() {
        let lasting = Lasting::new(2 * SECOND, 7 * SECOND);
        for expected in [2, 4, 7, 7] {
            lasting.begin();
            assert_eq!(seconds(&lasting).await, expected);
            assert!(!lasting.is_forgotten());
        }
        tokio::time::advance(6 * SECOND).await;
        assert!(!lasting.is_forgotten());
        tokio::time::advance(SECOND).await;
        assert!(lasting.is_forgotten());
        lasting.begin();
        assert_eq!(seconds(&lasting).await, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn many_reasons_at_once_are_one() {
        let lasting = Lasting::new(2 * SECOND, 60 * SECOND);
        for _ in 0..100 {
            lasting.begin();
        }
        tokio::time::advance(SECOND).await;
        // As long again, and not longer.
        lasting.begin();
        assert_eq!(seconds(&lasting).await, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn none_is_never_on() {
        let lasting = Lasting::new(Duration::ZERO, 60 * SECOND);
        lasting.begin();
        assert!(!lasting.is_on() && lasting.is_forgotten());
    }
}
