//! HTTP requests to the collector, with or without TLS, on connections that are kept.
//!
//! A kept connection may be dead by the time it is used, so what fails on one is tried once more on
//! a new one. The answer is bounded in bytes; the time is the caller's part.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{fs, io};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::settings::{Endpoint, Headers};

/// Says why a batch was not taken; it holds nothing of the request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PostError {
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    #[error("answered with status {status}")]
    Status { status: u16, retry_after: Option<Duration> },
    #[error("its certificate is not trusted: {0}")]
    Untrusted(String),
    #[error("no authority is known for its certificate; set SSL_CERT_FILE to a PEM file")]
    NoRoots,
}

impl PostError {
    /// Returns whether a later attempt may succeed; OTLP names the statuses.
    pub(crate) const fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Status { status, .. } => matches!(status, 429 | 502 | 503 | 504),
            // The next batch asks anew; this one would be told the same.
            Self::Untrusted(_) | Self::NoRoots => false,
        }
    }

    /// Returns how long the collector asks to wait.
    pub(crate) const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            Self::Unreachable(_) | Self::Untrusted(_) | Self::NoRoots => None,
        }
    }
}

/// Sends requests to one collector.
pub(crate) struct Post {
    endpoint: Endpoint,
    headers: Headers,
    tls: Option<TlsConnector>,
    /// Connections between two requests; no more of them than requests at once.
    kept: Mutex<Vec<Connection>>,
}

impl Post {
    pub(crate) fn new(endpoint: Endpoint, headers: Headers) -> Self {
        let tls = endpoint.is_tls.then(connector).flatten();
        Self { endpoint, headers, tls, kept: Mutex::default() }
    }

    /// Posts a message to `/v1/` and `signal`; returns the answer's body.
    pub(crate) async fn post(&self, signal: &str, body: Bytes) -> Result<Bytes, PostError> {
        let (connection, answer) = self.exchange(signal, body).await?;
        let (head, body) = answer.into_parts();
        // Dropped, it is closed; this one has nothing left to say.
        if let Some(connection) = connection {
            self.kept.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
        if head.status.is_success() {
            return Ok(body);
        }
        Err(failed(head.status, seconds(head.headers.get(header::RETRY_AFTER))))
    }

    /// Sends a request on a kept connection or a new one, and returns that if it can be kept.
    async fn exchange(
        &self,
        signal: &str,
        body: Bytes,
    ) -> Result<(Option<Connection>, Response<Bytes>), PostError> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(kept) = kept
            && let Ok(done) = kept.exchange(self.request(signal, body.clone())?).await
        {
            return Ok(done);
        }
        let request = self.request(signal, body)?;
        self.connect().await?.exchange(request).await.map_err(unreachable)
    }

    fn request(&self, signal: &str, body: Bytes) -> Result<Request<Full<Bytes>>, PostError> {
        let mut request = Request::post(format!("{}/v1/{signal}", self.endpoint.path))
            .header(header::HOST, &self.endpoint.authority)
            .header(header::CONTENT_TYPE, "application/x-protobuf");
        for (name, value) in &self.headers.0 {
            request = request.header(name, value);
        }
        request.body(Full::new(body)).map_err(unreachable)
    }

    async fn connect(&self) -> Result<Connection, PostError> {
        let Endpoint { host, port, is_tls, .. } = &self.endpoint;
        let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(unreachable)?;
        if !is_tls {
            return Connection::open(stream).await;
        }
        let connector = self.tls.as_ref().ok_or(PostError::NoRoots)?;
        let name = ServerName::try_from(host.clone()).map_err(unreachable)?;
        Connection::open(connector.connect(name, stream).await.map_err(refused)?).await
    }
}

/// A connection, which moves only while a request is on it: no task of its own, and none to end.
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>,
}

impl Connection {
    async fn open(
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    ) -> Result<Self, PostError> {
        let (sender, driver) = handshake(TokioIo::new(stream)).await.map_err(unreachable)?;
        Ok(Self { sender, driver: Box::pin(driver) })
    }

    /// Sends a request; returns the answer, and the connection if it can take another.
    async fn exchange(
        self,
        request: Request<Full<Bytes>>,
    ) -> hyper::Result<(Option<Self>, Response<Bytes>)> {
        let Self { mut sender, mut driver } = self;
        let exchange = async move {
            sender.ready().await?;
            let (head, body) = sender.send_request(request).await?.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            // What follows the head is a note only; after half of one nothing can be asked.
            let sender = body.is_ok().then_some(sender);
            let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            hyper::Result::Ok((sender, Response::from_parts(head, body)))
        };
        tokio::pin!(exchange);
        let (sender, answer) = tokio::select! {
            answered = &mut exchange => answered?,
            // The other side may close as soon as all is sent; what came is still to be read.
            _ended = &mut driver => (None, exchange.await?.1),
        };
        Ok((sender.map(|sender| Self { sender, driver }), answer))
    }
}

const fn failed(status: StatusCode, retry_after: Option<Duration>) -> PostError {
    PostError::Status { status: status.as_u16(), retry_after }
}

/// Reads the form of `Retry-After` that counts seconds.
fn seconds(value: Option<&http::HeaderValue>) -> Option<Duration> {
    value?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

fn unreachable(cause: impl std::fmt::Display) -> PostError {
    PostError::Unreachable(cause.to_string())
}

/// Tells a certificate that is not trusted from a connection that failed.
fn refused(cause: io::Error) -> PostError {
    let tls = cause.get_ref().and_then(|inner| inner.downcast_ref());
    let Some(rustls::Error::InvalidCertificate(why)) = tls else { return unreachable(cause) };
    let is_unknown =
        [CertificateError::UnknownIssuer, CertificateError::BadSignature].contains(why);
    PostError::Untrusted(if is_unknown {
        "it was issued by no known authority; set SSL_CERT_FILE to a PEM file with it".to_owned()
    } else {
        why.to_string()
    })
}

/// Returns a TLS client that trusts the authorities of this machine.
fn connector() -> Option<TlsConnector> {
    let text = bundle()?;
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_slice_iter(&text).filter_map(Result::ok);
    let (known, _unreadable) = roots.add_parsable_certificates(certificates);
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .ok()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    (known > 0).then(|| TlsConnector::from(Arc::new(config)))
}

/// Reads the file with the authorities that this machine trusts.
fn bundle() -> Option<Vec<u8>> {
    if let Some(named) = std::env::var_os("SSL_CERT_FILE") {
        return fs::read(PathBuf::from(named)).ok();
    }
    BUNDLES.iter().find_map(|path| fs::read(path).ok())
}

/// Where systems keep that file: Debian, Fedora, Alpine and macOS, older Red Hat.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
];
/// LIMIT: bytes of an answer: a count and a sentence.
const ANSWER_BYTES_MAX: usize = 64 << 10;
