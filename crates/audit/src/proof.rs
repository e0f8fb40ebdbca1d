//! The proof that one record is in the log, for somebody who has nothing but the log's key.
//!
//! The form is that of C2SP `tlog-proof`: index, path and signed checkpoint as lines of text. The
//! record's body stands in its `extra` line, in base64; it counts only through its hash.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::note::number;
use crate::tree::{ProofError, leaf_hash, verify_inclusion};
use crate::{BODY_BYTES_MAX, Hash, NoteError, SignedCheckpoint, VerifierKey};

/// A record with the way from its hash to a signed root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordProof {
    /// The canonical bytes of the record.
    pub body: Vec<u8>,
    /// Its place in the log, counted from 0: the record's number less one.
    pub index: u64,
    /// The inclusion proof (RFC 6962, 2.1.1), the lowest hash first.
    pub path: Vec<Hash>,
    /// The signed size and root.
    pub checkpoint: SignedCheckpoint,
}

/// Says why a text is no proof, or proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordProofError {
    /// It is not of the form.
    #[error("not a proof of a record: {0}")]
    Malformed(&'static str),
    /// The checkpoint is malformed, or not signed as it should be.
    #[error(transparent)]
    Checkpoint(#[from] NoteError),
    /// The record is not in the log that was signed.
    #[error("the record is not in the log that was signed: {0}")]
    NotIncluded(#[from] ProofError),
}

impl RecordProofError {
    /// Returns the stable code for this error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "proof_malformed",
            Self::Checkpoint(cause) => cause.code(),
            Self::NotIncluded(_) => "proof_wrong",
        }
    }
}

impl RecordProof {
    /// Reads a proof; nothing of it is checked but its form.
    ///
    /// # Errors
    /// Refuses what is not of the form, or has no record in it.
    pub fn parse(bytes: &[u8]) -> Result<Self, RecordProofError> {
        let malformed = RecordProofError::Malformed;
        if bytes.len() > PROOF_BYTES_MAX {
            return Err(malformed("it is longer than any"));
        }
        let text = std::str::from_utf8(bytes).map_err(|_invalid| malformed("it is no text"))?;
        let (head, note) = text.split_once("\n\n").ok_or(NO_CHECKPOINT)?;
        let mut lines = head.split('\n');
        if lines.next() != Some(TITLE) {
            return Err(malformed("it does not begin with `c2sp.org/tlog-proof@v1`"));
        }
        let extra = lines.next().and_then(|line| line.strip_prefix("extra "));
        let body = extra.and_then(|line| BASE64.decode(line).ok()).ok_or(NO_RECORD)?;
        let index = lines.next().and_then(|line| line.strip_prefix("index ")).and_then(number);
        let index = index.ok_or(NO_INDEX)?;
        let mut path = Vec::new();
        for line in lines {
            let hash = BASE64.decode(line).ok().and_then(|bytes| bytes.try_into().ok());
            path.push(hash.ok_or(NO_HASH)?);
            // LIMIT: no tree is deeper.
            if path.len() > 64 {
                return Err(NO_HASH);
            }
        }
        Ok(Self { body, index, path, checkpoint: SignedCheckpoint::parse(note.as_bytes())? })
    }

    /// Checks that the log with this key signed a tree that has the record at its place.
    ///
    /// # Errors
    /// Says which step fails.
    pub fn check(&self, log: &VerifierKey) -> Result<(), RecordProofError> {
        self.checkpoint.check_log(log)?;
        self.check_path()
    }

    /// Checks that the checkpoint's tree has the record at its place, and not who signed it.
    ///
    /// # Errors
    /// Says which step fails.
    pub fn check_path(&self) -> Result<(), RecordProofError> {
        let signed = self.checkpoint.checkpoint();
        let leaf = leaf_hash(&self.body);
        Ok(verify_inclusion(&leaf, self.index, signed.size, &signed.root, &self.path)?)
    }
}

