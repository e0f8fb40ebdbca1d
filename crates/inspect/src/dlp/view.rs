//! A document as the scanner reads it: all keys, strings and numbers, decoded and folded to plain
//! characters, in one text, so that one pass sees the whole message.
//!
//! It finds nothing itself. Separators stand between the fields; no field contains one and no
//! pattern matches one, so a match stays within its field.

use std::borrow::Cow;
use std::ops::Range;

use super::integral::push_integral;
use crate::document::{Document, JsonChars, Kind, NONE, Node, TextChar};

/// Ends a value.
pub(super) const END: char = '\u{1f}';

/// Ends a key.
pub(super) const KEY_END: char = '\u{1e}';

/// One key, string or number and its place in the text of the view.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    start: u32,
    end: u32,
    pub(super) node: u32,
    pub(super) kind: Kind,
    /// Whether a whole number stands here with other digits than in its source.
    pub(super) is_expanded: bool,
}

impl Field {
    pub(super) fn range(&self) -> Range<usize> {
        index(self.start)..index(self.end)
    }
}

pub(super) struct View<'a> {
    pub(super) text: Cow<'a, str>,
    pub(super) fields: Vec<Field>,
}

impl<'a> View<'a> {
    /// Lays a document out; floats as written only if `floats`, as no built-in type looks at them.
    pub(super) fn of_document(doc: &Document, floats: bool) -> Self {
        let mut layout = Layout {
            text: String::with_capacity(doc.text().len() + 16),
            fields: Vec::with_capacity(doc.nodes().len()),
        };
        for (at, node) in doc.nodes().iter().enumerate() {
            layout.push(doc.raw(node), node, short(at), floats);
        }
        Self { text: Cow::Owned(layout.text), fields: layout.fields }
    }

    /// Lays out a text that is not JSON as one field.
    pub(super) fn of_text(source: &'a str) -> Self {
        let is_read_as_is = |b: u8| b.is_ascii() && !matches!(char::from(b), END | KEY_END);
        let text = if source.bytes().all(is_read_as_is) {
            Cow::Borrowed(source)
        } else {
            Cow::Owned(JsonChars::plain(source).filter_map(|c| fold(c.value)).collect())
        };
        let end = short(text.len());
        let field = Field { start: 0, end, node: NONE, kind: Kind::Text, is_expanded: false };
        Self { text, fields: vec![field] }
    }

    /// Returns where a match is reported. A whole number that is written as a float may stand here
    /// twice, as written and as digits: what is found in either counts for all of the latter.
    pub(super) fn reported(&self, field: usize, range: Range<usize>) -> (usize, Range<usize>) {
        let expanded = |at: usize| self.fields.get(at).filter(|field| field.is_expanded);
        let kind = self.fields.get(field).map(|field| field.kind);
        let at = if kind == Some(Kind::Float) { field + 1 } else { field };
        match (expanded(at), self.fields.get(field)) {
            (Some(whole), Some(found)) if whole.node == found.node => (at, whole.range()),
            _ => (field, range),
        }
    }

    /// Returns the place in `fields` of the field that contains the whole range.
    pub(super) fn field_of(&self, range: &Range<usize>) -> Option<usize> {
        let after = self.fields.partition_point(|field| index(field.start) <= range.start);
        let at = after.checked_sub(1)?;
        let field = self.fields.get(at)?;
        (range.end <= index(field.end)).then_some(at)
    }

    pub(super) fn slice(&self, range: Range<usize>) -> &str {
        self.text.get(range).unwrap_or_default()
    }
}

/// A view in the making.
struct Layout {
    text: String,
    fields: Vec<Field>,
}

impl Layout {
    fn push(&mut self, raw: &str, node: &Node, at: u32, floats: bool) {
        let start = self.text.len();
        match node.kind {
            Kind::Object | Kind::Array => return,
            Kind::Key | Kind::Text if node.plain && raw.is_ascii() => self.text.push_str(raw),
            Kind::Key | Kind::Text => push_folded(&mut self.text, raw),
            Kind::Integer => self.text.push_str(raw),
            Kind::Float => return self.push_float(raw, at, floats),
        }
        self.end(start, at, node.kind, false);
    }

    fn push_float(&mut self, raw: &str, at: u32, as_written: bool) {
        if as_written {
            let start = self.text.len();
            self.text.push_str(raw);
            self.end(start, at, Kind::Float, false);
        }
        let start = self.text.len();
        if push_integral(&mut self.text, raw) {
            self.end(start, at, Kind::Integer, true);
        }
    }

