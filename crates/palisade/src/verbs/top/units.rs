//! Numbers and times, short enough for a column.

use std::time::Duration;

/// Writes microseconds: `12us`, `1.5ms`, `2.0s`.
pub(crate) fn micros(micros: f64) -> String {
    if micros < 10.0 {
        format!("{micros:.1}us")
    } else if micros < 1_000.0 {
        format!("{micros:.0}us")
    } else if micros < 1_000_000.0 {
        format!("{:.1}ms", micros / 1_000.0)
    } else {
        format!("{:.1}s", micros / 1_000_000.0)
    }
}

/// Writes a number of things: `950`, `12.3k`, `4.5M`.
pub(crate) fn count(count: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits of it are shown")]
    let exact = count as f64;
    if count < 1_000 {
        count.to_string()
    } else if count < 1_000_000 {
        format!("{:.1}k", exact / 1e3)
    } else if count < 1_000_000_000 {
        format!("{:.1}M", exact / 1e6)
    } else {
        format!("{:.1}G", exact / 1e9)
    }
}

/// Writes how many came in a second.
pub(crate) fn rate(count: u64, period_ms: u64) -> String {
    let per_second = per_second(count, period_ms);
    if per_second < 1_000.0 {
        format!("{per_second:.1}/s")
    } else if per_second < 1_000_000.0 {
        format!("{:.1}k/s", per_second / 1e3)
    } else {
        format!("{:.1}M/s", per_second / 1e6)
    }
}

/// Writes how many bytes came in a second.
pub(crate) fn byte_rate(bytes: u64, period_ms: u64) -> String {
    let per_second = per_second(bytes, period_ms);
    if per_second < 1_024.0 {
        format!("{per_second:.0} B/s")
    } else if per_second < 1_048_576.0 {
        format!("{:.1} KiB/s", per_second / 1_024.0)
    } else {
        format!("{:.1} MiB/s", per_second / 1_048_576.0)
    }
}

/// Returns how many came in a second.
#[expect(clippy::cast_precision_loss, reason = "rates of less than 2^53 in a period")]
pub(crate) fn per_second(count: u64, period_ms: u64) -> f64 {
    count as f64 * 1_000.0 / period_ms.max(1) as f64
}

/// Writes a span of time by its two largest units: `3d 4h`, `5m 06s`.
pub(crate) fn span(millis: u64) -> String {
    let seconds = millis / 1_000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {:02}s", seconds % 60),
        (0, ..) => format!("{hours}h {:02}m", minutes % 60),
        _ => format!("{days}d {:02}h", hours % 24),
    }
}

/// Writes the time of day of a moment, UTC.
pub(crate) fn clock(at_ms: u64) -> String {
    let seconds = Duration::from_millis(at_ms).as_secs() % 86_400;
    format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

/// Writes a moment in microseconds since 1970, UTC.
pub(crate) fn moment(at_us: u64) -> String {
    audit::timestamp(i64::try_from(at_us).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_column() {
        let counts = [0, 999, 1_000, 12_345, 4_500_000, 7_000_000_000].map(count);
        assert_eq!(counts, ["0", "999", "1.0k", "12.3k", "4.5M", "7.0G"]);
        let times = [0.0, 9.94, 10.0, 999.0, 1_500.0, 2_000_000.0].map(micros);
        assert_eq!(times, ["0.0us", "9.9us", "10us", "999us", "1.5ms", "2.0s"]);
        assert_eq!([rate(5, 2_000), rate(5_000, 1_000), rate(1, 0)], ["2.5/s", "5.0k/s", "1.0k/s"]);
        assert_eq!([byte_rate(100, 1_000), byte_rate(2_048, 1_000)], ["100 B/s", "2.0 KiB/s"]);
        let spans = [900, 61_000, 3_700_000, 90_000_000].map(span);
        assert_eq!(spans, ["0s", "1m 01s", "1h 01m", "1d 01h"]);
        assert_eq!(clock(86_400_000 + 3_661_000), "01:01:01");
    }
}
