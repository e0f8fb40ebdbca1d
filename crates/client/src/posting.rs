//! Sending, asking and answering: by the native session where there is one, else by unary calls.
//!
//! What goes by the native session is repeated until its outcome is known, because the gate knows
//! its key. A unary call has none, and is repeated only if it certainly was not taken.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, timeout_at};
use wire::mas::runtime::v1 as mas;
use wire::palisade::bus::v1::{MessageKind, MessageStatusRequest};

use crate::cause::Cause;
use crate::error::Error;
use crate::frame::Publish;
use crate::message::{Accepted, Message, MessageId, MessageState, MessageStatus};
use crate::outbox::Entry;
use crate::outgoing::Outgoing;
use crate::payload;
use crate::sent::Sent;
use crate::shared::Shared;
use crate::tracer::{Operation, Tracing};

/// Holds what is the same for every kind of message.
#[derive(Debug)]
pub(crate) struct Text<'a> {
    pub(crate) message_type: &'a str,
    pub(crate) json: String,
    pub(crate) cause: Cause,
}

impl Shared {
    /// Sends a message and waits until the gate has it on disk.
    pub(crate) async fn send(
        self: &Arc<Self>,
        target: &str,
        mut text: Text<'_>,
    ) -> Result<MessageId, Error> {
        let tracing = self.trace_text(Operation::Send, target, &mut text);
        let accepted = self.post(target, text).await.map(|accepted| accepted.message_id);
        tracing.sent(accepted.as_ref());
        accepted
    }

    async fn post(self: &Arc<Self>, target: &str, text: Text<'_>) -> Result<Accepted, Error> {
        let deadline = self.deadline();
        if self.has_outbox() {
            self.put(&text.publish(MessageKind::Send, target), &text.cause, deadline)
                .await?
                .accepted()
                .await
        } else {
            self.unary_send(target, text).await
        }
    }

    /// Begins the span of a message and puts it into the trace that goes on.
    fn trace_text(&self, operation: Operation, target: &str, text: &mut Text<'_>) -> Tracing {
        let what = (target, text.message_type, text.json.len());
        self.trace_sending(operation, what, &mut text.cause)
    }

    /// Hands a message over for sending.
    pub(crate) async fn publish(
        self: &Arc<Self>,
        message: Outgoing,
        cause: &Cause,
    ) -> Result<Sent, Error> {
        let Outgoing { target, message_type, json, key, trace, receipts, expires_after } = message;
        let mut cause = cause.completed();
        cause.trace = trace.map(Arc::new).or(cause.trace);
        let json = payload::checked(json, self.message_bytes_max)?;
        let mut text = Text { message_type: &message_type, json, cause };
        let tracing = self.trace_text(Operation::Send, &target, &mut text);
        if !self.has_outbox() {
            let accepted = self.unary_send(&target, text).await;
            tracing.sent(accepted.as_ref().map(|accepted| &accepted.message_id));
            return Ok(Sent::known(self, accepted));
        }
        let mut publish = text.publish(MessageKind::Send, &target);
        publish.key = key.as_deref().unwrap_or_default();
        publish.receipts = receipts;
        publish.ttl_ms = expires_after.map_or(0, milliseconds);
        match self.put(&publish, &text.cause, self.deadline()).await {
            Ok(sent) => Ok(sent.traced(tracing)),
            Err(error) => {
                tracing.end((&error).into());
                Err(error)
            }
        }
    }

    /// Sends a request and waits for its reply.
    pub(crate) async fn request(
        self: &Arc<Self>,
        target: &str,
        mut text: Text<'_>,
        timeout: Duration,
    ) -> Result<Message, Error> {
        let tracing = self.trace_text(Operation::Request, target, &mut text);
        let answered = self.ask(target, text, timeout).await;
        tracing.ended(&answered);
        answered
    }

    async fn ask(
        self: &Arc<Self>,
        target: &str,
        text: Text<'_>,
        timeout: Duration,
    ) -> Result<Message, Error> {
        let deadline = Instant::now() + timeout.min(REQUEST_TIMEOUT_MAX);
        let asking = self.pending.ask();
        let correlation = if self.has_outbox() {
            let mut publish = text.publish(MessageKind::Request, target);
            publish.ttl_ms = milliseconds(timeout);
            let accepted = self.put(&publish, &text.cause, deadline).await?.accepted().await?;
            accepted.correlation
        } else {
            self.unary_request(target, text, deadline).await?
        };
        let mut expected = asking.expect(correlation, target);
        tokio::select! {
            biased;
            reply = timeout_at(deadline, expected.reply()) => match reply {
                Ok(Some(envelope)) => Message::new(envelope, self).map_err(Error::Invalid),
                Ok(None) | Err(_) => Err(Error::Timeout),
            },
            error = self.ended() => Err(error),
        }
    }

