//! Certificates to the taste of whoever attacks: each part can be said, left out or broken.

use anyhow::Result;

use super::der::{self, Der};
use super::keys::{Digest, Key};

/// What a certificate will say; made by [`Draft::leaf`] or [`Draft::authority`] and then bent.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    subject: Der,
    issuer: Option<Der>,
    valid: (i64, i64),
    extensions: Vec<Extension>,
    digest: Digest,
    flaw: Flaw,
}

/// One extension (RFC 5280, 4.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Extension {
    pub(super) oid: &'static [u32],
    pub(super) is_critical: bool,
    pub(super) value: Der,
}

/// What is wrong with the bytes around what a certificate says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    None,
    /// A bit of the signature is the other way round.
    Signature,
    /// The algorithm inside is not the one outside.
    Algorithm,
    /// Bytes follow the certificate.
    Trailing,
    /// It is of version 1, which knows no extensions, and has some.
    Version1,
    /// A length is written longer than it needs to be, which only BER allows.
    LongLength,
}

/// Who signs: a name and a key, and the certificates that lead from it to what the gate trusts.
#[derive(Debug, Clone)]
pub(super) struct Authority {
    pub(super) name: Der,
    pub(super) key: Key,
    pub(super) certificate: Der,
    /// Its own certificate and those above it, without the root.
    pub(super) chain: Vec<Der>,
}

impl Draft {
    /// Begins with a good leaf of these alternative names.
    pub(super) fn leaf(now: i64, names: &[Der]) -> Self {
        let extensions = vec![
            Extension { oid: ALT_NAME, is_critical: false, value: alt_names(names) },
            Extension { oid: KEY_USAGE, is_critical: true, value: der::named_bits(&[SIGN]) },
            Extension {
                oid: EXTENDED_USAGE,
                is_critical: false,
                value: usages(&[SERVER_AUTH, CLIENT_AUTH]),
            },
        ];
        Self { extensions, ..Self::bare(now, "leaf") }
    }

    /// Begins with a good authority of this name.
    pub(super) fn authority(now: i64, name: &str) -> Self {
        let signs = der::named_bits(&[SIGN_CERTIFICATES, SIGN_LISTS]);
        let extensions = vec![
            constraints(true, None),
            Extension { oid: KEY_USAGE, is_critical: true, value: signs },
        ];
        Self { extensions, ..Self::bare(now, name) }
    }

    fn bare(now: i64, name: &str) -> Self {
        Self {
            subject: common_name(name),
            issuer: None,
            valid: (now - 3_600, now + 3_600),
            extensions: Vec::new(),
            digest: Digest::Sha256,
            flaw: Flaw::None,
        }
    }

    pub(super) fn valid(self, from: i64, to: i64) -> Self {
        Self { valid: (from, to), ..self }
    }

    pub(super) fn subject(self, name: Der) -> Self {
        Self { subject: name, ..self }
    }

    pub(super) fn issuer(self, name: Der) -> Self {
        Self { issuer: Some(name), ..self }
    }

    pub(super) fn digest(self, digest: Digest) -> Self {
        Self { digest, ..self }
    }

    pub(super) fn flaw(self, flaw: Flaw) -> Self {
        Self { flaw, ..self }
    }

    /// Replaces the extension of the same kind, or adds one.
    pub(super) fn with(mut self, extension: Extension) -> Self {
        let old = self.extensions.iter_mut().find(|old| old.oid == extension.oid);
        match old {
            Some(old) => *old = extension,
            None => self.extensions.push(extension),
        }
        self
    }

    /// Adds an extension even if there is one of its kind.
    pub(super) fn and(mut self, extension: Extension) -> Self {
        self.extensions.push(extension);
        self
    }

    pub(super) fn without(mut self, oid: &[u32]) -> Self {
        self.extensions.retain(|extension| extension.oid != oid);
        self
    }

    pub(super) fn key_usage(self, is_critical: bool, numbers: &[u8]) -> Self {
        self.with(Extension { oid: KEY_USAGE, is_critical, value: der::named_bits(numbers) })
    }

    pub(super) fn extended_usage(self, oids: &[&[u32]]) -> Self {
        self.with(Extension { oid: EXTENDED_USAGE, is_critical: false, value: usages(oids) })
    }

    /// Has an authority sign it for the owner of a key.
    pub(super) fn sign(&self, key: &Key, by: &Authority) -> Result<Der> {
        self.signed(key, &by.name, &by.key)
    }

    /// Signs it with its own key.
    pub(super) fn self_signed(&self, key: &Key) -> Result<Der> {
        self.signed(key, &self.subject, key)
    }

    /// Makes an authority of it that another one answers for.
    pub(super) fn below(&self, by: &Authority) -> Result<Authority> {
        let key = Key::ecdsa()?;
        self.below_with(key, by)
    }

    /// Does the same for a given key.
    pub(super) fn below_with(&self, key: Key, by: &Authority) -> Result<Authority> {
        let certificate = self.sign(&key, by)?;
        let chain = [std::slice::from_ref(&certificate), &by.chain].concat();
        Ok(Authority { name: self.subject.clone(), key, certificate, chain })
    }

    /// Makes an authority of it that answers for itself, to be trusted by itself.
    pub(super) fn root(&self, key: Key) -> Result<Authority> {
        let certificate = self.self_signed(&key)?;
        Ok(Authority { name: self.subject.clone(), key, certificate, chain: Vec::new() })
    }

