//! What can be wrong with the files of a TLS configuration, and what to do about it.
//!
//! Failures of a handshake are not here: rustls reports them on the connection.

use std::path::PathBuf;

use thiserror::Error;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::lists::ListError;
use crate::files::FileError;
use crate::leaf::SignerError;

/// Says which file of a TLS configuration is not usable; never repeats what is in it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read, or too many may read it.
    #[error(transparent)]
    File(#[from] FileError),
    /// The text is not PEM.
    #[error("`{}` is not valid PEM: {reason}", .path.display())]
    PemInvalid {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: &'static str,
    },
    /// The file for the own certificate has none.
    #[error("`{}` holds no certificate: it needs a `BEGIN CERTIFICATE` section", .path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// The file for the private key has none.
    #[error(
        "`{}` holds no private key: it needs a `BEGIN PRIVATE KEY` section without a password",
        .path.display()
    )]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// The private key is of a kind that TLS 1.3 has no use for, or damaged.
    #[error(
        "`{}` holds a key that cannot be used: take ECDSA P-256, Ed25519 or RSA",
        .path.display()
    )]
    KeyUnusable {
        /// The file.
        path: PathBuf,
    },
    /// Key and certificate are not a pair.
    #[error(
        "the key in `{}` does not belong to the certificate in `{}`: use the pair that was issued \
         together", .key.display(), .cert.display()
    )]
    KeyMismatch {
        /// The file with the key.
        key: PathBuf,
        /// The file with the certificate.
        cert: PathBuf,
    },
    /// A certificate in the file cannot be read.
    #[error("`{}` holds a certificate that cannot be read: get the file anew", .path.display())]
    CertificateUnreadable {
        /// The file.
        path: PathBuf,
    },
    /// The own certificate has expired.
    #[error(
        "the certificate in `{}` expired at {}: issue a new one, and check this machine's clock",
        .path.display(), instant(*.not_after_unix)
    )]
    CertificateExpired {
        /// The file.
        path: PathBuf,
        /// End of validity, in seconds since 1970.
        not_after_unix: i64,
    },
    /// The own certificate is not valid yet.
    #[error(
        "the certificate in `{}` is valid only from {}: check this machine's clock",
        .path.display(), instant(*.not_before_unix)
    )]
    CertificateNotYetValid {
        /// The file.
        path: PathBuf,
        /// Start of validity, in seconds since 1970.
        not_before_unix: i64,
    },
    /// The bundle of authorities is empty, so nobody could be trusted.
    #[error("`{}` holds no certificate authority: nobody could connect", .path.display())]
    CaEmpty {
        /// The file.
        path: PathBuf,
    },
    /// A certificate among the authorities is not one of an authority.
    #[error(
        "`{}` holds a certificate that is not usable as an authority: give the authority's own \
         certificate, not one that it issued", .path.display()
    )]
    CaUnusable {
        /// The file.
        path: PathBuf,
    },
    /// A bundle of authorities is not usable.
    #[error("`{}` is no bundle of the trust domain: {cause}", .path.display())]
    BundleUnusable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        cause: SignerError,
    },
    /// The revocation lists are not usable.
    #[error("`{}` cannot be used as revocation list: {cause}", .path.display())]
    ListUnusable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        cause: ListError,
    },
    /// The file for revocation lists has none.
    #[error(
        "`{}` holds no revocation list: it needs a `BEGIN X509 CRL` section, or one list as DER",
        .path.display()
    )]
    NoList {
        /// The file.
        path: PathBuf,
    },
    /// There is no authority that a server could be trusted by.
    #[error("no authority of the server's trust domain is known, so no server can be trusted")]
    NobodyTrusted,
    /// The TLS library refuses the combination.
    #[error("TLS cannot be set up: {0}")]
    Library(#[from] rustls::Error),
}

impl TlsError {
    /// Returns the stable code for this error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::File(FileError::Missing { .. }) => "tls_file_missing",
            Self::File(FileError::TooLarge { .. }) => "tls_file_too_large",
            Self::File(FileError::OpenToOthers { .. }) => "tls_key_world_readable",
            Self::File(
                FileError::Unreadable { .. }
                | FileError::Exists { .. }
                | FileError::Unwritable { .. },
            ) => "tls_file_unreadable",
            Self::PemInvalid { .. } => "tls_pem_invalid",
            Self::NoCertificate { .. } => "tls_certificate_absent",
            Self::NoKey { .. } => "tls_key_absent",
            Self::KeyUnusable { .. } => "tls_key_unusable",
            Self::KeyMismatch { .. } => "tls_key_mismatch",
            Self::CertificateUnreadable { .. } => "tls_certificate_unreadable",
            Self::CertificateExpired { .. } => "tls_certificate_expired",
            Self::CertificateNotYetValid { .. } => "tls_certificate_not_yet_valid",
            Self::CaEmpty { .. } => "tls_ca_empty",
            Self::CaUnusable { .. } => "tls_ca_unusable",
            Self::BundleUnusable { .. } => "tls_bundle_unusable",
            Self::ListUnusable { cause: ListError::Expired { .. }, .. } => "tls_crl_expired",
            Self::ListUnusable { .. } => "tls_crl_unusable",
            Self::NoList { .. } => "tls_crl_absent",
            Self::NobodyTrusted => "tls_nobody_trusted",
            Self::Library(_) => "tls_library",
        }
    }
}

/// Writes seconds since 1970 as a person reads them.
pub(super) fn instant(unix: i64) -> String {
    OffsetDateTime::from_unix_timestamp(unix)
        .ok()
        .and_then(|instant| instant.format(&Rfc3339).ok())
        .unwrap_or_else(|| format!("{unix} s after 1970"))
}
