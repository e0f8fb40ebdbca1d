//! How often something was how large, in buckets whose bounds never change.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of values by bucket. A value counts in the first bucket whose bound it does not pass;
/// the last bucket has no bound.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [u64],
    buckets: [AtomicU64; BUCKETS_MAX],
    sum: AtomicU64,
}

/// LIMIT: buckets of one histogram; the bounds below have fewer.
const BUCKETS_MAX: usize = 24;

/// Bounds of times, in nanoseconds: 1, 2 and 5 of each power of ten from a microsecond to 10 s.
pub const LATENCY_NANOS: &[u64] = &[
    1_000,
    2_000,
    5_000,
    10_000,
    20_000,
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    20_000_000,
    50_000_000,
    100_000_000,
    200_000_000,
    500_000_000,
    1_000_000_000,
    2_000_000_000,
    5_000_000_000,
    10_000_000_000,
];

/// Bounds of sizes, in bytes: each four times the one before.
pub const SIZES: &[u64] =
    &[64, 256, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216];

/// Bounds of lengths: each twice the one before.
pub const LENGTHS: &[u64] = &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024];

impl Histogram {
    /// Makes an empty one; bounds grow and are fewer than 24.
    #[must_use]
    pub fn new(bounds: &'static [u64]) -> Self {
        debug_assert!(bounds.len() < BUCKETS_MAX, "too many bounds");
        Self { bounds, buckets: Default::default(), sum: AtomicU64::new(0) }
    }

    /// Counts a value.
    pub fn count(&self, value: u64) {
        let place = self.bounds.partition_point(|bound| *bound < value);
        if let Some(bucket) = self.buckets.get(place) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// Counts a time, in nanoseconds.
    pub fn count_time(&self, time: std::time::Duration) {
        self.count(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Returns the counts of this moment.
    #[must_use]
    pub fn read(&self) -> HistogramView {
        let buckets = self.buckets.iter().take(self.bounds.len() + 1);
        HistogramView {
            bounds: self.bounds,
            buckets: buckets.map(|bucket| bucket.load(Ordering::Relaxed)).collect(),
            sum: self.sum.load(Ordering::Relaxed),
        }
    }
}

/// A histogram at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HistogramView {
    /// The greatest value of each bucket but the last, which has no bound.
    pub bounds: &'static [u64],
    /// How many values each bucket has; one more than bounds.
    pub buckets: Vec<u64>,
    /// All values together.
    pub sum: u64,
}

impl HistogramView {
    /// Returns how many values were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Returns the value that the share `of` (0 to 1) of all values does not pass, read between
    /// the bounds of its bucket; zero if there are none. Values behind the last bound count as it.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an estimate between two bounds, which are not negative"
    )]
    pub fn quantile(&self, of: f64) -> u64 {
        let wanted = self.count() as f64 * of.clamp(0.0, 1.0);
        let (mut seen, mut lower) = (0.0, 0);
        for (bucket, bound) in self.buckets.iter().zip(self.bounds) {
            let count = *bucket as f64;
            if count > 0.0 && seen + count >= wanted {
                let share = ((wanted - seen) / count).clamp(0.0, 1.0);
                return lower + ((bound - lower) as f64 * share) as u64;
            }
            seen += count;
            lower = *bound;
        }
        if self.count() == 0 { 0 } else { lower }
    }

    /// Adds the counts of another one with the same bounds.
    pub fn add(&mut self, other: &Self) {
        if self.buckets.is_empty() {
            self.clone_from(other);
            return;
        }
        for (mine, more) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine = mine.saturating_add(*more);
        }
        self.sum = self.sum.wrapping_add(other.sum);
    }

    /// Returns what was counted since an earlier reading.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let before = earlier.buckets.iter().copied().chain(std::iter::repeat(0));
        let buckets = self.buckets.iter().zip(before).map(|(now, then)| now.saturating_sub(then));
        Self {
            bounds: self.bounds,
            buckets: buckets.collect(),
            sum: self.sum.wrapping_sub(earlier.sum),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_counts_in_the_first_bucket_whose_bound_it_does_not_pass() {
        let histogram = Histogram::new(LENGTHS);
        for value in [0, 1, 2, 3, 1_024, 1_025, 9_000] {
            histogram.count(value);
        }
        let view = histogram.read();
        assert_eq!(view.buckets, [2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!((view.count(), view.sum), (7, 11_055));
    }

    #[test]
    fn a_quantile_lies_between_the_bounds_of_its_bucket() {
        let histogram = Histogram::new(LATENCY_NANOS);
        assert_eq!(histogram.read().quantile(0.5), 0);
        for _ in 0..90 {
            histogram.count(1_500);
        }
        for _ in 0..10 {
            histogram.count(40_000);
        }
        let view = histogram.read();
        assert!((1_001..=2_000).contains(&view.quantile(0.5)), "{}", view.quantile(0.5));
        assert!((20_001..=50_000).contains(&view.quantile(0.99)), "{}", view.quantile(0.99));
        histogram.count(u64::MAX);
        assert_eq!(histogram.read().quantile(1.0), 10_000_000_000);
    }

    #[test]
    fn what_came_since_is_the_difference_and_adds_up_again() {
        let histogram = Histogram::new(SIZES);
        histogram.count(10);
        let earlier = histogram.read();
        histogram.count(100);
        let mut sum = histogram.read().since(&earlier);
        assert_eq!((sum.count(), sum.sum), (1, 100));
        sum.add(&earlier);
        assert_eq!(sum, histogram.read());
    }
}
