//! TLS 1.3 configurations for both sides, loaded and checked from files.
//!
//! It opens no connection and resumes none: without tickets every connection shows its certificate
//! anew, so that a certificate or an authority taken out of the files stops counting at the next
//! connection after a reload.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::ca::Validity;
use crate::spiffe::SpiffeId;

mod error;
mod lists;
mod material;
mod pinned;
mod svid;
mod trust;

pub use error::TlsError;
pub use lists::{ListError, ListExpiry, RevocationLists};
pub(crate) use material::certified_key;
pub use svid::{Side, Svid, SvidError};
pub use trust::{Bundle, BundleError, Trust};

/// Names the files that a server's [`Material`] is made of.
#[derive(Clone, Debug)]
pub struct MaterialFiles {
    /// The server's certificate, leaf first, as PEM.
    pub cert: PathBuf,
    /// Its private key, as PEM.
    pub key: PathBuf,
    /// The own trust domain, such as `mas`.
    pub trust_domain: String,
    /// The authorities of the own trust domain, as PEM.
    pub client_ca: PathBuf,
    /// The authorities of other trust domains, each as PEM; an empty file trusts nobody.
    pub federated: BTreeMap<String, PathBuf>,
    /// Revocation lists, as PEM or DER.
    pub crl: Option<PathBuf>,
    /// What becomes of certificates whose issuer's list is out of date.
    pub crl_expiry: ListExpiry,
}

impl MaterialFiles {
    /// Takes the files without which there is no server: one trust domain, no revocation lists.
    #[must_use]
    pub fn new(
        cert: PathBuf,
        key: PathBuf,
        trust_domain: impl Into<String>,
        client_ca: PathBuf,
    ) -> Self {
        Self {
            cert,
            key,
            trust_domain: trust_domain.into(),
            client_ca,
            federated: BTreeMap::new(),
            crl: None,
            crl_expiry: ListExpiry::default(),
        }
    }
}

/// Holds what a server shows of itself, and whom it trusts; made anew whenever either changes.
#[derive(Clone, Debug)]
pub struct Material {
    /// The own chain with its key.
    pub own: Arc<CertifiedKey>,
    /// When the own certificate is valid.
    pub own_validity: Validity,
    /// Whom the server trusts.
    pub trust: Arc<Trust>,
}

impl Material {
    /// Loads everything from files.
    ///
    /// `now_unix` is compared with the validity of the server's own certificate and of the
    /// revocation lists, so that a server with an expired one does not start.
    ///
    /// # Errors
    /// Returns which file is not usable, why, and what to do.
    pub fn load(files: &MaterialFiles, now_unix: i64) -> Result<Self, TlsError> {
        let own_bundle = material::bundle(&files.client_ca, &files.trust_domain)?;
        if own_bundle.is_empty() {
            return Err(TlsError::CaEmpty { path: files.client_ca.clone() });
        }
        let mut federated = BTreeMap::new();
        for (domain, path) in &files.federated {
            federated.insert(domain.clone(), material::bundle(path, domain)?);
        }
        let lists = match &files.crl {
            Some(path) => material::lists(path, files.crl_expiry, now_unix)?,
            None => RevocationLists::default(),
        };
        let trust = Trust::new(&files.trust_domain, &own_bundle, &federated, &lists);
        let trust = trust.map_err(|cause| TlsError::ListUnusable {
            path: files.crl.clone().unwrap_or_default(),
            cause,
        })?;
        let (own, own_validity) = material::own(&files.cert, &files.key, now_unix)?;
        Ok(Self { own: Arc::new(own), own_validity, trust: Arc::new(trust) })
    }
}

/// Makes the configuration of a server that demands a certificate from every client.
///
/// The client's SPIFFE ID is not looked at beyond its trust domain: see
/// [`check_leaf`](crate::check_leaf).
///
/// # Errors
/// Returns what the TLS library refuses.
pub fn server_config(material: &Material) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(VERSIONS)?
        .with_client_cert_verifier(Arc::<Trust>::clone(&material.trust))
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&material.own))));
    config.alpn_protocols = vec![ALPN_H2.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// Says how a client recognises the server that it wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerIdentity {
    /// By the DNS name or IP address that the connection is opened to.
    DnsName,
    /// By the SPIFFE ID in its certificate, whatever its address.
    Spiffe(SpiffeId),
}

