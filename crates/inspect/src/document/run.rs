//! How far a string goes on before something in it ends it, escapes, or is not allowed.
//!
//! It looks at bytes, eight at a time, and judges none of them.

/// Returns the place of the first quote, backslash or control character.
pub(super) fn plain_len(bytes: &[u8]) -> Option<usize> {
    let (words, rest) = bytes.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let marks = marks(u64::from_le_bytes(*word));
        if marks != 0 {
            return Some(at * 8 + usize::try_from(marks.trailing_zeros() / 8).ok()?);
        }
    }
    let is_special = |b: &u8| matches!(b, b'"' | b'\\' | 0..0x20);
    rest.iter().position(is_special).map(|at| words.len() * 8 + at)
}

/// Marks the bytes of a word that are special; only the lowest mark is sure to be right.
fn marks(word: u64) -> u64 {
    let quotes = word ^ (EACH * u64::from(b'"'));
    let backslashes = word ^ (EACH * u64::from(b'\\'));
    below(word, 0x20) | below(quotes, 1) | below(backslashes, 1)
}

/// Sets the highest bit of bytes less than `limit`, which is at most 128. The subtraction borrows
/// from the next byte after such a byte only, so the lowest of the marks is right.
fn below(word: u64, limit: u64) -> u64 {
    word.wrapping_sub(EACH * limit) & !word & (EACH * 0x80)
}

/// The number one in each byte.
const EACH: u64 = u64::MAX / 0xFF;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_special_byte_is_found_wherever_it_stands() {
        for special in (0..=u8::MAX).filter(|b| matches!(b, b'"' | b'\\' | 0..0x20)) {
            for filler in (0..=u8::MAX).filter(|b| !matches!(b, b'"' | b'\\' | 0..0x20)) {
                for at in 0..20 {
                    let mut bytes = [filler; 20];
                    assert_eq!(plain_len(&bytes), None);
                    bytes[at] = special;
                    assert_eq!(plain_len(&bytes), Some(at), "{special} among {filler}");
                    if let Some(next) = bytes.get_mut(at + 1) {
                        *next = b'"';
                    }
                    assert_eq!(plain_len(&bytes), Some(at), "{special} before a quote");
                }
            }
        }
    }
}
