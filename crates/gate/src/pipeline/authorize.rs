//! Stage 3: does a rule allow it?
//!
//! Messages need a rule between sender and target. Everything an agent does to itself (session,
//! state, key) needs only its registration, operators' commands only theirs.

use policy::{Action, Decision, Reason};

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
    let (sender, target) = (message.sender.as_str(), message.target.as_str());
    match case.snapshot.policy.decide(sender, action, target) {
        Decision::Allowed { by } => case.decided_by = Some(by.to_string()),
        Decision::Denied { by } => {
            let code = match by {
                Reason::BlockList { .. } => "blocked",
                Reason::AllowList { .. } | Reason::Role { .. } | Reason::NoRule { .. } => "denied",
            };
            return Err(Refusal::NotAuthorized { code, by: by.to_string() });
        }
    }
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
