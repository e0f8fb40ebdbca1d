//! A validated payload: one JSON object, parsed once and kept as the text that arrived.
//!
//! It is not a value tree: nothing is decoded before somebody asks, and nothing is ever written
//! back. What was accepted travels byte for byte.

use std::sync::Arc;

mod chars;
mod node;
mod parse;
mod run;

pub(crate) use chars::{JsonChars, TextChar};
pub(crate) use node::{Kind, NONE, Node};

/// Bounds what a payload may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most bytes of JSON text, white space around it included.
    pub bytes_max: usize,
    /// The most objects and arrays inside one another, the outermost object included.
    pub depth_max: usize,
    /// The most object members and array items together.
    pub members_max: usize,
    /// The most bytes of one number.
    pub number_len_max: usize,
}

impl Default for Limits {
    /// Returns limits that leave room for an envelope in the 4 MiB that gRPC clients take.
    fn default() -> Self {
        Self { bytes_max: 4_000_000, depth_max: 64, members_max: 65_536, number_len_max: 256 }
    }
}

/// Holds the exact text of one JSON object and an index of its keys, strings and numbers.
#[derive(Clone)]
pub struct Document {
    text: Arc<str>,
    nodes: Vec<Node>,
}

impl Document {
    /// Parses a payload; the empty text stands for the empty object.
    ///
    /// # Errors
    /// Returns the first reason why the text is not an object that may travel, with its place.
    pub fn parse(text: &str, limits: &Limits) -> Result<Self, Invalid> {
        if text.is_empty() {
            return Ok(Self { text: Arc::from("{}"), nodes: Vec::new() });
        }
        let bytes_max = limits.bytes_max.min(BYTES_CEILING);
        if text.len() > bytes_max {
            return Err(Invalid::TooLarge { bytes: text.len(), max: bytes_max });
        }
        let body = text.trim_start_matches(parse::is_space);
        let base = text.len() - body.len();
        let body = body.trim_end_matches(parse::is_space);
        let nodes = parse::nodes(body, base, limits)?;
        Ok(Self { text: Arc::from(body), nodes })
    }

    /// Returns the JSON text of the object as it arrived, without white space around it.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    pub(crate) fn node(&self, index: u32) -> Option<&Node> {
        self.nodes.get(usize::try_from(index).ok()?)
    }

    /// Returns what stands between the quotes of a string, or the token of a number.
    pub(crate) fn raw(&self, node: &Node) -> &str {
        self.text.get(node.range()).unwrap_or_default()
    }
}

impl std::fmt::Debug for Document {
    /// Prints sizes only: a payload never reaches a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Document")
            .field("bytes", &self.text.len())
            .field("nodes", &self.nodes.len())
            .finish()
    }
}

/// Says why a text is not a payload; offsets are bytes from the start of the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// The text is longer than a payload may be.
    #[error("the payload has {bytes} bytes, at most {max} are taken: send less or refer to it")]
    TooLarge {
        /// The length of the text.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The text is not JSON as RFC 8259 has it.
    #[error("the payload is not valid JSON at byte {offset}: {reason}")]
    NotJson {
        /// Where the grammar is left.
        offset: usize,
        /// What was wrong there.
        reason: &'static str,
    },
    /// The text is JSON, and something else than an object.
    #[error("the payload must be a JSON object: wrap the value in one")]
    NotAnObject,
    /// Objects and arrays are nested too deeply.
    #[error("the payload is nested deeper than {max} levels at byte {offset}: flatten it")]
    TooDeep {
        /// Where the first level too many opens.
        offset: usize,
        /// The limit.
        max: usize,
    },
    /// An object has the same key twice, so that two readers may see two things.
    #[error("the payload has an object with a repeated key at byte {offset}: keep one of them")]
    DuplicateKey {
        /// Where the second of the keys begins.
        offset: usize,
    },
    /// A `\uD800` to `\uDFFF` escape has no partner, so that the text is not Unicode.
    #[error("the payload has half of a surrogate pair at byte {offset}: escape whole characters")]
    LoneSurrogate {
        /// Where the escape begins.
        offset: usize,
    },
    /// Members and items are too many.
    #[error("the payload has more than {max} members and items at byte {offset}: split it")]
    TooManyMembers {
        /// Where the first too many begins.
        offset: usize,
        /// The limit.
        max: usize,
    },
    /// A number has too many characters.
    #[error("the number at byte {offset} has more than {max} characters: send it as a string")]
    NumberTooLong {
        /// Where the number begins.
        offset: usize,
        /// The limit.
        max: usize,
    },
    /// A number overflows what a double can hold, so that readers make it infinite or null.
    #[error("the number at byte {offset} is out of range: send it as a string")]
    NumberOutOfRange {
        /// Where the number begins.
        offset: usize,
    },
}

impl Invalid {
    /// Returns the stable token that clients and records know this reason by.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "payload_too_large",
            Self::NotJson { .. } | Self::NumberOutOfRange { .. } => "invalid_json",
            Self::NotAnObject => "payload_must_be_object",
            Self::TooDeep { .. } => "payload_too_deep",
            Self::DuplicateKey { .. } => "duplicate_key",
            Self::LoneSurrogate { .. } => "lone_surrogate",
            Self::TooManyMembers { .. } => "too_many_members",
            Self::NumberTooLong { .. } => "number_too_long",
        }
    }
}

/// LIMIT: offsets are kept in 32 bits, whatever `bytes_max` says.
const BYTES_CEILING: usize = 1 << 31;
