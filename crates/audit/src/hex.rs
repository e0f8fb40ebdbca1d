//! Hashes as lower-case hexadecimal text and back; no other encoding.

use crate::Hash;

/// Returns the bytes as lower-case hexadecimal digits.
#[must_use]
pub fn to_hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Returns the hash that 64 lower-case hexadecimal digits stand for.
#[must_use]
pub fn from_hex(text: &str) -> Option<Hash> {
    let mut hash = Hash::default();
    let digits = text.as_bytes();
    if digits.len() != 2 * hash.len() {
        return None;
    }
    for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = value(*high)? << 4 | value(*low)?;
    }
    Some(hash)
}

const fn value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// Hashes as hexadecimal text wherever serde writes one.
pub(crate) fn serialize<S: serde::Serializer>(hash: &Hash, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&to_hex(hash))
}

/// Hashes that may be absent, likewise.
#[expect(clippy::ref_option, reason = "the signature is serde's")]
pub(crate) fn serialize_option<S: serde::Serializer>(
    hash: &Option<Hash>,
    to: S,
) -> Result<S::Ok, S::Error> {
    match hash {
        Some(hash) => to.serialize_some(&to_hex(hash)),
        None => to.serialize_none(),
    }
}
