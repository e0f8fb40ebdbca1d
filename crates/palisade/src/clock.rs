//! The one place where this program reads a clock.
//!
//! Everything below the command line gets the time as a parameter.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Returns the seconds since 1970.
pub(crate) fn unix_seconds() -> i64 {
    i64::try_from(since_epoch().as_secs()).unwrap_or(i64::MAX)
}

/// Returns the microseconds since 1970.
pub(crate) fn unix_micros() -> i64 {
    i64::try_from(since_epoch().as_micros()).unwrap_or(i64::MAX)
}

/// Returns a point in time that only serves to measure from.
#[expect(clippy::disallowed_methods, reason = "the program's own clock, read only here")]
pub(crate) fn instant() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "the program's own clock, read only here")]
fn since_epoch() -> std::time::Duration {
    // A clock before 1970 counts as 1970: certificates are then not valid yet, which says it.
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
