//! Recognition of a server by its SPIFFE ID instead of its name.
//!
//! The chain is verified first and by itself; only then is the identity compared. Running the usual
//! check and forgiving its name error would be shorter, and would let that error hide a bad chain.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme};
use thiserror::Error;

use crate::leaf::{self, LeafError, Purpose, SignerError};
use crate::spiffe::SpiffeId;

pub(super) fn verifier(
    expected: SpiffeId,
    roots: Arc<RootCertStore>,
    signatures: Arc<WebPkiServerVerifier>,
    provider: &CryptoProvider,
) -> Arc<dyn ServerCertVerifier> {
    let algorithms = provider.signature_verification_algorithms;
    Arc::new(PinnedServer { expected, roots, signatures, algorithms })
}

#[derive(Debug)]
struct PinnedServer {
    expected: SpiffeId,
    roots: Arc<RootCertStore>,
    /// Only its signature checks are used, never its check of names.
    signatures: Arc<WebPkiServerVerifier>,
    algorithms: WebPkiSupportedAlgorithms,
}

/// Says why a server with a valid chain is not the one that was asked for.
#[derive(Error)]
enum NotPinned {
    #[error(transparent)]
    Leaf(#[from] LeafError),
    #[error(transparent)]
    Signer(#[from] SignerError),
    #[error("the server is `{found}`, not `{expected}`")]
    Other { expected: SpiffeId, found: SpiffeId },
}

/// Writes the sentence: rustls prints foreign causes with their debug form.
impl fmt::Debug for NotPinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl PinnedServer {
    fn check_identity(
        &self,
        der: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
    ) -> Result<(), NotPinned> {
        for signer in intermediates {
            leaf::check_intermediate(signer, self.expected.trust_domain())?;
        }
        let peer = leaf::check(der, Purpose::Server)?;
        if peer.spiffe_id == self.expected {
            Ok(())
        } else {
            Err(NotPinned::Other { expected: self.expected.clone(), found: peer.spiffe_id })
        }
    }
}

impl ServerCertVerifier for PinnedServer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(end_entity)?,
            &self.roots,
            intermediates,
            now,
            self.algorithms.all,
        )?;
        self.check_identity(end_entity, intermediates)
            .map_err(|refused| CertificateError::Other(OtherError(Arc::new(refused))))?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signatures.verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signatures.verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.signatures.supported_verify_schemes()
    }
}
