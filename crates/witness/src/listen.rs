//! The witness as an HTTP/1.1 server: `POST /add-checkpoint` and nothing else.
//!
//! There is no TLS and no login: a checkpoint counts by its signature, and so does the answer.
//! Every connection, request and wait has a bound.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::submission::BODY_BYTES_MAX;
use crate::{Ledger, Submission, Verdict};

/// A witness that takes connections.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    door: Arc<Door>,
}

#[derive(Debug)]
struct Door {
    ledger: Arc<Ledger>,
    clock: fn() -> u64,
}

impl Listener {
    /// Binds an address; port 0 takes a free one. The clock says the seconds since 1970.
    ///
    /// # Errors
    /// Returns what the system says.
    pub async fn bind(
        address: SocketAddr,
        ledger: Ledger,
        clock: fn() -> u64,
    ) -> std::io::Result<Self> {
        let socket = TcpListener::bind(address).await?;
        Ok(Self { socket, door: Arc::new(Door { ledger: Arc::new(ledger), clock }) })
    }

    /// Returns the bound address.
    ///
    /// # Errors
    /// Returns what the system says.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Answers until `shutdown` is ready, then finishes the requests under way.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let closing = watch::Sender::new(false);
        let mut connections = JoinSet::new();
        tokio::pin!(shutdown);
        loop {
            let accepted = tokio::select! {
                // LIMIT: connections at once; more wait in the system's queue.
                accepted = self.socket.accept(), if connections.len() < CONNECTIONS_MAX => accepted,
                Some(_ended) = connections.join_next(), if !connections.is_empty() => continue,
                () = &mut shutdown => break,
            };
            match accepted {
                Ok((stream, _address)) => {
                    let (door, closing) = (Arc::clone(&self.door), closing.subscribe());
                    connections.spawn(serve(stream, door, closing));
                }
                Err(cause) => {
                    tracing::warn!(%cause, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        closing.send_replace(true);
        let all = async { while connections.join_next().await.is_some() {} };
        drop(timeout(REQUEST_TIME_MAX, all).await);
    }
}

/// Serves one connection until its end, or until its time is over.
async fn serve(stream: TcpStream, door: Arc<Door>, mut closing: watch::Receiver<bool>) {
    let service = service_fn(|request| {
        let door = Arc::clone(&door);
        async move { Ok::<_, Infallible>(answer(&door, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_TIME_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = timeout(CONNECTION_TIME_MAX, async {
        tokio::select! {
            ended = connection.as_mut() => ended,
            () = async { drop(closing.wait_for(|closing| *closing).await) } => {
                connection.as_mut().graceful_shutdown();
                connection.as_mut().await
            }
        }
    });
    if let Ok(Err(cause)) = ended.await {
        tracing::debug!(%cause, "a connection ended early");
    }
}

async fn answer(door: &Arc<Door>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    if request.uri().path() != PATH {
        return said(StatusCode::NOT_FOUND, "there is only /add-checkpoint here");
    }
    if request.method() != Method::POST {
        return said(StatusCode::METHOD_NOT_ALLOWED, "checkpoints are posted");
    }
    let body = Limited::new(request.into_body(), BODY_BYTES_MAX).collect();
    let body = match timeout(REQUEST_TIME_MAX, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_too_large)) => return said(StatusCode::PAYLOAD_TOO_LARGE, "over 160 KiB"),
        Err(_elapsed) => return said(StatusCode::REQUEST_TIMEOUT, "the request came too slowly"),
    };
    let submission = match Submission::parse(&body) {
        Ok(submission) => submission,
        Err(why) => return said(StatusCode::BAD_REQUEST, &why.to_string()),
    };
    let (ledger, now) = (Arc::clone(&door.ledger), (door.clock)());
    let new = submission.checkpoint.checkpoint().clone();
    // It reads and syncs files.
    let judged = tokio::task::spawn_blocking(move || ledger.judge(&submission, now)).await;
    match judged.map_err(|cause| cause.to_string()) {
        Ok(Ok(verdict)) => {
            note(&verdict, &new);
            spoken(&verdict)
        }
        Ok(Err(cause)) => failed(&cause.to_string()),
        Err(cause) => failed(&cause),
    }
}

fn note(verdict: &Verdict, new: &audit::Checkpoint) {
    let (log, size) = (&new.origin, new.size);
    match verdict {
        Verdict::Cosigned(_) => tracing::info!(log, size, "cosigned"),
        Verdict::BadProof => {
            tracing::error!(log, size, "refused: it does not continue what was cosigned");
        }
        Verdict::Conflict { size: cosigned } => {
            tracing::warn!(log, size, cosigned, "refused: another size was cosigned last");
        }
        Verdict::UnknownLog | Verdict::UnknownKey | Verdict::Backwards => {
            tracing::warn!(log = log.escape_default().to_string(), size, ?verdict, "refused");
        }
    }
}

fn spoken(verdict: &Verdict) -> Response<Full<Bytes>> {
    match verdict {
        Verdict::Cosigned(signature) => said(StatusCode::OK, &signature.to_string()),
        Verdict::Conflict { size } => {
            let mut response = said(StatusCode::CONFLICT, &size.to_string());
            let kind = header::HeaderValue::from_static(SIZE_TYPE);
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            response
        }
        Verdict::BadProof => {
            let why = "the proof does not show that the checkpoint continues the last one";
            said(StatusCode::UNPROCESSABLE_ENTITY, why)
        }
        Verdict::UnknownLog => said(StatusCode::NOT_FOUND, "this log is not watched here"),
        Verdict::UnknownKey => said(StatusCode::FORBIDDEN, "not signed by a known key of the log"),
        Verdict::Backwards => {
            said(StatusCode::BAD_REQUEST, "the old size is greater than that of the checkpoint")
        }
    }
}

fn failed(cause: &str) -> Response<Full<Bytes>> {
    tracing::error!(cause, "cannot judge a checkpoint; nothing was cosigned");
    said(StatusCode::INTERNAL_SERVER_ERROR, "the witness cannot use its memory")
}

fn said(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(format!("{text}\n"))));
    *response.status_mut() = status;
    let kind = header::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

const PATH: &str = "/add-checkpoint";
/// What marks an answer that is a size.
pub(crate) const SIZE_TYPE: &str = "text/x.tlog.size";
/// LIMIT: connections at once. A witness has few logs, each asks once a second at most.
const CONNECTIONS_MAX: usize = 256;
/// LIMIT: how long the head of a request may take, and its body.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(10);
/// LIMIT: how long one connection may last.
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(300);
/// LIMIT: bytes of the head of a request.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// The pause after the system refused a connection, such as when descriptors are used up.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
