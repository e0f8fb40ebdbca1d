//! Encryption of a field to one recipient: HPKE (RFC 9180) in base mode, written as text.
//!
//! Base mode says nothing about who sealed a field; the gate's own record of the sender does. Which
//! key belongs to which agent is the caller's knowledge.
//!
//! A sealed field is [`SEALED_PREFIX`] and then, as base64url without padding, the 32 bytes of the
//! encapsulated key followed by the ciphertext with its tag. The suite is DHKEM(X25519,
//! HKDF-SHA256), HKDF-SHA256, AES-256-GCM; the info string is `palisade sealed field v1`.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use aws_lc_rs::agreement;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use rustls::crypto::aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_AES_256;
use rustls::crypto::hpke::{EncapsulatedSecret, Hpke, HpkePrivateKey, HpkePublicKey};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::files::{self, Audience, FileError, Overwrite};

#[cfg(test)]
mod tests;

/// Encrypts a field so that only the holder of the opening key can read it.
///
/// `aad` is the recipient's agent id: a field that is moved to another recipient does not open.
///
/// # Errors
/// Returns an error if the field is too large or the library fails.
pub fn seal(key: &SealingKey, aad: &[u8], plaintext: &[u8]) -> Result<String, SealError> {
    if plaintext.len() > PLAINTEXT_BYTES_MAX {
        return Err(SealError::TooLarge);
    }
    let public = HpkePublicKey(key.0.to_vec());
    let (encapsulated, ciphertext) =
        suite().seal(INFO, aad, plaintext, &public).map_err(|_details| SealError::Failed)?;
    let mut bytes = encapsulated.0;
    bytes.extend_from_slice(&ciphertext);
    Ok(format!("{SEALED_PREFIX}{}", BASE64.encode(bytes)))
}

/// Decrypts a sealed field.
///
/// # Errors
/// Returns an error if the text is not a sealed field, or was not sealed to this key and recipient.
pub fn open(key: &OpeningKey, aad: &[u8], token: &str) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let encoded = token.strip_prefix(SEALED_PREFIX).ok_or(SealError::NotSealed)?;
    if encoded.len() > ENCODED_BYTES_MAX {
        return Err(SealError::TooLarge);
    }
    let bytes = BASE64.decode(encoded).map_err(|_details| SealError::NotSealed)?;
    let (encapsulated, ciphertext) =
        bytes.split_at_checked(KEY_BYTES).ok_or(SealError::NotSealed)?;
    if ciphertext.len() < TAG_BYTES {
        return Err(SealError::NotSealed);
    }
    let encapsulated = EncapsulatedSecret(encapsulated.to_vec());
    let secret = HpkePrivateKey::from(key.secret.to_vec());
    suite()
        .open(&encapsulated, INFO, aad, ciphertext, &secret)
        .map(Zeroizing::new)
        .map_err(|_details| SealError::Refused)
}

/// Holds the public key of a recipient; written as 43 characters of base64url.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SealingKey([u8; KEY_BYTES]);

impl SealingKey {
    /// Parses a key as its display writes it.
    ///
    /// # Errors
    /// Returns an error if the text is not 32 bytes in base64url, or a point that would let
    /// everybody read what is sealed.
    pub fn parse(text: &str) -> Result<Self, SealError> {
        let mut bytes = [0; KEY_BYTES];
        decode_key(text, &mut bytes)?;
        Self::checked(bytes)
    }

    fn checked(bytes: [u8; KEY_BYTES]) -> Result<Self, SealError> {
        // Setting up once finds points of low order now and not at the first message.
        suite()
            .setup_sealer(INFO, &HpkePublicKey(bytes.to_vec()))
            .map_err(|_details| SealError::KeyInvalid)?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64.encode(self.0))
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingKey({self})")
    }
}

impl FromStr for SealingKey {
    type Err = SealError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

/// Holds the secret key of a recipient; wiped from memory when dropped.
pub struct OpeningKey {
    secret: Zeroizing<[u8; KEY_BYTES]>,
    public: SealingKey,
}

impl OpeningKey {
    /// Generates a new key.
    ///
    /// # Errors
    /// Returns an error if the system gives no random numbers.
    pub fn generate() -> Result<Self, SealError> {
        let (_public, secret) =
            suite().generate_key_pair().map_err(|_details| SealError::Failed)?;
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        if secret.secret_bytes().len() != KEY_BYTES {
            return Err(SealError::Failed);
        }
        bytes.copy_from_slice(secret.secret_bytes());
        Self::from_secret(bytes)
    }

