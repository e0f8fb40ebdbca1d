//! One agent of the demo: a client and what it receives.
//!
//! Every wait is bounded; what does not come in time is an error and not a hang.

use std::time::Duration;

use anyhow::{Context as _, bail};
use palisade_client::{
    Client, Error, HandlerError, Incoming, Message, MessageId, MessageState, Messages, Refused,
};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

/// A connected agent.
#[derive(Debug)]
pub(super) struct Actor {
    name: &'static str,
    client: Client,
    inbox: Messages,
}

impl Actor {
    pub(super) fn new(name: &'static str, client: Client) -> Self {
        let inbox = client.messages();
        Self { name, client, inbox }
    }

    /// Sends and expects the message to be taken.
    pub(super) async fn send(&self, to: &str, data: &Value) -> anyhow::Result<MessageId> {
        let sent = self.client.send(to, MESSAGE_TYPE, data).await;
        sent.with_context(|| format!("{} -> {to}", self.name))
    }

    /// Sends and expects the gate to refuse.
    pub(super) async fn send_refused(&self, to: &str, data: &Value) -> anyhow::Result<Refused> {
        match self.client.send(to, MESSAGE_TYPE, data).await {
            Err(Error::Refused(refused)) => Ok(refused),
            Err(other) => Err(other).with_context(|| format!("{} -> {to}", self.name)),
            Ok(id) => bail!("{} -> {to}: message {id} should have been refused", self.name),
        }
    }

    /// Asks and waits for the reply.
    pub(super) async fn ask(&self, whom: &str, data: &Value) -> anyhow::Result<Message> {
        let reply = self.client.request(whom, MESSAGE_TYPE, data, PATIENCE).await;
        reply.with_context(|| format!("{} asks {whom}", self.name))
    }

    /// Waits for the next message.
    pub(super) async fn receive(&mut self) -> anyhow::Result<Incoming> {
        match timeout(PATIENCE, self.inbox.next()).await {
            Ok(Some(incoming)) => Ok(incoming),
            Ok(None) => bail!("{}: the connection ended: {}", self.name, self.client.ended().await),
            Err(_elapsed) => bail!("{} waited {PATIENCE:?} for a message in vain", self.name),
        }
    }

    /// Waits for one message, which must be this one, and takes it.
    pub(super) async fn take(&mut self, id: &MessageId) -> anyhow::Result<Value> {
        let incoming = self.receive_one(id).await?;
        let data = incoming.message.data.clone();
        incoming.ack().await?;
        Ok(data)
    }

    /// Waits for one message, which must be this one, and refuses it.
    pub(super) async fn refuse(&mut self, id: &MessageId, why: HandlerError) -> anyhow::Result<()> {
        Ok(self.receive_one(id).await?.nack(why).await?)
    }

    /// Takes the next message, which must be a request, and answers it.
    pub(super) async fn answer(&mut self, data: &Value) -> anyhow::Result<(MessageId, MessageId)> {
        let incoming = self.receive().await?;
        let asked = incoming.message.message_id.clone();
        let answered = incoming.message.reply(MESSAGE_TYPE, data).await?;
        incoming.ack().await?;
        Ok((asked, answered))
    }

    /// Waits until a message that this agent sent has come to a state; returns its attempts.
    pub(super) async fn see(&self, id: &MessageId, state: MessageState) -> anyhow::Result<u32> {
        let mut last = MessageState::Unknown;
        let reached = poll(async || {
            let status = self.client.status(id).await?;
            last = status.state;
            Ok((status.state == state).then_some(status.attempts))
        });
        let reached = reached.await?;
        reached
            .with_context(|| format!("message {id} is {}, not {}", last.as_str(), state.as_str()))
    }

    /// Ends the session with care.
    pub(super) async fn leave(self) {
        self.client.close().await;
    }

    async fn receive_one(&mut self, id: &MessageId) -> anyhow::Result<Incoming> {
        let incoming = self.receive().await?;
        let got = &incoming.message.message_id;
        if got != id {
            bail!("{} got message {got} and expected {id}", self.name);
        }
        Ok(incoming)
    }
}

/// Asks again and again until there is an answer or the time is over.
async fn poll<T>(
    mut ask: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<Option<T>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = ask().await?;
        if answer.is_some() || Instant::now() >= deadline {
            return Ok(answer);
        }
        sleep(POLL_INTERVAL).await;
    }
}

const MESSAGE_TYPE: &str = "demo";
/// LIMIT: how long the demo waits for one thing; on an idle machine each takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);
const POLL_INTERVAL: Duration = Duration::from_millis(20);
