//! TLS 1.3 configurations for both sides, loaded and checked from files.
//!
//! It opens no connection and resumes none: without tickets every connection shows its certificate
//! anew, so that a certificate or an authority taken out of the files stops counting at the next
//! connection after a reload.

use std::path::Path;
use std::sync::Arc;

use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, ServerConfig};

use crate::spiffe::SpiffeId;

mod error;
mod material;
mod pinned;

pub use error::TlsError;
pub(crate) use material::certified_key;

/// Loads the configuration of a server that demands a certificate from every client.
///
/// `now_unix` is compared with the validity of the server's own certificate, so that a server with
/// an expired one does not start. The client's SPIFFE ID is not looked at here: see
/// [`check_leaf`](crate::check_leaf).
///
/// # Errors
/// Returns which file is not usable, why, and what to do.
pub fn load_server(
    cert: &Path,
    key: &Path,
    client_ca: &Path,
    now_unix: i64,
) -> Result<Arc<ServerConfig>, TlsError> {
    let roots = Arc::new(material::roots(client_ca)?);
    let own = material::own(cert, key, now_unix)?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider))
        .build()
        .map_err(|_no_roots| TlsError::CaEmpty { path: client_ca.to_owned() })?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(VERSIONS)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(own)));
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
    let roots = Arc::new(material::roots(ca)?);
    let own = material::own(cert, key, now_unix)?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let by_name =
        WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
            .build()
            .map_err(|_no_roots| TlsError::CaEmpty { path: ca.to_owned() })?;
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(VERSIONS)?;
    let builder = match server {
        ServerIdentity::DnsName => builder.with_webpki_verifier(by_name),
        ServerIdentity::Spiffe(expected) => builder.dangerous().with_custom_certificate_verifier(
            pinned::verifier(expected, roots, by_name, &provider),
        ),
    };
    let mut config = builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own)));
    config.alpn_protocols = vec![ALPN_H2.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// Returns the client's own certificate as DER once the handshake is done.
#[must_use]
pub fn peer_leaf(connection: &rustls::ServerConnection) -> Option<&[u8]> {
    connection.peer_certificates()?.first().map(AsRef::as_ref)
}

/// TLS 1.2 is not even compiled in; this says so where the configuration is made.
const VERSIONS: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13];
/// gRPC runs over HTTP/2 and nothing else.
const ALPN_H2: &[u8] = b"h2";
