//! The calls of an operator: rules, limits, dead letters.
//!
//! It opens no session, receives nothing and does not connect again: an operator's program asks a
//! few things and ends.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::time::timeout;
use tonic::{Response, Status, Streaming};
use wire::palisade::admin::v1 as admin;

use crate::call::failure;
use crate::dial::{Dialer, Link};
use crate::error::Error;
use crate::options::Options;

/// Talks to a gate as one of its operators.
#[derive(Debug)]
pub struct Operator {
    link: Link,
    call_timeout: Duration,
}

impl Operator {
    /// Connects with an operator's certificate; of the options those of a session are not used.
    ///
    /// # Errors
    /// Returns an error if the files are not usable or the gate cannot be reached in time.
    pub async fn connect(options: Options) -> Result<Self, Error> {
        let dialer = Dialer::new(&options)?;
        match timeout(options.connect_timeout, dialer.dial()).await {
            Ok(link) => Ok(Self { link: link?, call_timeout: options.call_timeout }),
            Err(_elapsed) => Err(dialer.no_connection(io::ErrorKind::TimedOut.into())),
        }
    }

    /// Lists the registered agents.
    ///
    /// # Errors
    /// Returns [`Error::Refused`] with the gate's reason, or why there was no answer.
    pub async fn agents(&self) -> Result<admin::ListAgentsResponse, Error> {
        let mut gate = self.link.admin();
        self.answer(gate.list_agents(admin::ListAgentsRequest {})).await
    }

    /// Changes an access rule; in force and durable when it returns.
    ///
    /// # Errors
    /// Returns [`Error::Refused`] with the gate's reason, or why there was no answer.
    pub async fn change_policy(
        &self,
        verb: admin::PolicyVerb,
        subject: &str,
        objects: &[String],
    ) -> Result<admin::ChangePolicyResponse, Error> {
        let mut gate = self.link.admin();
        let (subject, objects) = (subject.to_owned(), objects.to_vec());
        let request = admin::ChangePolicyRequest { verb: verb.into(), subject, objects };
        self.answer(gate.change_policy(request)).await
    }

    /// Sets an agent's own rate limits, or clears them.
    ///
    /// # Errors
    /// Returns [`Error::Refused`] with the gate's reason, or why there was no answer.
    pub async fn set_limits(
        &self,
        agent: &str,
        limits: Option<admin::Limits>,
    ) -> Result<(), Error> {
        let mut gate = self.link.admin();
        let request = admin::SetLimitsRequest { agent_id: agent.to_owned(), limits };
        self.answer(gate.set_limits(request)).await?;
        Ok(())
    }

    /// Lists dead letters, oldest first.
    ///
    /// # Errors
    /// Returns [`Error::Refused`] with the gate's reason, or why there was no answer.
    pub async fn dead_letters(
        &self,
        request: admin::ListDeadLettersRequest,
    ) -> Result<Vec<admin::DeadLetter>, Error> {
        let mut gate = self.link.admin();
        Ok(self.answer(gate.list_dead_letters(request)).await?.letters)
    }

    /// Returns one dead letter with its envelope.
    ///
    /// # Errors
    /// Returns [`Error::Refused`] with the gate's reason, or why there was no answer.
    pub async fn dead_letter(&self, message: &str) -> Result<admin::ShowDeadLetterResponse, Error> {
        let mut gate = self.link.admin();
        let request = admin::ShowDeadLetterRequest { message_id: message.to_owned() };
        self.answer(gate.show_dead_letter(request)).await
    }

    /// Puts a dead letter back into its target's queue.
    ///
    /// # Errors
    /// Returns [`Error::Refused`] with the gate's reason, or why there was no answer.
    pub async fn replay(&self, message: &str) -> Result<(), Error> {
        let mut gate = self.link.admin();
        let request = admin::ReplayDeadLetterRequest { message_id: message.to_owned() };
        self.answer(gate.replay_dead_letter(request)).await?;
        Ok(())
    }

    /// Deletes a dead letter for good.
    ///
    /// # Errors
    /// Returns [`Error::Refused`] with the gate's reason, or why there was no answer.
    pub async fn drop_letter(&self, message: &str) -> Result<(), Error> {
        let mut gate = self.link.admin();
        let request = admin::DropDeadLetterRequest { message_id: message.to_owned() };
        self.answer(gate.drop_dead_letter(request)).await?;
        Ok(())
    }

    /// Looks on: a picture of the gate at once and one after each interval.
    ///
    /// # Errors
    /// Returns [`Error::Refused`] with the gate's reason, or why there was no answer.
    pub async fn overview(&self, request: admin::OverviewRequest) -> Result<Pictures<'_>, Error> {
        let mut gate = self.link.admin();
        let stream = self.answer(gate.overview(request)).await?;
        Ok(Pictures { link: &self.link, stream })
    }

    /// Tells the whole way of a message, or of a call that was refused.
    ///
    /// # Errors
    /// Returns [`Error::Refused`] with the gate's reason, or why there was no answer.
    pub async fn trace(
        &self,
        request: admin::TraceMessageRequest,
    ) -> Result<admin::TraceMessageResponse, Error> {
        let mut gate = self.link.admin();
        self.answer(gate.trace_message(request)).await
    }

    async fn answer<T>(
        &self,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Error> {
        match timeout(self.call_timeout, call).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(failure(&self.link, &status)),
            Err(_elapsed) => Err(Error::Timeout),
        }
    }
}

/// The pictures of a gate, one after each interval.
#[derive(Debug)]
pub struct Pictures<'a> {
    link: &'a Link,
    stream: Streaming<admin::OverviewResponse>,
}

impl Pictures<'_> {
    /// Waits for the next picture.
    ///
    /// # Errors
    /// Returns [`Error::Refused`] when the gate ends it, with its reason, and
    /// [`Error::Interrupted`] when the connection is gone.
    pub async fn next(&mut self) -> Result<admin::OverviewResponse, Error> {
        match self.stream.message().await {
            Ok(Some(picture)) => Ok(picture),
            Ok(None) => Err(Error::Interrupted),
            Err(status) => Err(failure(self.link, &status)),
        }
    }
}