    /// Parses a key as [`to_text`](Self::to_text) writes it; space around it is ignored.
    ///
    /// # Errors
    /// Returns an error if the text is anything else.
    pub fn parse(text: &str) -> Result<Self, SealError> {
        let encoded = text.trim().strip_prefix(OPENING_PREFIX).ok_or(SealError::KeyInvalid)?;
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        decode_key(encoded, &mut bytes)?;
        Self::from_secret(bytes)
    }

    /// Writes the key as one line of text that cannot be taken for a public key.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let encoded = Zeroizing::new(BASE64.encode(*self.secret));
        Zeroizing::new(format!("{OPENING_PREFIX}{}\n", *encoded))
    }

    /// Loads a key from a file that only its owner may read.
    ///
    /// # Errors
    /// Returns an error if the file is missing, open to others, or not an opening key.
    pub fn load(path: &Path) -> Result<Self, SealError> {
        let bytes = files::read_secret(path)?;
        Self::parse(std::str::from_utf8(&bytes).map_err(|_details| SealError::KeyInvalid)?)
    }

    /// Saves the key to a file that only its owner may read.
    ///
    /// # Errors
    /// Returns an error if the file exists and may not be replaced, or cannot be written.
    pub fn save(&self, path: &Path, overwrite: Overwrite) -> Result<(), SealError> {
        Ok(files::write(path, self.to_text().as_bytes(), Audience::Owner, overwrite)?)
    }

    /// Returns the public key that senders need.
    #[must_use]
    pub fn sealing_key(&self) -> &SealingKey {
        &self.public
    }

    fn from_secret(secret: Zeroizing<[u8; KEY_BYTES]>) -> Result<Self, SealError> {
        let private = agreement::PrivateKey::from_private_key(&agreement::X25519, &*secret)
            .map_err(|_details| SealError::KeyInvalid)?;
        let public = private.compute_public_key().map_err(|_details| SealError::KeyInvalid)?;
        let public = public.as_ref().try_into().map_err(|_details| SealError::KeyInvalid)?;
        Ok(Self { secret, public: SealingKey::checked(public)? })
    }
}

impl fmt::Debug for OpeningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpeningKey")
            .field("secret", &"[redacted]")
            .field("public", &self.public)
            .finish()
    }
}

/// Says why a field cannot be sealed or opened; tells a stranger nothing about the key.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SealError {
    /// The text is not a key.
    #[error("the text is not a key of this kind: copy it anew from where it was made")]
    KeyInvalid,
    /// A key file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The text has not the form of a sealed field.
    #[error("the text is not a sealed field, or was cut short")]
    NotSealed,
    /// The field exceeds the limit.
    #[error("the field is larger than 8 MiB")]
    TooLarge,
    /// The field does not open.
    #[error("the field was not sealed to this key and recipient, or was changed on its way")]
    Refused,
    /// The cryptographic library failed for no fault of the caller.
    #[error("the field could not be sealed")]
    Failed,
}

impl SealError {
    /// Returns the stable code for this error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::KeyInvalid => "seal_key_invalid",
            Self::File(file) => file.code(),
            Self::NotSealed => "seal_not_sealed",
            Self::TooLarge => "seal_too_large",
            Self::Refused => "seal_refused",
            Self::Failed => "seal_failed",
        }
    }
}

fn suite() -> &'static dyn Hpke {
    DH_KEM_X25519_HKDF_SHA256_AES_256
}

fn decode_key(text: &str, bytes: &mut [u8; KEY_BYTES]) -> Result<(), SealError> {
    // The library wants room for a whole number of groups when it decodes into a slice.
    let mut room = Zeroizing::new([0_u8; KEY_BYTES + 1]);
    match BASE64.decode_slice(text, &mut *room) {
        Ok(KEY_BYTES) => {
            bytes.iter_mut().zip(room.iter()).for_each(|(to, from)| *to = *from);
            Ok(())
        }
        Ok(_) | Err(_) => Err(SealError::KeyInvalid),
    }
}

/// What every sealed field begins with.
pub const SEALED_PREFIX: &str = "palisade:sealed:v1:";
/// LIMIT: how large a field may be before it is sealed; above any message that the doors take.
pub const PLAINTEXT_BYTES_MAX: usize = 8 * 1024 * 1024;
const OPENING_PREFIX: &str = "palisade-opening-key-v1:";
const INFO: &[u8] = b"palisade sealed field v1";
/// The length of an X25519 key, public, secret or encapsulated.
const KEY_BYTES: usize = 32;
const TAG_BYTES: usize = 16;
const ENCODED_BYTES_MAX: usize = (KEY_BYTES + PLAINTEXT_BYTES_MAX + TAG_BYTES).div_ceil(3) * 4;
