//! Whom a server trusts: one bundle of authorities for each trust domain, and revocation lists.
//!
//! It judges chains and nothing else: a leaf that breaks a rule of its own may pass here, because
//! [`check_leaf`](crate::check_leaf) refuses it later with a reason that can be recorded.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{
    WebPkiSupportedAlgorithms, aws_lc_rs as provider, verify_tls12_signature,
    verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error as Refused, OtherError,
    RootCertStore, SignatureScheme,
};
use thiserror::Error;

use super::lists::{ListError, ListExpiry, RevocationLists};
use crate::leaf::{self, SignerError};

/// Holds the authorities of one trust domain.
#[derive(Clone, Debug)]
pub struct Bundle {
    roots: Arc<RootCertStore>,
    certificates: Vec<CertificateDer<'static>>,
}

impl Bundle {
    /// Takes the authorities of a trust domain; with none of them nobody of it is trusted.
    ///
    /// # Errors
    /// Returns an error if a certificate is not one of an authority of this domain.
    pub fn new(
        domain: &str,
        certificates: Vec<CertificateDer<'static>>,
    ) -> Result<Self, BundleError> {
        let mut roots = RootCertStore::empty();
        for certificate in &certificates {
            if !leaf::is_authority(certificate) {
                return Err(BundleError::NotAnAuthority);
            }
            leaf::check_signer(certificate, domain)?;
            roots.add(certificate.clone()).map_err(|_details| BundleError::NotAnAuthority)?;
        }
        Ok(Self { roots: Arc::new(roots), certificates })
    }

    /// Returns the authorities for a chain check.
    pub(super) fn roots(&self) -> Arc<RootCertStore> {
        Arc::clone(&self.roots)
    }

    /// Returns whether nobody is trusted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.certificates.is_empty()
    }
}

/// Trusts nobody.
impl Default for Bundle {
    fn default() -> Self {
        Self { roots: Arc::new(RootCertStore::empty()), certificates: Vec::new() }
    }
}

/// Says why certificates are no bundle of a trust domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BundleError {
    /// A certificate cannot be read, or is not an authority's.
    #[error(
        "it holds a certificate that is not usable as an authority: give the authority's own \
         certificate, not one that it issued"
    )]
    NotAnAuthority,
    /// A certificate has a SPIFFE ID that is not the domain's.
    #[error(transparent)]
    Signer(#[from] SignerError),
}

/// Judges the chains of clients: each by the bundle of the trust domain that its leaf names.
pub struct Trust {
    domain: String,
    /// Nothing for a bundle that is empty.
    verifiers: BTreeMap<String, Option<Arc<dyn ClientCertVerifier>>>,
    algorithms: WebPkiSupportedAlgorithms,
    hints: Vec<DistinguishedName>,
    digest: [u8; 32],
    lists: RevocationLists,
}

impl Trust {
    /// Trusts a domain's own bundle, those of other domains, and nobody who is on a list.
    ///
    /// Bundles are never merged: an authority of one domain cannot speak for another.
    ///
    /// # Errors
    /// Returns an error if a list cannot be used.
    pub fn new(
        domain: &str,
        own: &Bundle,
        federated: &BTreeMap<String, Bundle>,
        lists: &RevocationLists,
    ) -> Result<Self, ListError> {
        let mut bundles: BTreeMap<&str, &Bundle> =
            federated.iter().map(|(name, bundle)| (name.as_str(), bundle)).collect();
        bundles.insert(domain, own);
        let mut verifiers = BTreeMap::new();
        for (name, bundle) in &bundles {
            verifiers.insert((*name).to_owned(), verifier(bundle, lists)?);
        }
        Ok(Self {
            domain: domain.to_owned(),
            algorithms: provider::default_provider().signature_verification_algorithms,
            hints: bundles.values().flat_map(|bundle| bundle.roots.subjects()).collect(),
            digest: fingerprint(&bundles, lists),
            // The verifiers hold the lists themselves.
            lists: RevocationLists { lists: Vec::new(), ..lists.clone() },
            verifiers,
        })
    }

