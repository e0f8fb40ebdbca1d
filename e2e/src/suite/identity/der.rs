//! Distinguished Encoding Rules (X.690), as much as a certificate needs; it writes and never reads.
//!
//! Certificates that break a rule cannot be had from a library that keeps the rules.

use anyhow::{Context as _, Result};
use time::OffsetDateTime;
use time::format_description::FormatItem;
use time::macros::format_description;

/// Bytes that are one or more whole elements.
pub(super) type Der = Vec<u8>;

/// Writes an element of any tag.
pub(super) fn element(tag: u8, content: &[u8]) -> Der {
    let mut element = vec![tag];
    let length = content.len().to_be_bytes();
    let significant: Vec<u8> = length.into_iter().skip_while(|byte| *byte == 0).collect();
    match significant.as_slice() {
        [] => element.push(0),
        [short] if *short < LONG_FORM => element.push(*short),
        long => {
            // A length has at most 8 bytes here, so the sum fits.
            element.push(LONG_FORM | u8::try_from(long.len()).unwrap_or_default());
            element.extend_from_slice(long);
        }
    }
    element.extend_from_slice(content);
    element
}

pub(super) fn sequence(parts: &[&[u8]]) -> Der {
    element(0x30, &parts.concat())
}

pub(super) fn set(parts: &[&[u8]]) -> Der {
    element(0x31, &parts.concat())
}

/// Writes a number that is not negative, from its bytes, most significant first.
pub(super) fn integer(bytes: &[u8]) -> Der {
    let mut content: Vec<u8> = bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
    if content.first().is_none_or(|first| *first >= LONG_FORM) {
        content.insert(0, 0);
    }
    element(0x02, &content)
}

pub(super) fn boolean(is_true: bool) -> Der {
    element(0x01, &[if is_true { 0xff } else { 0 }])
}

pub(super) fn octets(content: &[u8]) -> Der {
    element(0x04, content)
}

/// Writes whole bytes as a bit string.
pub(super) fn bits(content: &[u8]) -> Der {
    element(0x03, &[&[0], content].concat())
}

/// Writes named bits, the first being number 0, without zeros at the end (X.690, 11.2.2).
pub(super) fn named_bits(numbers: &[u8]) -> Der {
    let Some(highest) = numbers.iter().max() else { return element(0x03, &[0]) };
    let mut bytes = vec![0_u8; usize::from(highest / 8) + 1];
    for number in numbers {
        if let Some(byte) = bytes.get_mut(usize::from(number / 8)) {
            *byte |= 0x80 >> (number % 8);
        }
    }
    bytes.insert(0, 7 - highest % 8);
    element(0x03, &bytes)
}

pub(super) fn utf8(text: &str) -> Der {
    element(0x0c, text.as_bytes())
}

/// Writes an object identifier; at least two numbers, the first two below 40.
pub(super) fn oid(numbers: &[u32]) -> Der {
    let [first, second, rest @ ..] = numbers else { return Der::new() };
    let mut content = Vec::new();
    for number in std::iter::once(&(first * 40 + second)).chain(rest) {
        let mut groups = vec![*number & 0x7f];
        let mut above = number >> 7;
        while above > 0 {
            groups.push(above & 0x7f | 0x80);
            above >>= 7;
        }
        content.extend(groups.into_iter().rev().filter_map(|group| u8::try_from(group).ok()));
    }
    element(0x06, &content)
}

/// Writes a field of a structure around whole elements (`[n] EXPLICIT`, and `[n]` of a choice).
pub(super) fn explicit(number: u8, content: &[u8]) -> Der {
    element(0xa0 | number, content)
}

/// Writes a field of a structure whose content is bytes (`[n] IMPLICIT`).
pub(super) fn implicit(number: u8, content: &[u8]) -> Der {
    element(0x80 | number, content)
}

/// Writes a time as RFC 5280 wants it until 2049.
pub(super) fn time(unix: i64) -> Result<Der> {
    let text = OffsetDateTime::from_unix_timestamp(unix)?.format(UTC_TIME).context("UTCTime")?;
    Ok(element(0x17, text.as_bytes()))
}

const UTC_TIME: &[FormatItem<'_>] =
    format_description!("[year repr:last_two][month][day][hour][minute][second]Z");
const LONG_FORM: u8 = 0x80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_have_the_bytes_of_the_standard() {
        assert_eq!(element(0x04, &[]), [4, 0]);
        assert_eq!(element(0x04, &[7; 128])[..3], [4, 0x81, 128]);
        assert_eq!(element(0x04, &[7; 300])[..4], [4, 0x82, 1, 44]);
        assert_eq!(integer(&[0, 0]), [2, 1, 0]);
        assert_eq!(integer(&[0x80]), [2, 2, 0, 0x80]);
        assert_eq!(oid(&[1, 2, 840, 113_549]), [6, 6, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d]);
        assert_eq!(named_bits(&[0]), [3, 2, 7, 0x80]);
        assert_eq!(named_bits(&[5, 6]), [3, 2, 1, 0x06]);
        assert_eq!(named_bits(&[]), [3, 1, 0]);
        assert_eq!(time(0).unwrap(), *b"\x17\x0d700101000000Z");
    }
}
