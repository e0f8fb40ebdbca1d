//! What a witness is asked: the size that it knows, the proof from there, the new checkpoint.
//!
//! The text is the body of `add-checkpoint` in C2SP `tlog-witness`. Nothing is checked here but
//! its form.

use std::fmt;

use audit::{Hash, NoteError, SignedCheckpoint};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// A checkpoint with the proof that it continues an older one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// The size that the witness cosigned last, as the asker believes.
    pub old_size: u64,
    /// The consistency proof from there (RFC 6962, 2.1.2).
    pub proof: Vec<Hash>,
    /// The new checkpoint, signed by its log.
    pub checkpoint: SignedCheckpoint,
}

/// Says why bytes are no submission.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It is too long, or no text.
    #[error("not a text of at most 160 KiB")]
    NotText,
    /// The first line is wrong.
    #[error("the first line must be `old` and a number")]
    OldSize,
    /// The lines of the proof are wrong.
    #[error("the proof must be at most 63 hashes in base64, one a line, and an empty line")]
    Proof,
    /// What follows is wrong.
    #[error(transparent)]
    Checkpoint(#[from] NoteError),
}

impl Submission {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// Refuses everything that is not of the form.
    pub fn parse(body: &[u8]) -> Result<Self, Malformed> {
        if body.len() > BODY_BYTES_MAX {
            return Err(Malformed::NotText);
        }
        let text = std::str::from_utf8(body).map_err(|_invalid| Malformed::NotText)?;
        let (head, note) = text.split_once("\n\n").ok_or(Malformed::Proof)?;
        let mut lines = head.split('\n');
        let old = lines.next().and_then(|line| line.strip_prefix("old "));
        let old_size = old.and_then(number).ok_or(Malformed::OldSize)?;
        let mut proof = Vec::new();
        for line in lines {
            let hash = BASE64.decode(line).ok().and_then(|bytes| bytes.try_into().ok());
            proof.push(hash.ok_or(Malformed::Proof)?);
            // LIMIT: as the protocol has it; no tree is deeper.
            if proof.len() > 63 {
                return Err(Malformed::Proof);
            }
        }
        Ok(Self { old_size, proof, checkpoint: SignedCheckpoint::parse(note.as_bytes())? })
    }
}

impl fmt::Display for Submission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old_size)?;
        self.proof.iter().try_for_each(|hash| writeln!(f, "{}", BASE64.encode(hash)))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

/// Reads a decimal number that is written in its only form.
pub(crate) fn number(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// LIMIT: bytes of a request; a note has up to 128 KiB.
pub(crate) const BODY_BYTES_MAX: usize = 160 << 10;

#[cfg(test)]
mod tests {
    use audit::{KeyKind, SigningKey};

    use super::*;

    #[test]
    fn a_submission_is_read_as_it_was_written_and_nothing_else_is() {
        let key = SigningKey::generate(KeyKind::Log, "log").unwrap();
        let checkpoint = SignedCheckpoint::sign(&key, 9, [1; 32]).unwrap();
        let whole = Submission { old_size: 7, proof: vec![[2; 32], [3; 32]], checkpoint };
        let text = whole.to_string();
        assert!(text.starts_with("old 7\nAgICAgIC"), "{text}");
        assert_eq!(Submission::parse(text.as_bytes()), Ok(whole.clone()));
        let empty = Submission { old_size: 0, proof: Vec::new(), ..whole };
        assert_eq!(Submission::parse(empty.to_string().as_bytes()), Ok(empty));
        let line = format!("{}\n", BASE64.encode([2; 32]));
        for (from, to, why) in [
            ("old 7", "old 07", Malformed::OldSize),
            ("old 7", "old -7", Malformed::OldSize),
            ("old 7", "old  7", Malformed::OldSize),
            ("old 7", "new 7", Malformed::OldSize),
            ("old 7", "", Malformed::OldSize),
            (line.as_str(), "AgI=\n", Malformed::Proof),
            (line.as_str(), "?\n", Malformed::Proof),
            (line.as_str(), line.repeat(63).as_str(), Malformed::Proof),
            ("\n\n", "\n", Malformed::Proof),
        ] {
            let changed = text.replacen(from, to, usize::MAX);
            assert_eq!(Submission::parse(changed.as_bytes()), Err(why), "{changed}");
        }
        let unsigned = text.split_inclusive('\n').take(7).collect::<String>();
        let refused = Submission::parse(unsigned.as_bytes());
        assert!(matches!(refused, Err(Malformed::Checkpoint(_))), "{refused:?}");
        assert_eq!(Submission::parse(&vec![b'x'; 200 << 10]), Err(Malformed::NotText));
        assert_eq!(Submission::parse(b"\xff"), Err(Malformed::NotText));
    }
}
