//! Commits what an operator changes; what it reads is recorded too.

use policy::Change;

use super::{refuse, unavailable};
use crate::case::{Case, shortened};
use crate::gate::Gate;
use crate::limits::RateLimits;
use crate::ports::{DeadLetter, DeadLetterScan, Found, Op, Read, Scan, StoreError};
use crate::registry::AgentStatus;
use crate::types::{AdminAnswer, AdminCommand, AgentId, Answer, MessageId, Refusal};
use crate::way::Way;

// LIMIT: dead letters on one page.
const PAGE_MAX: usize = 1_000;

pub(super) async fn run(
    gate: &Gate,
    case: &mut Case,
    command: AdminCommand,
) -> Result<Answer, Refusal> {
    let answer = match command {
        // Validation refuses it; nothing is left to do for one that came by.
        AdminCommand::Malformed { field, reason } => {
            return Err(Refusal::Field { field, reason: reason.to_owned() });
        }
        AdminCommand::ListAgents => {
            let agents = agents(gate, case).await?;
            record(gate, case, Vec::new()).await?;
            AdminAnswer::Agents(agents)
        }
        AdminCommand::ChangePolicy(changes) => change_policy(gate, case, &changes).await?,
        AdminCommand::SetLimits { agent, limits } => set_limits(gate, case, &agent, limits).await?,
        AdminCommand::ListDeadLetters { after, count, target } => {
            let scan = letters_wanted(&after, &target)?;
            let letters = dead_letters(gate, scan, count).await?;
            record(gate, case, Vec::new()).await?;
            AdminAnswer::DeadLetters(letters)
        }
        AdminCommand::ShowDeadLetter(message) => {
            let letter = find(gate, case, &message).await?;
            record(gate, case, Vec::new()).await?;
            let envelope = letter.envelope.clone().unwrap_or_default();
            let text = String::from_utf8_lossy(&envelope).into_owned();
            AdminAnswer::DeadLetter(Box::new(letter), text)
        }
        AdminCommand::ReplayDeadLetter(message) => {
            let letter = find(gate, case, &message).await?;
            let expires_at = case.at.after(gate.settings.delivery.expire_after);
            let revive = Op::Revive { message: letter.view.message, expires_at };
            record(gate, case, vec![revive]).await?;
            AdminAnswer::Done
        }
        AdminCommand::DropDeadLetter(message) => {
            let letter = find(gate, case, &message).await?;
            record(gate, case, vec![Op::Drop { message: letter.view.message }]).await?;
            AdminAnswer::Done
        }
        AdminCommand::Overview => {
            let outlook = gate.outlook()?;
            record(gate, case, Vec::new()).await?;
            AdminAnswer::Overview(outlook)
        }
        AdminCommand::TraceMessage { message, records_max } => {
            case.detail.insert("message".to_owned(), shortened(&message));
            let way = way(gate, &message, records_max).await?;
            record(gate, case, Vec::new()).await?;
            AdminAnswer::Way(Box::new(way))
        }
    };
    Ok(Answer::Admin(answer))
}

async fn way(gate: &Gate, message: &str, records_max: u64) -> Result<Way, Refusal> {
    let missing = Refusal::NotFound { what: "message" };
    let Ok(message) = MessageId::parse(message) else { return Err(missing) };
    let way = gate.way(message, records_max).await;
    way.map_err(|cause| unavailable(&cause))?.ok_or(missing)
}

async fn record(gate: &Gate, case: &mut Case, changes: Vec<Op>) -> Result<(), Refusal> {
    match case.commit(gate, changes).await {
        Ok(()) => Ok(()),
        // Another operator was quicker with the same letter.
        Err(StoreError::Conflict { .. }) => Err(Refusal::NotFound { what: "dead letter" }),
        Err(cause) => Err(refuse(case, &cause)),
    }
}

async fn change_policy(
    gate: &Gate,
    case: &mut Case,
    changes: &[Change],
) -> Result<AdminAnswer, Refusal> {
    for (index, change) in changes.iter().enumerate() {
        case.detail.insert(format!("change_{index}"), shortened(&change.to_string()));
    }
    changes.iter().filter_map(edited_agent).try_for_each(check_agent)?;
    let mut draft = gate.registry.draft().await;
    draft
        .change(changes)
        .map_err(|cause| Refusal::Field { field: "change", reason: cause.to_string() })?;
    let (changed, revision) = draft.outcome();
    case.detail.insert("revision".to_owned(), revision.clone());
    let ops = draft.ops().to_vec();
    record(gate, case, ops).await?;
    draft.apply();
    Ok(AdminAnswer::Policy { changed, revision })
}

