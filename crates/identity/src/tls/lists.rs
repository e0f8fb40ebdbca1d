//! Revocation lists: which of them can be used at all, and until when.
//!
//! What is on a list, and whether its issuer signed it, is webpki's part during a chain check.

use rustls::pki_types::CertificateRevocationListDer;
use thiserror::Error;
use x509_parser::oid_registry::OID_X509_EXT_ISSUER_DISTRIBUTION_POINT;
use x509_parser::prelude::FromDer as _;
use x509_parser::revocation_list::CertificateRevocationList;

/// Says what becomes of certificates whose issuer's list is out of date.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ListExpiry {
    /// They are refused: nobody knows any more which of them were revoked.
    #[default]
    Refuse,
    /// They are judged by the old list.
    Accept,
}

/// Holds revocation lists that can be used, one for each issuer.
#[derive(Clone, Debug, Default)]
pub struct RevocationLists {
    pub(super) lists: Vec<CertificateRevocationListDer<'static>>,
    pub(super) expiry: ListExpiry,
    /// When each of them is out of date, in seconds since 1970.
    pub(super) ends_unix: Vec<i64>,
}

impl RevocationLists {
    /// Takes lists as they came from their issuers.
    ///
    /// # Errors
    /// Returns why one of them cannot be used; a list that is out of date is refused under
    /// [`ListExpiry::Refuse`].
    pub fn new(
        lists: Vec<CertificateRevocationListDer<'static>>,
        expiry: ListExpiry,
        now_unix: i64,
    ) -> Result<Self, ListError> {
        let mut issuers: Vec<Vec<u8>> = Vec::new();
        let mut ends_unix = Vec::new();
        for der in &lists {
            let (issuer, end_unix) = check(der)?;
            // Of two lists for one issuer only the first would be asked.
            if issuers.contains(&issuer) {
                return Err(ListError::IssuerTwice);
            }
            if expiry == ListExpiry::Refuse && now_unix > end_unix {
                return Err(ListError::Expired { end_unix });
            }
            issuers.push(issuer);
            ends_unix.push(end_unix);
        }
        Ok(Self { lists, expiry, ends_unix })
    }

    /// Returns whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.lists.is_empty()
    }
}

/// Says why a revocation list cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ListError {
    /// It cannot be read.
    #[error("it is not an X.509 revocation list, or holds something that is not understood")]
    Unreadable,
    /// It covers only some of its issuer's certificates.
    #[error(
        "it is a list for a part of the issuer's certificates (issuing distribution point): give \
         the full list"
    )]
    Partial,
    /// It does not say when the next one comes.
    #[error("it does not say until when it holds (next update)")]
    Endless,
    /// Two lists are of one issuer.
    #[error("two lists are of the same issuer: keep the newer one")]
    IssuerTwice,
    /// It is out of date.
    #[error(
        "it is out of date since {}: get a new one, or set `server.tls.crl_expired: accept` and \
         take the risk", super::error::instant(*.end_unix)
    )]
    Expired {
        /// When its issuer promised the next one, in seconds since 1970.
        end_unix: i64,
    },
}

/// Returns the issuer's name as DER, and when the list is out of date.
fn check(der: &[u8]) -> Result<(Vec<u8>, i64), ListError> {
    let (rest, list) =
        CertificateRevocationList::from_der(der).map_err(|_details| ListError::Unreadable)?;
    if !rest.is_empty() {
        return Err(ListError::Unreadable);
    }
    // webpki takes a list whose scope does not fit a certificate for none at all, and then lets
    // the certificate pass; with full lists only, a list of the issuer always counts.
    let scope = &OID_X509_EXT_ISSUER_DISTRIBUTION_POINT;
    if list.extensions().iter().any(|one| one.oid == *scope) {
        return Err(ListError::Partial);
    }
    let end = list.next_update().ok_or(ListError::Endless)?;
    Ok((list.issuer().as_raw().to_owned(), end.timestamp()))
}
