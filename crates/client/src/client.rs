//! The calls of an agent.
//!
//! It holds no rule of its own: what may be sent to whom, how often and with what inside is the
//! gate's decision.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::DropGuard;
use wire::mas::runtime::v1 as mas;
use wire::palisade::bus::v1::MessageStatusRequest;

use crate::error::{Error, HandlerError};
use crate::incoming::Messages;
use crate::listen::listen;
use crate::message::{Message, MessageId, MessageStatus};
use crate::options::Options;
use crate::shared::Shared;
use crate::{hops, payload, session, tasks};

/// Talks through a gate as one agent; cheap to clone.
///
/// When the last clone is dropped the session ends at once; [`close`](Self::close) ends it with
/// care.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    /// How many messages led to what this clone sends.
    hops: u32,
    /// Stops the session when the last clone goes.
    _life: Arc<DropGuard>,
}

impl Client {
    /// Connects, opens the session and waits for the gate's welcome.
    ///
    /// # Errors
    /// Returns an error if the files are not usable, the gate cannot be reached in time, or it
    /// refuses the agent.
    pub async fn connect(options: Options) -> Result<Self, Error> {
        let (shared, buffer) = Shared::new(options)?;
        let shared = Arc::new(shared);
        let life = Arc::new(shared.phases.stop.clone().drop_guard());
        let first = session::open(&shared).await?;
        tasks::detach("session", session::run(Arc::clone(&shared), first, buffer));
        Ok(Self { shared, hops: 0, _life: life })
    }

    /// Returns who this agent is, as the gate verified it.
    #[must_use]
    pub fn agent_id(&self) -> &str {
        self.shared.agent()
    }

    /// Returns which instance of the agent this client is.
    #[must_use]
    pub fn instance_id(&self) -> &str {
        &self.shared.instance
    }

    /// Returns a client of the same session for what a message leads to.
    ///
    /// The gate counts how many messages lead to one another and ends loops. What a handler of
    /// [`listen`](Self::listen) sends is counted by itself; who takes messages by
    /// [`messages`](Self::messages) says so with this.
    #[must_use]
    pub fn caused_by(&self, message: &Message) -> Self {
        Self { hops: hops::after(message), ..self.clone() }
    }

    /// Sends a message; when this returns, the gate has it on disk.
    ///
    /// # Errors
    /// Returns [`Error::Refused`] with the gate's reason, or why there was no answer.
    pub async fn send(
        &self,
        target: &str,
        message_type: &str,
        data: &impl Serialize,
    ) -> Result<MessageId, Error> {
        let json = payload::to_json(data, self.shared.message_bytes_max)?;
        self.shared.send(target, message_type, json, self.hops).await
    }

    /// Sends a message whose payload is JSON text already.
    ///
    /// # Errors
    /// Returns [`Error::Refused`] with the gate's reason, or why there was no answer.
    pub async fn send_json(
        &self,
        target: &str,
        message_type: &str,
        json: String,
    ) -> Result<MessageId, Error> {
        let json = payload::checked(json, self.shared.message_bytes_max)?;
        self.shared.send(target, message_type, json, self.hops).await
    }

    /// Sends a request and waits for its reply.
    ///
    /// # Errors
    /// Returns [`Error::Timeout`] if no reply came in time, [`Error::Refused`] with the gate's
    /// reason, or why there was no answer.
    pub async fn request(
        &self,
        target: &str,
        message_type: &str,
        data: &impl Serialize,
        timeout: Duration,
    ) -> Result<Message, Error> {
        let json = payload::to_json(data, self.shared.message_bytes_max)?;
        self.shared.request(target, message_type, json, (timeout, self.hops)).await
    }

    /// Sends a request whose payload is JSON text already, and waits for its reply.
    ///
    /// # Errors
    /// As [`request`](Self::request).
    pub async fn request_json(
        &self,
        target: &str,
        message_type: &str,
        json: String,
        timeout: Duration,
    ) -> Result<Message, Error> {
        let json = payload::checked(json, self.shared.message_bytes_max)?;
        self.shared.request(target, message_type, json, (timeout, self.hops)).await
    }

