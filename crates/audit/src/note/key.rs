//! The keys of logs and witnesses: Ed25519, written as one line of text.
//!
//! The lines are those of Go's `sumdb/note`, which C2SP `signed-note` describes, so other tools
//! read them: `NAME+ID+KEY` to verify, `PRIVATE+KEY+NAME+ID+KEY` to sign. Where a secret line is
//! kept, and who may read it, is the caller's concern.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::rand;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::Signature;
use crate::hex::to_hex;

/// What a key signs, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// The text of a note; C2SP `signed-note`, type 1.
    Log,
    /// The text with the time of signing, as a witness; C2SP `tlog-cosignature`, type 4.
    Witness,
}

/// The public half of a key, with its name.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    kind: KeyKind,
    public: [u8; 32],
}

/// The secret half of a key, with its name; wiped from memory when dropped.
pub struct SigningKey {
    seed: Zeroizing<[u8; 32]>,
    pair: Ed25519KeyPair,
    verifier: VerifierKey,
}

/// Says why a key cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The text is no key of this form.
    #[error("not a key of the form NAME+ID+KEY; `palisade audit key` makes one")]
    Malformed,
    /// The text is no secret key of this form.
    #[error("not a secret key of the form PRIVATE+KEY+NAME+ID+KEY; `palisade audit key` makes one")]
    MalformedSecret,
    /// The identifier does not belong to name and key.
    #[error("the identifier does not belong to name and key: the text was changed or cut off")]
    WrongId,
    /// The key is of a type that is not known here.
    #[error("a key of a type that is not known here; only Ed25519 keys of logs and witnesses are")]
    UnknownType,
    /// The name cannot be a key's.
    #[error("a key's name has 1 to 255 bytes, no spaces and no `+`, such as example.com/audit")]
    BadName,
    /// The library failed.
    #[error("the cryptographic library failed to make a key")]
    Failed,
}

impl KeyError {
    /// Returns the stable code for this error.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Malformed | Self::MalformedSecret | Self::WrongId => "key_malformed",
            Self::UnknownType => "key_type",
            Self::BadName => "key_name",
            Self::Failed => "key_failed",
        }
    }
}

impl KeyKind {
    const fn byte(self) -> u8 {
        match self {
            Self::Log => 1,
            Self::Witness => 4,
        }
    }

    const fn of(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Log),
            4 => Some(Self::Witness),
            _ => None,
        }
    }
}

impl VerifierKey {
    /// Reads a key.
    ///
    /// # Errors
    /// Refuses a text that is no key of a log or a witness.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(encoded)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(KeyError::Malformed);
        };
        if !is_name(name) || id.len() != 8 {
            return Err(KeyError::Malformed);
        }
        let bytes = BASE64.decode(encoded).map_err(|_invalid| KeyError::Malformed)?;
        let (kind, public) = typed(&bytes).ok_or(KeyError::Malformed)?;
        let kind = KeyKind::of(kind).ok_or(KeyError::UnknownType)?;
        let key = Self { name: name.to_owned(), kind, public };
        if to_hex(&key.id()) == id { Ok(key) } else { Err(KeyError::WrongId) }
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns what the key signs.
    #[must_use]
    pub const fn kind(&self) -> KeyKind {
        self.kind
    }

    /// Returns the first four bytes of the hash of name, type and key.
    #[must_use]
    pub fn id(&self) -> [u8; 4] {
        let hash: [u8; 32] = Sha256::new()
            .chain_update(&self.name)
            .chain_update([b'\n', self.kind.byte()])
            .chain_update(self.public)
            .finalize()
            .into();
        let [a, b, c, d, ..] = hash;
        [a, b, c, d]
    }

    /// Checks a signature over a text; returns the time that it names, 0 if it is a log's.
    pub(super) fn verify(&self, text: &str, signature: &[u8]) -> Option<u64> {
        let key = UnparsedPublicKey::new(&ED25519, &self.public);
        match self.kind {
            KeyKind::Log => key.verify(text.as_bytes(), signature).ok().map(|()| 0),
            KeyKind::Witness => {
                let (time, signature) = signature.split_first_chunk()?;
                let time = u64::from_be_bytes(*time);
                // The document bounds the time to a signed number.
                i64::try_from(time).ok()?;
                key.verify(cosigned(text, time).as_bytes(), signature).ok()?;
                Some(time)
            }
        }
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&[self.kind.byte()][..], &self.public].concat();
        write!(f, "{}+{}+{}", self.name, to_hex(&self.id()), BASE64.encode(bytes))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifierKey({self})")
    }
}

