//! A certificate authority for development and tests: makes itself, servers' and agents' leaves.
//!
//! It keeps no list of what it issued, so who revokes says all that is revoked; a real installation
//! brings its own authority, for example SPIRE.

use std::fmt;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use zeroize::Zeroizing;

use crate::files::{self, Audience, Overwrite};
use crate::leaf;
use crate::spiffe::SpiffeId;
use crate::tls::certified_key;

mod error;
mod params;
#[cfg(test)]
mod tests;

pub use self::error::CaError;
use self::params::{host, instant, params, uri};

/// Issues certificates for development and tests, with ECDSA P-256 keys.
pub struct DevCa {
    issuer: Issuer<'static, KeyPair>,
    cert_pem: String,
}

impl DevCa {
    /// Makes a new authority, valid for ten years.
    ///
    /// # Errors
    /// Returns an error if the name or the time cannot stand in a certificate.
    pub fn create(common_name: &str, now_unix: i64) -> Result<Self, CaError> {
        let validity = Validity::from_days(now_unix, CA_DAYS)?;
        let mut params = params(common_name, validity)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.use_authority_key_identifier_extension = false;
        let key = KeyPair::generate()?;
        let cert_pem = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), cert_pem })
    }

    /// Loads the authority that was saved in a folder.
    ///
    /// # Errors
    /// Returns an error if a file is missing or unreadable, if the key is open to others than its
    /// owner, or if key and certificate are not a pair.
    pub fn load(folder: &Path) -> Result<Self, CaError> {
        let (cert, key) = (folder.join(CA_CERT_FILE), folder.join(CA_KEY_FILE));
        certified_key(&cert, &key)?;
        let damaged = |path: &Path| CaError::Damaged { path: path.to_owned() };
        let key_text = files::read_secret(&key)?;
        let key_text = std::str::from_utf8(&key_text).map_err(|_details| damaged(&key))?;
        let key = KeyPair::from_pem(key_text).map_err(|_details| damaged(&key))?;
        let cert_pem =
            String::from_utf8(files::read_public(&cert)?).map_err(|_details| damaged(&cert))?;
        let issuer = Issuer::from_ca_cert_pem(&cert_pem, key).map_err(|_details| damaged(&cert))?;
        Ok(Self { issuer, cert_pem })
    }

    /// Saves the authority as `ca.pem` and `ca.key` in a folder, which is made if need be.
    ///
    /// # Errors
    /// Returns an error if a file exists and may not be replaced, or cannot be written.
    pub fn save(&self, folder: &Path, overwrite: Overwrite) -> Result<(), CaError> {
        let key_pem = Zeroizing::new(self.issuer.key().serialize_pem());
        save_pair(folder, CA_NAME, (&self.cert_pem, &key_pem), overwrite)
    }

    /// Returns the authority's certificate, which is what others trust.
    #[must_use]
    pub fn cert_pem(&self) -> &str {
        &self.cert_pem
    }

    /// Issues a certificate for a server under DNS names and IP addresses, and a SPIFFE ID if
    /// given.
    ///
    /// # Errors
    /// Returns an error if there is no name at all, or one that cannot stand in a certificate.
    pub fn issue_server(
        &self,
        names: &[String],
        spiffe: Option<&SpiffeId>,
        validity: Validity,
    ) -> Result<Issued, CaError> {
        let common_name = names.first().map_or("", String::as_str);
        if names.is_empty() && spiffe.is_none() {
            return Err(CaError::NoName);
        }
        let mut params = params(common_name, validity)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        for name in names {
            params.subject_alt_names.push(host(name)?);
        }
        if let Some(id) = spiffe {
            params.subject_alt_names.push(uri(id)?);
        }
        self.issue(params)
    }

    /// Issues a certificate for an agent under its SPIFFE ID.
    ///
    /// # Errors
    /// Returns an error if the ID has no path, so that it names no agent.
    pub fn issue_agent(&self, id: &SpiffeId, validity: Validity) -> Result<Issued, CaError> {
        let name = id.path().rsplit('/').next().filter(|name| !name.is_empty());
        let mut params = params(name.ok_or(CaError::NoName)?, validity)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.subject_alt_names = vec![uri(id)?];
        self.issue(params)
    }

    /// Signs a list of certificates that are taken back, as PEM; it replaces every earlier list.
    ///
    /// The certificates are given as PEM, leaf first; the list holds until `validity` ends.
    ///
    /// # Errors
    /// Returns an error if a certificate cannot be read, or the time cannot stand in a list.
    pub fn revocation_list(&self, revoked: &[&str], validity: Validity) -> Result<String, CaError> {
        let this_update = instant(validity.not_before_unix)?;
        let revoke = |pem: &&str| {
            let der = CertificateDer::from_pem_slice(pem.as_bytes());
            let serial = der.ok().and_then(|der| leaf::serial(&der).ok());
            Ok(RevokedCertParams {
                serial_number: SerialNumber::from(serial.ok_or(CaError::CertificateUnreadable)?),
                revocation_time: this_update,
                reason_code: None,
                invalidity_date: None,
            })
        };
        let list = CertificateRevocationListParams {
            this_update,
            next_update: instant(validity.not_after_unix)?,
            // Lists are numbered upwards, by the time when they were made.
            crl_number: u64::try_from(validity.not_before_unix).unwrap_or(0).into(),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(revoke).collect::<Result<_, CaError>>()?,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        Ok(list.signed_by(&self.issuer)?.pem()?)
    }

    fn issue(&self, mut params: CertificateParams) -> Result<Issued, CaError> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate()?;
        let cert = params.signed_by(&key, &self.issuer)?;
        Ok(Issued { cert_pem: cert.pem(), key_pem: Zeroizing::new(key.serialize_pem()) })
    }
}

