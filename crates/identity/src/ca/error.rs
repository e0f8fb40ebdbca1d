//! Why a certificate authority could not do what was asked.

use thiserror::Error;

use super::DAYS_MAX;
use crate::files::FileError;
use crate::random::NoRandom;
use crate::tls::TlsError;

/// Says why the authority could not do what was asked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CaError {
    /// The authority's own files are not usable.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file of the authority is not what this program writes.
    #[error("`{}` is damaged: make a new authority in another folder", .path.display())]
    Damaged {
        /// The file.
        path: std::path::PathBuf,
    },
    /// The certificate would name nobody.
    #[error(
        "a certificate needs a name: give a DNS name, an IP address or a SPIFFE ID with a path"
    )]
    NoName,
    /// A host name has characters that cannot stand in a certificate.
    #[error("`{name}` cannot stand in a certificate: give a DNS name in ASCII or an IP address")]
    HostName {
        /// The name, escaped for printing.
        name: String,
    },
    /// The name cannot be a file name.
    #[error(
        "a file for a certificate is named with 1 to 64 letters, digits, `.`, `_` or `-`, does not \
         begin with a dot, and is not called `ca`"
    )]
    FileName,
    /// The number of days makes no sense.
    #[error("a certificate is valid for 1 to {DAYS_MAX} days, not for {days}")]
    Days {
        /// What was asked for.
        days: u32,
    },
    /// A point in time cannot stand in a certificate.
    #[error("a certificate cannot be valid from or until {unix} seconds after 1970")]
    Instant {
        /// The point in time.
        unix: i64,
    },
    /// The certificate would end before it begins.
    #[error("a certificate cannot end before it begins")]
    EndsBeforeBegin,
    /// What is to be revoked is no certificate.
    #[error("a certificate that is to be revoked cannot be read: give its PEM file")]
    CertificateUnreadable,
    /// The system gives no random numbers.
    #[error(transparent)]
    Random(#[from] NoRandom),
    /// The certificate library refuses.
    #[error("the certificate cannot be made: {0}")]
    Library(#[from] rcgen::Error),
}
