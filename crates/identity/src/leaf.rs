//! The rules for a peer's own certificate that a chain check does not know.
//!
//! It judges one certificate by itself. Signatures, dates, issuers and unknown critical extensions
//! are webpki's part, done during the TLS handshake; whether the agent is known is the caller's.

use aws_lc_rs::digest;
use rustls::pki_types::CertificateDer;
use thiserror::Error;
use x509_parser::asn1_rs::{Any, FromDer as _, Sequence};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension, SubjectAlternativeName};
use x509_parser::oid_registry::OID_X509_EXT_SUBJECT_ALT_NAME;

use crate::spiffe::{SCHEME, SpiffeId, SpiffeIdError};

mod signer;
#[cfg(test)]
mod tests;

pub use signer::SignerError;
pub(crate) use signer::{check_intermediate, check_signer, trust_domain};

/// Holds what a checked certificate says about its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerCertificate {
    /// The one identity of the certificate.
    pub spiffe_id: SpiffeId,
    /// Start of validity, in seconds since 1970.
    pub not_before_unix: i64,
    /// End of validity, in seconds since 1970.
    pub not_after_unix: i64,
    /// The serial number, in lower-case hexadecimal without leading zero bytes.
    pub serial_hex: String,
    /// The SHA-256 of the whole certificate, in lower-case hexadecimal.
    pub fingerprint_sha256: String,
}

/// Checks a client's leaf certificate against the rules of an X.509 SVID.
///
/// An extended key usage is optional, but if there is one it must name client authentication. The
/// SVID specification also wants server authentication in it; agents' certificates in the field
/// carry only the client's, so that is not demanded.
///
/// # Errors
/// Returns the first rule that is broken, identity rules first.
pub fn check_leaf(der: &[u8]) -> Result<PeerCertificate, LeafError> {
    check(der, Purpose::Client)
}

/// What the peer uses its certificate for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Client,
    Server,
}

pub(crate) fn check(der: &[u8], purpose: Purpose) -> Result<PeerCertificate, LeafError> {
    let certificate = parse(der)?;
    let spiffe_id = identity(&certificate)?;
    check_constraints(&certificate)?;
    check_key_usage(&certificate)?;
    check_extended_key_usage(&certificate, purpose)?;
    Ok(PeerCertificate {
        spiffe_id,
        not_before_unix: certificate.validity().not_before.timestamp(),
        not_after_unix: certificate.validity().not_after.timestamp(),
        serial_hex: serial_hex(&certificate),
        fingerprint_sha256: hex(digest::digest(&digest::SHA256, der).as_ref()),
    })
}

/// Reads the validity of a certificate as seconds since 1970: not before, not after.
pub(crate) fn validity(der: &[u8]) -> Result<(i64, i64), LeafError> {
    let certificate = parse(der)?;
    let validity = certificate.validity();
    Ok((validity.not_before.timestamp(), validity.not_after.timestamp()))
}

/// Reads the serial number of a certificate, as it is written there.
pub(crate) fn serial(der: &[u8]) -> Result<Vec<u8>, LeafError> {
    Ok(parse(der)?.raw_serial().to_owned())
}

/// Splits DER certificates that stand one after the other; nothing if that is not what they are.
#[must_use]
pub fn split_der(bytes: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let mut certificates = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (behind, _element) = Sequence::from_der(rest).ok()?;
        let length = rest.len().checked_sub(behind.len())?;
        certificates.push(rest.get(..length)?.to_vec().into());
        rest = behind;
    }
    Some(certificates)
}

/// Tells whether a certificate calls itself one of an authority.
pub(crate) fn is_authority(der: &[u8]) -> bool {
    parse(der).is_ok_and(|certificate| check_constraints(&certificate) == Err(LeafError::IsCa))
}

