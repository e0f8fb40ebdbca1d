//! A rate: so many a second, with a reserve for bursts.
//!
//! It counts what it is told; what happens to what is over the rate is its user's decision.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Tokens that come back at a rate, up to a reserve.
#[derive(Debug)]
pub(super) struct Bucket {
    per_second: f64,
    reserve: f64,
    state: Mutex<(f64, Instant)>,
}

impl Bucket {
    /// Makes a full one whose reserve is what comes back in `seconds`.
    pub(super) fn new(per_second: f64, seconds: f64) -> Self {
        let reserve = (per_second * seconds).max(1.0);
        Self { per_second, reserve, state: Mutex::new((reserve, Instant::now())) }
    }

    /// Takes tokens if there are as many.
    pub(super) fn take(&self, count: u32) -> bool {
        self.reserve_within(count, Duration::ZERO).is_some()
    }

    /// Takes tokens, also those that come back later; returns how long until they are there.
    /// Nothing is taken if that is longer than `patience`.
    pub(super) fn reserve_within(&self, count: u32, patience: Duration) -> Option<Duration> {
        let now = Instant::now();
        let mut state = self.state.lock();
        let (tokens, at) = *state;
        let back = now.saturating_duration_since(at).as_secs_f64() * self.per_second;
        let left = (tokens + back).min(self.reserve) - f64::from(count);
        let wait = Duration::try_from_secs_f64(-left.min(0.0) / self.per_second).ok()?;
        if wait > patience {
            return None;
        }
        *state = (left, now);
        Some(wait)
    }

    /// Tells whether less than a part of the reserve is left.
    pub(super) fn is_below(&self, part: f64) -> bool {
        let (tokens, at) = *self.state.lock();
        tokens + at.elapsed().as_secs_f64() * self.per_second < self.reserve * part
    }

    /// Tells whether the reserve is full again, so that forgetting it changes nothing.
    pub(super) fn is_full(&self) -> bool {
        let (tokens, at) = *self.state.lock();
        tokens + at.elapsed().as_secs_f64() * self.per_second >= self.reserve
    }
}

/// A bucket for each key.
#[derive(Debug)]
pub(super) struct Buckets<K> {
    per_second: f64,
    seconds: f64,
    of: Mutex<HashMap<K, Bucket>>,
}

// LIMIT: keys that are told apart at once; further ones are over the rate until some are quiet.
const KEYS_MAX: usize = 65_536;

impl<K: Eq + Hash> Buckets<K> {
    pub(super) fn new(per_second: f64, seconds: f64) -> Self {
        Self { per_second, seconds, of: Mutex::default() }
    }

    /// Does [`Bucket::reserve_within`] for a key.
    pub(super) fn reserve_within(&self, key: K, patience: Duration) -> Option<Duration> {
        let mut of = self.of.lock();
        if of.len() >= KEYS_MAX && !of.contains_key(&key) {
            of.retain(|_, bucket| !bucket.is_full());
            if of.len() >= KEYS_MAX {
                return None;
            }
        }
        let bucket = of.entry(key).or_insert_with(|| Bucket::new(self.per_second, self.seconds));
        bucket.reserve_within(1, patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn tokens_come_back_at_the_rate_and_no_more_than_the_reserve() {
        let bucket = Bucket::new(10.0, 2.0);
        assert!(bucket.take(20));
        assert!(!bucket.take(1));
        tokio::time::advance(SECOND / 2).await;
        assert!(bucket.take(5));
        assert!(!bucket.take(1));
        assert!(bucket.is_below(0.1) && !bucket.is_below(0.0));
        tokio::time::advance(60 * SECOND).await;
        assert!(bucket.is_full() && !bucket.is_below(1.0));
        assert!(!bucket.take(21));
        assert!(bucket.take(20));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_there_yet_is_waited_for_within_patience() {
        let bucket = Bucket::new(10.0, 1.0);
        assert!(bucket.take(10));
        let wait = bucket.reserve_within(5, SECOND).unwrap();
        assert!((wait.as_secs_f64() - 0.5).abs() < 0.001, "{wait:?}");
        assert!(bucket.reserve_within(6, SECOND).is_none());
        assert_eq!(bucket.reserve_within(5, SECOND).map(|wait| wait.as_millis()), Some(1_000));
    }

    #[tokio::test(start_paused = true)]
    async fn each_key_has_its_own_and_quiet_ones_make_room() {
        let buckets = Buckets::new(1.0, 1.0);
        for key in 0..KEYS_MAX {
            assert!(buckets.reserve_within(key, Duration::ZERO).is_some());
        }
        assert!(buckets.reserve_within(0, Duration::ZERO).is_none());
        assert!(buckets.reserve_within(KEYS_MAX, SECOND).is_none());
        tokio::time::advance(2 * SECOND).await;
        assert!(buckets.reserve_within(KEYS_MAX, SECOND).is_some());
        assert_eq!(buckets.of.lock().len(), 1);
    }
}
