//! A call as an agent makes it: it is under way for a while, and its answer may never come.

use gate::types::{
    Action, AgentId, Answer, Call, Caller, Principal, PrincipalKind, Refusal, Timestamp,
    TraceContext,
};

use crate::chance::Chance;
use crate::site::{Present, Site};

/// What a caller learns.
#[derive(Debug)]
pub(crate) enum Heard {
    /// It was done.
    Yes(Answer),
    /// It was not done.
    No(Refusal),
    /// Nothing: it may have been done or not.
    Nothing,
}

/// Makes a call to the gate as it lives now.
pub(crate) async fn call(
    site: &Site,
    present: &Present,
    chance: &mut Chance,
    agent: &AgentId,
    action: Action,
) -> Heard {
    let (there, back) = (chance.delay(site.plan.lag), chance.delay(site.plan.lag));
    let is_lost = chance.percent(site.plan.lost_percent);
    let mut over = present.over.clone();
    let answered = async {
        tokio::time::sleep(there).await;
        let answer = present.gate.run(request(agent, action)).await;
        tokio::time::sleep(back).await;
        answer
    };
    let answer = tokio::select! {
        biased;
        _killed = over.wait_for(|over| *over) => None,
        answer = answered => Some(answer),
    };
    let Some(answer) = answer else {
        site.step_apart(agent).await;
        return Heard::Nothing;
    };
    match answer {
        _ if is_lost => Heard::Nothing,
        Ok(answer) => Heard::Yes(answer),
        Err(refusal) => Heard::No(refusal),
    }
}

/// Returns the call of an agent whose certificate never ends.
pub(crate) fn request(agent: &AgentId, action: Action) -> Call {
    Call {
        caller: Caller::Verified(Principal {
            kind: PrincipalKind::Agent(agent.clone()),
            spiffe_id: format!("spiffe://mas/agent/{agent}"),
            valid_until: Timestamp::from_micros(u64::MAX),
        }),
        peer: "192.0.2.1:1".to_owned(),
        trace: TraceContext::default(),
        action,
    }
}
