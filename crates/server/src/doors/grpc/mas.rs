//! The MAS service: what agents of the MAS framework speak.

mod session;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use gate::Gate;
use gate::types::{Action, AgentView, Answer, Outgoing, Refusal, Unavailable};
use tonic::{Request, Response, Status, Streaming};
use wire::mas::runtime::v1 as mas;

use super::peer::ask;
use super::status::status;

/// Answers the calls of the MAS service.
pub(super) struct MasDoor {
    gate: Arc<Gate>,
    hello_timeout: Duration,
}

type Answered<T> = Result<Response<T>, Status>;

impl MasDoor {
    pub(super) fn new(gate: Arc<Gate>, hello_timeout: Duration) -> Self {
        Self { gate, hello_timeout }
    }

    /// Runs an action and picks what the method answers with out of the pipeline's answer.
    async fn run<T, R>(
        &self,
        request: &Request<T>,
        action: Action,
        pick: impl FnOnce(Answer) -> Option<R>,
    ) -> Answered<R> {
        let answer = ask(&self.gate, request, action).await?;
        pick(answer).map(Response::new).ok_or_else(mismatch)
    }
}

/// The status of a promise of ours that did not hold.
pub(super) fn mismatch() -> Status {
    status(&Refusal::Unavailable(Unavailable::Internal("the answer is of another kind")))
}

#[tonic::async_trait]
impl mas::runtime_service_server::RuntimeService for MasDoor {
    type TransportStream = session::Events;

    async fn transport(
        &self,
        request: Request<Streaming<mas::ClientEvent>>,
    ) -> Answered<Self::TransportStream> {
        session::open(&self.gate, self.hello_timeout, request).await
    }

    async fn send(&self, request: Request<mas::SendRequest>) -> Answered<mas::SendResponse> {
        let (shell, body) = apart(request);
        let message = Outgoing {
            instance: body.instance_id,
            message_type: body.message_type,
            payload: body.data_json,
            hops: hops(&shell),
        };
        let action = Action::Send { target: body.target_id, message };
        self.run(&shell, action, |answer| {
            let Answer::Accepted { message, .. } = answer else { return None };
            Some(mas::SendResponse { message_id: message.to_string() })
        })
        .await
    }

    async fn request(
        &self,
        request: Request<mas::RequestRequest>,
    ) -> Answered<mas::RequestResponse> {
        let (shell, body) = apart(request);
        let message = Outgoing {
            instance: body.instance_id,
            message_type: body.message_type,
            payload: body.data_json,
            hops: hops(&shell),
        };
        let timeout = u64::try_from(body.timeout_ms).ok().filter(|ms| *ms > 0);
        let timeout = timeout.map(Duration::from_millis);
        let action = Action::Request { target: body.target_id, message, timeout };
        self.run(&shell, action, |answer| {
            let Answer::Accepted { message, correlation: Some(correlation), .. } = answer else {
                return None;
            };
            Some(mas::RequestResponse {
                message_id: message.to_string(),
                correlation_id: correlation.to_string(),
            })
        })
        .await
    }

    async fn reply(&self, request: Request<mas::ReplyRequest>) -> Answered<mas::ReplyResponse> {
        let (shell, body) = apart(request);
        let message = Outgoing {
            instance: body.instance_id,
            message_type: body.message_type,
            payload: body.data_json,
            hops: hops(&shell),
        };
        let action = Action::Reply { correlation: body.correlation_id, message };
        self.run(&shell, action, |answer| {
            let Answer::Accepted { message, .. } = answer else { return None };
            Some(mas::ReplyResponse { message_id: message.to_string() })
        })
        .await
    }

    async fn discover(
        &self,
        request: Request<mas::DiscoverRequest>,
    ) -> Answered<mas::DiscoverResponse> {
        let (shell, body) = apart(request);
        let action = Action::Discover { capabilities: body.capabilities };
        self.run(&shell, action, |answer| {
            let Answer::Agents(agents) = answer else { return None };
            Some(mas::DiscoverResponse { agents: agents.into_iter().map(record).collect() })
        })
        .await
    }

    async fn get_state(
        &self,
        request: Request<mas::GetStateRequest>,
    ) -> Answered<mas::GetStateResponse> {
        self.run(&request, Action::ReadState, |answer| {
            let Answer::State(state) = answer else { return None };
            Some(mas::GetStateResponse { state: state.into_iter().collect::<HashMap<_, _>>() })
        })
        .await
    }

    async fn update_state(
        &self,
        request: Request<mas::UpdateStateRequest>,
    ) -> Answered<mas::UpdateStateResponse> {
        let (shell, body) = apart(request);
        let action = Action::UpdateState { updates: body.updates.into_iter().collect() };
        self.run(&shell, action, |_done| Some(mas::UpdateStateResponse {})).await
    }

    async fn reset_state(
        &self,
        request: Request<mas::ResetStateRequest>,
    ) -> Answered<mas::ResetStateResponse> {
        self.run(&request, Action::ResetState, |_done| Some(mas::ResetStateResponse {})).await
    }
}

/// Takes the body out of a request, so that its texts can be moved.
pub(super) fn apart<T>(request: Request<T>) -> (Request<()>, T) {
    let (metadata, extensions, body) = request.into_parts();
    (Request::from_parts(metadata, extensions, ()), body)
}

/// Reads how many messages led to this one; what is no text is refused as what is no number.
fn hops(shell: &Request<()>) -> Option<String> {
    let value = shell.metadata().get("palisade-hops")?;
    Some(value.to_str().unwrap_or_default().to_owned())
}

fn record(agent: AgentView) -> mas::AgentRecord {
    mas::AgentRecord {
        agent_id: agent.agent,
        capabilities: agent.capabilities,
        metadata_json: agent.metadata_json,
        status: "ACTIVE".to_owned(),
    }
}
