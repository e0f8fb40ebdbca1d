//! What stands in a certificate: names, times and a serial number, each checked.

use std::net::IpAddr;

use rcgen::{CertificateParams, DistinguishedName, DnType, SanType, SerialNumber};
use time::OffsetDateTime;

use super::{CaError, Validity};
use crate::random::fill_random;
use crate::spiffe::SpiffeId;

/// Sets what all certificates have in common.
pub(super) fn params(common_name: &str, validity: Validity) -> Result<CertificateParams, CaError> {
    if validity.not_after_unix < validity.not_before_unix {
        return Err(CaError::EndsBeforeBegin);
    }
    let mut params = CertificateParams::default();
    params.not_before = instant(validity.not_before_unix)?;
    params.not_after = instant(validity.not_after_unix)?;
    params.serial_number = Some(serial()?);
    // Strict verifiers, OpenSSL's among them, want to see which key signed.
    params.use_authority_key_identifier_extension = true;
    params.distinguished_name = DistinguishedName::new();
    // A longer name is left out; without a subject the library makes the other names critical.
    if (1..=COMMON_NAME_CHARS_MAX).contains(&common_name.chars().count()) {
        params.distinguished_name.push(DnType::CommonName, common_name);
    }
    Ok(params)
}

pub(super) fn instant(unix: i64) -> Result<OffsetDateTime, CaError> {
    OffsetDateTime::from_unix_timestamp(unix)
        .ok()
        .filter(|instant| (1950..=9999).contains(&instant.year()))
        .ok_or(CaError::Instant { unix })
}

/// Draws 127 random bits; RFC 5280 wants a positive number of at most 20 bytes.
fn serial() -> Result<SerialNumber, CaError> {
    let mut bytes = [0_u8; 16];
    fill_random(&mut bytes)?;
    let [first, ..] = &mut bytes;
    // Neither negative nor zero, and always of the same length.
    *first = (*first & 0x7f) | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

pub(super) fn host(name: &str) -> Result<SanType, CaError> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    let refused = || CaError::HostName { name: name.escape_default().take(64).collect() };
    let label_fits = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    if name.len() > DNS_NAME_BYTES_MAX || !name.split('.').all(label_fits) {
        return Err(refused());
    }
    name.try_into().map(SanType::DnsName).map_err(|_details| refused())
}

pub(super) fn uri(id: &SpiffeId) -> Result<SanType, CaError> {
    Ok(SanType::URI(id.as_str().try_into()?))
}

/// The upper bound of a common name in RFC 5280.
const COMMON_NAME_CHARS_MAX: usize = 64;
const DNS_NAME_BYTES_MAX: usize = 253;
