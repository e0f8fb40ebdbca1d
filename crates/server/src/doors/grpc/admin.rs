//! What operators can ask.

mod overview;
mod way;

use std::sync::Arc;

use gate::Gate;
use gate::limits::RateLimits;
use gate::ports::DeadLetter;
use gate::registry::AgentStatus;
use gate::types::{Action, AdminAnswer, AdminCommand, Answer};
use policy::Change;
use tonic::{Request, Response, Status};
use wire::palisade::admin::v1 as admin;

use super::mas::{apart, mismatch};
use super::peer::ask;
use crate::readiness::Readiness;

/// Answers the calls of the admin service.
pub(super) struct AdminDoor {
    gate: Arc<Gate>,
    readiness: Readiness,
}

type Answered<T> = Result<Response<T>, Status>;

impl AdminDoor {
    pub(super) fn new(gate: Arc<Gate>, readiness: Readiness) -> Self {
        Self { gate, readiness }
    }

    async fn run(&self, shell: &Request<()>, command: AdminCommand) -> Result<AdminAnswer, Status> {
        let answer = ask(&self.gate, shell, Action::Administer(command)).await?;
        match answer {
            Answer::Admin(answer) => Ok(answer),
            Answer::Opened(_)
            | Answer::Accepted { .. }
            | Answer::Agents(_)
            | Answer::State(_)
            | Answer::Status(_)
            | Answer::Done => Err(mismatch()),
        }
    }
}

#[tonic::async_trait]
impl admin::admin_service_server::AdminService for AdminDoor {
    type OverviewStream = overview::Pictures;

    async fn list_agents(
        &self,
        request: Request<admin::ListAgentsRequest>,
    ) -> Answered<admin::ListAgentsResponse> {
        let (shell, _body) = apart(request);
        let AdminAnswer::Agents(agents) = self.run(&shell, AdminCommand::ListAgents).await? else {
            return Err(mismatch());
        };
        let policy_revision = self.gate.registry().snapshot().policy.revision().to_owned();
        let agents = agents.into_iter().map(entry).collect();
        Ok(Response::new(admin::ListAgentsResponse { agents, policy_revision }))
    }

    async fn change_policy(
        &self,
        request: Request<admin::ChangePolicyRequest>,
    ) -> Answered<admin::ChangePolicyResponse> {
        let (shell, body) = apart(request);
        let command = changes(body).map_or(UNKNOWN_CHANGE, AdminCommand::ChangePolicy);
        let answer = self.run(&shell, command).await?;
        let AdminAnswer::Policy { changed, revision } = answer else { return Err(mismatch()) };
        Ok(Response::new(admin::ChangePolicyResponse { changed, policy_revision: revision }))
    }

    async fn set_limits(
        &self,
        request: Request<admin::SetLimitsRequest>,
    ) -> Answered<admin::SetLimitsResponse> {
        let (shell, body) = apart(request);
        let limits = body
            .limits
            .map(|limits| RateLimits { per_minute: limits.per_minute, per_hour: limits.per_hour });
        self.run(&shell, AdminCommand::SetLimits { agent: body.agent_id, limits }).await?;
        Ok(Response::new(admin::SetLimitsResponse {}))
    }

    async fn list_dead_letters(
        &self,
        request: Request<admin::ListDeadLettersRequest>,
    ) -> Answered<admin::ListDeadLettersResponse> {
        let (shell, body) = apart(request);
        let command = AdminCommand::ListDeadLetters {
            after: body.after,
            count: usize::try_from(body.limit).unwrap_or(usize::MAX),
            target: body.target_id,
        };
        let AdminAnswer::DeadLetters(letters) = self.run(&shell, command).await? else {
            return Err(mismatch());
        };
        let letters = letters.into_iter().map(letter).collect();
        Ok(Response::new(admin::ListDeadLettersResponse { letters }))
    }

    async fn show_dead_letter(
        &self,
        request: Request<admin::ShowDeadLetterRequest>,
    ) -> Answered<admin::ShowDeadLetterResponse> {
        let (shell, body) = apart(request);
        let answer = self.run(&shell, AdminCommand::ShowDeadLetter(body.message_id)).await?;
        let AdminAnswer::DeadLetter(one, envelope_json) = answer else { return Err(mismatch()) };
        let letter = Some(letter(*one));
        Ok(Response::new(admin::ShowDeadLetterResponse { letter, envelope_json }))
    }

    async fn replay_dead_letter(
        &self,
        request: Request<admin::ReplayDeadLetterRequest>,
    ) -> Answered<admin::ReplayDeadLetterResponse> {
        let (shell, body) = apart(request);
        self.run(&shell, AdminCommand::ReplayDeadLetter(body.message_id)).await?;
        Ok(Response::new(admin::ReplayDeadLetterResponse {}))
    }