/// Says which rule a certificate breaks.
///
/// The codes of the first three are what clients of the gRPC door match on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LeafError {
    /// No alternative name at all.
    #[error("the certificate names no SPIFFE ID: it has no alternative names")]
    MissingSpiffeSan,
    /// There are names, but not exactly one URI that is a SPIFFE ID; names of other kinds never
    /// are an identity.
    #[error("the certificate's names are not exactly one SPIFFE ID: {reason}")]
    InvalidSpiffeSan {
        /// What is wrong.
        reason: &'static str,
    },
    /// The one URI is meant as a SPIFFE ID and is not a valid one for a workload.
    #[error("the certificate's SPIFFE ID is not valid: {reason}")]
    InvalidSpiffeFormat {
        /// What is wrong.
        reason: FormatReason,
    },
    /// The alternative names must be critical because the subject is empty.
    #[error("the certificate has an empty subject, and its alternative names are not critical")]
    SanNotCritical,
    /// A certificate authority's certificate never authenticates.
    #[error("the certificate belongs to a certificate authority, not to an agent")]
    IsCa,
    /// The key usage is missing or not one of a leaf.
    #[error("the certificate's key usage is not that of an agent: {reason}")]
    KeyUsage {
        /// What is wrong.
        reason: &'static str,
    },
    /// The extended key usage does not allow the use at hand.
    #[error("the certificate's extended key usage does not allow this use")]
    ExtendedKeyUsage,
    /// The certificate cannot be read.
    #[error("the certificate cannot be read: {reason}")]
    Unreadable {
        /// What is wrong.
        reason: &'static str,
    },
}

impl LeafError {
    /// Returns the stable code for this error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::MissingSpiffeSan => "missing_spiffe_san",
            Self::InvalidSpiffeSan { .. } => "invalid_spiffe_san",
            Self::InvalidSpiffeFormat { .. } => "invalid_spiffe_format",
            Self::SanNotCritical
            | Self::IsCa
            | Self::KeyUsage { .. }
            | Self::ExtendedKeyUsage
            | Self::Unreadable { .. } => "invalid_certificate",
        }
    }
}

/// Says why a URI that begins like a SPIFFE ID does not identify a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FormatReason {
    /// It breaks the grammar.
    #[error(transparent)]
    Grammar(SpiffeIdError),
    /// It names a trust domain and nothing in it.
    #[error("it has no path, so it names a trust domain and not an agent")]
    NoPath,
}

fn parse(der: &[u8]) -> Result<X509Certificate<'_>, LeafError> {
    if der.len() > CERTIFICATE_BYTES_MAX {
        return Err(LeafError::Unreadable { reason: "it is larger than 64 KiB" });
    }
    let (rest, certificate) = X509Certificate::from_der(der)
        .map_err(|_details| LeafError::Unreadable { reason: "it is not an X.509 certificate" })?;
    if !rest.is_empty() {
        return Err(LeafError::Unreadable { reason: "bytes follow the certificate" });
    }
    certificate
        .extensions_map()
        .map_err(|_details| LeafError::Unreadable { reason: "an extension stands there twice" })?;
    // The accessors of the parser take some extensions that it could not read for absent ones.
    let broken =
        |parsed: &ParsedExtension<'_>| matches!(parsed, ParsedExtension::ParseError { .. });
    if certificate.extensions().iter().any(|one| broken(one.parsed_extension())) {
        return Err(LeafError::Unreadable { reason: "an extension is malformed" });
    }
    Ok(certificate)
}

fn identity(certificate: &X509Certificate<'_>) -> Result<SpiffeId, LeafError> {
    let san = certificate
        .get_extension_unique(&OID_X509_EXT_SUBJECT_ALT_NAME)
        .map_err(|_details| LeafError::Unreadable { reason: "an extension stands there twice" })?
        .ok_or(LeafError::MissingSpiffeSan)?;
    let ParsedExtension::SubjectAlternativeName(names) = san.parsed_extension() else {
        return Err(LeafError::Unreadable { reason: "an extension is malformed" });
    };
    check_name_tags(san.value)?;
    let id = single_uri(names)?;
    if certificate.subject().iter_rdn().next().is_none() && !san.critical {
        return Err(LeafError::SanNotCritical);
    }
    Ok(id)
}

