//! Writes one flat JSON object, compact or indented, with every doubtful character escaped.
//!
//! It reads nothing, and writes only what records need: texts, numbers, booleans,
//! lists of texts and one level of text maps.

/// An object being written to the end of a buffer.
pub(crate) struct Object<'a> {
    out: &'a mut Vec<u8>,
    layout: Layout,
    is_empty: bool,
}

/// How the fields stand to each other.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Without any blank: the canonical form that is hashed.
    Compact,
    /// Each field on its own line, as an element of a list.
    Indented,
}

impl<'a> Object<'a> {
    pub(crate) fn open(out: &'a mut Vec<u8>, layout: Layout) -> Self {
        out.push(b'{');
        Self { out, layout, is_empty: true }
    }

    pub(crate) fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        quoted(self.out, value);
    }

    pub(crate) fn text_if_any(&mut self, key: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(key, value);
        }
    }

    pub(crate) fn boolean(&mut self, key: &str, value: bool) {
        self.key(key);
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
    }

    pub(crate) fn number(&mut self, key: &str, value: u64) {
        self.key(key);
        self.out.extend_from_slice(value.to_string().as_bytes());
    }

    pub(crate) fn list<'v>(&mut self, key: &str, values: impl Iterator<Item = &'v str>) {
        self.key(key);
        self.out.push(b'[');
        for (place, value) in values.enumerate() {
            if place > 0 {
                self.out.push(b',');
            }
            quoted(self.out, value);
        }
        self.out.push(b']');
    }

    pub(crate) fn map<'v>(&mut self, key: &str, entries: impl Iterator<Item = (&'v str, &'v str)>) {
        self.key(key);
        let mut inner = Object::open(self.out, Layout::Compact);
        for (name, value) in entries {
            inner.text(name, value);
        }
        inner.close();
    }

    pub(crate) fn close(self) {
        if self.layout == Layout::Indented && !self.is_empty {
            self.out.extend_from_slice(b"\n  ");
        }
        self.out.push(b'}');
    }

    fn key(&mut self, key: &str) {
        if !self.is_empty {
            self.out.push(b',');
        }
        self.is_empty = false;
        if self.layout == Layout::Indented {
            self.out.extend_from_slice(b"\n    ");
        }
        quoted(self.out, key);
        self.out.push(b':');
        if self.layout == Layout::Indented {
            self.out.push(b' ');
        }
    }
}

/// Writes a JSON text literal.
fn quoted(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    // Nearly every text is plain ASCII; this keeps them to one pass and one copy.
    if text.bytes().all(|b| matches!(b, b' '..=b'~') && b != b'"' && b != b'\\') {
        out.extend_from_slice(text.as_bytes());
    } else {
        for c in text.chars() {
            match c {
                '"' | '\\' => out.extend_from_slice(&[b'\\', u8::try_from(c).unwrap_or(b'?')]),
                c if is_doubtful(c) => escape(out, c),
                c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
    }
    out.push(b'"');
}

/// Returns whether a character could break a line, hide text or drive a terminal.
pub(crate) const fn is_doubtful(c: char) -> bool {
    matches!(c,
        '\u{0}'..='\u{1f}'
        | '\u{7f}'..='\u{9f}'
        | '\u{61c}'
        | '\u{200e}' | '\u{200f}'
        | '\u{2028}' | '\u{2029}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}'
        | '\u{feff}')
}

/// Writes `\uXXXX`; every doubtful character fits four digits.
pub(crate) fn escape(out: &mut Vec<u8>, c: char) {
    out.extend_from_slice(format!("\\u{:04x}", u32::from(c)).as_bytes());
}

/// Returns a text with its doubtful characters as `\uXXXX`, for output that is not JSON.
pub(crate) fn shown(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    for c in text.chars() {
        if is_doubtful(c) {
            escape(&mut out, c);
        } else {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
    String::from_utf8(out).unwrap_or_default()
}
