//! Stage 3: does a rule allow it?
//!
//! Messages need a rule between sender and target. Everything an agent does to itself (session,
//! state, key) needs only its registration, operators' commands only theirs.

use std::net::SocketAddr;

use policy::{Action, Decision, Kind, Resource};

use super::validate::Valid;
use crate::case::Case;
use crate::gate::Gate;
use crate::settings::Offline;
use crate::types::{AgentId, Message, MessageKind, Refusal, Request};

/// A request that the rules allow.
#[derive(Debug)]
pub(super) struct Permit {
    agent: Option<AgentId>,
    request: Request,
}

impl Permit {
    pub(super) const fn agent(&self) -> Option<&AgentId> {
        self.agent.as_ref()
    }

    pub(super) const fn request(&self) -> &Request {
        &self.request
    }

    pub(super) fn into_request(self) -> (Option<AgentId>, Request) {
        (self.agent, self.request)
    }
}

pub(super) fn check(gate: &Gate, case: &mut Case, valid: Valid) -> Result<Permit, Refusal> {
    let Valid { agent, request } = valid;
    match &request {
        Request::Message(message) => check_message(gate, case, message)?,
        Request::Administer(_) => case.decided_by = Some("operators list".to_owned()),
        // The message was allowed when it was taken.
        Request::Repeat(_) => {}
        Request::Open(_)
        | Request::Discover(_)
        | Request::ReadState
        | Request::UpdateState(_)
        | Request::ResetState
        | Request::MessageStatus(_)
        | Request::RegisterKey(_) => case.decided_by = Some("allowlist".to_owned()),
    }
    Ok(Permit { agent, request })
}

fn check_message(gate: &Gate, case: &mut Case, message: &Message) -> Result<(), Refusal> {
    let action = match message.kind {
        MessageKind::Send => Action::Send,
        MessageKind::Request { .. } => Action::Request,
        MessageKind::Reply { .. } => Action::Reply,
    };
    let request = policy::Request {
        resource: Resource { kind: Kind::Agent, id: message.target.as_str() },
        context: policy::Context {
            message_type: &message.message_type,
            payload_bytes: u64::try_from(case.payload_bytes).unwrap_or(u64::MAX),
            delegation_depth: message.hops,
            ..circumstances(case)
        },
        ..asking(case, &message.sender, action)
    };
    let decided_by = match case.snapshot.policy.judge(&request) {
        Decision::Allowed { by } => by.to_string(),
        Decision::Denied { by } => {
            return Err(Refusal::NotAuthorized { code: by.code(), by: by.to_string() });
        }
    };
    case.decided_by = Some(decided_by);
    if case.snapshot.registration(&message.target).is_none() {
        let by = "the rules allow it, but no such agent is registered".to_owned();
        return Err(Refusal::NotAuthorized { code: "target_unknown", by });
    }
    let is_reachable = match message.kind {
        MessageKind::Send | MessageKind::Request { .. } => gate.hub.takes_messages(&message.target),
        MessageKind::Reply { .. } => gate.hub.is_active(&message.target),
    };
    if gate.settings.delivery.offline == Offline::Refuse && !is_reachable {
        let by = "the target is not connected, and `delivery.offline` is `refuse`".to_owned();
        return Err(Refusal::NotAuthorized { code: "target_offline", by });
    }
    Ok(())
}

/// Returns a request of an agent about itself, under the circumstances of the call.
pub(super) fn asking<'a>(
    case: &'a Case,
    agent: &'a AgentId,
    action: Action,
) -> policy::Request<'a> {
    let spiffe_id = case.principal.as_ref().map_or("", |principal| principal.spiffe_id.as_str());
    policy::Request {
        principal: policy::Principal { spiffe_id, ..policy::Principal::agent(agent.as_str()) },
        action,
        resource: Resource { kind: Kind::Agent, id: agent.as_str() },
        context: circumstances(case),
    }
}

fn circumstances(case: &Case) -> policy::Context<'_> {
    // Only rules of policy files look at where a call comes from.
    let has_files = case.snapshot.policy.engine().is_some();
    let source = has_files.then(|| case.peer().parse::<SocketAddr>().ok()).flatten();
    policy::Context {
        now: i64::try_from(case.at.micros() / 1_000_000).unwrap_or(i64::MAX),
        source: source.map(|address| address.ip()),
        // Every door of today asks for a client certificate.
        authentication: policy::Authentication::Mtls,
        ..policy::Context::default()
    }
}
