//! Stage 1: does the credential hold, and is the caller registered?
//!
//! Doors verify credentials once per connection; this stage judges what they found, at the
//! moment of the call. Nothing in a request can change who is asking.

use crate::case::Case;
use crate::gate::Gate;
use crate::types::{Action, AgentId, Caller, Principal, PrincipalKind, Refusal};

/// A caller whose credential holds.
#[derive(Debug)]
pub(super) enum Identified {
    /// A registered agent.
    Agent(AgentId),
    /// A registered operator.
    Operator,
}

pub(super) fn check(
    gate: &Gate,
    case: &mut Case,
    caller: Caller,
    action: &Action,
) -> Result<Identified, Refusal> {
    let principal = match caller {
        Caller::Verified(principal) => principal,
        Caller::Rejected(rejection) => {
            return Err(Refusal::Credential { code: rejection.code, reason: rejection.reason });
        }
    };
    let Principal { kind, valid_until, .. } = principal.clone();
    case.principal = Some(principal);
    if case.at > valid_until {
        return Err(Refusal::CredentialExpired);
    }
    let administers = matches!(action, Action::Administer(_));
    // What a door refused is said to whoever it was, as long as the gate knows him.
    let is_refused = matches!(action, Action::Refused(_));
    match kind {
        PrincipalKind::Agent(agent) => {
            if case.snapshot.registration(&agent).is_none() {
                return Err(Refusal::AgentNotAllowlisted);
            }
            if administers {
                return Err(Refusal::WrongPrincipal { needs: "an operator" });
            }
            Ok(Identified::Agent(agent))
        }
        PrincipalKind::Operator(name) => {
            if !administers && !is_refused {
                return Err(Refusal::WrongPrincipal { needs: "an agent" });
            }
            if !gate.operators.contains(&name) {
                return Err(Refusal::WrongPrincipal { needs: "a registered operator" });
            }
            Ok(Identified::Operator)
        }
    }
}
