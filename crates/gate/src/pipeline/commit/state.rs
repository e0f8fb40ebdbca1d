//! Commits changes of an agent's state: a map of text to text that its instances share.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{refuse, unavailable};
use crate::case::Case;
use crate::gate::Gate;
use crate::ports::{Expect, Found, Key, Op, Read, StoreError};
use crate::types::{AgentId, Answer, Refusal, Unavailable};

type State = BTreeMap<String, String>;

// LIMIT: how often an update is tried against others of the same agent.
const TRIES: usize = 16;

pub(super) async fn read(gate: &Gate, case: &mut Case, agent: &AgentId) -> Result<Answer, Refusal> {
    let (state, _) = load(gate, case, agent).await?;
    case.commit(gate, Vec::new()).await.map_err(|cause| refuse(case, &cause))?;
    Ok(Answer::State(state))
}

pub(super) async fn update(
    gate: &Gate,
    case: &mut Case,
    agent: &AgentId,
    updates: State,
) -> Result<Answer, Refusal> {
    for _ in 0..TRIES {
        let (mut state, expect) = load(gate, case, agent).await?;
        state.extend(updates.iter().map(|(field, value)| (field.clone(), value.clone())));
        let bytes: usize = state.iter().map(|(field, value)| field.len() + value.len()).sum();
        // LIMIT: validation.state_bytes_max
        let max = gate.settings.validation.state_bytes_max;
        if bytes > max {
            return Err(Refusal::StateTooLarge { bytes, max });
        }
        let value = serde_json::to_vec(&state)
            .map_err(|_never| Refusal::Unavailable(Unavailable::Internal("state is no JSON")))?;
        let put = Op::Put {
            key: Key::State(agent.clone()),
            value: Bytes::from(value),
            expect,
            expires_at: None,
        };
        match case.commit(gate, vec![put]).await {
            Ok(()) => return Ok(Answer::Done),
            Err(StoreError::Conflict { .. }) => {}
            Err(cause) => return Err(refuse(case, &cause)),
        }
    }
    Err(unavailable(&StoreError::Busy))
}

pub(super) async fn reset(
    gate: &Gate,
    case: &mut Case,
    agent: &AgentId,
) -> Result<Answer, Refusal> {
    let delete = Op::Delete { key: Key::State(agent.clone()), expect: Expect::Anything };
    case.commit(gate, vec![delete]).await.map_err(|cause| refuse(case, &cause))?;
    Ok(Answer::Done)
}

async fn load(gate: &Gate, case: &Case, agent: &AgentId) -> Result<(State, Expect), Refusal> {
    match gate.store.read(Read::Value(Key::State(agent.clone()), case.at)).await {
        Ok(Some(Found::Value(value))) => {
            let state = serde_json::from_slice(&value.value).map_err(|cause| {
                Refusal::Unavailable(Unavailable::Store(format!("unreadable state: {cause}")))
            })?;
            Ok((state, Expect::Version(value.version)))
        }
        Ok(_) => Ok((State::new(), Expect::Absent)),
        Err(cause) => Err(unavailable(&cause)),
    }
}
