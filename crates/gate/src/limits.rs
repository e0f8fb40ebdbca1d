//! Rate limits and the sliding window that counts towards them.
//!
//! Not a clock and not a store: engines keep windows, the caller says what time it is.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ports::WindowView;
use crate::types::Timestamp;

/// How many calls an agent may make; 0 refuses everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::module_name_repetitions, reason = "it is read where its module is not named")]
pub struct RateLimits {
    /// In any 60 s.
    pub per_minute: u64,
    /// In any 3,600 s.
    pub per_hour: u64,
}

impl Default for RateLimits {
    /// The defaults of the MAS server.
    fn default() -> Self {
        Self { per_minute: 100, per_hour: 1_000 }
    }
}

/// Calls of the last hour, counted exactly.
///
/// Up to [`EXACT_MAX`] calls an hour each call keeps its own moment, so both windows are exact.
/// Above that, moments are rounded up to 1/65,536 of an hour (55 ms), so memory stays bounded
/// and the window never lets through more than the limit; it may refuse up to 55 ms longer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlidingWindow {
    /// Moment (microseconds) and calls counted at it, oldest first; none older than an hour.
    moments: VecDeque<(u64, u32)>,
    /// Calls in all of `moments`.
    hour: u64,
    /// Calls in `moments` from `minute_from` on.
    minute: u64,
    /// Index of the first moment of the last minute.
    minute_from: usize,
}

/// The largest hourly limit that is counted without rounding.
pub const EXACT_MAX: u64 = 65_536;

const MINUTE: u64 = 60_000_000;
const HOUR: u64 = 3_600_000_000;

impl SlidingWindow {
    /// Counts one call at `at`.
    pub fn count(&mut self, at: Timestamp, limits: RateLimits) {
        self.pull_back(at);
        let newest = self.moments.back().map_or(0, |(moment, _)| *moment);
        // A clock that went back a little must not break the order of the moments.
        let moment = round_up(at.micros(), limits).max(newest);
        self.forget(Timestamp::from_micros(moment.min(at.micros().max(newest))));
        let is_behind_minute = self.minute_from >= self.moments.len();
        match self.moments.back_mut() {
            // INVARIANT: what counts for the minute stands behind `minute_from`.
            Some((last, calls)) if *last == moment && *calls < u32::MAX && !is_behind_minute => {
                *calls += 1;
            }
            _ => self.moments.push_back((moment, 1)),
        }
        self.hour += 1;
        self.minute += 1;
    }

    /// Returns how much of both windows is used at `now`, and which one is full.
    pub fn view(&mut self, now: Timestamp, limits: RateLimits) -> WindowView {
        self.forget(now);
        let full = if self.minute >= limits.per_minute {
            let over = self.minute - limits.per_minute;
            Some(("minute", self.frees_after(self.minute_from, over, MINUTE, now)))
        } else if self.hour >= limits.per_hour {
            let over = self.hour - limits.per_hour;
            Some(("hour", self.frees_after(0, over, HOUR, now)))
        } else {
            None
        };
        WindowView { minute: self.minute, hour: self.hour, full }
    }

    /// Returns true if no call of the last hour is left, so that the window can be dropped.
    pub fn is_idle(&mut self, now: Timestamp) -> bool {
        self.forget(now);
        self.moments.is_empty()
    }

    /// Drops what left the windows: a call leaves exactly one window length after its moment.
    fn forget(&mut self, now: Timestamp) {
        self.pull_back(now);
        while let Some((moment, calls)) = self.moments.get(self.minute_from) {
            if moment.saturating_add(MINUTE) > now.micros() {
                break;
            }
            self.minute -= u64::from(*calls);
            self.minute_from += 1;
        }
        while let Some((moment, calls)) = self.moments.front() {
            if moment.saturating_add(HOUR) > now.micros() {
                break;
            }
            self.hour -= u64::from(*calls);
            self.moments.pop_front();
            self.minute_from = self.minute_from.saturating_sub(1);
        }
    }

    /// Takes calls that lie far ahead of a clock which went back as made now, so that they stay
    /// counted for one window and not until the clock is there again.
    fn pull_back(&mut self, now: Timestamp) {
        let newest = self.moments.back().map_or(0, |(moment, _)| *moment);
        if newest <= now.micros().saturating_add(MINUTE) {
            return;
        }
        for (moment, _) in &mut self.moments {
            *moment = (*moment).min(now.micros());
        }
        let is_over = |moment: u64| moment.saturating_add(MINUTE) <= now.micros();
        self.minute_from = self.moments.partition_point(|(moment, _)| is_over(*moment));
        let of_minute = self.moments.iter().skip(self.minute_from);
        self.minute = of_minute.map(|(_, calls)| u64::from(*calls)).sum();
    }

    /// Returns the time until more than `over` of the calls from index `from` on have left.
    fn frees_after(&self, from: usize, over: u64, window: u64, now: Timestamp) -> Duration {
        let mut left = 0;
        for (moment, calls) in self.moments.iter().skip(from) {
            left += u64::from(*calls);
            if left > over {
                let at = moment.saturating_add(window);
                return Duration::from_micros(at.saturating_sub(now.micros()));
            }
        }
        // Only a limit of 0 gets here: no wait helps, so name the whole window.
        Duration::from_micros(window)
    }
}

