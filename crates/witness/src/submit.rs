//! Asks a witness to cosign a checkpoint.
//!
//! One request, one answer, bounded in bytes and time. What an answer means for the log, and when
//! to ask again, is the asker's part.

use std::time::Duration;

use audit::{Signature, VerifierKey};
use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::Submission;
use crate::listen::SIZE_TYPE;
use crate::submission::number;

/// What a witness answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It cosigned; the signature has been checked.
    Cosigned(Signature),
    /// It cosigned this size last, or the same with another root.
    Conflict {
        /// The size that it knows.
        size: u64,
    },
    /// It says that the proof does not hold.
    BadProof,
    /// It does not know the log, or not its key.
    Unknown,
}

/// Says why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The address is not usable.
    #[error("`{0}` is no address of a witness; write http://HOST:PORT")]
    Address(String),
    /// It cannot be reached.
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    /// It did not answer in time.
    #[error("did not answer within {0:?}")]
    Late(Duration),
    /// It answered something else.
    #[error("answered with status {status}, which says nothing about the checkpoint")]
    Status {
        /// The status.
        status: u16,
    },
    /// Its cosignature is not one.
    #[error("its answer is no cosignature of `{0}` on this checkpoint; check its key")]
    NoCosignature(String),
}

/// Asks the witness at `url`, which answers with `key`, to cosign.
///
/// # Errors
/// Fails if there is no answer of the protocol within `patience`.
pub async fn submit(
    url: &str,
    key: &VerifierKey,
    submission: &Submission,
    patience: Duration,
) -> Result<Answer, SubmitError> {
    let asked = timeout(patience, post(url, submission.to_string())).await;
    let (status, kind, body) = asked.map_err(|_elapsed| SubmitError::Late(patience))??;
    let text = std::str::from_utf8(&body).unwrap_or_default();
    match status {
        StatusCode::OK => cosignature(text, key, submission).map(Answer::Cosigned),
        StatusCode::CONFLICT if kind.as_deref() == Some(SIZE_TYPE) => {
            let size = text.strip_suffix('\n').and_then(number);
            let size = size.ok_or(SubmitError::Status { status: status.as_u16() })?;
            Ok(Answer::Conflict { size })
        }
        StatusCode::UNPROCESSABLE_ENTITY => Ok(Answer::BadProof),
        StatusCode::NOT_FOUND | StatusCode::FORBIDDEN => Ok(Answer::Unknown),
        other => Err(SubmitError::Status { status: other.as_u16() }),
    }
}

/// Finds the cosignature of the key among the lines of an answer and checks it.
fn cosignature(
    text: &str,
    key: &VerifierKey,
    submission: &Submission,
) -> Result<Signature, SubmitError> {
    let signatures = text.lines().filter_map(|line| Signature::parse_line(line).ok());
    for signature in signatures.filter(|one| one.name == key.name() && one.id == key.id()) {
        let mut signed = submission.checkpoint.clone();
        signed.add(signature.clone());
        if signed.check_witness(key).is_ok() {
            return Ok(signature);
        }
    }
    Err(SubmitError::NoCosignature(key.name().to_owned()))
}

type Reply = (StatusCode, Option<String>, Bytes);

async fn post(url: &str, body: String) -> Result<Reply, SubmitError> {
    let unreachable = |cause: &dyn std::fmt::Display| SubmitError::Unreachable(cause.to_string());
    let address = || SubmitError::Address(url.to_owned());
    let uri: Uri = url.parse().map_err(|_invalid| address())?;
    let host = uri.host().filter(|_| uri.scheme_str() == Some("http")).ok_or_else(address)?;
    // An IPv6 address stands in brackets in a URL and without them for the system.
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((name, uri.port_u16().unwrap_or(80))).await;
    let stream = stream.map_err(|cause| unreachable(&cause))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|cause| unreachable(&cause))?;
    let authority = uri.authority().map_or(host, http::uri::Authority::as_str);
    let request = Request::post(format!("{}/add-checkpoint", uri.path().trim_end_matches('/')))
        .header(header::HOST, authority)
        .body(Full::new(Bytes::from(body)))
        .map_err(|_invalid| address())?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(|cause| unreachable(&cause))?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|cause| unreachable(&cause))?.to_bytes();
        let kind = head.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        Ok((head.status, kind.map(str::to_owned), body))
    };
    tokio::pin!(exchange, connection);
    tokio::select! {
        reply = &mut exchange => reply,
        // The other side may close as soon as all is sent; what came is still to be read.
        _ended = &mut connection => exchange.await,
    }
}

/// LIMIT: bytes of an answer: a few lines.
const ANSWER_BYTES_MAX: usize = 64 << 10;
