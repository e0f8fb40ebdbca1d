//! What agents can ask beyond the MAS service.

use std::sync::Arc;

use gate::Gate;
use gate::ports::MessageState;
use gate::types::{Action, Answer};
use tonic::{Request, Response, Status};
use wire::palisade::bus::v1 as bus;

use super::mas::{apart, mismatch};
use super::peer::ask;

/// Answers the calls of the bus service.
pub(super) struct BusDoor {
    gate: Arc<Gate>,
}

impl BusDoor {
    pub(super) fn new(gate: Arc<Gate>) -> Self {
        Self { gate }
    }
}

#[tonic::async_trait]
impl bus::bus_service_server::BusService for BusDoor {
    async fn message_status(
        &self,
        request: Request<bus::MessageStatusRequest>,
    ) -> Result<Response<bus::MessageStatusResponse>, Status> {
        let (shell, body) = apart(request);
        let action = Action::MessageStatus { message: body.message_id };
        let Answer::Status(view) = ask(&self.gate, &shell, action).await? else {
            return Err(mismatch());
        };
        let Some(view) = view else {
            return Ok(Response::new(bus::MessageStatusResponse::default()));
        };
        let state = match view.state {
            MessageState::Queued => bus::MessageState::Queued,
            MessageState::Delivered => bus::MessageState::Delivered,
            MessageState::Acknowledged => bus::MessageState::Acknowledged,
            MessageState::Expired => bus::MessageState::Expired,
            MessageState::DeadLettered => bus::MessageState::DeadLettered,
        };
        Ok(Response::new(bus::MessageStatusResponse {
            state: state.into(),
            attempts: view.attempts,
            reason: view.reason,
        }))
    }

    async fn register_key(
        &self,
        request: Request<bus::RegisterKeyRequest>,
    ) -> Result<Response<bus::RegisterKeyResponse>, Status> {
        let (shell, body) = apart(request);
        let action = Action::RegisterKey { key: body.sealing_key };
        ask(&self.gate, &shell, action).await?;
        Ok(Response::new(bus::RegisterKeyResponse {}))
    }
}