    fn signed(&self, key: &Key, issuer: &[u8], by: &Key) -> Result<Der> {
        let algorithm = by.algorithm(self.digest);
        let content = self.content(&algorithm, issuer, key)?;
        let mut signature = by.sign(&content, self.digest)?;
        if self.flaw == Flaw::Signature
            && let Some(last) = signature.last_mut()
        {
            *last ^= 1;
        }
        let parts = [content, algorithm, der::bits(&signature)].concat();
        Ok(match self.flaw {
            Flaw::Trailing => [der::element(0x30, &parts), vec![0x05, 0]].concat(),
            Flaw::LongLength => {
                // Four bytes of length, the first of them zero.
                let length = u32::try_from(parts.len())?.to_be_bytes();
                [&[0x30, 0x84], length.as_slice(), &parts].concat()
            }
            Flaw::None | Flaw::Signature | Flaw::Algorithm | Flaw::Version1 => {
                der::element(0x30, &parts)
            }
        })
    }

    /// Writes `TBSCertificate` (RFC 5280, 4.1).
    fn content(&self, algorithm: &[u8], issuer: &[u8], key: &Key) -> Result<Der> {
        let version = match self.flaw {
            Flaw::Version1 => Der::new(),
            Flaw::None | Flaw::Signature | Flaw::Algorithm | Flaw::Trailing | Flaw::LongLength => {
                der::explicit(0, &der::integer(&[2]))
            }
        };
        let other = der::sequence(&[&der::oid(ECDSA_SHA384)]);
        let algorithm = if self.flaw == Flaw::Algorithm { &other } else { algorithm };
        let validity = der::sequence(&[&der::time(self.valid.0)?, &der::time(self.valid.1)?]);
        let extensions: Der = self.extensions.iter().flat_map(Extension::der).collect();
        let extensions = match extensions.as_slice() {
            [] => Der::new(),
            some => der::explicit(3, &der::element(0x30, some)),
        };
        Ok(der::sequence(&[
            &version,
            &der::integer(&serial()?),
            algorithm,
            self.issuer.as_deref().unwrap_or(issuer),
            &validity,
            &self.subject,
            &key.public(),
            &extensions,
        ]))
    }
}

impl Extension {
    fn der(&self) -> Der {
        let critical = if self.is_critical { der::boolean(true) } else { Der::new() };
        der::sequence(&[&der::oid(self.oid), &critical, &der::octets(&self.value)])
    }
}

/// Writes a distinguished name of one common name.
pub(super) fn common_name(name: &str) -> Der {
    let attribute = der::sequence(&[&der::oid(&[2, 5, 4, 3]), &der::utf8(name)]);
    der::sequence(&[&der::set(&[&attribute])])
}

pub(super) fn alt_names(names: &[Der]) -> Der {
    der::element(0x30, &names.concat())
}

/// Writes a URI among the alternative names (RFC 5280, 4.2.1.6), whatever its bytes.
pub(super) fn uri(uri: impl AsRef<[u8]>) -> Der {
    der::implicit(6, uri.as_ref())
}

/// Says whether it is an authority, and of how many below it.
pub(super) fn constraints(is_authority: bool, path_len: Option<u8>) -> Extension {
    let authority = if is_authority { der::boolean(true) } else { Der::new() };
    let path_len = path_len.map(|path_len| der::integer(&[path_len])).unwrap_or_default();
    let value = der::sequence(&[&authority, &path_len]);
    Extension { oid: CONSTRAINTS, is_critical: true, value }
}

/// Permits names below one of a kind only (RFC 5280, 4.2.1.10).
pub(super) fn permitted(name: &[u8]) -> Extension {
    let subtree = der::element(0x30, name);
    let value = der::sequence(&[&der::explicit(0, &subtree)]);
    Extension { oid: NAME_CONSTRAINTS, is_critical: true, value }
}

fn usages(oids: &[&[u32]]) -> Der {
    der::element(0x30, &oids.iter().flat_map(|numbers| der::oid(numbers)).collect::<Der>())
}

fn serial() -> Result<[u8; 16]> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes)?;
    Ok(bytes)
}

pub(super) const ALT_NAME: &[u32] = &[2, 5, 29, 17];
pub(super) const KEY_USAGE: &[u32] = &[2, 5, 29, 15];
pub(super) const CONSTRAINTS: &[u32] = &[2, 5, 29, 19];
pub(super) const NAME_CONSTRAINTS: &[u32] = &[2, 5, 29, 30];
pub(super) const EXTENDED_USAGE: &[u32] = &[2, 5, 29, 37];
/// Below an arc that nobody was given (2.999 is for examples).
pub(super) const UNKNOWN: &[u32] = &[1, 3, 999, 1];
pub(super) const SERVER_AUTH: &[u32] = &[1, 3, 6, 1, 5, 5, 7, 3, 1];
pub(super) const CLIENT_AUTH: &[u32] = &[1, 3, 6, 1, 5, 5, 7, 3, 2];
pub(super) const CODE_SIGNING: &[u32] = &[1, 3, 6, 1, 5, 5, 7, 3, 3];
pub(super) const ANY_USAGE: &[u32] = &[2, 5, 29, 37, 0];
/// Numbers of the bits of a key usage (RFC 5280, 4.2.1.3).
pub(super) const SIGN: u8 = 0;
pub(super) const ENCIPHER: u8 = 2;
pub(super) const AGREE: u8 = 4;
pub(super) const SIGN_CERTIFICATES: u8 = 5;
pub(super) const SIGN_LISTS: u8 = 6;
const ECDSA_SHA384: &[u32] = &[1, 2, 840, 10_045, 4, 3, 3];
