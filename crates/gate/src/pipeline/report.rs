//! Stage 8: what do counters and log say? It decides nothing and cannot fail.

use crate::case::Case;
use crate::gate::Gate;
use crate::observe::Stage;
use crate::types::{Answer, Principal, Refusal, Unavailable};

pub(super) fn report(gate: &Gate, case: &mut Case, outcome: &Result<Answer, Refusal>) {
    case.log_span().in_scope(|| log(case, outcome));
    count(gate, case, outcome.as_ref().err());
}

fn log(case: &Case, outcome: &Result<Answer, Refusal>) {
    let caller = case.principal.as_ref().map_or("", Principal::name);
    match outcome {
        Ok(_) => {
            tracing::debug!(id = %case.id, caller, event = case.event_type,
                decision = %case.decision, "accepted");
        }
        Err(refusal) => {
            tracing::debug!(id = %case.id, caller, event = case.event_type,
                decision = %refusal.decision(), code = refusal.code(), "refused");
            if let Refusal::Unavailable(cause) = refusal {
                log_unavailable(case, cause);
            }
        }
    }
}

fn count(gate: &Gate, case: &mut Case, refusal: Option<&Refusal>) {
    let measures = gate.watch.measures.mine();
    if let Some(refusal) = refusal {
        measures.refused(refusal.code());
    }
    if case.is_message() {
        measures.payload(case.payload_bytes);
    }
    measures.found(&case.violations);
    case.mark(gate, Stage::Report);
    let decision = refusal.map_or(case.decision, Refusal::decision);
    measures.finished(case.event_type, decision, &case.marks);
    if gate.watch.is_heard() {
        case.show(gate, refusal);
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
