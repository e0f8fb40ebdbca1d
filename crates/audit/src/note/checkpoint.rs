//! Checkpoints: how many records the log has and the root of the tree over them, signed.
//!
//! The format is that of C2SP `tlog-checkpoint`: origin, size and root in three lines. Whether a
//! root is right is asked of the tree.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::{KeyKind, Note, NoteError, Signature, SigningKey, VerifierKey};
use crate::Hash;

/// What the log says about itself at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log; the name of its key.
    pub origin: String,
    /// How many records it has.
    pub size: u64,
    /// The root of the tree over them.
    pub root: Hash,
    /// Further lines of other programs; kept, and without a meaning here.
    pub extensions: Vec<String>,
}

/// A checkpoint and the note that it stands in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    note: Note,
}

impl Checkpoint {
    /// Reads the text of a note.
    ///
    /// # Errors
    /// Refuses a text that is no checkpoint.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let lines =
            text.strip_suffix('\n').ok_or(NoteError::NotACheckpoint("its last line has no end"))?;
        let mut lines = lines.split('\n');
        let origin = lines.next().filter(|line| !line.is_empty());
        let origin = origin.ok_or(NoteError::NotACheckpoint("the first line must name the log"))?;
        let size = lines.next().and_then(number);
        let size =
            size.ok_or(NoteError::NotACheckpoint("the second line must be the number of records"))?;
        let root = lines.next().and_then(|line| BASE64.decode(line).ok());
        let root = root.and_then(|bytes| bytes.try_into().ok());
        let root = root
            .ok_or(NoteError::NotACheckpoint("the third line must be a SHA-256 hash in base64"))?;
        let extensions: Vec<String> = lines.map(str::to_owned).collect();
        if extensions.iter().any(String::is_empty) {
            return Err(NoteError::NotACheckpoint("it has an empty line"));
        }
        Ok(Self { origin: origin.to_owned(), size, root, extensions })
    }
}

/// Writes the text of the note, with its last line's end.
impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.size, BASE64.encode(self.root))?;
        self.extensions.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl SignedCheckpoint {
    /// Signs the state of the log that has the name of the key.
    ///
    /// # Errors
    /// Refuses the key of a witness.
    pub fn sign(key: &SigningKey, size: u64, root: Hash) -> Result<Self, NoteError> {
        if key.verifier().kind() != KeyKind::Log {
            return Err(NoteError::NotACheckpoint(
                "a witness does not sign checkpoints of its own",
            ));
        }
        let origin = key.verifier().name().to_owned();
        let checkpoint = Checkpoint { origin, size, root, extensions: Vec::new() };
        let mut note = Note::new(checkpoint.to_string())?;
        note.add(key.sign(note.text(), 0));
        Ok(Self { checkpoint, note })
    }

    /// Reads a signed checkpoint; no signature is checked.
    ///
    /// # Errors
    /// Refuses what is no note, or whose text is no checkpoint.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        let note = Note::parse(bytes)?;
        Ok(Self { checkpoint: Checkpoint::parse(note.text())?, note })
    }

    /// Returns what it says.
    #[must_use]
    pub const fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Returns the note.
    #[must_use]
    pub const fn note(&self) -> &Note {
        &self.note
    }

    /// Adds a signature, unless the same key has signed already.
    pub fn add(&mut self, signature: Signature) {
        self.note.add(signature);
    }

    /// Checks that the log with this key made it.
    ///
    /// # Errors
    /// Fails if it is another log's, or not signed by the key.
    pub fn check_log(&self, key: &VerifierKey) -> Result<(), NoteError> {
        if self.checkpoint.origin != key.name() {
            let (found, expected) = (self.checkpoint.origin.clone(), key.name().to_owned());
            return Err(NoteError::AnotherLog { found, expected });
        }
        self.note.check(key).map(drop)
    }

    /// Checks that a witness has cosigned it; returns when, in seconds since 1970.
    ///
    /// # Errors
    /// Fails if it is not cosigned by the key.
    pub fn check_witness(&self, key: &VerifierKey) -> Result<u64, NoteError> {
        if key.kind() != KeyKind::Witness {
            return Err(NoteError::NotSigned { name: key.name().to_owned() });
        }
        self.note.check(key)
    }
}

impl fmt::Display for SignedCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.note.fmt(f)
    }
}

/// Reads a decimal number that is written in its only form.
pub(crate) fn number(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}