    /// Hands each message to the handler, until the client ends.
    ///
    /// The gate hears that a message was taken when the handler returns `Ok`, and otherwise what
    /// the [`HandlerError`] says. A handler that panics has refused its message for good.
    ///
    /// # Errors
    /// Returns why the client ended if it was not closed.
    pub async fn listen<H, F>(&self, handler: H) -> Result<(), Error>
    where
        H: Fn(Message) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), HandlerError>> + Send + 'static,
    {
        listen(&self.shared, handler).await
    }

    /// Returns the messages one by one, for programs that answer the gate themselves.
    #[must_use]
    pub fn messages(&self) -> Messages {
        Messages::new(Arc::clone(&self.shared))
    }

    /// Waits until the client has ended and returns why.
    pub async fn ended(&self) -> Error {
        self.shared.ended().await
    }

    /// Reads the agent's state, which all its instances share.
    ///
    /// # Errors
    /// Returns [`Error::Refused`] with the gate's reason, or why there was no answer.
    pub async fn state(&self) -> Result<HashMap<String, String>, Error> {
        let response = self
            .shared
            .call(self.shared.deadline(), |link| async move {
                link.runtime().get_state(mas::GetStateRequest {}).await
            })
            .await?;
        Ok(response.state)
    }

    /// Sets fields of the agent's state; other fields stay.
    ///
    /// # Errors
    /// Returns [`Error::Refused`] with the gate's reason, or why there was no answer.
    pub async fn update_state(
        &self,
        updates: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(), Error> {
        let request = mas::UpdateStateRequest { updates: updates.into_iter().collect() };
        self.shared
            .call(self.shared.deadline(), |link| {
                let request = request.clone();
                async move { link.runtime().update_state(request).await }
            })
            .await?;
        Ok(())
    }

    /// Deletes the agent's state.
    ///
    /// # Errors
    /// Returns [`Error::Refused`] with the gate's reason, or why there was no answer.
    pub async fn reset_state(&self) -> Result<(), Error> {
        self.shared
            .call(self.shared.deadline(), |link| async move {
                link.runtime().reset_state(mas::ResetStateRequest {}).await
            })
            .await?;
        Ok(())
    }

    /// Lists connected agents that this one may message and that have one of the capabilities, or
    /// all of them if none is asked for.
    ///
    /// # Errors
    /// Returns [`Error::Refused`] with the gate's reason, or why there was no answer.
    pub async fn discover(&self, capabilities: &[&str]) -> Result<Vec<Agent>, Error> {
        let capabilities = capabilities.iter().map(|one| (*one).to_owned()).collect();
        let request = mas::DiscoverRequest { capabilities };
        let response = self
            .shared
            .call(self.shared.deadline(), |link| {
                let request = request.clone();
                async move { link.runtime().discover(request).await }
            })
            .await?;
        Ok(response.agents.into_iter().map(Agent::from).collect())
    }

    /// Asks what became of a message that this agent sent.
    ///
    /// # Errors
    /// Returns [`Error::Refused`] with the gate's reason, or why there was no answer.
    pub async fn status(&self, message: &MessageId) -> Result<MessageStatus, Error> {
        let request = MessageStatusRequest { message_id: message.as_str().to_owned() };
        let response = self
            .shared
            .call(self.shared.deadline(), |link| {
                let request = request.clone();
                async move { link.bus().message_status(request).await }
            })
            .await?;
        Ok(response.into())
    }

    /// Takes no further message, waits for handlers and their answers, and ends the session.
    ///
    /// Each of the two waits is bounded by the option `close_timeout`.
    pub async fn close(&self) {
        let phases = &self.shared.phases;
        phases.closing.cancel();
        self.shared.open.close();
        if timeout(self.shared.close_timeout, self.shared.open.wait()).await.is_err() {
            tracing::warn!(left = self.shared.open.len(), "closing over unanswered messages");
        }
        phases.finish.cancel();
        if timeout(self.shared.close_timeout, self.shared.ended()).await.is_err() {
            tracing::debug!("the gate did not end the stream");
        }
        phases.stop.cancel();
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("agent", &self.agent_id())
            .field("instance", &self.instance_id())
            .finish_non_exhaustive()
    }
}

