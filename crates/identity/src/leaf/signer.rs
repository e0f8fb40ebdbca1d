//! The rules for certificates that sign others: they name a trust domain and nobody in it.
//!
//! Signatures, dates and constraints are webpki's part, as for leaves.

use std::fmt;

use thiserror::Error;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

use super::{LeafError, identity, parse};
use crate::spiffe::{SCHEME, SpiffeId};

/// Says why a certificate that signs others may not stand in a chain.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SignerError {
    /// It cannot be read.
    #[error("an authority's certificate cannot be read")]
    Unreadable,
    /// It names somebody in a trust domain, or not even a valid ID.
    #[error(
        "an authority's certificate names a SPIFFE ID that is not the ID of a trust domain: who \
         signs others speaks for nobody"
    )]
    NotADomain,
    /// It belongs to another trust domain than the one that it signs for.
    #[error("an authority's certificate belongs to another trust domain")]
    OtherDomain,
    /// Its key usage is absent or does not name the signing of certificates.
    #[error(
        "an authority's certificate does not allow it to sign certificates: its key usage must \
         name that"
    )]
    SignsNothing,
}

/// Writes the sentence: rustls prints foreign causes with their debug form.
impl fmt::Debug for SignerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Checks that a certificate which signs for a trust domain has no SPIFFE ID, or that domain's
/// own (X.509-SVID, section 4.2 on signing certificates).
pub(crate) fn check_signer(der: &[u8], domain: &str) -> Result<(), SignerError> {
    let certificate = parse(der).map_err(|_details| SignerError::Unreadable)?;
    for uri in spiffe_uris(&certificate)? {
        let id = SpiffeId::parse(uri).map_err(|_broken| SignerError::NotADomain)?;
        if !id.path().is_empty() {
            return Err(SignerError::NotADomain);
        }
        if id.trust_domain() != domain {
            return Err(SignerError::OtherDomain);
        }
    }
    Ok(())
}

/// Checks in addition that a certificate between leaf and root may sign others (X.509-SVID, 4.3).
///
/// The chain check asks for basic constraints and leaves the key usage to its caller. Roots are
/// exempt: they are trusted by choice, and old ones have none.
pub(crate) fn check_intermediate(der: &[u8], domain: &str) -> Result<(), SignerError> {
    check_signer(der, domain)?;
    let certificate = parse(der).map_err(|_details| SignerError::Unreadable)?;
    let usage = certificate.key_usage().map_err(|_details| SignerError::Unreadable)?;
    if usage.is_some_and(|usage| usage.value.key_cert_sign()) {
        Ok(())
    } else {
        Err(SignerError::SignsNothing)
    }
}

/// Returns the trust domain that a leaf names, or nothing if it is no identity at all.
pub(crate) fn trust_domain(der: &[u8]) -> Option<String> {
    let id: Result<SpiffeId, LeafError> = parse(der).and_then(|leaf| identity(&leaf));
    id.ok().map(|id| id.trust_domain().to_owned())
}

fn spiffe_uris<'a>(certificate: &'a X509Certificate<'_>) -> Result<Vec<&'a str>, SignerError> {
    let names = certificate
        .subject_alternative_name()
        .map_err(|_twice| SignerError::Unreadable)?
        .map(|found| found.value.general_names.as_slice())
        .unwrap_or_default();
    let uris = names
        .iter()
        .filter_map(|name| if let GeneralName::URI(uri) = name { Some(*uri) } else { None });
    Ok(uris.filter(|uri| uri.starts_with(SCHEME)).collect())
}
