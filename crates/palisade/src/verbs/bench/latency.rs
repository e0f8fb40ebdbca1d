//! Times of many messages as a histogram, and the quantiles of it.
//!
//! It holds no clock.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Collects times; cheap enough to be asked for every message.
#[derive(Debug)]
pub(super) struct Times(Histogram<u64>);

impl Times {
    /// Makes an empty collection.
    pub(super) fn new() -> anyhow::Result<Self> {
        Ok(Self(Histogram::new_with_bounds(1, MICROS_MAX, DIGITS)?))
    }

    /// Adds a time; one that is longer than a minute counts as a minute.
    pub(super) fn add(&mut self, time: Duration) {
        self.0.saturating_record(u64::try_from(time.as_micros()).unwrap_or(MICROS_MAX));
    }

    /// Adds all times of another collection.
    pub(super) fn merge(&mut self, other: &Self) -> anyhow::Result<()> {
        Ok(self.0.add(&other.0)?)
    }

    /// Returns the quantiles in milliseconds.
    pub(super) fn quantiles(&self) -> Quantiles {
        let at = |quantile| milliseconds(self.0.value_at_quantile(quantile));
        Quantiles { p50: at(0.50), p99: at(0.99), max: milliseconds(self.0.max()) }
    }
}

/// Quantiles in milliseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Quantiles {
    p50: f64,
    p99: f64,
    max: f64,
}

impl fmt::Display for Quantiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} / {:.2}", self.p50, self.p99)
    }
}

fn milliseconds(micros: u64) -> f64 {
    f64::from(u32::try_from(micros).unwrap_or(u32::MAX)) / 1_000.0
}

/// LIMIT: a minute; no run waits that long for one message.
const MICROS_MAX: u64 = 60_000_000;
/// Significant digits: an error of at most a tenth of a percent.
const DIGITS: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_in_milliseconds_and_merge() {
        let mut times = Times::new().unwrap();
        for millis in 1..=100 {
            times.add(Duration::from_millis(millis));
        }
        let mut all = Times::new().unwrap();
        all.merge(&times).unwrap();
        let quantiles = all.quantiles();
        assert!((quantiles.p50 - 50.0).abs() < 0.1, "{quantiles:?}");
        assert!((quantiles.p99 - 99.0).abs() < 0.1, "{quantiles:?}");
        assert!((quantiles.max - 100.0).abs() < 0.1, "{quantiles:?}");
    }

    #[test]
    fn a_time_over_the_limit_counts_as_the_limit() {
        let mut times = Times::new().unwrap();
        times.add(Duration::from_secs(3_600));
        assert!(times.quantiles().max > 59_000.0);
    }
}
