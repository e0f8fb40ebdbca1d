//! Signed notes: text with signatures below it, as checkpoints are written.
//!
//! The format is that of C2SP `signed-note`, so notes of others can be read and ours by others.
//! What the text means is in `checkpoint`; who may sign is the reader's knowledge.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

mod checkpoint;
mod key;

pub(crate) use checkpoint::number;
pub use checkpoint::{Checkpoint, SignedCheckpoint};
pub use key::{KeyError, KeyKind, SigningKey, VerifierKey};

/// A text and the signatures below it; none of them has been checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<Signature>,
}

/// One line below a note: whose key, and what it made of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The name of the key.
    pub name: String,
    /// The first four bytes of the hash of name and key.
    pub id: [u8; 4],
    /// The signature; for a cosignature its time comes first.
    pub bytes: Vec<u8>,
}

/// Says why a note cannot be read, or does not have the signature that it should have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// It is no note.
    #[error("not a signed note: {0}")]
    Malformed(&'static str),
    /// It is a note, but no checkpoint.
    #[error("not a checkpoint: {0}")]
    NotACheckpoint(&'static str),
    /// The key did not sign it.
    #[error("not signed by `{name}`")]
    NotSigned {
        /// The name of the key.
        name: String,
    },
    /// A line claims to be the key's and is not.
    #[error("the signature of `{name}` does not fit: the text was changed after it was signed")]
    BadSignature {
        /// The name of the key.
        name: String,
    },
    /// It is about another log.
    #[error("a checkpoint of `{found}`, and not of `{expected}`")]
    AnotherLog {
        /// The origin that it names.
        found: String,
        /// The origin that was expected.
        expected: String,
    },
}

impl NoteError {
    /// Returns the stable code for this error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) | Self::NotACheckpoint(_) => "checkpoint_malformed",
            Self::NotSigned { .. } => "checkpoint_unsigned",
            Self::BadSignature { .. } => "checkpoint_forged",
            Self::AnotherLog { .. } => "checkpoint_of_another_log",
        }
    }
}

impl Note {
    /// Makes a note that nobody has signed.
    ///
    /// # Errors
    /// Refuses a text that does not end with a line's end or has control characters.
    pub fn new(text: impl Into<String>) -> Result<Self, NoteError> {
        let text = text.into();
        check_text(&text)?;
        Ok(Self { text, signatures: Vec::new() })
    }

    /// Reads a note.
    ///
    /// # Errors
    /// Refuses what is no signed note, or is larger than any.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > NOTE_BYTES_MAX {
            return Err(NoteError::Malformed("it is larger than 128 KiB"));
        }
        let whole = std::str::from_utf8(bytes)
            .map_err(|_invalid| NoteError::Malformed("it is not UTF-8 text"))?;
        // The text may have empty lines of its own, so the last one parts it from the signatures.
        let at = whole.rfind("\n\n").ok_or(NoteError::Malformed("no empty line is in it"))?;
        let (text, below) = whole.split_at_checked(at + 1).unwrap_or_default();
        check_text(text)?;
        let below = below.strip_prefix('\n').unwrap_or_default();
        let lines = below.strip_suffix('\n').ok_or(UNENDED)?;
        let mut signatures = Vec::new();
        for line in lines.split('\n') {
            if signatures.len() == SIGNATURES_MAX {
                return Err(NoteError::Malformed("it has more than 100 signatures"));
            }
            signatures.push(Signature::parse_line(line)?);
        }
        Ok(Self { text: text.to_owned(), signatures })
    }

    /// Returns the text, with its last line's end.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the signatures in their order.
    #[must_use]
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// Adds a signature, unless the same key has signed already.
    pub fn add(&mut self, signature: Signature) {
        let known = |other: &Signature| other.name == signature.name && other.id == signature.id;
        if !self.signatures.iter().any(known) {
            self.signatures.push(signature);
        }
    }

    /// Checks that a key has signed the text; returns when, in seconds since 1970, if it is a
    /// witness's, else 0.
    ///
    /// Signatures of other keys are not looked at, as the format asks.
    ///
    /// # Errors
    /// Fails if there is no signature of the key, or one of its signatures is wrong.
    pub fn check(&self, key: &VerifierKey) -> Result<u64, NoteError> {
        let of_key = |one: &&Signature| one.name == key.name() && one.id == key.id();
        let mut found = Err(NoteError::NotSigned { name: key.name().to_owned() });
        for signature in self.signatures.iter().filter(of_key) {
            let signed = key.verify(&self.text, &signature.bytes);
            found =
                Ok(signed
                    .ok_or_else(|| NoteError::BadSignature { name: key.name().to_owned() })?);
        }
        found
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|signature| writeln!(f, "{signature}"))
    }
}

impl Signature {
    /// Reads a line below a note, its end left out.
    ///
    /// # Errors
    /// Refuses what is no such line.
    pub fn parse_line(line: &str) -> Result<Self, NoteError> {
        let malformed = NoteError::Malformed("a line below the text is no signature");
        let parts = line.strip_prefix("\u{2014} ").and_then(|rest| rest.split_once(' '));
        let (name, encoded) = parts.ok_or_else(|| malformed.clone())?;
        let bytes = BASE64.decode(encoded).map_err(|_invalid| malformed.clone())?;
        match bytes.split_first_chunk() {
            Some((id, rest)) if key::is_name(name) && !rest.is_empty() => {
                Ok(Self { name: name.to_owned(), id: *id, bytes: rest.to_vec() })
            }
            Some(_) | None => Err(malformed),
        }
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&self.id[..], &self.bytes].concat();
        write!(f, "\u{2014} {} {}", self.name, BASE64.encode(bytes))
    }
}

fn check_text(text: &str) -> Result<(), NoteError> {
    if text.bytes().any(|byte| byte < b' ' && byte != b'\n') {
        return Err(NoteError::Malformed("it has control characters"));
    }
    if text.ends_with('\n') { Ok(()) } else { Err(UNENDED) }
}

const UNENDED: NoteError = NoteError::Malformed("its last line has no end");
/// LIMIT: bytes of a note; room for sixteen signatures of the largest known kind.
pub(crate) const NOTE_BYTES_MAX: usize = 128 << 10;
/// LIMIT: signatures of a note.
const SIGNATURES_MAX: usize = 100;

#[cfg(test)]
mod tests;
