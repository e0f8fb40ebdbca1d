//! A message that was handed to the gate: first whether it was taken, then what became of it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::error::Error;
use crate::message::{Accepted, MessageState, MessageStatus};
use crate::shared::Shared;
use crate::tasks;
use crate::tracer::Tracing;

/// Follows a message that [`Client::publish`](crate::Client::publish) sent.
///
/// Dropping it stops nothing.
pub struct Sent {
    shared: Arc<Shared>,
    outcome: Outcome,
    receipts: Option<watch::Receiver<MessageStatus>>,
    /// What was told last.
    last: Option<MessageStatus>,
    pause: Duration,
}

enum Outcome {
    /// In the outbox under a number.
    Waiting {
        number: u64,
        answer: oneshot::Receiver<Result<Accepted, Error>>,
        deadline: Instant,
    },
    Known(Result<Accepted, Error>),
}

impl Sent {
    pub(crate) fn waiting(
        shared: &Arc<Shared>,
        (number, answer, deadline): (u64, oneshot::Receiver<Result<Accepted, Error>>, Instant),
        receipts: Option<watch::Receiver<MessageStatus>>,
    ) -> Self {
        let outcome = Outcome::Waiting { number, answer, deadline };
        Self { receipts, outcome, ..Self::known(shared, Err(Error::Closed)) }
    }

    /// Has the span of the message end with its outcome, whether somebody waits for that or not.
    pub(crate) fn traced(mut self, tracing: Tracing) -> Self {
        if let Outcome::Waiting { answer, .. } = &mut self.outcome
            && tracing.is_on()
        {
            let (told, tells) = oneshot::channel();
            let first = std::mem::replace(answer, tells);
            tasks::detach("tracing", async move {
                // Without an answer the span ends as dropped.
                if let Ok(outcome) = first.await {
                    tracing.sent(outcome.as_ref().map(|accepted| &accepted.message_id));
                    drop(told.send(outcome));
                }
            });
        }
        self
    }

    pub(crate) fn known(shared: &Arc<Shared>, outcome: Result<Accepted, Error>) -> Self {
        Self {
            shared: Arc::clone(shared),
            outcome: Outcome::Known(outcome),
            receipts: None,
            last: None,
            pause: PAUSE_FIRST,
        }
    }

    /// Waits until the gate has the message on disk.
    ///
    /// # Errors
    /// Returns [`Error::Refused`] with the gate's reason, or [`Error::Timeout`] if it was not known
    /// in the time of a call whether the message was taken.
    pub async fn accepted(&mut self) -> Result<Accepted, Error> {
        if let Outcome::Waiting { number, answer, deadline } = &mut self.outcome {
            let known = match timeout_at(*deadline, answer).await {
                Ok(Ok(known)) => known,
                Ok(Err(_gone)) => Err(Error::Closed),
                Err(_elapsed) => {
                    let refused = self.shared.outbox.abandon(*number).map(Error::Refused);
                    Err(self.shared.unusable().or(refused).unwrap_or(Error::Timeout))
                }
            };
            self.outcome = Outcome::Known(known);
        }
        match &self.outcome {
            Outcome::Known(known) => known.clone(),
            Outcome::Waiting { .. } => Err(Error::Closed),
        }
    }

    /// Waits for the next change of what became of the message.
    ///
    /// The gate tells it where [`Outgoing::receipts`](crate::Outgoing::receipts) asked for that,
    /// and is asked otherwise, and where the session was lost meanwhile. States that follow one
    /// another quickly are told as the last of them.
    ///
    /// # Errors
    /// As [`accepted`](Self::accepted), and as [`Client::status`](crate::Client::status).
    pub async fn receipt(&mut self) -> Result<MessageStatus, Error> {
        let id = self.accepted().await?.message_id;
        loop {
            let told = match &mut self.receipts {
                Some(receipts) => match timeout(PATIENCE, receipts.changed()).await {
                    Ok(Ok(())) => Some(receipts.borrow_and_update().clone()),
                    Ok(Err(_lost)) => {
                        self.receipts = None;
                        None
                    }
                    Err(_elapsed) => None,
                },
                None => {
                    if self.last.is_some() {
                        sleep(self.pause).await;
                        self.pause = self.pause.saturating_mul(2).min(PAUSE_MAX);
                    }
                    None
                }
            };
            let status = match told {
                Some(status) => status,
                None => self.shared.status(&id).await?,
            };
            if self.last.as_ref() != Some(&status) {
                self.last = Some(status.clone());
                return Ok(status);
            }
        }
    }

    /// Waits until nothing further will happen to the message by itself: it was acknowledged, has
    /// expired or is a dead letter.
    ///
    /// # Errors
    /// As [`receipt`](Self::receipt).
    pub async fn acknowledged(mut self) -> Result<MessageStatus, Error> {
        loop {
            let status = self.receipt().await?;
            let is_forgotten = status.state == MessageState::Unknown;
            if is_forgotten || status.state.is_final() {
                return Ok(status);
            }
        }
    }
}

impl fmt::Debug for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sent").field("last", &self.last).finish_non_exhaustive()
    }
}

/// After that the gate is asked even where it would tell: receipts are best effort.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE_FIRST: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_millis(500);