fn single_uri(names: &SubjectAlternativeName<'_>) -> Result<SpiffeId, LeafError> {
    let mut uris = names.general_names.iter().filter(|name| is_uri(name));
    let Some(uri) = uris.next() else {
        // MAS clients tell these two apart: no name at all, and names of other kinds.
        return Err(if names.general_names.is_empty() {
            LeafError::MissingSpiffeSan
        } else {
            LeafError::InvalidSpiffeSan { reason: "none of its names is a URI" }
        });
    };
    if uris.next().is_some() {
        return Err(LeafError::InvalidSpiffeSan { reason: "there are several URIs" });
    }
    let GeneralName::URI(uri) = uri else {
        return Err(LeafError::InvalidSpiffeSan { reason: "the URI is not text" });
    };
    if !uri.starts_with(SCHEME) {
        return Err(LeafError::InvalidSpiffeSan {
            reason: "the URI does not begin with `spiffe://`",
        });
    }
    let id = SpiffeId::parse(uri).map_err(|broken| LeafError::InvalidSpiffeFormat {
        reason: FormatReason::Grammar(broken),
    })?;
    if id.path().is_empty() {
        return Err(LeafError::InvalidSpiffeFormat { reason: FormatReason::NoPath });
    }
    Ok(id)
}

/// Refuses a URI that is not written as plain bytes; the parser looks at the number of a tag only.
fn check_name_tags(names: &[u8]) -> Result<(), LeafError> {
    let malformed = |_details| LeafError::Unreadable { reason: "an extension is malformed" };
    let (_, names) = Sequence::from_der(names).map_err(malformed)?;
    let mut rest: &[u8] = &names.content;
    while !rest.is_empty() {
        let (behind, name) = Any::from_der(rest).map_err(malformed)?;
        if name.tag().0 == URI_TAG && name.header.is_constructed() {
            return Err(LeafError::Unreadable { reason: "a URI is not written as text" });
        }
        rest = behind;
    }
    Ok(())
}

/// Counts a URI that is not UTF-8 too: it must not hide beside a good one.
fn is_uri(name: &GeneralName<'_>) -> bool {
    matches!(name, GeneralName::URI(_))
        || matches!(name, GeneralName::Invalid(tag, _) if tag.0 == URI_TAG)
}

fn check_constraints(certificate: &X509Certificate<'_>) -> Result<(), LeafError> {
    let constraints = certificate
        .basic_constraints()
        .map_err(|_details| LeafError::Unreadable { reason: "an extension stands there twice" })?;
    match constraints {
        Some(found) if found.value.ca => Err(LeafError::IsCa),
        Some(_) | None => Ok(()),
    }
}

fn check_key_usage(certificate: &X509Certificate<'_>) -> Result<(), LeafError> {
    let refuse = |reason| Err(LeafError::KeyUsage { reason });
    let usage = certificate
        .key_usage()
        .map_err(|_details| LeafError::Unreadable { reason: "the key usage is malformed" })?;
    let Some(usage) = usage else {
        return refuse("it is absent");
    };
    if !usage.critical {
        return refuse("it is not critical");
    }
    if usage.value.key_cert_sign() || usage.value.crl_sign() {
        return refuse("it allows signing certificates or revocation lists");
    }
    if !usage.value.digital_signature() {
        return refuse("it does not allow digital signatures");
    }
    Ok(())
}

fn check_extended_key_usage(
    certificate: &X509Certificate<'_>,
    purpose: Purpose,
) -> Result<(), LeafError> {
    let usage = certificate.extended_key_usage().map_err(|_details| LeafError::Unreadable {
        reason: "the extended key usage is malformed",
    })?;
    let allowed = usage.is_none_or(|found| match purpose {
        Purpose::Client => found.value.client_auth,
        Purpose::Server => found.value.server_auth,
    });
    if allowed { Ok(()) } else { Err(LeafError::ExtendedKeyUsage) }
}

fn serial_hex(certificate: &X509Certificate<'_>) -> String {
    let raw = certificate.raw_serial();
    let zeros = raw.iter().take_while(|byte| **byte == 0).count();
    let significant = raw.get(zeros..).unwrap_or_default();
    if significant.is_empty() { "00".to_owned() } else { hex(significant) }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// LIMIT: a handshake message of rustls is no larger; other sources get the same bound.
const CERTIFICATE_BYTES_MAX: usize = 64 * 1024;
/// The tag of `uniformResourceIdentifier` in `GeneralName` (RFC 5280, 4.2.1.6).
const URI_TAG: u32 = 6;
