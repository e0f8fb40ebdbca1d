//! Stage 5: does the target keep failing?

use super::rate_limit::Admitted;
use crate::case::Case;
use crate::gate::Gate;
use crate::types::{AgentId, Refusal, Request};

/// A request whose target takes messages.
#[derive(Debug)]
pub(super) struct Routed(Admitted);

impl Routed {
    pub(super) fn into_request(self) -> (Option<AgentId>, Request) {
        self.0.into_request()
    }
}

pub(super) fn check(gate: &Gate, case: &mut Case, admitted: Admitted) -> Result<Routed, Refusal> {
    if let (Request::Message(message), Some(circuits)) = (admitted.request(), &gate.hub.circuits) {
        let answer = circuits.check(&message.sender, &message.target, case.at);
        case.probe = answer.map_err(|retry_after| Refusal::CircuitOpen { retry_after })?;
    }
    Ok(Routed(admitted))
}
