//! The operations listener: metrics and health over plain HTTP, for the machines that watch.
//!
//! It knows no agent, message or payload, changes nothing, and is not audited, so it is off
//! unless configured and meant for loopback or a network of operators.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use gate::tasks::Tasks;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use crate::metrics::Metrics;
use crate::metrics::text::{Format, write};
use crate::readiness::NotReady;

// LIMIT: connections at once; further ones wait in the backlog.
const CONNECTIONS_MAX: usize = 32;
// LIMIT: the time for the head of a request, and for a connection as a whole, so that those who
// are slow give their place back; scrapers connect again.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECTION_AGE_MAX: Duration = Duration::from_secs(60);
// LIMIT: bytes of a request's head.
const HEAD_BYTES_MAX: usize = 16 * 1024;
// The pause after the system refused a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Answers until `closing` becomes true.
pub(crate) async fn run(socket: TcpListener, metrics: Metrics, mut closing: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let tasks = Tasks::default();
    let metrics = Arc::new(metrics);
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, socket.accept().await)
        };
        let (place, accepted) = tokio::select! {
            accepted = accepted => accepted,
            _closing = closing.wait_for(|closing| *closing) => return,
        };
        match accepted {
            Ok((stream, _address)) => {
                let (metrics, closing) = (Arc::clone(&metrics), closing.clone());
                tasks.spawn(async move {
                    answer_all(stream, metrics, closing).await;
                    drop(place);
                });
            }
            Err(cause) => {
                tracing::warn!(%cause, "cannot accept a connection for operations");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Answers the requests of one connection.
async fn answer_all(stream: TcpStream, metrics: Arc<Metrics>, mut closing: watch::Receiver<bool>) {
    let service = service_fn(move |request| {
        let response = answer(&metrics, &request);
        async move { response }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        ended = connection => if let Err(cause) = ended {
            tracing::debug!(%cause, "a connection for operations ended");
        },
        () = tokio::time::sleep(CONNECTION_AGE_MAX) => {}
        _closing = closing.wait_for(|closing| *closing) => {}
    }
}

fn answer(metrics: &Metrics, request: &Request<Incoming>) -> http::Result<Response<String>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let say = "only GET and HEAD are answered\n".to_owned();
        return respond(StatusCode::METHOD_NOT_ALLOWED, "text/plain", say);
    }
    match request.uri().path() {
        "/metrics" => {
            let accept = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok());
            let format = Format::wanted(accept.unwrap_or_default());
            respond(StatusCode::OK, format.content_type(), write(&metrics.collect(), format))
        }
        "/livez" => respond(StatusCode::OK, JSON, "{\"live\":true}\n".to_owned()),
        "/readyz" => {
            let reasons = metrics.readiness.reasons();
            let status =
                if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            respond(status, JSON, readiness(&reasons))
        }
        _ => {
            let say = "there are /metrics, /livez and /readyz\n".to_owned();
            respond(StatusCode::NOT_FOUND, "text/plain", say)
        }
    }
}

const JSON: &str = "application/json";

fn respond(status: StatusCode, kind: &str, body: String) -> http::Result<Response<String>> {
    let head = Response::builder().status(status).header(CONTENT_TYPE, kind);
    head.header(CACHE_CONTROL, "no-store").body(body)
}

fn readiness(reasons: &BTreeSet<NotReady>) -> String {
    let list =
        reasons.iter().map(|one| serde_json::json!({ "code": one.code(), "reason": one.reason() }));
    let list: Vec<_> = list.collect();
    format!("{}\n", serde_json::json!({ "ready": reasons.is_empty(), "reasons": list }))
}
