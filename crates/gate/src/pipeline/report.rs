//! Stage 8: what do counters and log say? It decides nothing and cannot fail.

use crate::case::Case;
use crate::gate::Gate;
use crate::types::{Answer, Principal, Refusal, Unavailable};

pub(super) fn report(gate: &Gate, case: &Case, outcome: &Result<Answer, Refusal>) {
    let caller = case.principal.as_ref().map_or("", Principal::name);
    match outcome {
        Ok(_) => {
            gate.totals.count(case.decision);
            tracing::debug!(id = %case.id, caller, event = case.event_type,
                decision = %case.decision, "accepted");
        }
        Err(refusal) => {
            gate.totals.count(refusal.decision());
            tracing::debug!(id = %case.id, caller, event = case.event_type,
                decision = %refusal.decision(), code = refusal.code(), "refused");
            if let Refusal::Unavailable(cause) = refusal {
                log_unavailable(case, cause);
            }
        }
    }
}

fn log_unavailable(case: &Case, cause: &Unavailable) {
    match cause {
        Unavailable::Store(why) => tracing::error!(id = %case.id, why, "the store failed"),
        Unavailable::DiskFull => tracing::error!(id = %case.id, "the disk is full"),
        Unavailable::Internal(why) => tracing::error!(id = %case.id, why, "a promise was broken"),
        Unavailable::Draining => {}
    }
}
