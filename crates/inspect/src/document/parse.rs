//! The one pass over a payload: checks the grammar and our stricter rules, and notes where keys,
//! strings and numbers stand.
//!
//! It keeps its own stack, so depth costs no call stack, and it decodes nothing it need not.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

use super::chars::{JsonChars, hex4};
use super::node::{Kind, NONE, Node, index};
use super::run::plain_len;
use super::{Invalid, Limits};

/// Parses a trimmed text; `base` is what was trimmed before it.
pub(super) fn nodes(text: &str, base: usize, limits: &Limits) -> Result<Vec<Node>, Invalid> {
    let mut parser = Parser {
        text,
        at: 0,
        base,
        limits,
        members: 0,
        nodes: Vec::with_capacity(text.len() / 16 + 8),
        frames: Vec::with_capacity(8),
    };
    parser.run()?;
    Ok(parser.nodes)
}

pub(super) fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    base: usize,
    limits: &'a Limits,
    members: usize,
    nodes: Vec<Node>,
    frames: Vec<Frame<'a>>,
}

/// An open object or array.
struct Frame<'a> {
    node: u32,
    is_object: bool,
    count: u32,
    last_key: u32,
    /// One bit for each mark that a key so far has; a key with a new mark is new.
    marks: u64,
    /// The keys so far, decoded, once they are too many to compare one by one.
    seen: Option<HashSet<Cow<'a, str>>>,
}

/// What the grammar allows next.
enum Expect {
    Value,
    FirstKey,
    Key,
    FirstItem,
    Next,
}

impl<'a> Parser<'a> {
    fn run(&mut self) -> Result<(), Invalid> {
        let is_object = self.peek() == Some(b'{');
        let mut expect = Expect::Value;
        loop {
            self.skip_space();
            expect = match expect {
                Expect::Value => self.value()?,
                Expect::FirstKey if self.peek() == Some(b'}') => self.close(),
                Expect::FirstKey | Expect::Key => self.key()?,
                Expect::FirstItem if self.peek() == Some(b']') => self.close(),
                Expect::FirstItem => self.item()?,
                Expect::Next if self.frames.is_empty() => break,
                Expect::Next => self.next_member()?,
            };
        }
        if self.at < self.text.len() {
            return Err(self.not_json("there is something after the end of the value"));
        }
        if is_object { Ok(()) } else { Err(Invalid::NotAnObject) }
    }

    fn value(&mut self) -> Result<Expect, Invalid> {
        match self.peek() {
            Some(b'"') => self.string(Kind::Text).map(|_| Expect::Next),
            Some(b'{') => self.open(Kind::Object),
            Some(b'[') => self.open(Kind::Array),
            Some(b'-' | b'0'..=b'9') => self.number().map(|()| Expect::Next),
            Some(b't') => self.literal("true"),
            Some(b'f') => self.literal("false"),
            Some(b'n') => self.literal("null"),
            Some(_) if self.rest().starts_with('\u{feff}') => {
                Err(self.not_json("a byte order mark is not part of JSON"))
            }
            Some(_) => Err(self.not_json("a value is expected")),
            None => Err(self.not_json("the text ends where a value is expected")),
        }
    }

    fn open(&mut self, kind: Kind) -> Result<Expect, Invalid> {
        let max = self.limits.depth_max;
        if self.frames.len() >= max {
            return Err(Invalid::TooDeep { offset: self.offset(), max });
        }
        let node = self.push(kind, self.at..self.at, true);
        let is_object = kind == Kind::Object;
        self.frames.push(Frame { node, is_object, count: 0, last_key: NONE, marks: 0, seen: None });
        self.at += 1;
        Ok(if is_object { Expect::FirstKey } else { Expect::FirstItem })
    }

    fn close(&mut self) -> Expect {
        self.at += 1;
        self.frames.pop();
        Expect::Next
    }

