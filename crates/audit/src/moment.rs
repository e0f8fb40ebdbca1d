//! Moments as records write them and as people ask for them.
//!
//! There is no clock here: whoever asks relative to now says when now is.

use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};

/// Says why a text is not a moment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{}` is not a moment; write `2026-01-31T12:00:00Z`, or `90s`, `15m`, `2h`, `7d` for that \
     long ago", text.escape_debug()
)]
pub struct MomentError {
    text: String,
}

/// Returns a moment, in microseconds since 1970, as records write it.
///
/// Moments outside the years 1970 to 9999 become the nearest of them.
#[must_use]
pub fn timestamp(unix_micros: i64) -> String {
    let micros = unix_micros.clamp(0, MICROS_MAX);
    let shape =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1_000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
        .format(shape)
        .unwrap_or_default()
}

/// Returns the microseconds since 1970 of an RFC 3339 text.
#[must_use]
pub fn to_micros(rfc3339: &str) -> Option<i64> {
    let moment = OffsetDateTime::parse(rfc3339, &Rfc3339).ok()?.to_offset(UtcOffset::UTC);
    i64::try_from(moment.unix_timestamp_nanos().div_euclid(1_000)).ok()
}

/// Reads a moment: RFC 3339, or a number with `s`, `m`, `h` or `d` for that long before now.
///
/// # Errors
/// Refuses every other text.
pub fn parse_moment(text: &str, now_micros: i64) -> Result<i64, MomentError> {
    ago(text)
        .map(|micros| now_micros.saturating_sub(micros))
        .or_else(|| to_micros(text))
        .ok_or_else(|| MomentError { text: text.chars().take(SHOWN_CHARS_MAX).collect() })
}

fn ago(text: &str) -> Option<i64> {
    let unit = text.chars().next_back()?;
    let seconds: i64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    };
    let digits = text.strip_suffix(unit)?;
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse::<i64>().ok()?.checked_mul(seconds)?.checked_mul(1_000_000)
}

/// The last microsecond of the year 9999.
const MICROS_MAX: i64 = 253_402_300_799_999_999;
const SHOWN_CHARS_MAX: usize = 64;

#[cfg(test)]
mod tests;
