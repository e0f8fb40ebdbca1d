//! The operator's door of the test gate: it echoes what it was asked.

use std::vec::IntoIter;

use futures::stream;
use palisade_client::admin;
use palisade_client::admin::admin_service_server::AdminService;
use tonic::{Request, Response, Status};

use super::{Doors, peer};

#[tonic::async_trait]
impl AdminService for Doors {
    type OverviewStream = stream::Iter<IntoIter<Result<admin::OverviewResponse, Status>>>;

    async fn list_agents(
        &self,
        request: Request<admin::ListAgentsRequest>,
    ) -> Result<Response<admin::ListAgentsResponse>, Status> {
        let agents = vec![admin::AgentEntry { agent_id: peer(&request), ..Default::default() }];
        Ok(Response::new(admin::ListAgentsResponse { agents, policy_revision: "r".to_owned() }))
    }

    async fn change_policy(
        &self,
        request: Request<admin::ChangePolicyRequest>,
    ) -> Result<Response<admin::ChangePolicyResponse>, Status> {
        let request = request.into_inner();
        let changed = request.verb() == admin::PolicyVerb::Allow;
        let policy_revision = format!("{}:{}", request.subject, request.objects.join(","));
        Ok(Response::new(admin::ChangePolicyResponse { changed, policy_revision }))
    }

    async fn set_limits(
        &self,
        request: Request<admin::SetLimitsRequest>,
    ) -> Result<Response<admin::SetLimitsResponse>, Status> {
        match request.into_inner().limits {
            Some(_) => Ok(Response::new(admin::SetLimitsResponse {})),
            None => Err(Status::not_found("not_found")),
        }
    }

    async fn list_dead_letters(
        &self,
        request: Request<admin::ListDeadLettersRequest>,
    ) -> Result<Response<admin::ListDeadLettersResponse>, Status> {
        let target_id = request.into_inner().target_id;
        let letters = vec![admin::DeadLetter { target_id, ..Default::default() }];
        Ok(Response::new(admin::ListDeadLettersResponse { letters }))
    }

    async fn show_dead_letter(
        &self,
        request: Request<admin::ShowDeadLetterRequest>,
    ) -> Result<Response<admin::ShowDeadLetterResponse>, Status> {
        let envelope_json = request.into_inner().message_id;
        Ok(Response::new(admin::ShowDeadLetterResponse { letter: None, envelope_json }))
    }

    async fn replay_dead_letter(
        &self,
        request: Request<admin::ReplayDeadLetterRequest>,
    ) -> Result<Response<admin::ReplayDeadLetterResponse>, Status> {
        match request.into_inner().message_id.as_str() {
            "m1" => Ok(Response::new(admin::ReplayDeadLetterResponse {})),
            _ => Err(Status::not_found("not_found")),
        }
    }

    async fn drop_dead_letter(
        &self,
        request: Request<admin::DropDeadLetterRequest>,
    ) -> Result<Response<admin::DropDeadLetterResponse>, Status> {
        match request.into_inner().message_id.as_str() {
            "m1" => Ok(Response::new(admin::DropDeadLetterResponse {})),
            _ => Err(Status::not_found("not_found")),
        }
    }

    async fn overview(
        &self,
        request: Request<admin::OverviewRequest>,
    ) -> Result<Response<Self::OverviewStream>, Status> {
        let at_ms = request.into_inner().interval_ms.into();
        let picture = admin::OverviewResponse { at_ms, ..Default::default() };
        let end = Status::unavailable("draining");
        Ok(Response::new(stream::iter(vec![Ok(picture), Err(end)])))
    }

    async fn trace_message(
        &self,
        request: Request<admin::TraceMessageRequest>,
    ) -> Result<Response<admin::TraceMessageResponse>, Status> {
        let message_id = request.into_inner().message_id;
        Ok(Response::new(admin::TraceMessageResponse { message_id, ..Default::default() }))
    }
}
