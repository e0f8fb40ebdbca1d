//! The connection to the agent: one call that brings a message at each change.

use std::fmt;
use std::io;
use std::time::Duration;

use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use thiserror::Error;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout_at};
use tonic::body::Body;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request, Status, Streaming};
use tower::service_fn;
use wire::workload::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use wire::workload::{X509svidRequest, X509svidResponse};

use crate::endpoint::Endpoint;
use crate::update::{Update, UpdateError};

/// Brings the agent's messages, one after the other.
pub struct Updates {
    messages: Streaming<X509svidResponse>,
    connection: JoinHandle<()>,
}

/// Connects to the agent and asks for the identities of this program.
///
/// # Errors
/// Returns why there is no stream of messages. The time is the caller's to bound.
pub async fn updates(endpoint: &Endpoint) -> Result<Updates, WorkloadError> {
    let unreachable =
        |source| WorkloadError::Unreachable { endpoint: endpoint.to_string(), source };
    let stream = UnixStream::connect(endpoint.path()).await.map_err(unreachable)?;
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .map_err(|failed| unreachable(io::Error::other(failed)))?;
    let connection = drive(connection);
    let channel = service_fn(move |request: http::Request<Body>| {
        let mut sender = sender.clone();
        async move { sender.send_request(request).await }
    });
    // LIMIT: a message holds a few certificates, and revocation lists of at most 16 MiB.
    let mut client = SpiffeWorkloadApiClient::with_origin(channel, http::Uri::from_static(ORIGIN))
        .max_decoding_message_size(MESSAGE_BYTES_MAX);
    let mut request = Request::new(X509svidRequest {});
    // Requests that a web page could be made to send do not have it (Workload Endpoint, 3).
    request.metadata_mut().insert(SECURITY_HEADER, MetadataValue::from_static("true"));
    match client.fetch_x509svid(request).await {
        Ok(answer) => Ok(Updates { messages: answer.into_inner(), connection }),
        Err(status) => {
            connection.abort();
            Err(refused(endpoint, &status))
        }
    }
}

/// Waits for the first message, connecting again and again until the time is over.
///
/// # Errors
/// Returns why the last attempt failed.
pub async fn first(
    endpoint: &Endpoint,
    patience: Duration,
) -> Result<(Update, Updates), WorkloadError> {
    let deadline = Instant::now() + patience;
    let mut backoff = Backoff::default();
    let mut last = WorkloadError::Silent { endpoint: endpoint.to_string() };
    loop {
        let attempt = async {
            let mut updates = updates(endpoint).await?;
            let update = updates.next().await?;
            Ok((update, updates))
        };
        match timeout_at(deadline, attempt).await {
            Ok(Ok(found)) => return Ok(found),
            Ok(Err(cause)) => last = cause,
            Err(_elapsed) => return Err(last),
        }
        let wait = backoff.next_wait();
        if Instant::now() + wait >= deadline {
            return Err(last);
        }
        sleep(wait).await;
    }
}

impl Updates {
    /// Waits for the next message; when nothing changes, that is forever.
    ///
    /// # Errors
    /// Returns why there is none: after [`WorkloadError::Useless`] the stream goes on, after any
    /// other error it is over.
    pub async fn next(&mut self) -> Result<Update, WorkloadError> {
        match self.messages.message().await {
            Ok(Some(message)) => Ok(Update::parse(&message)?),
            Ok(None) => Err(WorkloadError::Ended),
            Err(status) => Err(WorkloadError::Interrupted { reason: said(&status) }),
        }
    }
}

impl Drop for Updates {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl fmt::Debug for Updates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Updates").finish_non_exhaustive()
    }
}

/// Says why the agent tells nothing.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WorkloadError {
    /// Nobody listens at the socket.
    #[error(
        "the Workload API at `{endpoint}` cannot be reached: {source}: check that the agent runs, \
         and that this user may open its socket"
    )]
    Unreachable {
        /// Where.
        endpoint: String,
        /// What the system says.
        source: io::Error,
    },
    /// The agent knows this program and has no identity for it, or does not know it.
    #[error(
        "the Workload API at `{endpoint}` has no identity for this program: register it with the \
         agent ({reason})"
    )]
    Unregistered {
        /// Where.
        endpoint: String,
        /// What the agent says.
        reason: String,
    },
    /// The agent refuses the call.
    #[error("the Workload API at `{endpoint}` refuses: {reason}")]
    Refused {
        /// Where.
        endpoint: String,
        /// What the agent says.
        reason: String,
    },
    /// The agent takes the call and says nothing.
    #[error("the Workload API at `{endpoint}` does not answer: check that it is an agent's socket")]
    Silent {
        /// Where.
        endpoint: String,
    },
    /// The agent ended the stream.
    #[error("the Workload API ended the stream")]
    Ended,
    /// The stream broke.
    #[error("the stream of the Workload API broke: {reason}")]
    Interrupted {
        /// What is known of it.
        reason: String,
    },
    /// A message came and is of no use.
    #[error("a message of the Workload API is of no use: {0}")]
    Useless(#[from] UpdateError),
}

impl WorkloadError {
    /// Returns the stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unreachable { .. }
            | Self::Silent { .. }
            | Self::Ended
            | Self::Interrupted { .. } => "workload_api_unreachable",
            Self::Unregistered { .. } => "workload_api_unregistered",
            Self::Refused { .. } => "workload_api_refused",
            Self::Useless(_) => "workload_api_useless",
        }
    }
}

/// Says how long to wait before connecting again: twice as long each time, up to a bound.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    next: Duration,
}

impl Backoff {
    /// Returns the wait before the next attempt.
    pub fn next_wait(&mut self) -> Duration {
        let wait = self.next;
        self.next = wait.saturating_mul(2).min(WAIT_MAX);
        wait
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: WAIT_FIRST }
    }
}

/// Runs the connection until it ends or the stream is dropped.
#[expect(clippy::disallowed_methods, reason = "it ends with the stream, which holds its handle")]
fn drive<B>(connection: http2::Connection<TokioIo<UnixStream>, B, TokioExecutor>) -> JoinHandle<()>
where
    B: hyper::body::Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "the connection to the Workload API ended");
        }
    })
}

fn refused(endpoint: &Endpoint, status: &Status) -> WorkloadError {
    let (endpoint, reason) = (endpoint.to_string(), said(status));
    if status.code() == Code::PermissionDenied {
        WorkloadError::Unregistered { endpoint, reason }
    } else {
        WorkloadError::Refused { endpoint, reason }
    }
}

/// Shortens what another program says.
fn said(status: &Status) -> String {
    let text: String = status.message().escape_default().take(REASON_CHARS_MAX).collect();
    format!("{:?}: {text}", status.code())
}

const SECURITY_HEADER: &str = "workload.spiffe.io";
/// HTTP/2 wants a name; there is none behind a Unix socket.
const ORIGIN: &str = "http://localhost";
const MESSAGE_BYTES_MAX: usize = 17 * 1024 * 1024;
const REASON_CHARS_MAX: usize = 200;
const WAIT_FIRST: Duration = Duration::from_millis(100);
const WAIT_MAX: Duration = Duration::from_secs(10);