/// Describes a connected agent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Agent {
    /// Its id, which messages are sent to.
    pub id: String,
    /// What it can do.
    pub capabilities: Vec<String>,
    /// What its operator says about it.
    pub metadata: Value,
    /// `ACTIVE` if it is connected.
    pub status: String,
}

impl From<mas::AgentRecord> for Agent {
    fn from(record: mas::AgentRecord) -> Self {
        Self {
            id: record.agent_id,
            capabilities: record.capabilities,
            metadata: serde_json::from_str(&record.metadata_json).unwrap_or_default(),
            status: record.status,
        }
    }
}

impl Shared {
    async fn send(
        &self,
        target: &str,
        kind: &str,
        json: String,
        hops: u32,
    ) -> Result<MessageId, Error> {
        let request = mas::SendRequest {
            target_id: target.to_owned(),
            message_type: kind.to_owned(),
            data_json: json,
            instance_id: self.instance.clone(),
        };
        let response = self
            .call(self.deadline(), |link| {
                let request = hops::stated(request.clone(), hops);
                async move { link.runtime().send(request).await }
            })
            .await?;
        Ok(MessageId::new(response.message_id))
    }

    async fn request(
        self: &Arc<Self>,
        target: &str,
        kind: &str,
        json: String,
        (timeout, hops): (Duration, u32),
    ) -> Result<Message, Error> {
        let deadline = Instant::now() + timeout.min(REQUEST_TIMEOUT_MAX);
        let asking = self.pending.ask();
        let request = mas::RequestRequest {
            target_id: target.to_owned(),
            message_type: kind.to_owned(),
            data_json: json,
            timeout_ms: 0,
            instance_id: self.instance.clone(),
        };
        let response = self
            .call(deadline, |link| {
                let mut request = request.clone();
                request.timeout_ms = milliseconds_until(deadline);
                let request = hops::stated(request, hops);
                async move { link.runtime().request(request).await }
            })
            .await?;
        let mut expected = asking.expect(response.correlation_id, target);
        tokio::select! {
            biased;
            reply = timeout_at(deadline, expected.reply()) => match reply {
                Ok(Some(envelope)) => Ok(Message::new(envelope, self)),
                Ok(None) | Err(_) => Err(Error::Timeout),
            },
            error = self.ended() => Err(error),
        }
    }

    pub(crate) async fn reply(
        &self,
        correlation: &str,
        kind: &str,
        data: &impl Serialize,
    ) -> Result<MessageId, Error> {
        let request = mas::ReplyRequest {
            correlation_id: correlation.to_owned(),
            message_type: kind.to_owned(),
            data_json: payload::to_json(data, self.message_bytes_max)?,
            instance_id: self.instance.clone(),
        };
        let response = self
            .call(self.deadline(), |link| {
                let request = request.clone();
                async move { link.runtime().reply(request).await }
            })
            .await?;
        Ok(MessageId::new(response.message_id))
    }
}

/// Rounds up, so that the gate does not give up before the one who asked.
fn milliseconds_until(deadline: Instant) -> i32 {
    let left = deadline.saturating_duration_since(Instant::now());
    i32::try_from(left.as_millis().saturating_add(1)).unwrap_or(i32::MAX)
}

/// LIMIT: a day; the time of a request is a 32-bit number of milliseconds on the wire.
const REQUEST_TIMEOUT_MAX: Duration = Duration::from_secs(24 * 60 * 60);
