//! What a match must pass to be a finding: check digits, issued ranges, surroundings.
//!
//! Each check sees one field only and decides nothing about actions.

use std::ops::Range;

/// A match in a field; ranges are bytes of the field's text.
pub(super) struct Candidate<'a> {
    pub(super) text: &'a str,
    pub(super) matched: Range<usize>,
    /// The first group of the pattern, or the whole match.
    pub(super) value: Range<usize>,
}

/// Returns the bytes to report, or nothing if the match is no finding.
pub(super) type Check = fn(&Candidate<'_>) -> Option<Range<usize>>;

impl Candidate<'_> {
    fn value(&self) -> &str {
        self.text.get(self.value.clone()).unwrap_or_default()
    }

    fn before(&self) -> &[u8] {
        self.text.as_bytes().get(..self.value.start).unwrap_or_default()
    }

    fn after(&self) -> &[u8] {
        self.text.as_bytes().get(self.value.end..).unwrap_or_default()
    }

    /// Says whether the digits are the fraction or the whole part of a decimal number.
    fn is_decimal(&self) -> bool {
        let fraction = matches!(self.before(), [.., digit, b'.'] if digit.is_ascii_digit());
        let whole = matches!(self.after(), [b'.', digit, ..] if digit.is_ascii_digit());
        fraction || whole
    }

    /// Says whether the value is a part of a UUID.
    fn is_in_uuid(&self) -> bool {
        let is_part = |b: &&u8| b.is_ascii_hexdigit() || **b == b'-';
        let lead = self.before().iter().rev().take(UUID_LEN).take_while(is_part).count();
        let trail = self.after().iter().take(UUID_LEN).take_while(is_part).count();
        let token = self.value.start - lead..self.value.end + trail;
        let bytes = self.text.as_bytes().get(token).unwrap_or_default();
        bytes.len() == UUID_LEN && [8, 13, 18, 23].iter().all(|at| bytes.get(*at) == Some(&b'-'))
    }

    fn report(&self, is_finding: bool) -> Option<Range<usize>> {
        is_finding.then(|| self.value.clone())
    }
}

pub(super) fn whole(candidate: &Candidate<'_>) -> Option<Range<usize>> {
    candidate.report(true)
}

/// A number in the form 3-2-4 with one kind of separator, in a range that is issued.
pub(super) fn ssn_parted(candidate: &Candidate<'_>) -> Option<Range<usize>> {
    let value = candidate.value();
    let mut gaps = value.bytes().filter(|b| !b.is_ascii_digit());
    let is_even = gaps.next() == gaps.next();
    let is_issued = is_even && ssn_is_issued(&digits(value));
    candidate.report(is_issued && !candidate.is_decimal() && !candidate.is_in_uuid())
}

/// Nine digits near the word; taxpayer numbers, which begin with 9, are as private there.
pub(super) fn ssn_named(candidate: &Candidate<'_>) -> Option<Range<usize>> {
    candidate.report(ssn_is_plausible(&digits(candidate.value())) && !candidate.is_decimal())
}

/// Says whether nine digits are in a range that the Social Security Administration gives out:
/// no area 000, 666 or 900 and above, no group 00, no serial 0000.
pub(super) fn ssn_is_issued(digits: &str) -> bool {
    let area = digits.get(..3).unwrap_or_default();
    ssn_is_plausible(digits) && area != "666" && !area.starts_with('9')
}

pub(super) fn ssn_is_plausible(digits: &str) -> bool {
    let part = |range: Range<usize>| digits.get(range).unwrap_or_default();
    digits.len() == 9 && part(0..3) != "000" && part(3..5) != "00" && part(5..9) != "0000"
}

/// An address whose last part is not a file name's ending.
pub(super) fn email(candidate: &Candidate<'_>) -> Option<Range<usize>> {
    let value = candidate.value();
    let last = value.rsplit('.').next().unwrap_or_default();
    candidate.report(!FILE_ENDINGS.iter().any(|ending| last.eq_ignore_ascii_case(ending)))
}

pub(super) fn phone(candidate: &Candidate<'_>) -> Option<Range<usize>> {
    candidate.report(is_alone(candidate) && !candidate.is_decimal() && !candidate.is_in_uuid())
}

pub(super) fn phone_international(candidate: &Candidate<'_>) -> Option<Range<usize>> {
    let count = digits(candidate.value()).len();
    candidate.report((9..=15).contains(&count) && is_alone(candidate) && !candidate.is_decimal())
}

/// Says whether the value is not the middle of a longer number or word.
fn is_alone(candidate: &Candidate<'_>) -> bool {
    let (before, after) = (candidate.before(), candidate.after());
    let joins = |b: &u8| b.is_ascii_alphanumeric();
    let glued = before.last().is_some_and(joins);
    let longer_before = matches!(before, [.., digit, b'-'] if digit.is_ascii_digit());
    let longer_after = matches!(after, [b'-', digit, ..] if digit.is_ascii_digit());
    !glued && !longer_before && !longer_after
}

