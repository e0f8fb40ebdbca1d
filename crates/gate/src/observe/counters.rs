//! Counts by name, without a lock and with a bound.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// How often each of up to `N` names was counted; what is named behind them counts as `other`.
///
/// A name takes the first free place for good, so the place of a name that is counted often is
/// found early. Names must come from the program or its configuration, never from a caller.
#[derive(Debug)]
pub struct Counters<const N: usize> {
    named: [(OnceLock<Box<str>>, AtomicU64); N],
    other: AtomicU64,
}

/// The name of everything that found no place.
const OTHER: &str = "other";

impl<const N: usize> Default for Counters<N> {
    fn default() -> Self {
        Self {
            named: std::array::from_fn(|_| (OnceLock::new(), AtomicU64::new(0))),
            other: AtomicU64::new(0),
        }
    }
}

impl<const N: usize> Counters<N> {
    /// Counts a name once.
    pub fn count(&self, name: &str) {
        self.add(name, 1);
    }

    /// Counts a name so many times.
    pub fn add(&self, name: &str, count: u64) {
        // LIMIT: N names.
        let mine =
            self.named.iter().find(|(known, _)| &**known.get_or_init(|| name.into()) == name);
        let counter = mine.map_or(&self.other, |(_, counter)| counter);
        counter.fetch_add(count, Ordering::Relaxed);
    }

    /// Adds all counts to `sums`.
    pub fn add_to(&self, sums: &mut BTreeMap<String, u64>) {
        for (name, counter) in &self.named {
            let Some(name) = name.get() else { break };
            add(sums, name, counter.load(Ordering::Relaxed));
        }
        let other = self.other.load(Ordering::Relaxed);
        if other > 0 {
            add(sums, OTHER, other);
        }
    }

    /// Returns the counts by name.
    #[must_use]
    pub fn read(&self) -> BTreeMap<String, u64> {
        let mut sums = BTreeMap::new();
        self.add_to(&mut sums);
        sums
    }
}

fn add(sums: &mut BTreeMap<String, u64>, name: &str, count: u64) {
    match sums.get_mut(name) {
        Some(sum) => *sum = sum.saturating_add(count),
        None => drop(sums.insert(name.to_owned(), count)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_beyond_the_bound_are_counted_together() {
        let counters = Counters::<2>::default();
        for name in ["a", "b", "c", "a", "d"] {
            counters.count(name);
        }
        let expected = [("a", 2), ("b", 1), ("other", 2)];
        assert_eq!(counters.read(), expected.map(|(name, n)| (name.to_owned(), n)).into());
    }

    #[test]
    fn threads_that_count_the_same_new_names_lose_nothing() {
        let counters = Counters::<8>::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for turn in 0..1_000 {
                        counters.count(["a", "b", "c", "d"][turn % 4]);
                    }
                });
            }
        });
        let expected = ["a", "b", "c", "d"].map(|name| (name.to_owned(), 1_000));
        assert_eq!(counters.read(), expected.into());
    }
}