    async fn drop_dead_letter(
        &self,
        request: Request<admin::DropDeadLetterRequest>,
    ) -> Answered<admin::DropDeadLetterResponse> {
        let (shell, body) = apart(request);
        self.run(&shell, AdminCommand::DropDeadLetter(body.message_id)).await?;
        Ok(Response::new(admin::DropDeadLetterResponse {}))
    }

    async fn overview(
        &self,
        request: Request<admin::OverviewRequest>,
    ) -> Answered<Self::OverviewStream> {
        let (shell, body) = apart(request);
        let rhythm = overview::rhythm(body);
        let command = rhythm.map_or(overview::UNKNOWN_RHYTHM, |_| AdminCommand::Overview);
        let answer = self.run(&shell, command).await?;
        let (AdminAnswer::Overview(outlook), Some(rhythm)) = (answer, rhythm) else {
            return Err(mismatch());
        };
        let (gate, readiness) = (Arc::clone(&self.gate), self.readiness.clone());
        Ok(Response::new(overview::pictures(gate, readiness, outlook, rhythm)))
    }

    async fn trace_message(
        &self,
        request: Request<admin::TraceMessageRequest>,
    ) -> Answered<admin::TraceMessageResponse> {
        let (shell, body) = apart(request);
        let admin::TraceMessageRequest { message_id: message, records_max } = body;
        let command = AdminCommand::TraceMessage { message, records_max };
        let AdminAnswer::Way(way) = self.run(&shell, command).await? else {
            return Err(mismatch());
        };
        Ok(Response::new(way::tell(&way)))
    }
}

/// What a change that cannot be read asks of the pipeline, which refuses and records it.
const UNKNOWN_CHANGE: AdminCommand = AdminCommand::Malformed {
    field: "verb",
    reason: "names no known change, or no object to apply it to",
};

/// Reads a change of the policy; nothing if it names none.
fn changes(body: admin::ChangePolicyRequest) -> Option<Vec<Change>> {
    let verb = body.verb();
    let admin::ChangePolicyRequest { subject, objects, .. } = body;
    match verb {
        admin::PolicyVerb::Unspecified => return None,
        admin::PolicyVerb::RoleCreate => {
            let permissions = objects.into_iter().collect();
            let description = String::new();
            return Some(vec![Change::CreateRole { name: subject, description, permissions }]);
        }
        admin::PolicyVerb::RoleDelete => return Some(vec![Change::DeleteRole { name: subject }]),
        admin::PolicyVerb::Allow
        | admin::PolicyVerb::Disallow
        | admin::PolicyVerb::Block
        | admin::PolicyVerb::Unblock
        | admin::PolicyVerb::Grant
        | admin::PolicyVerb::Revoke
        | admin::PolicyVerb::Assign
        | admin::PolicyVerb::Unassign => {}
    }
    if objects.is_empty() {
        return None;
    }
    objects.into_iter().map(|object| one_change(verb, subject.clone(), object)).collect()
}

fn one_change(verb: admin::PolicyVerb, subject: String, object: String) -> Option<Change> {
    Some(match verb {
        admin::PolicyVerb::Allow => Change::Allow { agent: subject, target: object },
        admin::PolicyVerb::Disallow => Change::Disallow { agent: subject, target: object },
        admin::PolicyVerb::Block => Change::Block { agent: subject, target: object },
        admin::PolicyVerb::Unblock => Change::Unblock { agent: subject, target: object },
        admin::PolicyVerb::Grant => Change::Grant { role: subject, permission: object },
        admin::PolicyVerb::Revoke => Change::Revoke { role: subject, permission: object },
        admin::PolicyVerb::Assign => Change::Assign { agent: subject, role: object },
        admin::PolicyVerb::Unassign => Change::Unassign { agent: subject, role: object },
        admin::PolicyVerb::Unspecified
        | admin::PolicyVerb::RoleCreate
        | admin::PolicyVerb::RoleDelete => return None,
    })
}

fn entry(agent: AgentStatus) -> admin::AgentEntry {
    admin::AgentEntry {
        agent_id: agent.agent.to_string(),
        capabilities: agent.capabilities,
        status: if agent.instances.is_empty() { "INACTIVE" } else { "ACTIVE" }.to_owned(),
        instances: agent.instances,
        allow: agent.rules.allow.into_iter().collect(),
        block: agent.rules.block.into_iter().collect(),
        roles: agent.rules.roles.into_iter().collect(),
        limits: Some(admin::Limits {
            per_minute: agent.limits.per_minute,
            per_hour: agent.limits.per_hour,
        }),
        queued: agent.queued,
    }
}

fn letter(letter: DeadLetter) -> admin::DeadLetter {
    admin::DeadLetter {
        message_id: letter.view.message.to_string(),
        sender_id: letter.view.sender.to_string(),
        target_id: letter.view.target.to_string(),
        message_type: letter.message_type,
        reason: letter.view.reason,
        attempts: letter.view.attempts,
        died_at_ms: letter.died_at.millis(),
        size_bytes: u64::try_from(letter.size).unwrap_or(u64::MAX),
    }
}
