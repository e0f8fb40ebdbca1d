//! How many failed connections are recorded, and how many only counted.

use std::time::Duration;

use gate::types::Timestamp;
use parking_lot::Mutex;

/// Bounds the records of failed connections, which cost their maker almost nothing.
#[derive(Debug, Default)]
pub(super) struct Failures(Mutex<(Timestamp, u32, u64)>);

// LIMIT: records of failed connections in a second.
const RECORDS_PER_SECOND: u32 = 20;

impl Failures {
    /// Returns how many were left out since the last record, or nothing if this one is too.
    pub(super) fn admit(&self, now: Timestamp) -> Option<u64> {
        let mut state = self.0.lock();
        let (since, recorded, left_out) = &mut *state;
        if now.since(*since) >= Duration::from_secs(1) {
            *since = now;
            *recorded = 0;
        }
        if *recorded >= RECORDS_PER_SECOND {
            *left_out += 1;
            return None;
        }
        *recorded += 1;
        Some(std::mem::take(left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_failed_connections_is_recorded_as_a_number() {
        let failures = Failures::default();
        let at = |second: u64| Timestamp::from_micros(second * 1_000_000);
        for _ in 0..RECORDS_PER_SECOND {
            assert_eq!(failures.admit(at(10)), Some(0));
        }
        for _ in 0..500 {
            assert_eq!(failures.admit(at(10)), None);
        }
        assert_eq!(failures.admit(at(11)), Some(500));
        assert_eq!(failures.admit(at(11)), Some(0));
    }
}