    /// Answers a request.
    pub(crate) async fn reply(
        self: &Arc<Self>,
        correlation: &str,
        mut text: Text<'_>,
    ) -> Result<MessageId, Error> {
        let tracing = self.trace_text(Operation::Reply, "", &mut text);
        let answered = self.answer(correlation, text).await;
        tracing.sent(answered.as_ref());
        answered
    }

    async fn answer(
        self: &Arc<Self>,
        correlation: &str,
        text: Text<'_>,
    ) -> Result<MessageId, Error> {
        let deadline = self.deadline();
        if self.has_outbox() {
            let mut publish = text.publish(MessageKind::Reply, "");
            publish.correlation = correlation;
            let mut sent = self.put(&publish, &text.cause, deadline).await?;
            return sent.accepted().await.map(|accepted| accepted.message_id);
        }
        let Text { message_type, json, cause } = text;
        let request = mas::ReplyRequest {
            correlation_id: correlation.to_owned(),
            message_type: message_type.to_owned(),
            data_json: json,
            instance_id: self.instance.clone(),
        };
        let response = self
            .call(deadline, |link| {
                let request = cause.stated(request.clone());
                async move { link.runtime().reply(request).await }
            })
            .await?;
        Ok(MessageId::new(response.message_id))
    }

    /// Asks what became of a message, for one of its receipts: nobody wants a span of each.
    pub(crate) async fn status(&self, message: &MessageId) -> Result<MessageStatus, Error> {
        let request = MessageStatusRequest { message_id: message.as_str().to_owned() };
        let response = self
            .call(self.deadline(), |link| {
                let request = request.clone();
                async move { link.bus().message_status(request).await }
            })
            .await?;
        Ok(response.into())
    }

    /// Puts a message into the outbox.
    async fn put(
        self: &Arc<Self>,
        publish: &Publish<'_>,
        cause: &Cause,
        deadline: Instant,
    ) -> Result<Sent, Error> {
        let body = if publish.key.is_empty() {
            Publish { key: &self.outbox.key(), ..*publish }.encode(cause)
        } else {
            publish.encode(cause)
        };
        let (answer, outcome) = oneshot::channel();
        let (follower, receipts) = if publish.receipts {
            let (state, reason) = (MessageState::Queued, String::new());
            let (sender, receipts) = watch::channel(MessageStatus { state, attempts: 0, reason });
            (Some(sender), Some(receipts))
        } else {
            (None, None)
        };
        let entry =
            Entry { body, deadline, answer, receipts: follower, frame: None, refused: None };
        match self.outbox.put(entry).await {
            Ok(number) => Ok(Sent::waiting(self, (number, outcome, deadline), receipts)),
            Err(Error::Timeout) => Err(self.unusable().unwrap_or(Error::Timeout)),
            Err(error) => Err(error),
        }
    }

    async fn unary_send(&self, target: &str, text: Text<'_>) -> Result<Accepted, Error> {
        let request = mas::SendRequest {
            target_id: target.to_owned(),
            message_type: text.message_type.to_owned(),
            data_json: text.json,
            instance_id: self.instance.clone(),
        };
        let response = self
            .call(self.deadline(), |link| {
                let request = text.cause.stated(request.clone());
                async move { link.runtime().send(request).await }
            })
            .await?;
        Ok(Accepted::new(response.message_id))
    }

    async fn unary_request(
        &self,
        target: &str,
        text: Text<'_>,
        deadline: Instant,
    ) -> Result<String, Error> {
        let request = mas::RequestRequest {
            target_id: target.to_owned(),
            message_type: text.message_type.to_owned(),
            data_json: text.json,
            timeout_ms: 0,
            instance_id: self.instance.clone(),
        };
        let response = self
            .call(deadline, |link| {
                let mut request = request.clone();
                let left = milliseconds(deadline.saturating_duration_since(Instant::now()));
                request.timeout_ms = i32::try_from(left).unwrap_or(i32::MAX);
                let request = text.cause.stated(request);
                async move { link.runtime().request(request).await }
            })
            .await?;
        Ok(response.correlation_id)
    }
}

impl Text<'_> {
    fn publish<'a>(&'a self, kind: MessageKind, target: &'a str) -> Publish<'a> {
        Publish {
            key: "",
            kind,
            target,
            correlation: "",
            message_type: self.message_type,
            payload: &self.json,
            ttl_ms: 0,
            receipts: false,
        }
    }
}

/// Rounds up, so that the gate does not give up before the one who asked.
fn milliseconds(time: Duration) -> u32 {
    let time = time.min(REQUEST_TIMEOUT_MAX);
    u32::try_from(time.as_millis().saturating_add(1)).unwrap_or(u32::MAX)
}

/// LIMIT: a day; the time of a request is a 32-bit number of milliseconds on the wire.
const REQUEST_TIMEOUT_MAX: Duration = Duration::from_secs(24 * 60 * 60);