/// Digits that are not a day written as year, month, day.
pub(super) fn not_a_date(candidate: &Candidate<'_>) -> Option<Range<usize>> {
    let value = candidate.value();
    let part = |range: Range<usize>| value.get(range).and_then(|digits| digits.parse::<u32>().ok());
    let is_date = value.len() == 8
        && part(0..4).is_some_and(|year| (1900..2100).contains(&year))
        && part(4..6).is_some_and(|month| (1..=12).contains(&month))
        && part(6..8).is_some_and(|day| (1..=31).contains(&day));
    candidate.report(!is_date)
}

/// A card number: the brand's range and the check digit.
pub(super) fn card(candidate: &Candidate<'_>) -> Option<Range<usize>> {
    let digits = digits(candidate.value());
    let lead: u32 = digits.get(..4).and_then(|lead| lead.parse().ok()).unwrap_or_default();
    let is_branded = match lead {
        2000..=2999 => (2221..=2720).contains(&lead),
        3500..=3599 => (3528..=3589).contains(&lead),
        _ => true,
    };
    candidate
        .report(is_branded && luhn(&digits) && !candidate.is_decimal() && !candidate.is_in_uuid())
}

/// Says whether the last digit is the check digit of the others, after H. P. Luhn.
pub(super) fn luhn(digits: &str) -> bool {
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(at, byte)| {
            let digit = u32::from(byte.saturating_sub(b'0'));
            match (at % 2, digit * 2) {
                (0, _) => digit,
                (_, twice) if twice > 9 => twice - 9,
                (_, twice) => twice,
            }
        })
        .sum();
    !digits.is_empty() && sum.is_multiple_of(10)
}

/// A key after its name; without a colon between them it must look much more like a key.
pub(super) fn api_key(candidate: &Candidate<'_>) -> Option<Range<usize>> {
    let value = candidate.value().trim_end_matches(['.', '/']);
    let name = candidate.text.get(candidate.matched.start..candidate.value.start);
    let is_assigned = name.is_some_and(|name| name.contains([':', '=']));
    let digit_count = value.bytes().filter(u8::is_ascii_digit).count();
    let has_letter = value.bytes().any(|b| b.is_ascii_alphabetic());
    let is_key = if is_assigned {
        value.len() >= 32 || (value.len() >= 16 && digit_count > 0 && has_letter)
    } else {
        value.len() >= 24 && digit_count > 1 && has_letter
    };
    is_key.then_some(candidate.value.start..candidate.value.start + value.len())
}

/// A key from its first line to its last, or to the end of the text if that is missing.
pub(super) fn private_key(candidate: &Candidate<'_>) -> Option<Range<usize>> {
    let rest = candidate.text.get(candidate.value.end..).unwrap_or_default();
    let Some(last_line) = rest.find("-----END").or_else(|| rest.find("---- END")) else {
        return Some(candidate.value.start..candidate.text.len());
    };
    let tail = rest.get(last_line + 8..).unwrap_or_default();
    let close = tail.find("----").map_or(tail.len(), |at| {
        let dashes = tail.bytes().skip(at).take_while(|b| *b == b'-').count();
        at + dashes.min(5)
    });
    Some(candidate.value.start..candidate.value.end + last_line + 8 + close)
}

/// A password in prose: it must look like one, as people write about passwords too.
pub(super) fn password(candidate: &Candidate<'_>) -> Option<Range<usize>> {
    let value = candidate.value().trim_end_matches([',', ';', '.', ')', ']', '}', '>', '?', ':']);
    let has_digit = value.bytes().any(|b| b.is_ascii_digit());
    let has_symbol = value.bytes().any(|b| b"!@#$%^&*+=~?|".contains(&b));
    let is_secret = value.chars().count() >= PASSWORD_LEN_MIN
        && (has_digit || has_symbol)
        && !is_placeholder(value)
        && !value.contains("://");
    is_secret.then_some(candidate.value.start..candidate.value.start + value.len())
}

/// Says whether a text stands where a secret would, without being one.
pub(super) fn is_placeholder(value: &str) -> bool {
    let first = value.chars().next().unwrap_or_default();
    let is_one_character = value.chars().all(|c| c == first);
    let is_variable = ["<", "[REDACTED", "${", "$(", "{{", "%(", "***"];
    is_one_character
        || is_variable.iter().any(|lead| value.starts_with(lead))
        || PLACEHOLDERS.iter().any(|word| value.eq_ignore_ascii_case(word))
}

/// Returns the digits of a text.
pub(super) fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

/// The reference's pattern asks for as many.
pub(super) const PASSWORD_LEN_MIN: usize = 6;

const UUID_LEN: usize = 36;

/// Names like `icon@2x.png` are not addresses.
const FILE_ENDINGS: &[&str] =
    &["png", "jpg", "jpeg", "gif", "svg", "webp", "ico", "css", "js", "ts", "json", "html", "md"];

const PLACEHOLDERS: &[&str] = &[
    "required",
    "optional",
    "string",
    "redacted",
    "[redacted]",
    "masked",
    "hidden",
    "unknown",
    "undefined",
    "expired",
    "password",
    "changed",
    "incorrect",
    "invalid",
    "missing",
    "not set",
];
