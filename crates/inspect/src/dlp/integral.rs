//! Whole numbers that are written with a fraction or an exponent: `4111.0`, `1.23e2`.
//!
//! It moves digits and computes no doubles, which would round long numbers to others.

/// Appends the digits of a number that is written with a fraction or an exponent, after its sign;
/// says whether it did. It leaves out what has a fraction, is zero, or is too long for a number of
/// a card or a person.
pub(super) fn push_integral(out: &mut String, literal: &str) -> bool {
    // Most measured values end here: a last digit other than zero, and no exponent after it.
    if !literal.ends_with('0') && !literal.bytes().any(|b| matches!(b, b'e' | b'E')) {
        return false;
    }
    let Some((whole, fraction, zeros)) = parts(literal.trim_start_matches('-')) else {
        return false;
    };
    out.extend(literal.starts_with('-').then_some('-'));
    out.push_str(whole);
    out.push_str(fraction);
    out.extend(std::iter::repeat_n('0', zeros));
    true
}

/// Splits a number without its sign into the digits before and after the point, without zeros that
/// say nothing, and the count of zeros that the exponent adds.
fn parts(number: &str) -> Option<(&str, &str, usize)> {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let fraction = fraction.trim_end_matches('0');
    // An exponent that overflows belongs to zero or to next to nothing.
    let exponent: i64 = exponent.parse().ok()?;
    let zeros = exponent.checked_sub(i64::try_from(fraction.len()).ok()?)?;
    let whole = whole.trim_start_matches('0');
    let (whole, fraction) = match usize::try_from(zeros) {
        Ok(_) if whole.is_empty() => (whole, fraction.trim_start_matches('0')),
        Ok(_) => (whole, fraction),
        Err(_) if fraction.is_empty() => (without_zeros(whole, zeros.unsigned_abs())?, ""),
        Err(_) => return None,
    };
    let zeros = usize::try_from(zeros).unwrap_or_default();
    let len = whole.len() + fraction.len();
    let is_fit = len > 0 && zeros <= DIGITS_MAX && len + zeros <= DIGITS_MAX;
    is_fit.then_some((whole, fraction, zeros))
}

/// Takes as many zeros from the end, if they are there.
fn without_zeros(digits: &str, count: u64) -> Option<&str> {
    let (kept, dropped) =
        digits.split_at_checked(digits.len().checked_sub(usize::try_from(count).ok()?)?)?;
    dropped.bytes().all(|b| b == b'0').then_some(kept)
}

/// The longest card numbers have 19 digits, after ISO/IEC 7812.
const DIGITS_MAX: usize = 19;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_without_a_fraction_are_written_out() {
        let table = [
            ("4111111111111111.0", Some("4111111111111111")),
            ("536228145.000", Some("536228145")),
            ("1.23e2", Some("123")),
            ("-1.230E+2", Some("-123")),
            ("123000e-3", Some("123")),
            ("0.00123e5", Some("123")),
            ("0.123e4", Some("1230")),
            ("1e18", Some("1000000000000000000")),
            ("12e0", Some("12")),
            ("1.0", Some("1")),
            ("1e19", None),
            ("12345678901234567890.0", None),
            ("1.23e1", None),
            ("1230e-2", None),
            ("1e-9", None),
            ("4111111111111111.5", None),
            ("0.0", None),
            ("-0.0e5", None),
            ("0e99999999999999999999", None),
            ("1e-99999999999999999999", None),
        ];
        for (literal, expected) in table {
            let mut out = String::new();
            let is_integral = push_integral(&mut out, literal);
            assert_eq!(is_integral.then_some(out.as_str()), expected, "{literal}");
            assert!(is_integral || out.is_empty(), "{literal}");
        }
    }
}
