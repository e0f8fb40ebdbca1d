//! Stage 4: has the caller budget left?
//!
//! Two exact sliding windows an agent, over all its instances, for messages; two more for its
//! other calls. The store counts, so the windows survive a restart; the commit checks once more
//! what this stage has seen, because other calls may have come between.

use super::authorize::Permit;
use crate::case::Case;
use crate::gate::Gate;
use crate::limits::RateLimits;
use crate::ports::{CounterClass, Found, Op, Read};
use crate::types::{AgentId, Refusal, Request};

/// A request within its caller's budget.
#[derive(Debug)]
pub(super) struct Admitted(Permit);

impl Admitted {
    pub(super) const fn request(&self) -> &Request {
        self.0.request()
    }

    pub(super) fn into_request(self) -> (Option<AgentId>, Request) {
        self.0.into_request()
    }
}

pub(super) async fn check(
    gate: &Gate,
    case: &mut Case,
    permit: Permit,
) -> Result<Admitted, Refusal> {
    let (Some(agent), Some(class)) = (permit.agent().cloned(), class(permit.request())) else {
        return Ok(Admitted(permit));
    };
    let limits = match class {
        CounterClass::Message | CounterClass::Control => limits(gate, case, &agent),
        CounterClass::Session => SESSIONS_MAX,
    };
    let window = Read::Window { agent: agent.clone(), class, limits, now: case.at };
    match gate.store.read(window).await {
        Ok(Some(Found::Window(view))) => {
            if let Some((window, retry_after)) = view.full {
                return Err(Refusal::RateLimited { window, retry_after });
            }
        }
        Ok(_) => {}
        Err(cause) => return Err(super::commit::unavailable(&cause)),
    }
    case.count = Some(Op::Count { agent, class, at: case.at, limits });
    Ok(Admitted(permit))
}

// LIMIT: sessions that one agent opens, over all its instances; far above what restarts need,
// and low enough that nobody fills the log with openings.
const SESSIONS_MAX: RateLimits = RateLimits { per_minute: 1_200, per_hour: 36_000 };

/// Returns the limits in force for an agent.
pub(super) fn limits(gate: &Gate, case: &Case, agent: &AgentId) -> RateLimits {
    let own = case.snapshot.registration(agent).and_then(|registration| registration.limits);
    own.unwrap_or(gate.settings.limits)
}

/// Returns what a request counts as; what operators ask is not counted.
const fn class(request: &Request) -> Option<CounterClass> {
    match request {
        Request::Message(_) => Some(CounterClass::Message),
        Request::Repeat(_)
        | Request::Discover(_)
        | Request::ReadState
        | Request::UpdateState(_)
        | Request::ResetState
        | Request::MessageStatus(_)
        | Request::RegisterKey(_) => Some(CounterClass::Control),
        Request::Open(_) => Some(CounterClass::Session),
        Request::Administer(_) => None,
    }
}