impl FromStr for VerifierKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl SigningKey {
    /// Generates a key.
    ///
    /// # Errors
    /// Refuses a name that cannot be a key's; fails if the system has no random numbers.
    pub fn generate(kind: KeyKind, name: &str) -> Result<Self, KeyError> {
        let mut seed = Zeroizing::new([0; 32]);
        rand::fill(&mut *seed).map_err(|_unspecified| KeyError::Failed)?;
        Self::of(kind, name, seed)
    }

    /// Reads a secret key; white space around it is left out.
    ///
    /// # Errors
    /// Refuses a text that is no secret key of a log or a witness; never says what is in it.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let rest = text.trim().strip_prefix(SECRET).ok_or(KeyError::MalformedSecret)?;
        let mut parts = rest.splitn(3, '+');
        let (Some(name), Some(id), Some(encoded)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(KeyError::MalformedSecret);
        };
        let decoded = BASE64.decode(encoded).map_err(|_invalid| KeyError::MalformedSecret)?;
        let bytes = Zeroizing::new(decoded);
        let (kind, seed) = typed(&bytes).ok_or(KeyError::MalformedSecret)?;
        let seed = Zeroizing::new(seed);
        let kind = KeyKind::of(kind).ok_or(KeyError::UnknownType)?;
        let key = Self::of(kind, name, seed)?;
        if to_hex(&key.verifier.id()) == id { Ok(key) } else { Err(KeyError::WrongId) }
    }

    fn of(kind: KeyKind, name: &str, seed: Zeroizing<[u8; 32]>) -> Result<Self, KeyError> {
        if !is_name(name) {
            return Err(KeyError::BadName);
        }
        let pair = Ed25519KeyPair::from_seed_unchecked(&*seed).map_err(|_why| KeyError::Failed)?;
        let public = pair.public_key().as_ref().try_into().map_err(|_why| KeyError::Failed)?;
        let verifier = VerifierKey { name: name.to_owned(), kind, public };
        Ok(Self { seed, pair, verifier })
    }

    /// Returns the line to keep, which holds the secret.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let key = &self.verifier;
        let bytes = Zeroizing::new([&[key.kind.byte()][..], &*self.seed].concat());
        let encoded = Zeroizing::new(BASE64.encode(&*bytes));
        Zeroizing::new(format!("{SECRET}{}+{}+{}\n", key.name, to_hex(&key.id()), *encoded))
    }

    /// Returns the public half.
    #[must_use]
    pub const fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// Signs a text; a witness also says when, in seconds since 1970.
    #[must_use]
    pub fn sign(&self, text: &str, unix_seconds: u64) -> Signature {
        let bytes = match self.verifier.kind {
            KeyKind::Log => self.pair.sign(text.as_bytes()).as_ref().to_vec(),
            KeyKind::Witness => {
                let signature = self.pair.sign(cosigned(text, unix_seconds).as_bytes());
                [&unix_seconds.to_be_bytes()[..], signature.as_ref()].concat()
            }
        };
        Signature { name: self.verifier.name.clone(), id: self.verifier.id(), bytes }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, [redacted])", self.verifier.name)
    }
}

/// Tells whether a text can be the name of a key.
pub(super) fn is_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && !name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+')
}

fn typed(bytes: &[u8]) -> Option<(u8, [u8; 32])> {
    let (kind, key) = bytes.split_first()?;
    Some((*kind, key.try_into().ok()?))
}

/// What a witness signs.
fn cosigned(text: &str, time: u64) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}

const SECRET: &str = "PRIVATE+KEY+";
/// LIMIT: bytes of a name, which other formats of cosignatures count in one byte.
const NAME_BYTES_MAX: usize = 255;
