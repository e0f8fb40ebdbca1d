//! One message of the Workload API, taken apart: an identity, bundles, revocation lists.
//!
//! A message is complete: what it does not name is not there any more.

use std::collections::BTreeMap;
use std::fmt;

use identity::{SpiffeId, split_der};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use thiserror::Error;
use wire::workload::{X509svid, X509svidResponse};

/// Holds what the agent says now.
pub struct Update {
    /// Who this program is.
    pub id: SpiffeId,
    /// The certificates of that identity, leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The leaf's private key.
    pub key: PrivateKeyDer<'static>,
    /// The authorities of each trust domain that is known, the own one among them. One whose
    /// bundle cannot be read has none: nobody of it is trusted.
    pub bundles: BTreeMap<String, Vec<CertificateDer<'static>>>,
    /// Revocation lists.
    pub lists: Vec<CertificateRevocationListDer<'static>>,
}

impl Update {
    /// Takes a message apart; of several identities the first counts, as the specification says.
    ///
    /// # Errors
    /// Returns why it names no identity.
    pub(crate) fn parse(message: &X509svidResponse) -> Result<Self, UpdateError> {
        let svid = message.svids.first().ok_or(UpdateError::NoIdentity)?;
        let X509svid { spiffe_id, x509_svid, x509_svid_key, bundle, .. } = svid;
        let id = SpiffeId::parse(spiffe_id).map_err(|_broken| UpdateError::Id)?;
        let chain = split_der(x509_svid).ok_or(UpdateError::Chain)?;
        let mut bundles = BTreeMap::new();
        for (name, bundle) in &message.federated_bundles {
            let Some(domain) = domain(name) else {
                tracing::warn!("the Workload API names a bundle by something else than a domain");
                continue;
            };
            bundles.insert(domain, authorities(bundle));
        }
        // Last, so that no bundle of others stands in for the own one.
        bundles.insert(id.trust_domain().to_owned(), authorities(bundle));
        let lists = message.crl.iter().map(|list| list.to_vec().into()).collect();
        let key = PrivatePkcs8KeyDer::from(x509_svid_key.to_vec()).into();
        Ok(Self { id, chain, key, bundles, lists })
    }
}

impl fmt::Debug for Update {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let domains: Vec<&String> = self.bundles.keys().collect();
        f.debug_struct("Update")
            .field("id", &self.id.as_str())
            .field("domains", &domains)
            .field("key", &"[redacted]")
            .finish_non_exhaustive()
    }
}

/// Reads the name of a trust domain: its SPIFFE ID, or the bare name as some agents write it.
fn domain(name: &str) -> Option<String> {
    let text =
        if name.starts_with("spiffe:") { name.to_owned() } else { format!("spiffe://{name}") };
    let id = SpiffeId::parse(&text).ok()?;
    id.path().is_empty().then(|| id.trust_domain().to_owned())
}

fn authorities(bundle: &[u8]) -> Vec<CertificateDer<'static>> {
    split_der(bundle).unwrap_or_else(|| {
        tracing::error!("the Workload API gives a bundle that cannot be read; it trusts nobody");
        Vec::new()
    })
}

/// Says why a message of the Workload API is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UpdateError {
    /// It names no identity.
    #[error("it names no identity: register this workload with the agent")]
    NoIdentity,
    /// The identity is no SPIFFE ID.
    #[error("its identity is not a SPIFFE ID")]
    Id,
    /// The certificates cannot be read.
    #[error("its certificates cannot be read")]
    Chain,
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn message(federated: &[(&str, &'static [u8])]) -> X509svidResponse {
        let svid = X509svid {
            spiffe_id: "spiffe://mas/gate".to_owned(),
            x509_svid: vec![0x30, 1, 7, 0x30, 1, 8].into(),
            x509_svid_key: vec![0x30, 0].into(),
            bundle: vec![0x30, 1, 9].into(),
            hint: String::new(),
        };
        let federated = federated.iter().map(|(name, der)| ((*name).to_owned(), (*der).into()));
        X509svidResponse {
            svids: vec![svid],
            crl: vec![],
            federated_bundles: federated.collect::<HashMap<_, _>>(),
        }
    }

    #[test]
    fn a_message_is_taken_apart() {
        let update = Update::parse(&message(&[("spiffe://other.org", &[0x30, 0])])).unwrap();
        assert_eq!(update.id.as_str(), "spiffe://mas/gate");
        assert_eq!(update.chain, [vec![0x30, 1, 7].into(), vec![0x30, 1, 8].into()]);
        assert_eq!(update.bundles["mas"], [vec![0x30, 1, 9].into()]);
        assert_eq!(update.bundles["other.org"], [vec![0x30, 0].into()]);
        assert!(!format!("{update:?}").contains("48"), "the key is printed");
    }

    #[test]
    fn a_bundle_that_cannot_be_read_trusts_nobody_and_none_stands_in_for_the_own() {
        let update = Update::parse(&message(&[
            ("other.org", &[0x30, 9, 1]),
            ("spiffe://mas", &[0x30, 0]),
            ("spiffe://third.org/path", &[0x30, 0]),
        ]));
        let bundles = update.unwrap().bundles;
        assert!(bundles["other.org"].is_empty());
        assert_eq!(bundles["mas"], [vec![0x30, 1, 9].into()]);
        assert_eq!(bundles.len(), 2);
    }

    #[test]
    fn without_an_identity_a_message_is_of_no_use() {
        let nothing = X509svidResponse::default();
        assert_eq!(Update::parse(&nothing).unwrap_err(), UpdateError::NoIdentity);
        let mut broken = message(&[]);
        broken.svids[0].spiffe_id = "mas".to_owned();
        assert_eq!(Update::parse(&broken).unwrap_err(), UpdateError::Id);
        let mut broken = message(&[]);
        broken.svids[0].x509_svid = vec![0x30, 5].into();
        assert_eq!(Update::parse(&broken).unwrap_err(), UpdateError::Chain);
    }
}
