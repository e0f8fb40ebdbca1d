//! A client that shows any certificate to the gate and asks one thing with it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use h2::client::ResponseFuture;
use http::{HeaderMap, Request};
use rustls::client::ResolvesClientCert;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::der::Der;
use super::keys::{HandshakeKey, Key};

/// What a client shows: the certificates it sends, leaf first, and the key that it signs with.
#[derive(Debug, Clone)]
pub(super) struct Shown {
    pub(super) chain: Vec<Der>,
    pub(super) key: Key,
}

/// What came of it.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// The client's own address, by which the gate's records name it.
    pub(super) from: SocketAddr,
    pub(super) answer: Answer,
}

/// How the gate answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// The call was served.
    Served,
    /// A status other than OK: its number and text.
    Refused(String, String),
    /// The connection ended before there was an answer.
    Closed(String),
}

/// Connects with what is shown (with nothing if there is none) and asks for the agent's state.
pub(super) async fn ask(to: SocketAddr, shown: Option<&Shown>, config: Offer) -> Result<Asked> {
    let stream = TcpStream::connect(to).await?;
    let from = stream.local_addr()?;
    let config = client(config, shown)?;
    let answer = timeout(PATIENCE, call(stream, to, config)).await.context("no answer in time")?;
    Ok(Asked { from, answer: answer.unwrap_or_else(|cause| Answer::Closed(format!("{cause:#}"))) })
}

/// What a client offers besides its certificate.
#[derive(Debug, Clone)]
pub(super) struct Offer {
    /// Whom it takes for the gate.
    pub(super) roots: Arc<RootCertStore>,
    /// The protocol that it wants to speak inside.
    pub(super) protocol: &'static [u8],
}

/// Returns the certificates and the key as rustls wants them, whether or not they fit together.
pub(super) fn certified(shown: &Shown) -> CertifiedKey {
    let chain = shown.chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
    CertifiedKey::new(chain, Arc::new(HandshakeKey(shown.key.clone())))
}

fn client(offer: Offer, shown: Option<&Shown>) -> Result<ClientConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(offer.roots);
    let mut config = match shown {
        Some(shown) => {
            let resolver = Arc::new(SingleCertAndKey::from(certified(shown)));
            builder.with_client_cert_resolver(resolver as Arc<dyn ResolvesClientCert>)
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![offer.protocol.to_vec()];
    Ok(config)
}

async fn call(stream: TcpStream, to: SocketAddr, config: ClientConfig) -> Result<Answer> {
    let name = ServerName::IpAddress(to.ip().into());
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    call_over(stream, to).await
}

/// Asks for the agent's state over a connection whose handshake is done.
pub(super) async fn call_over(stream: TlsStream<TcpStream>, to: SocketAddr) -> Result<Answer> {
    let (mut sender, connection) = h2::client::handshake(stream).await?;
    let exchange = async {
        let request = Request::post(format!("https://{to}{CALL}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())?;
        let (response, mut body) = sender.send_request(request, false)?;
        // A message of no bytes, which is the request without its optional fields.
        body.send_data(bytes::Bytes::from_static(&[0; 5]), true)?;
        status(response).await
    };
    tokio::select! {
        answer = exchange => answer,
        ended = connection => Err(match ended {
            Ok(()) => anyhow!("the connection ended"),
            Err(cause) => cause.into(),
        }),
    }
}

/// Reads the status of a gRPC answer: in the headers if there is nothing else, else at the end.
async fn status(response: ResponseFuture) -> Result<Answer> {
    let response = response.await?;
    if let Some(answer) = status_in(response.headers()) {
        return Ok(answer);
    }
    let mut body = response.into_body();
    while let Some(data) = body.data().await {
        body.flow_control().release_capacity(data?.len())?;
    }
    let trailers = body.trailers().await?.context("an answer without trailers")?;
    status_in(&trailers).context("an answer without a status")
}

fn status_in(headers: &HeaderMap) -> Option<Answer> {
    let text = |name| Some(headers.get(name)?.to_str().ok()?.to_owned());
    let status = text("grpc-status")?;
    Some(match status.as_str() {
        "0" => Answer::Served,
        _other => Answer::Refused(status, text("grpc-message").unwrap_or_default()),
    })
}

const CALL: &str = "/mas.runtime.v1.RuntimeService/GetState";
/// LIMIT: longer than the gate's own bound of a handshake.
const PATIENCE: Duration = Duration::from_secs(10);