    /// Returns a digest of everything that counts: two of the same digest judge alike.
    #[must_use]
    pub const fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// Returns whether there is a bundle of a trust domain.
    #[must_use]
    pub fn knows(&self, domain: &str) -> bool {
        self.verifiers.contains_key(domain)
    }

    /// Checks that a chain, leaf first, leads to an authority of its leaf's own trust domain.
    ///
    /// # Errors
    /// Returns what is wrong with the chain. Whether the leaf is an identity is not asked.
    pub fn verify(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<(), Refused> {
        let (leaf, signers) = chain.split_first().ok_or(Refused::NoCertificatesPresented)?;
        match leaf::trust_domain(leaf) {
            Some(domain) if !self.knows(&domain) => Err(CertificateError::UnknownIssuer.into()),
            _ => self.verify_client_cert(leaf, signers, now).map(|_verified| ()),
        }
    }

    /// Returns when the first of the revocation lists is out of date, in seconds since 1970.
    #[must_use]
    pub fn lists_end_unix(&self) -> Option<i64> {
        self.lists.ends_unix.iter().min().copied()
    }

    /// Returns when a chain that was found good should be judged again although nothing was
    /// changed: an intermediate or a list runs out. The leaf's own end is not meant.
    #[must_use]
    pub fn verify_again_at(&self, chain: &[CertificateDer<'_>], now_unix: i64) -> Option<i64> {
        let signers = chain.iter().skip(1).filter_map(|signer| leaf::validity(signer).ok());
        let ends = signers.map(|(_, not_after_unix)| not_after_unix);
        // The end itself is still good.
        let lists = self.lists.ends_unix.iter().copied();
        let lists = lists.filter(|_| self.lists.expiry == ListExpiry::Refuse);
        let ends = ends.chain(lists).map(|end| end.saturating_add(1));
        ends.filter(|end| *end > now_unix).min()
    }
}

impl ClientCertVerifier for Trust {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        signers: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Refused> {
        // A leaf without an identity, or of an unknown domain, is judged by the own bundle: it
        // will speak for nobody, but a record shall say why, and strangers make no records.
        let named = leaf::trust_domain(leaf).filter(|domain| self.knows(domain));
        let domain = named.as_deref().unwrap_or(&self.domain);
        let verifier = self.verifiers.get(domain).and_then(Option::as_ref);
        let verifier = verifier.ok_or(CertificateError::UnknownIssuer)?;
        let verified = verifier.verify_client_cert(leaf, signers, now)?;
        for signer in signers {
            leaf::check_intermediate(signer, domain)
                .map_err(|broken| CertificateError::Other(OtherError(Arc::new(broken))))?;
        }
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Refused> {
        verify_tls12_signature(message, cert, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Refused> {
        verify_tls13_signature(message, cert, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let domains: Vec<&String> = self.verifiers.keys().collect();
        f.debug_struct("Trust").field("domains", &domains).finish_non_exhaustive()
    }
}

fn verifier(
    bundle: &Bundle,
    lists: &RevocationLists,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, ListError> {
    if bundle.roots.is_empty() {
        return Ok(None);
    }
    let algorithms = Arc::new(provider::default_provider());
    let mut builder =
        WebPkiClientVerifier::builder_with_provider(Arc::clone(&bundle.roots), algorithms)
            .with_crls(lists.lists.iter().cloned())
            // An issuer without a list is not held to one; where there is one, it counts.
            .allow_unknown_revocation_status();
    if lists.expiry == ListExpiry::Refuse {
        builder = builder.enforce_revocation_expiration();
    }
    builder.build().map(Some).map_err(|_refused| ListError::Unreadable)
}

fn fingerprint(bundles: &BTreeMap<&str, &Bundle>, lists: &RevocationLists) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    let mut add = |part: &[u8]| {
        // With its length, so that no two sets of parts run together to the same bytes.
        context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.update(part);
    };
    for (name, bundle) in bundles {
        add(name.as_bytes());
        bundle.certificates.iter().for_each(|certificate| add(certificate));
        add(b"");
    }
    lists.lists.iter().for_each(|list| add(list));
    let mut bytes = [0; 32];
    bytes.copy_from_slice(context.finish().as_ref());
    bytes
}