fn round_up(micros: u64, limits: RateLimits) -> u64 {
    if limits.per_hour <= EXACT_MAX {
        return micros;
    }
    let step = HOUR / EXACT_MAX;
    (micros / step + 1).saturating_mul(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> Timestamp {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "test input")]
        Timestamp::from_micros(((seconds + 1e6) * 1e6) as u64)
    }

    const LIMITS: RateLimits = RateLimits { per_minute: 3, per_hour: 5 };

    #[test]
    fn the_minute_window_slides_and_names_when_it_frees() {
        let mut window = SlidingWindow::default();
        for second in [0.0, 10.0, 20.0] {
            assert_eq!(window.view(at(second), LIMITS).full, None);
            window.count(at(second), LIMITS);
        }
        let full = window.view(at(30.0), LIMITS).full;
        assert_eq!(full, Some(("minute", Duration::from_secs(30))));
        assert!(window.view(at(59.999_999), LIMITS).full.is_some());
        assert_eq!(window.view(at(60.0), LIMITS).full, None);
    }

    #[test]
    fn the_hour_window_holds_behind_the_minute_window() {
        let mut window = SlidingWindow::default();
        for second in [0.0, 100.0, 200.0, 300.0, 400.0] {
            window.count(at(second), LIMITS);
        }
        let view = window.view(at(500.0), LIMITS);
        assert_eq!((view.minute, view.hour), (0, 5));
        assert_eq!(view.full, Some(("hour", Duration::from_secs(3_100))));
        assert_eq!(window.view(at(3_600.0), LIMITS).full, None);
    }

    #[test]
    fn a_limit_of_zero_refuses_everything() {
        let limits = RateLimits { per_minute: 0, per_hour: 9 };
        let full = SlidingWindow::default().view(at(0.0), limits).full;
        assert_eq!(full, Some(("minute", Duration::from_secs(60))));
    }

    #[test]
    fn a_lowered_limit_names_the_wait_until_enough_have_left() {
        let mut window = SlidingWindow::default();
        for second in [0.0, 10.0, 20.0] {
            window.count(at(second), LIMITS);
        }
        let lower = RateLimits { per_minute: 1, per_hour: 5 };
        let full = window.view(at(30.0), lower).full;
        assert_eq!(full, Some(("minute", Duration::from_secs(50))));
    }

    #[test]
    fn a_clock_that_goes_back_never_admits_more() {
        let mut window = SlidingWindow::default();
        for second in [20.0, 10.0, 0.0] {
            window.count(at(second), LIMITS);
        }
        assert!(window.view(at(30.0), LIMITS).full.is_some());
        assert!(window.view(at(0.0), LIMITS).full.is_some());
    }

    #[test]
    fn a_clock_that_goes_back_over_a_minute_leaves_nothing_counted_for_ever() {
        let mut window = SlidingWindow::default();
        window.count(at(0.0), LIMITS);
        assert_eq!(window.view(at(60.0), LIMITS).minute, 0);
        window.count(at(0.0), LIMITS);
        assert_eq!(window.view(at(59.0), LIMITS).minute, 1);
        assert_eq!(window.view(at(60.0), LIMITS).minute, 0);
    }

    #[test]
    fn a_clock_that_goes_back_by_days_counts_what_it_counted_for_one_more_window() {
        let mut window = SlidingWindow::default();
        let day = 86_400.0;
        for second in [day, day + 1.0, day + 2.0] {
            window.count(at(second), LIMITS);
        }
        let full = window.view(at(0.0), LIMITS).full;
        assert_eq!(full, Some(("minute", Duration::from_secs(60))));
        assert!(window.view(at(59.0), LIMITS).full.is_some());
        let view = window.view(at(60.0), LIMITS);
        assert_eq!((view.minute, view.hour, view.full), (0, 3, None));
        window.count(at(60.0), LIMITS);
        window.count(at(61.0), LIMITS);
        let full = window.view(at(130.0), LIMITS).full;
        assert_eq!(full, Some(("hour", Duration::from_secs(3_470))));
        assert!(window.is_idle(at(3_661.0)));
    }

    #[test]
    fn a_clock_that_goes_any_way_keeps_order_and_sums() {
        let steps = proptest::collection::vec((0_u32..20_000, proptest::bool::ANY), 1..200);
        proptest::proptest!(|(steps in steps)| {
            let mut window = SlidingWindow::default();
            for (second, counts) in steps {
                let now = at(f64::from(second));
                if counts {
                    window.count(now, LIMITS);
                }
                let view = window.view(now, LIMITS);
                let moments: Vec<(u64, u32)> = window.moments.iter().copied().collect();
                assert!(moments.is_sorted_by_key(|(moment, _)| *moment));
                let calls = moments.iter().map(|(_, calls)| u64::from(*calls));
                let sum = |from| calls.clone().skip(from).sum();
                assert_eq!((view.hour, view.minute), (sum(0), sum(window.minute_from)));
                let wait = view.full.map_or(Duration::ZERO, |(_, wait)| wait);
                assert!(wait <= Duration::from_secs(3_660), "{wait:?}");
            }
        });
    }

    #[test]
    fn huge_limits_keep_bounded_memory_and_never_admit_more() {
        let limits = RateLimits { per_minute: 1_000_000_000, per_hour: 1_000_000_000 };
        let mut window = SlidingWindow::default();
        for call in 0..500_000_u32 {
            window.count(at(f64::from(call) * 0.000_1), limits);
        }
        let view = window.view(at(50.0), limits);
        assert_eq!((view.minute, view.hour), (500_000, 500_000));
        assert!(window.moments.len() < 2_000);
    }
}
