//! What agents can ask beyond the MAS service, and the native session.

mod frames;
mod outbox;
mod outgoing;
mod session;

use std::sync::Arc;
use std::time::Duration;

use futures::stream::BoxStream;
use gate::Gate;
use gate::ports::MessageState;
use gate::types::{Action, Answer};
use tonic::{Request, Response, Status, Streaming};
use wire::palisade::bus::v1 as bus;

use super::mas::{apart, mismatch};
use super::peer::ask;

/// The server's side of a native session.
pub(super) type Frames = BoxStream<'static, Result<bus::ServerFrame, Status>>;

/// Answers the calls of the bus service.
pub(super) struct BusDoor {
    gate: Arc<Gate>,
    hello_timeout: Duration,
    frame_bytes_max: usize,
}

impl BusDoor {
    pub(super) const fn new(
        gate: Arc<Gate>,
        hello_timeout: Duration,
        frame_bytes_max: usize,
    ) -> Self {
        Self { gate, hello_timeout, frame_bytes_max }
    }

    /// Returns what is the same for every session.
    fn welcome(&self) -> bus::Welcome {
        let settings = self.gate.settings();
        let payload_bytes_max = settings.validation.payload.bytes_max;
        let keys = settings.delivery.idempotency_keys_max;
        bus::Welcome {
            publish_credit_bytes: outbox::CREDIT_BYTES as u64,
            publishes_max: u32::try_from(outbox::PUBLISHES_MAX).unwrap_or(u32::MAX),
            frame_bytes_max: self.frame_bytes_max as u64,
            payload_bytes_max: payload_bytes_max as u64,
            idempotency_seconds: settings.delivery.idempotency.as_secs(),
            idempotency_keys_max: u32::try_from(keys).unwrap_or(u32::MAX),
            ..bus::Welcome::default()
        }
    }
}

#[tonic::async_trait]
impl bus::bus_service_server::BusService for BusDoor {
    type SessionStream = Frames;

    async fn session(
        &self,
        request: Request<Streaming<bus::ClientFrame>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        session::open(self, request).await
    }

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
