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
use tokio::time::timeout;
use tokio_util::sync::DropGuard;
use tonic::{Request, Response, Status};
use wire::mas::runtime::v1 as mas;
use wire::palisade::bus::v1 as bus;

use crate::cause::Cause;
use crate::dial::Link;
use crate::error::{Error, HandlerError};
use crate::incoming::Messages;
use crate::listen::listen;
use crate::message::{Message, MessageId, MessageStatus};
use crate::options::Options;
use crate::outgoing::Outgoing;
use crate::posting::Text;
use crate::sent::Sent;
use crate::shared::Shared;
use crate::trace::TraceContext;
use crate::tracer::Operation;
use crate::{payload, session, tasks};

/// Talks through a gate as one agent; cheap to clone.
///
/// When the last clone is dropped the session ends at once; [`close`](Self::close) ends it with
/// care.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    /// What led to that which this clone sends.
    cause: Cause,
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
        let shared = Arc::new(Shared::new(options)?);
        let life = Arc::new(shared.phases.stop.clone().drop_guard());
        let first = session::open(&shared).await?;
        tasks::detach("session", session::run(Arc::clone(&shared), first));
        Ok(Self { shared, cause: Cause::default(), _life: life })
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
    /// The gate counts how many messages lead to one another and ends loops; and what belongs to
    /// one trace stays in it. What a handler of
    /// [`listen`](Self::listen) sends is counted by itself; who takes messages by
    /// [`messages`](Self::messages) says so with this.
    #[must_use]
    pub fn caused_by(&self, message: &Message) -> Self {
        Self { cause: Cause::of(message), ..self.clone() }
    }

    /// Returns a client of the same session whose messages are part of a trace.
    ///
    /// Without it a message is part of the trace of the one that led to it.
    #[must_use]
    pub fn traced(&self, trace: TraceContext) -> Self {
        let cause = Cause { trace: Some(Arc::new(trace)), ..self.cause.clone() };
        Self { cause, ..self.clone() }
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
        self.shared.send(target, self.text(message_type, json)).await
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
        self.shared.send(target, self.text(message_type, json)).await
    }

    /// Hands a message over for sending and does not wait for the gate.
    ///
    /// It waits only where the bytes of the option `unanswered_bytes_max` are in use. Messages to
    /// one target arrive in the order in which they were handed over. What becomes of this one, the
    /// returned [`Sent`] tells; dropping that stops nothing.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`] if the message cannot be sent, [`Error::Timeout`] if there was no
    /// room in the time of a call, or why the client has ended.
    pub async fn publish(&self, message: Outgoing) -> Result<Sent, Error> {
        self.shared.publish(message, &self.cause).await
    }

    /// Sends messages, all at once as far as the gate lets them, and waits until it has answered
    /// each; the answers are in the order of the messages.
    ///
    /// # Errors
    /// Returns why the client has ended if it has. What became of a single message is in its place.
    pub async fn send_all(
        &self,
        messages: impl IntoIterator<Item = Outgoing>,
    ) -> Result<Vec<Result<MessageId, Error>>, Error> {
        let mut sent = Vec::new();
        for message in messages {
            match self.publish(message).await {
                Ok(one) => sent.push(one),
                Err(error @ (Error::Invalid(_) | Error::Timeout)) => {
                    sent.push(Sent::known(&self.shared, Err(error)));
                }
                Err(error) => return Err(error),
            }
        }
        let mut answers = Vec::with_capacity(sent.len());
        for mut one in sent {
            answers.push(one.accepted().await.map(|accepted| accepted.message_id));
        }
        Ok(answers)
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
        self.shared.request(target, self.text(message_type, json), timeout).await
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
        self.shared.request(target, self.text(message_type, json), timeout).await
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
        let request = mas::GetStateRequest {};
        let response = self
            .ask(Operation::ReadState, request, |link, request| async move {
                link.runtime().get_state(request).await
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
        self.ask(Operation::UpdateState, request, |link, request| async move {
            link.runtime().update_state(request).await
        })
        .await?;
        Ok(())
    }

    /// Deletes the agent's state.
    ///
    /// # Errors
    /// Returns [`Error::Refused`] with the gate's reason, or why there was no answer.
    pub async fn reset_state(&self) -> Result<(), Error> {
        self.ask(Operation::ResetState, mas::ResetStateRequest {}, |link, request| async move {
            link.runtime().reset_state(request).await
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
            .ask(Operation::Discover, request, |link, request| async move {
                link.runtime().discover(request).await
            })
            .await?;
        Ok(response.agents.into_iter().map(Agent::from).collect())
    }

    /// Asks what became of a message that this agent sent.
    ///
    /// # Errors
    /// Returns [`Error::Refused`] with the gate's reason, or why there was no answer.
    pub async fn status(&self, message: &MessageId) -> Result<MessageStatus, Error> {
        let request = bus::MessageStatusRequest { message_id: message.as_str().to_owned() };
        let what = (Operation::Status, Some(message.as_str()));
        let status = self
            .shared
            .call_traced(what, &self.cause, request, |link, request| async move {
                link.bus().message_status(request).await
            })
            .await?;
        Ok(status.into())
    }

    /// Takes no further message, waits for handlers and their answers, and for the gate's
    /// answers to what was sent, and ends the session.
    ///
    /// Each of these waits is bounded by the option `close_timeout`.
    pub async fn close(&self) {
        let phases = &self.shared.phases;
        phases.closing.cancel();
        self.shared.open.close();
        if timeout(self.shared.close_timeout, self.shared.open.wait()).await.is_err() {
            tracing::warn!(left = self.shared.open.len(), "closing over unanswered messages");
        }
        if timeout(self.shared.close_timeout, self.shared.outbox.idle()).await.is_err() {
            tracing::warn!("closing over messages that the gate has not answered");
        }
        phases.finish.cancel();
        if timeout(self.shared.close_timeout, self.shared.ended()).await.is_err() {
            tracing::debug!("the gate did not end the stream");
        }
        phases.stop.cancel();
    }

    /// Makes a call that is about no message.
    async fn ask<M: Clone, T, F>(
        &self,
        operation: Operation,
        request: M,
        attempt: impl Fn(Arc<Link>, Request<M>) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        self.shared.call_traced((operation, None), &self.cause, request, attempt).await
    }

    /// Completed here, where the handler is known in which this is called.
    fn text<'a>(&self, message_type: &'a str, json: String) -> Text<'a> {
        Text { message_type, json, cause: self.cause.completed() }
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
