//! Messages on their way from the session to the program, each with its answer to the gate.
//!
//! Replies do not come by here; they go to the request that waits for them.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt as _};
use tokio::sync::mpsc;
use tokio_util::task::task_tracker::TaskTrackerToken;
use wire::mas::runtime::v1::client_event::Event;
use wire::mas::runtime::v1::{Ack, ClientEvent, Nack};

use crate::error::{Error, HandlerError};
use crate::message::{Envelope, Message};
use crate::shared::Shared;

/// Waits in the buffer until the program takes it.
#[derive(Debug)]
pub(crate) struct Delivered {
    pub(crate) delivery_id: String,
    pub(crate) envelope: Envelope,
    /// The way back to the gate, of the session that it came by.
    pub(crate) out: mpsc::Sender<ClientEvent>,
}

impl Delivered {
    /// Tells whether the session that it came by still lives.
    pub(crate) fn is_answerable(&self) -> bool {
        !self.out.is_closed()
    }
}

/// Holds a message that the gate waits to hear about.
///
/// Dropped without an answer it is given back to be delivered again, which counts as an attempt.
#[derive(Debug)]
pub struct Incoming {
    /// The message.
    pub message: Message,
    answer: Answer,
    /// A graceful close waits for it.
    _open: TaskTrackerToken,
}

impl Incoming {
    pub(crate) fn new(delivered: Delivered, shared: &Arc<Shared>) -> Self {
        let answer = Answer { delivery_id: delivered.delivery_id, out: Some(delivered.out) };
        let message = Message::new(delivered.envelope, shared);
        Self { message, answer, _open: shared.open.token() }
    }

    /// Tells the gate that the message was taken.
    ///
    /// # Errors
    /// Returns [`Error::Interrupted`] if the session is gone; the message will come again.
    pub async fn ack(self) -> Result<(), Error> {
        let Self { message: _message, answer, _open } = self;
        answer.ack().await
    }

    /// Tells the gate that the message was not taken, and whether to deliver it again.
    ///
    /// # Errors
    /// Returns [`Error::Interrupted`] if the session is gone; the message will come again.
    pub async fn nack(self, why: HandlerError) -> Result<(), Error> {
        let Self { message: _message, answer, _open } = self;
        answer.nack(why).await
    }

    /// Parts the message from its answer, so that a handler can own the message.
    pub(crate) fn split(self) -> (Message, Answer, TaskTrackerToken) {
        (self.message, self.answer, self._open)
    }
}

/// Owes the gate an answer for one delivery.
#[derive(Debug)]
pub(crate) struct Answer {
    delivery_id: String,
    /// Taken when the answer is given.
    out: Option<mpsc::Sender<ClientEvent>>,
}

impl Answer {
    pub(crate) async fn ack(self) -> Result<(), Error> {
        let delivery_id = self.delivery_id.clone();
        self.give(Event::Ack(Ack { delivery_id })).await
    }

    pub(crate) async fn nack(self, why: HandlerError) -> Result<(), Error> {
        let event = nack_event(self.delivery_id.clone(), &why);
        self.give(event).await
    }

    async fn give(mut self, event: Event) -> Result<(), Error> {
        let Some(out) = &self.out else { return Ok(()) };
        let given = out.send(ClientEvent { event: Some(event) }).await;
        self.out = None;
        given.map_err(|_gone| Error::Interrupted)
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(out) = self.out.take() {
            let event = nack_event(
                std::mem::take(&mut self.delivery_id),
                &HandlerError::retryable("dropped without an answer"),
            );
            // If the session is gone, the gate knows by itself that nobody has the message.
            drop(out.try_send(ClientEvent { event: Some(event) }));
        }
    }
}

pub(crate) fn nack_event(delivery_id: String, why: &HandlerError) -> Event {
    let reason = why.reason.chars().take(REASON_CHARS_MAX).collect();
    Event::Nack(Nack { delivery_id, reason, retryable: why.retryable })
}

/// Yields the messages of the agent, one after another, until the client ends.
///
/// Several of these of one client share the messages between them.
pub struct Messages(BoxStream<'static, Incoming>);

impl Messages {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let messages = stream::unfold(shared, |shared| async move {
            let delivered = shared.take().await?;
            Some((Incoming::new(delivered, &shared), shared))
        });
        Self(messages.boxed())
    }

    /// Waits for the next message; nothing when the client was closed or has failed.
    pub async fn next(&mut self) -> Option<Incoming> {
        self.0.next().await
    }
}

impl Stream for Messages {
    type Item = Incoming;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Incoming>> {
        self.0.as_mut().poll_next(context)
    }
}

impl fmt::Debug for Messages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Messages").finish_non_exhaustive()
    }
}

/// LIMIT: a reason is a sentence; the gate keeps it with the dead letter.
const REASON_CHARS_MAX: usize = 512;
