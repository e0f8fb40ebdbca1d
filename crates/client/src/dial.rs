//! Makes one connection to the gate: TCP, TLS with both certificates, HTTP/2.
//!
//! It makes one attempt and knows nothing of sessions; the files are read anew each time, so that
//! a renewed certificate is used from the next connection on.

use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use identity::{ClientMaterial, ServerIdentity};
use rustls::pki_types::{ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::client::Grpc;
use wire::mas::runtime::v1::runtime_service_client::RuntimeServiceClient;
use wire::palisade::admin::v1::admin_service_client::AdminServiceClient;
use wire::palisade::bus::v1::bus_service_client::BusServiceClient;

use crate::channel::Channel;
use crate::error::{Error, Invalid};
use crate::options::Options;
use crate::svid::Svids;
use crate::tasks::{self, Task};

/// Knows where the gate is, how to recognise it, and as whom to appear.
#[derive(Debug)]
pub(crate) struct Dialer {
    addr: String,
    origin: Uri,
    name: ServerName<'static>,
    server: ServerIdentity,
    ca: PathBuf,
    cert: PathBuf,
    key: PathBuf,
    svids: Option<Svids>,
    message_bytes_max: usize,
}

impl Dialer {
    pub(crate) fn new(options: &Options) -> Result<Self, Invalid> {
        let printable = |text: &str| text.escape_default().take(NAME_CHARS_MAX).collect::<String>();
        let not_an_address = || Invalid::Addr { addr: printable(&options.addr) };
        let (host, port) = options.addr.rsplit_once(':').ok_or_else(not_an_address)?;
        port.parse::<u16>().map_err(|_details| not_an_address())?;
        let origin = Uri::builder()
            .scheme("https")
            .authority(options.addr.as_str())
            .path_and_query("/")
            .build()
            .map_err(|_details| not_an_address())?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = options.server_name.as_deref().unwrap_or(host);
        let name = ServerName::try_from(name.to_owned())
            .map_err(|_details| Invalid::ServerName { name: printable(name) })?;
        Ok(Self {
            addr: options.addr.clone(),
            origin,
            name,
            server: options.server.clone(),
            ca: options.ca.clone(),
            cert: options.cert.clone(),
            key: options.key.clone(),
            svids: options.workload_api.clone().map(Svids::new),
            message_bytes_max: options.message_bytes_max.saturating_add(ENVELOPE_ROOM_BYTES),
        })
    }

    /// Returns where the gate is.
    pub(crate) fn addr(&self) -> &str {
        &self.addr
    }

    /// Makes a connection; the caller bounds the time.
    pub(crate) async fn dial(&self) -> Result<Link, Error> {
        let material = self.material().await?;
        let config = identity::client_config(&material, self.server.clone()).map_err(Arc::new)?;
        let no_connection = |source| self.no_connection(source);
        let tcp = TcpStream::connect(&self.addr).await.map_err(no_connection)?;
        tcp.set_nodelay(true).map_err(no_connection)?;
        let tls = TlsConnector::from(config).connect(self.name.clone(), tcp).await;
        let tls = tls.map_err(|refused| match tls_error(&refused) {
            Some(source) => Error::Handshake { addr: self.addr.clone(), source },
            None => no_connection(refused),
        })?;
        let refused = Arc::new(OnceLock::new());
        let stream = Watched { stream: tls, refused: Arc::clone(&refused) };
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|failed| no_connection(io::Error::other(failed)))?;
        let driver = tasks::spawn("connection", async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection ended");
            }
        });
        Ok(Link {
            channel: Channel::new(sender),
            origin: self.origin.clone(),
            message_bytes_max: self.message_bytes_max,
            addr: self.addr.clone(),
            refused,
            own: material.own,
            not_after_unix: material.not_after_unix,
            _driver: driver,
        })
    }

    /// Makes another connection if the files hold another certificate than a connection's, and
    /// one that is good for longer.
    pub(crate) async fn dial_renewed(&self, old: &Link) -> Result<Option<Link>, Error> {
        let material = self.material().await?;
        let is_same = material.own.cert == old.own.cert;
        if is_same || material.not_after_unix <= old.not_after_unix {
            return Ok(None);
        }
        self.dial().await.map(Some)
    }

    pub(crate) fn no_connection(&self, source: io::Error) -> Error {
        Error::Connect { addr: self.addr.clone(), source: Arc::new(source) }
    }

    async fn material(&self) -> Result<ClientMaterial, Error> {
        if let Some(svids) = &self.svids {
            return svids.material(&self.server, unix_now()).await;
        }
        let (ca, cert, key) = (self.ca.clone(), self.cert.clone(), self.key.clone());
        let load = move || ClientMaterial::load(&ca, &cert, &key, unix_now());
        match tokio::task::spawn_blocking(load).await {
            Ok(loaded) => Ok(loaded.map_err(Arc::new)?),
            // The runtime is shutting down.
            Err(_cancelled) => Err(Error::Closed),
        }
    }
}

