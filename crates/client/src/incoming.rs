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
use wire::palisade::bus::v1 as bus;

use crate::error::{Error, HandlerError};
use crate::line::Line;
use crate::message::{Envelope, Message};
use crate::shared::Shared;
use crate::tracer::{Ending, Tracing};

/// Waits in the buffer until the program takes it.
#[derive(Debug)]
pub(crate) struct Delivered {
    pub(crate) way: Way,
    pub(crate) envelope: Envelope,
}

/// The way back to the gate, of the session by which a delivery came.
#[derive(Debug)]
pub(crate) enum Way {
    Native { delivery: u64, line: Arc<Line> },
    Mas { delivery_id: String, out: mpsc::Sender<ClientEvent> },
}

impl Way {
    /// Acknowledges without waiting, as the native session can.
    pub(crate) fn ack_now(self) -> Result<(), Error> {
        match self {
            Self::Native { delivery, line } => line.ack(delivery),
            Self::Mas { delivery_id, out } => {
                let event = ClientEvent { event: Some(Event::Ack(Ack { delivery_id })) };
                out.try_send(event).map_err(|_gone| Error::Interrupted)
            }
        }
    }

    async fn ack(self) -> Result<(), Error> {
        match self {
            Self::Native { .. } => self.ack_now(),
            Self::Mas { delivery_id, out } => {
                let event = ClientEvent { event: Some(Event::Ack(Ack { delivery_id })) };
                out.send(event).await.map_err(|_gone| Error::Interrupted)
            }
        }
    }

    async fn nack(self, why: &HandlerError) -> Result<(), Error> {
        match self {
            Self::Native { .. } => self.nack_now(why),
            Self::Mas { delivery_id, out } => {
                let event = ClientEvent { event: Some(nack_event(delivery_id, why)) };
                out.send(event).await.map_err(|_gone| Error::Interrupted)
            }
        }
    }

    fn nack_now(self, why: &HandlerError) -> Result<(), Error> {
        match self {
            Self::Native { delivery, line } => {
                let (reason, retryable) = (short(&why.reason), why.retryable);
                line.nack(bus::Nack { delivery_id: delivery, reason, retryable })
            }
            Self::Mas { delivery_id, out } => {
                let event = ClientEvent { event: Some(nack_event(delivery_id, why)) };
                out.try_send(event).map_err(|_gone| Error::Interrupted)
            }
        }
    }
}

impl Delivered {
    /// Tells whether the session that it came by still lives.
    pub(crate) fn is_answerable(&self) -> bool {
        match &self.way {
            Way::Native { line, .. } => !line.is_over(),
            Way::Mas { out, .. } => !out.is_closed(),
        }
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
    /// Reads what was delivered; nothing if it is not readable, which the gate is told.
    pub(crate) fn new(delivered: Delivered, shared: &Arc<Shared>) -> Option<Self> {
        let Delivered { way, envelope } = delivered;
        match Message::new(envelope, shared) {
            Ok(mut message) => {
                let tracing = shared.trace_processing(&mut message);
                let answer = Answer { way: Some(way), tracing };
                Some(Self { message, answer, _open: shared.open.token() })
            }
            Err(error) => {
                tracing::warn!(%error, "unreadable payload");
                // If the session is gone, the gate knows by itself that nobody has the message.
                drop(way.nack_now(&HandlerError::unreadable()));
                None
            }
        }
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
    /// Taken when the answer is given.
    way: Option<Way>,
    /// Ends with the answer.
    tracing: Tracing,
}

impl Answer {
    pub(crate) async fn ack(mut self) -> Result<(), Error> {
        std::mem::take(&mut self.tracing).end(Ending::Done(None));
        match self.way.take() {
            Some(way) => way.ack().await,
            None => Ok(()),
        }
    }

    pub(crate) async fn nack(mut self, why: HandlerError) -> Result<(), Error> {
        let code = if why.retryable { "retried" } else { "refused" };
        std::mem::take(&mut self.tracing).end(Ending::Failed { code, status: None });
        match self.way.take() {
            Some(way) => way.nack(&why).await,
            None => Ok(()),
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(way) = self.way.take() {
            // If the session is gone, the gate knows by itself that nobody has the message.
            drop(way.nack_now(&HandlerError::retryable("dropped without an answer")));
        }
    }
}

pub(crate) fn nack_event(delivery_id: String, why: &HandlerError) -> Event {
    Event::Nack(Nack { delivery_id, reason: short(&why.reason), retryable: why.retryable })
}

fn short(reason: &str) -> String {
    reason.chars().take(REASON_CHARS_MAX).collect()
}

/// Yields the messages of the agent, one after another, until the client ends.
///
/// Several of these of one client share the messages between them.
pub struct Messages(BoxStream<'static, Incoming>);

impl Messages {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let messages = stream::unfold(shared, |shared| async move {
            let incoming = shared.take().await?;
            Some((incoming, shared))
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