impl fmt::Debug for DevCa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DevCa").field("key", &"[redacted]").finish_non_exhaustive()
    }
}

/// Holds a certificate with its key, fresh from the authority.
pub struct Issued {
    /// The leaf certificate and nothing else, as PEM.
    pub cert_pem: String,
    /// Its private key, as PEM.
    pub key_pem: Zeroizing<String>,
}

impl Issued {
    /// Saves the pair as `NAME.pem` and `NAME.key` in a folder, which is made if need be.
    ///
    /// # Errors
    /// Returns an error if the name is not usable as a file name, if a file exists and may not be
    /// replaced, or cannot be written.
    pub fn save(&self, folder: &Path, name: &str, overwrite: Overwrite) -> Result<(), CaError> {
        if !is_file_name(name) {
            return Err(CaError::FileName);
        }
        save_pair(folder, name, (&self.cert_pem, &self.key_pem), overwrite)
    }
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued")
            .field("cert_pem", &self.cert_pem)
            .field("key_pem", &"[redacted]")
            .finish()
    }
}

/// Holds when a certificate is valid, in seconds since 1970, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// Start of validity.
    pub not_before_unix: i64,
    /// End of validity.
    pub not_after_unix: i64,
}

impl Validity {
    /// Counts days from now; begins five minutes earlier for machines whose clock is behind.
    ///
    /// # Errors
    /// Returns an error for no days at all and for more than a hundred years.
    pub fn from_days(now_unix: i64, days: u32) -> Result<Self, CaError> {
        if !(1..=DAYS_MAX).contains(&days) {
            return Err(CaError::Days { days });
        }
        Ok(Self {
            not_before_unix: now_unix.saturating_sub(BACKDATED_SECONDS),
            not_after_unix: now_unix.saturating_add(i64::from(days) * SECONDS_PER_DAY),
        })
    }
}

fn is_file_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    (1..=64).contains(&name.len())
        && name.bytes().all(fits)
        && !name.starts_with('.')
        && name != CA_NAME
}

fn save_pair(
    folder: &Path,
    name: &str,
    (cert_pem, key_pem): (&str, &str),
    overwrite: Overwrite,
) -> Result<(), CaError> {
    let (cert, key) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
    if overwrite == Overwrite::Refuse {
        files::refuse_existing(&[&cert, &key])?;
    }
    files::write(&key, key_pem.as_bytes(), Audience::Owner, overwrite)?;
    files::write(&cert, cert_pem.as_bytes(), Audience::Everyone, overwrite)?;
    Ok(())
}

/// How long a leaf is valid unless somebody says otherwise, in days.
pub const LEAF_DAYS_DEFAULT: u32 = 365;
const CA_DAYS: u32 = 3_650;
/// LIMIT: a hundred years; more is a slip of the finger.
const DAYS_MAX: u32 = 36_500;
const SECONDS_PER_DAY: i64 = 86_400;
const BACKDATED_SECONDS: i64 = 300;
const CA_NAME: &str = "ca";
const CA_CERT_FILE: &str = "ca.pem";
const CA_KEY_FILE: &str = "ca.key";