impl fmt::Display for RecordProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{TITLE}\nextra {}\nindex {}", BASE64.encode(&self.body), self.index)?;
        self.path.iter().try_for_each(|hash| writeln!(f, "{}", BASE64.encode(hash)))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

const TITLE: &str = "c2sp.org/tlog-proof@v1";
const NO_CHECKPOINT: RecordProofError = RecordProofError::Malformed("it has no checkpoint");
const NO_RECORD: RecordProofError =
    RecordProofError::Malformed("its second line must be `extra` and the record in base64");
const NO_INDEX: RecordProofError =
    RecordProofError::Malformed("its third line must be `index` and a number");
const NO_HASH: RecordProofError =
    RecordProofError::Malformed("its path must be at most 64 hashes in base64, one a line");
/// LIMIT: bytes of a proof: the largest record, a path, the largest note.
const PROOF_BYTES_MAX: usize = 2 * BODY_BYTES_MAX + (140 << 10);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Frontier, KeyKind, SigningKey, inclusion_proof};

    fn proof(key: &SigningKey, index: u64, size: u64) -> RecordProof {
        let body = |n: u64| format!("{{\"n\":{n}}}").into_bytes();
        let root = |from: u64, count: u64| {
            let mut tree = Frontier::new();
            (from..from + count).for_each(|n| tree.append(leaf_hash(&body(n))));
            tree.root()
        };
        let node = |level: u32, at: u64| Ok::<_, ()>(root(at << level, 1 << level));
        let path = inclusion_proof(index, size, node).unwrap().unwrap();
        let checkpoint = SignedCheckpoint::sign(key, size, root(0, size)).unwrap();
        RecordProof { body: body(index), index, path, checkpoint }
    }

    #[test]
    fn a_proof_holds_as_text_and_no_changed_one_does() {
        let key = SigningKey::generate(KeyKind::Log, "log").unwrap();
        for (index, size) in [(0, 1), (0, 2), (6, 7), (3, 100), (99, 100)] {
            let whole = proof(&key, index, size);
            whole.check(key.verifier()).unwrap();
            let read = RecordProof::parse(whole.to_string().as_bytes()).unwrap();
            assert_eq!(read, whole);
            let other = SigningKey::generate(KeyKind::Log, "log").unwrap();
            assert_eq!(whole.check(other.verifier()).unwrap_err().code(), "checkpoint_unsigned");
            let mut changed = whole.clone();
            changed.body.push(b' ');
            assert_eq!(changed.check(key.verifier()).unwrap_err().code(), "proof_wrong");
            let moved = RecordProof { index: index + 1, ..whole.clone() };
            assert_eq!(moved.check(key.verifier()).unwrap_err().code(), "proof_wrong");
            let text = whole.to_string();
            let forged = text.replace(&format!("log\n{size}\n"), &format!("log\n{}\n", size + 1));
            let forged = RecordProof::parse(forged.as_bytes()).unwrap();
            assert_eq!(forged.check(key.verifier()).unwrap_err().code(), "checkpoint_forged");
        }
    }

    #[test]
    fn no_other_text_is_a_proof() {
        let key = SigningKey::generate(KeyKind::Log, "log").unwrap();
        let text = proof(&key, 3, 9).to_string();
        for (from, to) in [
            ("c2sp.org/tlog-proof@v1", "c2sp.org/tlog-proof@v2"),
            ("extra ", "extra"),
            ("index 3", "index 03"),
            ("index 3\n", "index 3\n?\n"),
            ("index 3\n", "index 3\nAgI=\n"),
            ("\n\n", "\n"),
        ] {
            let changed = text.replace(from, to);
            let error = RecordProof::parse(changed.as_bytes()).unwrap_err();
            assert!(["proof_malformed", "checkpoint_malformed"].contains(&error.code()), "{error}");
        }
        assert!(RecordProof::parse(&vec![b'x'; PROOF_BYTES_MAX + 1]).is_err());
    }
}