    /// Makes a field of the text since `start`.
    fn end(&mut self, start: usize, node: u32, kind: Kind, is_expanded: bool) {
        let (start, end) = (short(start), short(self.text.len()));
        self.fields.push(Field { start, end, node, kind, is_expanded });
        self.text.push_str(if kind == Kind::Key { "\u{1e}" } else { "\u{1f}" });
    }
}

/// Appends the inside of a JSON string as the scanner reads it; what needs no decoding is copied
/// in runs. The parser lets no bare control character through.
fn push_folded(out: &mut String, raw: &str) {
    let mut rest = raw;
    loop {
        let run = rest.bytes().position(|b| b == b'\\' || !b.is_ascii()).unwrap_or(rest.len());
        let Some((plain, special)) = rest.split_at_checked(run) else { return };
        out.push_str(plain);
        let Some(next) = JsonChars::escaped(special).next() else { return };
        out.extend(fold(next.value));
        rest = special.get(next.end..).unwrap_or_default();
    }
}

/// Returns the text of a node as the scanner reads it.
pub(super) fn folded(doc: &Document, node: &Node) -> String {
    let mut text = String::new();
    push_folded(&mut text, doc.raw(node));
    text
}

/// A place in the folded text of a field, found again in its source.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Place {
    /// Characters before it in the decoded text.
    pub(super) chars: usize,
    /// Bytes before it in the source.
    pub(super) bytes: usize,
}

/// Finds where spans of folded text stand in their source; spans are sorted by their starts.
pub(super) fn locate(source: JsonChars<'_>, spans: &[Range<usize>]) -> Vec<Range<Place>> {
    let mut borders: Vec<(usize, bool, usize)> = Vec::with_capacity(spans.len() * 2);
    for (at, span) in spans.iter().enumerate() {
        borders.push((span.start, false, at));
        borders.push((span.end, true, at));
    }
    borders.sort_unstable();
    let mut places = vec![Place::default()..Place::default(); spans.len()];
    let mut borders = borders.into_iter().peekable();
    let (mut folded, mut chars, mut bytes) = (0, 0, 0);
    for TextChar { value, start, end } in source {
        let len = fold(value).map_or(0, char::len_utf8);
        // A start waits for the first character that the pattern saw, an end for the first
        // character after what it saw, so that invisible characters are masked with their match.
        let is_due = |border: &(usize, bool, usize)| {
            if border.1 { border.0 <= folded } else { border.0 < folded + len }
        };
        while let Some((_, is_end, at)) = borders.next_if(is_due) {
            set(&mut places, at, is_end, Place { chars, bytes: start });
        }
        folded += len;
        chars += 1;
        bytes = end;
    }
    for (_, is_end, at) in borders {
        set(&mut places, at, is_end, Place { chars, bytes });
    }
    places
}

fn set(places: &mut [Range<Place>], at: usize, is_end: bool, place: Place) {
    if let Some(range) = places.get_mut(at) {
        *(if is_end { &mut range.end } else { &mut range.start }) = place;
    }
}

/// Returns the plain character that a character is read as, or nothing for an invisible one.
fn fold(c: char) -> Option<char> {
    if c.is_ascii() {
        return Some(if matches!(c, END | KEY_END) { '\u{1d}' } else { c });
    }
    let code = u32::from(c);
    let plain = |offset: u32| char::from_u32(offset);
    match code {
        // full-width forms of the visible ASCII characters
        0xFF01..=0xFF5E => plain(code - 0xFEE0),
        0x3000 | 0xA0 | 0x2000..=0x200A | 0x202F | 0x205F => Some(' '),
        0x2010..=0x2015 | 0x2212 | 0xFE58 | 0xFE63 => Some('-'),
        // digits of other scripts that people and models read as digits
        0x0660..=0x0669 => plain(code - 0x0660 + 0x30),
        0x06F0..=0x06F9 => plain(code - 0x06F0 + 0x30),
        0x0966..=0x096F => plain(code - 0x0966 + 0x30),
        0x1_D7CE..=0x1_D7FF => plain((code - 0x1_D7CE) % 10 + 0x30),
        // soft hyphen, zero-width characters and direction marks
        0xAD | 0x200B..=0x200F | 0x202A..=0x202E | 0x2060..=0x2064 | 0x2066..=0x2069 | 0xFEFF => {
            None
        }
        _ => Some(c),
    }
}

fn index(at: u32) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}

fn short(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(NONE)
}
