//! Stage 7: are delivery and record durable, together?
//!
//! An acceptance is one batch: what it changes and its record. A refusal is a batch of its
//! record alone. What reads (state, discovery, status) commits its record before it answers, so
//! no answer leaves without one, and what it answers is durable too.

mod administer;
mod hand_over;
mod message;
mod state;

use std::time::Duration;

use super::authorize;
use super::inspect::Cleared;
use crate::case::Case;
use crate::gate::Gate;
use crate::observe::Stage;
use crate::ports::{Batch, Found, MessageView, Op, Read, StoreError};
use crate::types::{AgentId, AgentView, Answer, MessageId, Refusal, Request, Unavailable};

pub use hand_over::Handed;
use hand_over::{Prepared, Step, finish, no, prepare};

pub(super) async fn commit(
    gate: &Gate,
    case: &mut Case,
    verdict: Result<Cleared, Refusal>,
) -> Result<Answer, Refusal> {
    let mut step = match prepare(gate, case, verdict) {
        Prepared::Step(step) => step,
        Prepared::Other(agent, request) => match accept(gate, case, request, agent).await {
            Ok(answer) => return Ok(answer),
            Err(refusal) => {
                case.refused_at = Some(Stage::Commit);
                no(gate, case, refusal)
            }
        },
    };
    loop {
        step = match step {
            Step::Done(outcome) => return outcome,
            Step::Commit(batch, then) => {
                let answer = gate.store.commit(batch).await;
                finish(gate, case, then, answer).await
            }
        };
    }
}

/// Does what is no message: most of it asks for more than one answer of the store.
async fn accept(
    gate: &Gate,
    case: &mut Case,
    request: Request,
    agent: Option<AgentId>,
) -> Result<Answer, Refusal> {
    match (request, agent) {
        (Request::Administer(command), _) => administer::run(gate, case, command).await,
        (Request::Open(place), _) => {
            case.commit(gate, Vec::new()).await.map_err(|cause| refuse(case, &cause))?;
            Ok(Answer::Opened(place.open()))
        }
        (Request::Discover(capabilities), Some(agent)) => {
            case.commit(gate, Vec::new()).await.map_err(|cause| refuse(case, &cause))?;
            Ok(Answer::Agents(discover(gate, case, &agent, &capabilities)))
        }
        (Request::ReadState, Some(agent)) => state::read(gate, case, &agent).await,
        (Request::UpdateState(updates), Some(agent)) => {
            state::update(gate, case, &agent, updates).await
        }
        (Request::ResetState, Some(agent)) => state::reset(gate, case, &agent).await,
        (Request::MessageStatus(message), Some(agent)) => {
            let view = status(gate, &agent, message).await?;
            case.commit(gate, Vec::new()).await.map_err(|cause| refuse(case, &cause))?;
            Ok(Answer::Status(view))
        }
        (Request::RegisterKey(key), Some(agent)) => register_key(gate, case, &agent, &key).await,
        (Request::Message(_) | Request::Repeat(_), _) | (_, None) => {
            Err(Refusal::Unavailable(Unavailable::Internal("no agent asks")))
        }
    }
}

impl Case {
    /// Commits changes with the count of the call and the record of its acceptance.
    pub(super) async fn commit(&self, gate: &Gate, changes: Vec<Op>) -> Result<(), StoreError> {
        gate.store.commit(self.batch(gate, changes)).await
    }

    /// Returns changes with the count of the call and the record of its acceptance.
    fn batch(&self, gate: &Gate, changes: Vec<Op>) -> Batch {
        let mut ops = Vec::with_capacity(changes.len() + 2);
        ops.extend(self.count.clone());
        ops.extend(changes);
        ops.push(self.accepted(gate));
        Batch { ops }
    }
}

/// Turns a failed commit of an acceptance into the refusal that the caller gets.
fn refuse(case: &mut Case, cause: &StoreError) -> Refusal {
    if let StoreError::OverLimit { window, retry_after } = *cause {
        // Others were quicker; a refused call is not counted.
        case.count = None;
        return Refusal::RateLimited { window, retry_after };
    }
    unavailable(cause)
}

/// Turns an answer of the store into a refusal.
pub(super) fn unavailable(cause: &StoreError) -> Refusal {
    match cause {
        StoreError::Full { what } => {
            Refusal::Backpressure { what, retry_after: Duration::from_secs(1) }
        }
        StoreError::Busy => Refusal::Backpressure {
            what: "the commit queue",
            retry_after: Duration::from_millis(100),
        },
        StoreError::DiskFull => Refusal::Unavailable(Unavailable::DiskFull),
        StoreError::Conflict { .. }
        | StoreError::OverLimit { .. }
        | StoreError::Unreachable(_)
        | StoreError::Corrupt(_) => Refusal::Unavailable(Unavailable::Store(cause.to_string())),
    }
}

fn discover(gate: &Gate, case: &Case, agent: &AgentId, capabilities: &[String]) -> Vec<AgentView> {
    let snapshot = &case.snapshot;
    let asking = authorize::asking(case, agent, policy::Action::Discover);
    let mut found = Vec::new();
    for (target, registration) in &snapshot.agents {
        let wanted = capabilities.is_empty()
            || registration.capabilities.iter().any(|one| capabilities.contains(one));
        // The rules last: they cost most.
        if !wanted
            || !gate.hub.takes_messages(target)
            || !snapshot.policy.finds(&asking, target.as_str())
        {
            continue;
        }
        found.push(AgentView {
            agent: target.to_string(),
            capabilities: registration.capabilities.clone(),
            metadata_json: registration.metadata_json.clone(),
            instances: gate.hub.instances(target),
        });
    }
    found
}

/// Returns what became of a message, to its sender only.
async fn status(
    gate: &Gate,
    agent: &AgentId,
    message: Option<MessageId>,
) -> Result<Option<MessageView>, Refusal> {
    let Some(message) = message else { return Ok(None) };
    match gate.store.read(Read::Message(message)).await {
        Ok(Some(Found::Message(mut view))) if view.sender == *agent => {
            // What the receiver said is uninspected; the sender gets the code before it.
            let code = view.reason.split(':').next().unwrap_or_default().len();
            view.reason.truncate(code);
            Ok(Some(view))
        }
        Ok(_) => Ok(None),
        Err(cause) => Err(unavailable(&cause)),
    }
}

async fn register_key(
    gate: &Gate,
    case: &mut Case,
    agent: &AgentId,
    key: &str,
) -> Result<Answer, Refusal> {
    let mut draft = gate.registry.draft().await;
    if !draft.set_sealing_key(agent, key) {
        return Err(Refusal::AgentNotAllowlisted);
    }
    let ops = draft.ops().to_vec();
    case.commit(gate, ops).await.map_err(|cause| refuse(case, &cause))?;
    draft.apply();
    Ok(Answer::Done)
}
