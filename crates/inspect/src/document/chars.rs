//! The characters of a JSON string, unescaped one at a time with their places.
//!
//! It reads strings that the parser has accepted; it does not judge them.

/// One decoded character and the bytes of the source that stand for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TextChar {
    pub(crate) value: char,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// Decodes the inside of a JSON string, or a plain text when escapes are off.
#[derive(Debug, Clone)]
pub(crate) struct JsonChars<'a> {
    text: &'a str,
    at: usize,
    escapes: bool,
}

impl<'a> JsonChars<'a> {
    /// Reads what stands between the quotes of a JSON string.
    pub(crate) fn escaped(text: &'a str) -> Self {
        Self { text, at: 0, escapes: true }
    }

    /// Reads a text in which a backslash is a backslash.
    pub(crate) fn plain(text: &'a str) -> Self {
        Self { text, at: 0, escapes: false }
    }

    fn escape(&self, start: usize) -> TextChar {
        let byte = self.text.as_bytes().get(start + 1).copied().unwrap_or_default();
        let value = match byte {
            b'n' => '\n',
            b't' => '\t',
            b'r' => '\r',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'u' => return self.unicode(start),
            other => char::from(other),
        };
        TextChar { value, start, end: start + 2 }
    }

    fn unicode(&self, start: usize) -> TextChar {
        let first = hex4(self.text, start + 2).unwrap_or(REPLACEMENT);
        if (0xD800..0xDC00).contains(&first) {
            let second = hex4(self.text, start + 8).unwrap_or_default();
            let joined = 0x1_0000 + ((first - 0xD800) << 10) + (second & 0x3FF);
            let value = char::from_u32(joined).unwrap_or('\u{fffd}');
            return TextChar { value, start, end: start + 12 };
        }
        let value = char::from_u32(first).unwrap_or('\u{fffd}');
        TextChar { value, start, end: start + 6 }
    }
}

impl Iterator for JsonChars<'_> {
    type Item = TextChar;

    fn next(&mut self) -> Option<TextChar> {
        let start = self.at;
        let value = self.text.get(start..)?.chars().next()?;
        let step = if value == '\\' && self.escapes {
            self.escape(start)
        } else {
            TextChar { value, start, end: start + value.len_utf8() }
        };
        self.at = step.end;
        Some(step)
    }
}

/// What stands for a broken escape, which the parser does not let through.
const REPLACEMENT: u32 = 0xFFFD;

/// Reads four hexadecimal digits.
pub(crate) fn hex4(text: &str, at: usize) -> Option<u32> {
    let digits = text.get(at..at.checked_add(4)?)?;
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    u32::from_str_radix(digits, 16).ok()
}
