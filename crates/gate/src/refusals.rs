//! Bounds the records of refusals, which cost their sender almost nothing.
//!
//! Each principal's refusals are recorded one by one up to a rate; beyond it they are counted by
//! code, and the counts are recorded. Nothing is refused without being in the log.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use parking_lot::Mutex;

use crate::types::Timestamp;

/// The refusals of each principal in the current period.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<HashMap<String, Tally>>);

#[derive(Debug, Default)]
struct Tally {
    since: Timestamp,
    recorded: u32,
    left_out: BTreeMap<&'static str, u64>,
}

impl Tally {
    /// Returns whether the period has ended, or lies ahead of a clock that went back.
    fn is_over(&self, now: Timestamp) -> bool {
        now.since(self.since) >= PERIOD || self.since.since(now) >= PERIOD
    }
}

/// Refusals that were counted instead of recorded, by code.
pub(crate) type LeftOut = BTreeMap<&'static str, u64>;

// LIMIT: refusals of one principal that are recorded one by one, a period.
const RECORDS_MAX: u32 = 600;
const PERIOD: Duration = Duration::from_secs(60);

// LIMIT: principals that are told apart; further ones share one tally.
const PRINCIPALS_MAX: usize = 10_000;
const OTHERS: &str = "others";

impl Refusals {
    /// Returns whether a refusal is recorded by itself; it is counted if not.
    pub(crate) fn admit(&self, principal: &str, code: &'static str, now: Timestamp) -> bool {
        let mut tallies = self.0.lock();
        let is_full = tallies.len() >= PRINCIPALS_MAX;
        let name = if is_full && !tallies.contains_key(principal) { OTHERS } else { principal };
        let tally = tallies.entry(name.to_owned()).or_default();
        if tally.is_over(now) {
            tally.since = now;
            tally.recorded = 0;
        }
        if tally.recorded < RECORDS_MAX {
            tally.recorded += 1;
            return true;
        }
        *tally.left_out.entry(code).or_default() += 1;
        false
    }

    /// Takes the counts whose period is over, or all; forgets principals that went quiet.
    pub(crate) fn take(&self, now: Timestamp, all: bool) -> Vec<(String, LeftOut)> {
        let mut taken = Vec::new();
        self.0.lock().retain(|principal, tally| {
            let is_over = tally.is_over(now);
            if (is_over || all) && !tally.left_out.is_empty() {
                taken.push((principal.clone(), std::mem::take(&mut tally.left_out)));
            }
            !is_over || !tally.left_out.is_empty()
        });
        taken
    }

    /// Puts counts back that could not be recorded.
    pub(crate) fn put_back(&self, principal: &str, left_out: &LeftOut) {
        let mut tallies = self.0.lock();
        let tally = tallies.entry(principal.to_owned()).or_default();
        for (code, count) in left_out {
            *tally.left_out.entry(code).or_default() += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Timestamp {
        Timestamp::from_micros((1_000 + second) * 1_000_000)
    }

    #[test]
    fn a_flood_of_refusals_is_recorded_as_numbers_and_hides_nobody_else() {
        let refusals = Refusals::default();
        let admitted = (0..10_000).filter(|_| refusals.admit("a", "not_authorized", at(0)));
        assert_eq!(admitted.count(), 600);
        assert!(refusals.admit("b", "not_authorized", at(0)));
        assert!(refusals.take(at(59), false).is_empty());
        let taken = refusals.take(at(60), false);
        assert_eq!(taken, [("a".to_owned(), BTreeMap::from([("not_authorized", 9_400)]))]);
        assert!(refusals.admit("a", "not_authorized", at(61)));
    }

    #[test]
    fn a_clock_that_goes_back_does_not_hold_counts_back() {
        let refusals = Refusals::default();
        for _ in 0..601 {
            refusals.admit("a", "x", at(1_000));
        }
        assert!(refusals.take(at(941), false).is_empty());
        assert_eq!(refusals.take(at(940), false), [("a".to_owned(), BTreeMap::from([("x", 1)]))]);
    }

    #[test]
    fn principals_are_forgotten_when_they_are_quiet_and_bounded_when_they_are_many() {
        let refusals = Refusals::default();
        for number in 0..PRINCIPALS_MAX + 5 {
            refusals.admit(&number.to_string(), "x", at(0));
        }
        assert_eq!(refusals.0.lock().len(), PRINCIPALS_MAX + 1);
        assert!(refusals.take(at(60), false).is_empty());
        assert!(refusals.0.lock().is_empty());
    }
}
