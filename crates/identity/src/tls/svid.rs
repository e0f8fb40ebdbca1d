//! An identity of one's own that came from elsewhere than files: checked before it is shown.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use thiserror::Error;

use super::error::instant;
use crate::ca::Validity;
use crate::leaf::{self, LeafError, PeerCertificate, Purpose};
use crate::spiffe::SpiffeId;

/// Holds a certificate with its key that may be shown to others.
#[derive(Clone)]
pub struct Svid {
    own: Arc<CertifiedKey>,
    id: SpiffeId,
    validity: Validity,
}

/// Says on which side of a connection an identity is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// By who connects.
    Client,
    /// By who is connected to.
    Server,
}

impl Svid {
    /// Takes a chain, leaf first, with the leaf's key, for the identity that it is said to be.
    ///
    /// # Errors
    /// Returns which rule it breaks; others would refuse it for the same.
    pub fn new(
        id: &SpiffeId,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        side: Side,
        now_unix: i64,
    ) -> Result<Self, SvidError> {
        let purpose = match side {
            Side::Client => Purpose::Client,
            Side::Server => Purpose::Server,
        };
        let leaf = chain.first().ok_or(SvidError::Empty)?;
        let leaf = leaf::check(leaf, purpose)?;
        if leaf.spiffe_id != *id {
            return Err(SvidError::OtherId);
        }
        if now_unix > leaf.not_after_unix {
            return Err(SvidError::Expired { not_after_unix: leaf.not_after_unix });
        }
        if now_unix < leaf.not_before_unix {
            return Err(SvidError::NotYetValid { not_before_unix: leaf.not_before_unix });
        }
        let own = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())
            .map_err(|_details| SvidError::Key)?;
        let PeerCertificate { not_before_unix, not_after_unix, .. } = leaf;
        let validity = Validity { not_before_unix, not_after_unix };
        Ok(Self { own: Arc::new(own), id: id.clone(), validity })
    }

    /// Returns the chain with its key.
    #[must_use]
    pub fn own(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.own)
    }

    /// Returns whose it is.
    #[must_use]
    pub const fn id(&self) -> &SpiffeId {
        &self.id
    }

    /// Returns when it is valid.
    #[must_use]
    pub const fn validity(&self) -> Validity {
        self.validity
    }
}

impl fmt::Debug for Svid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Svid").field("id", &self.id.as_str()).finish_non_exhaustive()
    }
}

/// Says why an identity cannot be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SvidError {
    /// There is no certificate.
    #[error("there is no certificate in it")]
    Empty,
    /// The certificate breaks a rule.
    #[error(transparent)]
    Leaf(#[from] LeafError),
    /// The certificate is of another identity than it is said to be.
    #[error("the certificate names another SPIFFE ID than comes with it")]
    OtherId,
    /// The key is not the certificate's, or of a kind without use.
    #[error("the key does not belong to the certificate, or is of a kind that cannot be used")]
    Key,
    /// It has expired.
    #[error(
        "the certificate expired at {}: check that the agent runs, and this machine's clock",
        instant(*.not_after_unix)
    )]
    Expired {
        /// End of validity, in seconds since 1970.
        not_after_unix: i64,
    },
    /// It is not valid yet.
    #[error(
        "the certificate is valid only from {}: check this machine's clock",
        instant(*.not_before_unix)
    )]
    NotYetValid {
        /// Start of validity, in seconds since 1970.
        not_before_unix: i64,
    },
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::pem::PemObject as _;

    use super::*;
    use crate::{DevCa, Issued, Validity};

    const NOW: i64 = 1_800_000_000;

    fn take(issued: &Issued, key: &Issued, id: &str, now: i64) -> Result<Svid, SvidError> {
        let chain = CertificateDer::pem_slice_iter(issued.cert_pem.as_bytes());
        let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_slice(key.key_pem.as_bytes()).unwrap();
        Svid::new(&SpiffeId::parse(id).unwrap(), chain, key, Side::Client, now)
    }

    #[test]
    fn only_a_valid_pair_of_the_named_identity_is_shown() {
        let ca = DevCa::create("test", NOW).unwrap();
        let validity = Validity::from_days(NOW, 1).unwrap();
        let id = "spiffe://mas/agent/alice";
        let make = || ca.issue_agent(&SpiffeId::parse(id).unwrap(), validity).unwrap();
        let (alice, other) = (make(), make());
        let svid = take(&alice, &alice, id, NOW).unwrap();
        assert_eq!(svid.id().as_str(), id);
        assert_eq!(svid.validity(), validity);
        assert_eq!(take(&alice, &alice, "spiffe://mas/agent/bob", NOW).err(), OTHER);
        assert_eq!(take(&alice, &other, id, NOW).err(), Some(SvidError::Key));
        let expired = Some(SvidError::Expired { not_after_unix: NOW + 86_400 });
        assert_eq!(take(&alice, &alice, id, NOW + 86_401).err(), expired);
        let early = Some(SvidError::NotYetValid { not_before_unix: NOW - 300 });
        assert_eq!(take(&alice, &alice, id, NOW - 301).err(), early);
        let gate = ca.issue_server(&[], Some(&SpiffeId::parse(id).unwrap()), validity).unwrap();
        let usage = Some(SvidError::Leaf(LeafError::ExtendedKeyUsage));
        assert_eq!(take(&gate, &gate, id, NOW).err(), usage);
    }

    const OTHER: Option<SvidError> = Some(SvidError::OtherId);
}
