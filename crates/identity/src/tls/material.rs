//! Certificates and keys from PEM files, checked for what can be known before a connection.
//!
//! It does not build configurations, and does not judge a peer.

use std::path::Path;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, RootCertStore};

use super::TlsError;
use super::lists::{ListExpiry, RevocationLists};
use super::trust::{Bundle, BundleError};
use crate::ca::Validity;
use crate::files;
use crate::leaf;

/// Reads the authorities that are trusted; each of them must be usable.
pub(super) fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let certificates = certificates(path)?;
    if certificates.is_empty() {
        return Err(TlsError::CaEmpty { path: path.to_owned() });
    }
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        if !leaf::is_authority(&certificate) {
            return Err(TlsError::CaUnusable { path: path.to_owned() });
        }
        roots
            .add(certificate)
            .map_err(|_details| TlsError::CaUnusable { path: path.to_owned() })?;
    }
    Ok(roots)
}

/// Reads the own chain and key, and checks that they are a pair and valid now; returns until when,
/// too.
pub(super) fn own(
    cert: &Path,
    key: &Path,
    now_unix: i64,
) -> Result<(CertifiedKey, Validity), TlsError> {
    let own = certified_key(cert, key)?;
    let unreadable = || TlsError::CertificateUnreadable { path: cert.to_owned() };
    let der = own.end_entity_cert().map_err(|_details| unreadable())?;
    let (not_before_unix, not_after_unix) = leaf::validity(der).map_err(|_details| unreadable())?;
    if now_unix > not_after_unix {
        return Err(TlsError::CertificateExpired { path: cert.to_owned(), not_after_unix });
    }
    if now_unix < not_before_unix {
        return Err(TlsError::CertificateNotYetValid { path: cert.to_owned(), not_before_unix });
    }
    Ok((own, Validity { not_before_unix, not_after_unix }))
}

/// Reads a certificate with its key, of an agent or an authority, whatever its validity.
pub(crate) fn certified_key(cert: &Path, key: &Path) -> Result<CertifiedKey, TlsError> {
    let chain = certificates(cert)?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate { path: cert.to_owned() });
    }
    let secret = private_key(key)?;
    CertifiedKey::from_der(chain, secret, &aws_lc_rs::default_provider()).map_err(|refused| {
        if refused == InconsistentKeys::KeyMismatch.into() {
            TlsError::KeyMismatch { key: key.to_owned(), cert: cert.to_owned() }
        } else if matches!(refused, rustls::Error::InvalidCertificate(_)) {
            TlsError::CertificateUnreadable { path: cert.to_owned() }
        } else {
            TlsError::KeyUnusable { path: key.to_owned() }
        }
    })
}

/// Reads the authorities of a trust domain.
pub(super) fn bundle(path: &Path, domain: &str) -> Result<Bundle, TlsError> {
    let path = path.to_owned();
    Bundle::new(domain, certificates(&path)?).map_err(|refused| match refused {
        BundleError::NotAnAuthority => TlsError::CaUnusable { path },
        BundleError::Signer(cause) => TlsError::BundleUnusable { path, cause },
    })
}

/// Reads revocation lists, as PEM or as one list in DER.
pub(super) fn lists(
    path: &Path,
    expiry: ListExpiry,
    now_unix: i64,
) -> Result<RevocationLists, TlsError> {
    let bytes = files::read_list(path)?;
    let found: Vec<CertificateRevocationListDer<'static>> = if bytes.first() == Some(&DER_SEQUENCE)
    {
        vec![bytes.into()]
    } else {
        CertificateRevocationListDer::pem_slice_iter(&bytes)
            .collect::<Result<_, _>>()
            .map_err(|refused| invalid(path, &refused))?
    };
    if found.is_empty() {
        return Err(TlsError::NoList { path: path.to_owned() });
    }
    RevocationLists::new(found, expiry, now_unix)
        .map_err(|cause| TlsError::ListUnusable { path: path.to_owned(), cause })
}

/// The byte that a structure in DER begins with; no text does.
const DER_SEQUENCE: u8 = 0x30;

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = files::read_public(path)?;
    CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|refused| invalid(path, &refused))
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = files::read_secret(path)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|refused| {
        if matches!(refused, pem::Error::NoItemsFound) {
            TlsError::NoKey { path: path.to_owned() }
        } else {
            invalid(path, &refused)
        }
    })
}

/// The library's own message would repeat lines of the file; a key could be among them.
fn invalid(path: &Path, refused: &pem::Error) -> TlsError {
    let reason = if matches!(refused, pem::Error::MissingSectionEnd { .. }) {
        "a section does not end"
    } else {
        "a section is not well formed"
    };
    TlsError::PemInvalid { path: path.to_owned(), reason }
}
