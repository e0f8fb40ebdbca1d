//! An entry of the log: a record's bytes with their link, also as one JSON line.
//!
//! The line holds the body byte for byte, so a log of lines can be verified too.

use bytes::Bytes;

use crate::json::{Layout, Object};
use crate::{Hash, Link, Record, RecordError, from_hex, to_hex};

/// A record's canonical bytes at their place in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The place, sealed.
    pub link: Link,
    /// The canonical bytes of the record.
    pub body: Bytes,
}

/// Says why an entry and a JSON line do not become each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// The body is not one clean JSON object.
    #[error("the body is not the canonical form of a record")]
    NotCanonical,
    /// The line does not begin with `seq`, `hash` and `prev_hash`.
    #[error("the line does not begin with `seq`, `hash` and `prev_hash`")]
    NotALine,
}

impl Entry {
    /// Returns the entry as one JSON line, without the line's end.
    ///
    /// # Errors
    /// Refuses a body that is not one line of JSON, which no record encodes to.
    pub fn to_line(&self) -> Result<Vec<u8>, EntryError> {
        let fields = canonical(&self.body).ok_or(EntryError::NotCanonical)?;
        let mut line = Vec::with_capacity(LINE_HEAD_BYTES + self.body.len());
        let mut object = Object::open(&mut line, Layout::Compact);
        object.number(SEQ, self.link.seq);
        object.text(HASH, &to_hex(&self.link.hash));
        object.text(PREV_HASH, &to_hex(&self.link.prev));
        // The object stays open: the body's own fields and bracket close it.
        line.push(b',');
        line.extend_from_slice(fields);
        Ok(line)
    }

    /// Reads an entry back from its line, the line's end left out.
    ///
    /// # Errors
    /// Refuses a line that [`Entry::to_line`] does not write.
    pub fn from_line(line: &[u8]) -> Result<Self, EntryError> {
        let (link, fields) = split(line).ok_or(EntryError::NotALine)?;
        let body: Vec<u8> = [b"{", fields].concat();
        canonical(&body).ok_or(EntryError::NotCanonical)?;
        Ok(Self { link, body: body.into() })
    }

    /// Reads the record in the body.
    ///
    /// # Errors
    /// Refuses a body that is not a record.
    pub fn record(&self) -> Result<Record<'_>, RecordError> {
        Record::decode(&self.body)
    }
}

/// Returns what follows the opening bracket if the body is one clean line with fields.
fn canonical(body: &[u8]) -> Option<&[u8]> {
    let fields = body.strip_prefix(b"{")?;
    let is_clean =
        fields.starts_with(b"\"") && fields.ends_with(b"}") && fields.iter().all(|b| *b >= b' ');
    is_clean.then_some(fields)
}

/// Returns the link at the start of a line and the fields that follow it.
fn split(line: &[u8]) -> Option<(Link, &[u8])> {
    let rest = line.strip_prefix(b"{\"seq\":")?;
    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    let (digits, rest) = rest.split_at_checked(digits)?;
    let text = std::str::from_utf8(digits).ok()?;
    let seq: u64 = text.parse().ok()?;
    let (hash, rest) = hash_after(rest, b",\"hash\":\"")?;
    let (prev, rest) = hash_after(rest, b"\",\"prev_hash\":\"")?;
    let fields = rest.strip_prefix(b"\",")?;
    (seq.to_string() == text).then_some((Link { seq, prev, hash }, fields))
}

fn hash_after<'a>(line: &'a [u8], key: &[u8]) -> Option<(Hash, &'a [u8])> {
    let (digits, rest) = line.strip_prefix(key)?.split_at_checked(64)?;
    Some((from_hex(std::str::from_utf8(digits).ok()?)?, rest))
}

pub(crate) const SEQ: &str = "seq";
pub(crate) const HASH: &str = "hash";
pub(crate) const PREV_HASH: &str = "prev_hash";
/// The bytes that a line adds to its body: two hashes, a number and their keys.
pub(crate) const LINE_HEAD_BYTES: usize = 192;

#[cfg(test)]
mod tests;