/// Holds what a client shows of itself, and which authorities it trusts to name the server.
#[derive(Clone, Debug)]
pub struct ClientMaterial {
    /// The own chain with its key.
    pub own: Arc<CertifiedKey>,
    /// The authorities of servers.
    pub roots: Arc<RootCertStore>,
    /// When the own certificate ends, in seconds since 1970.
    pub not_after_unix: i64,
}

impl ClientMaterial {
    /// Loads everything from files.
    ///
    /// # Errors
    /// Returns which file is not usable, why, and what to do; an own certificate that has expired
    /// is not.
    pub fn load(ca: &Path, cert: &Path, key: &Path, now_unix: i64) -> Result<Self, TlsError> {
        let roots = Arc::new(material::roots(ca)?);
        let (own, validity) = material::own(cert, key, now_unix)?;
        Ok(Self { own: Arc::new(own), roots, not_after_unix: validity.not_after_unix })
    }

    /// Takes an identity, and the authorities of the server's trust domain.
    ///
    /// # Errors
    /// Returns an error if there is no authority, so that no server can be trusted.
    pub fn new(svid: &Svid, bundle: &Bundle) -> Result<Self, TlsError> {
        if bundle.is_empty() {
            return Err(TlsError::NobodyTrusted);
        }
        let not_after_unix = svid.validity().not_after_unix;
        Ok(Self { own: svid.own(), roots: bundle.roots(), not_after_unix })
    }
}

/// Makes the configuration of a client that shows its own certificate.
///
/// # Errors
/// Returns what the TLS library refuses.
pub fn client_config(
    material: &ClientMaterial,
    server: ServerIdentity,
) -> Result<Arc<ClientConfig>, TlsError> {
    let ClientMaterial { own, roots, .. } = material;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let by_name =
        WebPkiServerVerifier::builder_with_provider(Arc::clone(roots), Arc::clone(&provider))
            .build()
            .map_err(|refused| rustls::Error::General(refused.to_string()))?;
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(VERSIONS)?;
    let builder = match server {
        ServerIdentity::DnsName => builder.with_webpki_verifier(by_name),
        ServerIdentity::Spiffe(expected) => builder.dangerous().with_custom_certificate_verifier(
            pinned::verifier(expected, Arc::clone(roots), by_name, &provider),
        ),
    };
    let own = Arc::new(SingleCertAndKey::from(Arc::clone(own)));
    let mut config = builder.with_client_cert_resolver(own);
    config.alpn_protocols = vec![ALPN_H2.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// Loads the configuration of a client that shows its own certificate.
///
/// # Errors
/// Returns which file is not usable, why, and what to do.
pub fn load_client(
    ca: &Path,
    cert: &Path,
    key: &Path,
    server: ServerIdentity,
    now_unix: i64,
) -> Result<Arc<ClientConfig>, TlsError> {
    client_config(&ClientMaterial::load(ca, cert, key, now_unix)?, server)
}

/// Returns the client's own certificate as DER once the handshake is done.
#[must_use]
pub fn peer_leaf(connection: &rustls::ServerConnection) -> Option<&[u8]> {
    connection.peer_certificates()?.first().map(AsRef::as_ref)
}

/// Returns the client's chain, leaf first, once the handshake is done.
#[must_use]
pub fn peer_chain(connection: &rustls::ServerConnection) -> Vec<CertificateDer<'static>> {
    let chain = connection.peer_certificates().unwrap_or_default();
    chain.iter().map(|certificate| certificate.clone().into_owned()).collect()
}

/// TLS 1.2 is not even compiled in; this says so where the configuration is made.
const VERSIONS: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13];
/// gRPC runs over HTTP/2 and nothing else.
const ALPN_H2: &[u8] = b"h2";