/// Returns the time in seconds since 1970.
fn unix_now() -> i64 {
    i64::try_from(UnixTime::now().as_secs()).unwrap_or(i64::MAX)
}

/// Holds one live connection; it ends when the last holder lets go.
#[derive(Debug)]
pub(crate) struct Link {
    channel: Channel,
    origin: Uri,
    pub(crate) message_bytes_max: usize,
    addr: String,
    refused: Arc<OnceLock<rustls::Error>>,
    own: Arc<CertifiedKey>,
    not_after_unix: i64,
    _driver: Task,
}

impl Link {
    /// Returns how long the own certificate of this connection still holds.
    pub(crate) fn holds_for(&self) -> Duration {
        let left = self.not_after_unix.saturating_sub(unix_now());
        Duration::from_secs(u64::try_from(left).unwrap_or(0))
    }

    /// Returns a client for methods whose messages are written here.
    pub(crate) fn grpc(&self) -> Grpc<Channel> {
        Grpc::with_origin(self.channel.clone(), self.origin.clone())
    }

    pub(crate) fn runtime(&self) -> RuntimeServiceClient<Channel> {
        RuntimeServiceClient::with_origin(self.channel.clone(), self.origin.clone())
            .max_decoding_message_size(self.message_bytes_max)
    }

    pub(crate) fn bus(&self) -> BusServiceClient<Channel> {
        BusServiceClient::with_origin(self.channel.clone(), self.origin.clone())
    }

    pub(crate) fn admin(&self) -> AdminServiceClient<Channel> {
        AdminServiceClient::with_origin(self.channel.clone(), self.origin.clone())
            .max_decoding_message_size(self.message_bytes_max)
    }

    /// Returns what TLS said if that is why the connection ended.
    ///
    /// In TLS 1.3 a server refuses the client's certificate after the client believes to be
    /// connected; HTTP/2 then only reports that the connection broke.
    pub(crate) fn refused_by_tls(&self) -> Option<Error> {
        let source = self.refused.get()?.clone();
        Some(Error::Handshake { addr: self.addr.clone(), source })
    }
}

/// Remembers the TLS error that ended a connection, which HTTP/2 forgets.
#[derive(Debug)]
struct Watched {
    stream: TlsStream<TcpStream>,
    refused: Arc<OnceLock<rustls::Error>>,
}

impl Watched {
    fn seen<T>(&self, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(error)) = &polled
            && let Some(found) = tls_error(error)
        {
            // Only the first one is the cause.
            let _later = self.refused.set(found);
        }
        polled
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.seen(polled)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.seen(polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(context);
        self.seen(polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.seen(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

fn tls_error(error: &io::Error) -> Option<rustls::Error> {
    error.get_ref()?.downcast_ref::<rustls::Error>().cloned()
}

/// How often a silent connection is probed, so that a vanished gate is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// LIMIT: room for an envelope's own fields around the largest payload.
const ENVELOPE_ROOM_BYTES: usize = 64 * 1024;
const NAME_CHARS_MAX: usize = 256;
