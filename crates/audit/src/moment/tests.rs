//! Moments as text and back, and what people may write.

use proptest::prelude::*;

use super::{MICROS_MAX, parse_moment, timestamp, to_micros};

#[test]
fn moments_are_written_with_microseconds() {
    let table = [
        (0, "1970-01-01T00:00:00.000000Z"),
        (1, "1970-01-01T00:00:00.000001Z"),
        (1_769_860_800_123_456, "2026-01-31T12:00:00.123456Z"),
        (-1, "1970-01-01T00:00:00.000000Z"),
        (i64::MIN, "1970-01-01T00:00:00.000000Z"),
        (i64::MAX, "9999-12-31T23:59:59.999999Z"),
    ];
    for (micros, text) in table {
        assert_eq!(timestamp(micros), text);
    }
}

#[test]
fn a_moment_is_absolute_or_so_long_ago() {
    const NOW: i64 = 1_769_860_800_000_000;
    let table = [
        ("2026-01-31T12:00:00Z", Some(NOW)),
        ("2026-01-31T13:00:00+01:00", Some(NOW)),
        ("2026-01-31T12:00:00.000001Z", Some(NOW + 1)),
        ("90s", Some(NOW - 90_000_000)),
        ("15m", Some(NOW - 900_000_000)),
        ("2h", Some(NOW - 7_200_000_000)),
        ("7d", Some(NOW - 604_800_000_000)),
        ("0s", Some(NOW)),
        ("", None),
        ("h", None),
        ("-2h", None),
        ("+2h", None),
        ("2 h", None),
        ("2w", None),
        ("2é", None),
        ("99999999999999999999h", None),
        ("9999999999999999d", None),
        ("yesterday", None),
        ("2026-01-31", None),
        ("2026-13-31T12:00:00Z", None),
    ];
    for (text, expected) in table {
        assert_eq!(parse_moment(text, NOW).ok(), expected, "{text}");
    }
}

#[test]
fn a_bad_moment_is_shown_escaped_and_short() {
    let error = parse_moment(&"\u{1b}".repeat(1_000), 0).unwrap_err().to_string();
    assert!(error.starts_with("`\\u{1b}\\u{1b}"), "{error}");
    assert!(error.ends_with("for that long ago"), "{error}");
    assert!(error.len() < 600, "{error}");
}

proptest! {
    #[test]
    fn written_moments_are_read_back(micros in 0..=MICROS_MAX) {
        prop_assert_eq!(to_micros(&timestamp(micros)), Some(micros));
    }
}