    fn next_member(&mut self) -> Result<Expect, Invalid> {
        let is_object = self.frames.last().is_some_and(|frame| frame.is_object);
        match (self.peek(), is_object) {
            (Some(b','), true) => {
                self.at += 1;
                Ok(Expect::Key)
            }
            (Some(b','), false) => {
                self.at += 1;
                self.skip_space();
                self.item()
            }
            (Some(b'}'), true) | (Some(b']'), false) => Ok(self.close()),
            (None, _) => Err(self.not_json("the text ends inside an object or array")),
            (Some(_), true) => Err(self.not_json("a comma or a closing brace is expected")),
            (Some(_), false) => Err(self.not_json("a comma or a closing bracket is expected")),
        }
    }

    fn item(&mut self) -> Result<Expect, Invalid> {
        self.count_member()?;
        if let Some(frame) = self.frames.last_mut() {
            frame.count += 1;
        }
        self.value()
    }

    fn count_member(&mut self) -> Result<(), Invalid> {
        self.members += 1;
        let max = self.limits.members_max;
        if self.members > max {
            return Err(Invalid::TooManyMembers { offset: self.offset(), max });
        }
        Ok(())
    }

    fn key(&mut self) -> Result<Expect, Invalid> {
        if self.peek() != Some(b'"') {
            return Err(self.not_json("a key in double quotes is expected"));
        }
        self.count_member()?;
        let offset = self.offset();
        let key = self.string(Kind::Key)?;
        if !self.note_key(key) {
            return Err(Invalid::DuplicateKey { offset });
        }
        self.skip_space();
        if self.peek() != Some(b':') {
            return Err(self.not_json("a colon is expected after the key"));
        }
        self.at += 1;
        Ok(Expect::Value)
    }

    /// Notes a key of the innermost object; says whether it is new there.
    fn note_key(&mut self, key: u32) -> bool {
        let Some(node) = self.nodes.get(index(key)).copied() else { return false };
        let Some(frame) = self.frames.last_mut() else { return false };
        frame.last_key = key;
        frame.count += 1;
        let is_short = node.range().len() <= KEY_COMPARED_LEN_MAX;
        let mark = mark(self.text, &node);
        let has_new_mark = frame.marks & mark == 0;
        frame.marks |= mark;
        if frame.seen.is_none() && frame.count <= KEYS_COMPARED_MAX && has_new_mark {
            return true;
        }
        if frame.seen.is_none() && frame.count <= KEYS_COMPARED_MAX && is_short {
            return !chain(&self.nodes, node.slot).any(|other| same(self.text, &node, other));
        }
        let text = self.text;
        let seen = frame.seen.get_or_insert_with(|| {
            chain(&self.nodes, node.slot).map(|other| decoded(text, other)).collect()
        });
        seen.insert(decoded(text, &node))
    }