/// Returns whose rules a change edits.
fn edited_agent(change: &Change) -> Option<&str> {
    match change {
        Change::Allow { agent, .. }
        | Change::Disallow { agent, .. }
        | Change::Block { agent, .. }
        | Change::Unblock { agent, .. }
        | Change::SetAllow { agent, .. }
        | Change::SetBlock { agent, .. }
        | Change::Assign { agent, .. }
        | Change::Unassign { agent, .. } => Some(agent),
        Change::CreateRole { .. }
        | Change::DeleteRole { .. }
        | Change::Grant { .. }
        | Change::Revoke { .. } => None,
    }
}

/// Refuses rules that could not be kept, because no agent can have the name.
fn check_agent(agent: &str) -> Result<(), Refusal> {
    AgentId::parse(agent).map(drop).map_err(|why| {
        let reason = format!("has an agent `{}` whose name {why}", shortened(agent).escape_debug());
        Refusal::Field { field: "change", reason }
    })
}

async fn set_limits(
    gate: &Gate,
    case: &mut Case,
    agent: &str,
    limits: Option<RateLimits>,
) -> Result<AdminAnswer, Refusal> {
    case.detail.insert("agent".to_owned(), shortened(agent));
    let text = limits.map_or_else(
        || "cleared".to_owned(),
        |limits| format!("{} a minute, {} an hour", limits.per_minute, limits.per_hour),
    );
    case.detail.insert("limits".to_owned(), text);
    let agent = AgentId::parse(agent).or(Err(Refusal::NotFound { what: "agent" }))?;
    let mut draft = gate.registry.draft().await;
    if !draft.set_limits(&agent, limits) {
        return Err(Refusal::NotFound { what: "agent" });
    }
    let ops = draft.ops().to_vec();
    record(gate, case, ops).await?;
    draft.apply();
    Ok(AdminAnswer::Done)
}

async fn agents(gate: &Gate, case: &Case) -> Result<Vec<AgentStatus>, Refusal> {
    let mut all = Vec::with_capacity(case.snapshot.agents.len());
    for (agent, registration) in &case.snapshot.agents {
        let depth = gate.store.read(Read::Depth(agent.clone())).await;
        let depth = depth.map_err(|cause| unavailable(&cause))?;
        let queued = if let Some(Found::Depth(queued)) = depth { queued } else { 0 };
        all.push(AgentStatus {
            agent: agent.clone(),
            capabilities: registration.capabilities.clone(),
            rules: case.snapshot.book.agents.get(agent.as_str()).cloned().unwrap_or_default(),
            limits: registration.limits.unwrap_or(gate.settings.limits),
            instances: gate.hub.instances(agent),
            queued,
        });
    }
    Ok(all)
}

fn letters_wanted(after: &str, target: &str) -> Result<DeadLetterScan, Refusal> {
    let after = match after {
        "" => None,
        text => Some(MessageId::parse(text).or(Err(Refusal::NotFound { what: "dead letter" }))?),
    };
    let target = match target {
        "" => None,
        text => Some(AgentId::parse(text).or(Err(Refusal::NotFound { what: "agent" }))?),
    };
    Ok(DeadLetterScan { after, target })
}

async fn dead_letters(
    gate: &Gate,
    scan: DeadLetterScan,
    count: usize,
) -> Result<Vec<DeadLetter>, Refusal> {
    let count = if count == 0 { 100 } else { count.min(PAGE_MAX) };
    let found = gate.store.scan(Scan::DeadLetters(scan), count).await;
    let letter = |one| if let Found::DeadLetter(letter) = one { Some(letter) } else { None };
    Ok(found.map_err(|cause| unavailable(&cause))?.into_iter().filter_map(letter).collect())
}

async fn find(gate: &Gate, case: &mut Case, message: &str) -> Result<DeadLetter, Refusal> {
    case.detail.insert("dead_letter".to_owned(), shortened(message));
    let missing = Refusal::NotFound { what: "dead letter" };
    let Ok(message) = MessageId::parse(message) else { return Err(missing) };
    match gate.store.read(Read::DeadLetter(message)).await {
        Ok(Some(Found::DeadLetter(letter))) => {
            case.target = Some(letter.view.target.to_string());
            Ok(letter)
        }
        Ok(_) => Err(missing),
        Err(cause) => Err(unavailable(&cause)),
    }
}
