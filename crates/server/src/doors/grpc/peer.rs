//! Who is at the other end of a connection: judged once, from the certificate alone.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gate::Gate;
use gate::types::{
    Action, AgentId, Answer, Call, Caller, Principal, PrincipalKind, Rejection, Timestamp,
    TraceContext,
};
use identity::{IdPattern, LeafError, check_leaf};
use tonic::Status;
use tonic::metadata::MetadataMap;

use super::status::status;
use crate::config::Server;

/// What a connection knows of its other end; it stands in every request's extensions.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// Whom the certificate speaks for, or why it speaks for nobody.
    pub(crate) caller: Caller,
    /// The remote address.
    pub(crate) address: SocketAddr,
}

/// Turns certificates into principals.
#[derive(Debug, Clone)]
pub(crate) struct Identifier {
    agents: IdPattern,
    operators: IdPattern,
}

// LIMIT: characters of a trace header that are passed on; W3C asks for at least 512 of
// tracestate.
const TRACE_CHARS_MAX: usize = 512;

impl Identifier {
    pub(crate) fn new(server: &Server) -> Self {
        Self { agents: server.agent_ids.clone(), operators: server.operator_ids.clone() }
    }

    /// Judges the leaf certificate that a TLS handshake has already chained to the CA.
    pub(crate) fn identify(&self, leaf: &[u8]) -> Caller {
        let certificate = match check_leaf(leaf) {
            Ok(certificate) => certificate,
            Err(cause) => return rejected(cause),
        };
        let id = &certificate.spiffe_id;
        let kind = if let Some(name) = self.agents.extract(id) {
            AgentId::parse(name).ok().map(PrincipalKind::Agent)
        } else {
            self.operators.extract(id).map(|name| PrincipalKind::Operator(name.to_owned()))
        };
        let Some(kind) = kind else {
            return Caller::Rejected(Rejection {
                code: "invalid_spiffe_format",
                reason: "the certificate's SPIFFE ID is in another trust domain, or has not the \
                         form of an agent's"
                    .to_owned(),
            });
        };
        let seconds = u64::try_from(certificate.not_after_unix).unwrap_or(0);
        let valid_until = Timestamp::default().after(Duration::from_secs(seconds));
        Caller::Verified(Principal { kind, spiffe_id: id.as_str().to_owned(), valid_until })
    }
}

fn rejected(cause: LeafError) -> Caller {
    Caller::Rejected(Rejection { code: cause.code(), reason: cause.to_string() })
}

/// Makes the call of a request that came over a known connection.
fn call<T>(request: &tonic::Request<T>, action: Action) -> Call {
    let trace = trace(request.metadata());
    match request.extensions().get::<Arc<Peer>>() {
        Some(peer) => {
            Call { caller: peer.caller.clone(), peer: peer.address.to_string(), trace, action }
        }
        // Only a connection that skipped the TLS listener could get here; it is nobody.
        None => {
            let reason = "the connection was not authenticated".to_owned();
            let caller = Caller::Rejected(Rejection { code: "invalid_certificate", reason });
            Call { caller, peer: String::new(), trace, action }
        }
    }
}

/// Runs an action of a request's caller; a refusal becomes its status.
pub(crate) async fn ask<T>(
    gate: &Arc<Gate>,
    request: &tonic::Request<T>,
    action: Action,
) -> Result<Answer, Status> {
    gate.run(call(request, action)).await.map_err(|refusal| status(&refusal))
}

fn trace(metadata: &MetadataMap) -> TraceContext {
    let text = |name| {
        let value = metadata.get(name)?.to_str().ok()?;
        (value.len() <= TRACE_CHARS_MAX).then(|| value.to_owned())
    };
    let traceparent = text("traceparent").filter(|text| is_traceparent(text));
    // Without its parent a state means nothing.
    let tracestate = traceparent
        .as_ref()
        .and_then(|_| text("tracestate"))
        .filter(|text| text.bytes().all(|b| matches!(b, b' '..=b'~')));
    TraceContext { traceparent, tracestate }
}

/// Tells whether a text is a `traceparent` of W3C Trace Context, version 00.
fn is_traceparent(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let is_hex = |part: &str| part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    parts.iter().map(|part| part.len()).eq([2, 32, 16, 2]) && parts.iter().all(|part| is_hex(part))
}