    /// Reads a string and returns its node.
    fn string(&mut self, kind: Kind) -> Result<u32, Invalid> {
        self.at += 1;
        let start = self.at;
        let mut plain = true;
        loop {
            let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
            let Some(skip) = plain_len(rest) else {
                self.at = self.text.len();
                return Err(self.not_json("the text ends inside a string"));
            };
            self.at += skip;
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => self.escape()?,
                _ => return Err(self.not_json("a control character in a string must be escaped")),
            }
            plain = false;
        }
        let node = self.push(kind, start..self.at, plain);
        self.at += 1;
        Ok(node)
    }

    fn escape(&mut self) -> Result<(), Invalid> {
        match self.byte(1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => {
                let Some(first) = hex4(self.text, self.at + 2) else {
                    return Err(self.not_json("an escape needs four hexadecimal digits"));
                };
                self.at += if matches!(first, 0xD800..0xE000) { self.pair(first)? } else { 6 };
            }
            _ => return Err(self.not_json("this escape is unknown")),
        }
        Ok(())
    }

    /// Checks that a high surrogate is followed by a low one; returns the length of both.
    fn pair(&self, first: u32) -> Result<usize, Invalid> {
        let follows = self.byte(6) == Some(b'\\') && self.byte(7) == Some(b'u');
        let second = if follows { hex4(self.text, self.at + 8) } else { None };
        match second {
            Some(0xDC00..0xE000) if first < 0xDC00 => Ok(12),
            _ => Err(Invalid::LoneSurrogate { offset: self.offset() }),
        }
    }

    fn number(&mut self) -> Result<(), Invalid> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits()?,
            _ => return Err(self.not_json("a digit is expected")),
        }
        let mut kind = Kind::Integer;
        if self.peek() == Some(b'.') {
            kind = Kind::Float;
            self.at += 1;
            self.digits()?;
        }
        let has_exponent = matches!(self.peek(), Some(b'e' | b'E'));
        if has_exponent {
            kind = Kind::Float;
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        let (offset, max) = (self.base + start, self.limits.number_len_max);
        if self.at - start > max {
            return Err(Invalid::NumberTooLong { offset, max });
        }
        let token = self.text.get(start..self.at).unwrap_or_default();
        let may_overflow = has_exponent || token.len() > DOUBLE_DIGITS_MAX;
        if may_overflow && !token.parse::<f64>().is_ok_and(f64::is_finite) {
            return Err(Invalid::NumberOutOfRange { offset });
        }
        self.push(kind, start..self.at, true);
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Invalid> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if count == 0 {
            return Err(self.not_json("a digit is expected"));
        }
        self.at += count;
        Ok(())
    }

    fn literal(&mut self, word: &str) -> Result<Expect, Invalid> {
        if !self.rest().starts_with(word) {
            return Err(self.not_json("a value is expected"));
        }
        self.at += word.len();
        Ok(Expect::Next)
    }

    fn push(&mut self, kind: Kind, range: Range<usize>, plain: bool) -> u32 {
        let (parent, slot) = match self.frames.last() {
            None => (NONE, NONE),
            Some(frame) if frame.is_object => (frame.node, frame.last_key),
            Some(frame) => (frame.node, frame.count.saturating_sub(1)),
        };
        let (start, end) = (short(range.start), short(range.end));
        let node = short(self.nodes.len());
        self.nodes.push(Node { kind, plain, start, end, parent, slot });
        node
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.byte(0)
    }

    fn byte(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + ahead).copied()
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn offset(&self) -> usize {
        self.base + self.at
    }

    fn not_json(&self, reason: &'static str) -> Invalid {
        Invalid::NotJson { offset: self.offset(), reason }
    }
}

/// Walks the keys of one object backwards.
fn chain(nodes: &[Node], last: u32) -> impl Iterator<Item = &Node> {
    std::iter::successors(nodes.get(index(last)), |key| nodes.get(index(key.slot)))
}

/// Returns a bit that equal keys have in common; an escaped key has them all.
fn mark(text: &str, key: &Node) -> u64 {
    let raw = text.as_bytes().get(key.range()).unwrap_or_default();
    match raw {
        _ if !key.plain => u64::MAX,
        [first, .., last] => {
            let mixed = u32::from(*first) ^ (u32::from(*last) << 2) ^ (short(raw.len()) << 3);
            1_u64.rotate_left(mixed)
        }
        _ => 1,
    }
}

fn same(text: &str, a: &Node, b: &Node) -> bool {
    if a.plain && b.plain {
        let bytes = text.as_bytes();
        return bytes.get(a.range()) == bytes.get(b.range());
    }
    let (raw_a, raw_b) = (text.get(a.range()), text.get(b.range()));
    let values = |raw| JsonChars::escaped(raw).map(|c| c.value);
    values(raw_a.unwrap_or_default()).eq(values(raw_b.unwrap_or_default()))
}

fn decoded<'a>(text: &'a str, node: &Node) -> Cow<'a, str> {
    let raw = text.get(node.range()).unwrap_or_default();
    if node.plain {
        return Cow::Borrowed(raw);
    }
    Cow::Owned(JsonChars::escaped(raw).map(|c| c.value).collect())
}

fn short(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(NONE)
}

/// Up to this many keys of one object are compared with each other, beyond it they are hashed.
const KEYS_COMPARED_MAX: u32 = 16;

/// Longer keys are hashed at once, so that equal beginnings are not read again and again.
const KEY_COMPARED_LEN_MAX: usize = 256;

/// A whole number of this many digits is still below the largest double, 1.8e308.
const DOUBLE_DIGITS_MAX: usize = 300;
