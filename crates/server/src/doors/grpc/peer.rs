//! Who is at the other end of a connection: judged once, from the certificate alone.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use gate::Gate;
use gate::types::{
    Action, AgentId, Answer, Call, Caller, Principal, PrincipalKind, Rejection, Timestamp,
    TraceContext,
};
use identity::{IdPattern, LeafError, SpiffeId, Trust, check_leaf};
use tonic::Status;
use tonic::metadata::MetadataMap;

use super::share::Ticket;
use super::status::status;
use crate::config::Config;

/// What a connection knows of its other end; it stands in every request's extensions.
#[derive(Debug)]
pub(crate) struct Peer {
    caller: Caller,
    /// Why the certificate is no longer trusted, once that is so.
    cut: OnceLock<Rejection>,
    /// The remote address.
    pub(crate) address: SocketAddr,
}

impl Peer {
    pub(crate) const fn new(caller: Caller, address: SocketAddr) -> Self {
        Self { caller, cut: OnceLock::new(), address }
    }

    /// Returns whom the certificate speaks for, or why it speaks for nobody.
    pub(crate) fn caller(&self) -> Caller {
        match self.cut.get() {
            Some(rejection) => Caller::Rejected(rejection.clone()),
            None => self.caller.clone(),
        }
    }

    /// Returns the SPIFFE ID of the certificate, or nothing if it spoke for nobody.
    pub(crate) fn id(&self) -> &str {
        match &self.caller {
            Caller::Verified(principal) => &principal.spiffe_id,
            Caller::Rejected(_) => "",
        }
    }

    /// Lets the peer speak for nobody from now on.
    pub(crate) fn reject(&self, rejection: Rejection) {
        // The first reason stays.
        let _known = self.cut.set(rejection);
    }
}

/// Turns certificates into principals.
#[derive(Debug, Clone)]
pub(crate) struct Identifier {
    agents: IdPattern,
    operators: IdPattern,
    /// Agents whose ID is not made of their name, by that ID.
    named: BTreeMap<String, AgentId>,
}

// LIMIT: characters of a trace header that are passed on; W3C asks for at least 512 of
// tracestate.
const TRACE_CHARS_MAX: usize = 512;

impl Identifier {
    pub(crate) fn new(config: &Config) -> Self {
        let named = config.agents.iter().filter_map(|(agent, keys)| {
            let id = keys.spiffe_id.as_ref()?;
            Some((id.as_str().to_owned(), AgentId::parse(agent).ok()?))
        });
        let server = &config.server;
        Self {
            agents: server.agent_ids.clone(),
            operators: server.operator_ids.clone(),
            named: named.collect(),
        }
    }

    /// Judges the leaf certificate that a TLS handshake has already chained to a CA by this trust.
    pub(crate) fn identify(&self, leaf: &[u8], trust: &Trust) -> Caller {
        let certificate = match check_leaf(leaf) {
            Ok(certificate) => certificate,
            Err(cause) => return rejected(cause),
        };
        let id = &certificate.spiffe_id;
        // The handshake judges leaves of unknown domains by the own bundle: see identity's trust.
        let kind = if trust.knows(id.trust_domain()) { self.kind(id) } else { None };
        let Some(kind) = kind else {
            return Caller::Rejected(Rejection {
                code: "invalid_spiffe_format",
                reason: "the certificate's SPIFFE ID is in another trust domain, or is neither \
                         listed nor of the form of an agent's"
                    .to_owned(),
            });
        };
        let seconds = u64::try_from(certificate.not_after_unix).unwrap_or(0);
        let valid_until = Timestamp::default().after(Duration::from_secs(seconds));
        Caller::Verified(Principal { kind, spiffe_id: id.as_str().to_owned(), valid_until })
    }

    fn kind(&self, id: &SpiffeId) -> Option<PrincipalKind> {
        if let Some(agent) = self.named.get(id.as_str()) {
            return Some(PrincipalKind::Agent(agent.clone()));
        }
        if let Some(name) = self.agents.extract(id) {
            let agent = AgentId::parse(name).ok()?;
            // Who has an ID of its own has no other.
            let is_named = self.named.values().any(|named| *named == agent);
            return (!is_named).then_some(PrincipalKind::Agent(agent));
        }
        self.operators.extract(id).map(|name| PrincipalKind::Operator(name.to_owned()))
    }
}

fn rejected(cause: LeafError) -> Caller {
    Caller::Rejected(Rejection { code: cause.code(), reason: cause.to_string() })
}

/// Makes the call of a request that came over a known connection.
fn call<T>(request: &tonic::Request<T>, action: Action) -> Call {
    let trace = trace(request.metadata());
    match request.extensions().get::<Arc<Peer>>() {
        Some(peer) => Call { caller: peer.caller(), peer: peer.address.to_string(), trace, action },
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
    // Counted as under way until it is decided, also where the caller does not wait for that.
    let ticket = request.extensions().get::<Arc<Ticket>>().cloned();
    let answer = gate.run_holding(call(request, action), ticket).await;
    answer.map_err(|refusal| status(&refusal))
}

fn trace(metadata: &MetadataMap) -> TraceContext {
    let text = |name| metadata.get(name).and_then(|value| value.to_str().ok());
    trace_of(text("traceparent"), text("tracestate"))
}

/// Reads a trace; what is none is passed over.
pub(super) fn trace_of(traceparent: Option<&str>, tracestate: Option<&str>) -> TraceContext {
    let is_short = |text: &&str| text.len() <= TRACE_CHARS_MAX;
    let traceparent = traceparent.filter(is_short).filter(|text| is_traceparent(text));
    // Without its parent a state means nothing.
    let is_state = |text: &&str| !text.is_empty() && text.bytes().all(|b| matches!(b, b' '..=b'~'));
    let tracestate = traceparent.and(tracestate).filter(is_short).filter(is_state);
    TraceContext {
        traceparent: traceparent.map(str::to_owned),
        tracestate: tracestate.map(str::to_owned),
    }
}

/// Tells whether a text is a `traceparent` of W3C Trace Context, version 00.
fn is_traceparent(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let is_hex = |part: &str| part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    parts.iter().map(|part| part.len()).eq([2, 32, 16, 2]) && parts.iter().all(|part| is_hex(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_is_cut_speaks_for_nobody() {
        let principal = Principal {
            kind: PrincipalKind::Operator("boss".to_owned()),
            spiffe_id: "spiffe://mas/operator/boss".to_owned(),
            valid_until: Timestamp::default(),
        };
        let peer = Peer::new(Caller::Verified(principal), ([127, 0, 0, 1], 1).into());
        assert!(matches!(peer.caller(), Caller::Verified(_)));
        for code in ["certificate_revoked", "certificate_untrusted"] {
            peer.reject(Rejection { code, reason: String::new() });
            let Caller::Rejected(rejection) = peer.caller() else { panic!("still trusted") };
            assert_eq!(rejection.code, "certificate_revoked");
        }
        assert_eq!(peer.id(), "spiffe://mas/operator/boss");
    }
}
