//! How a unary call is made: when to wait for a connection, when to repeat, what a failure means.
//!
//! It repeats only what the gate has certainly not acted upon; unary calls have no key by which the
//! gate could recognise a repetition.

use std::error::Error as StdError;
use std::future::Future;
use std::sync::Arc;

use tokio::time::{Instant, timeout_at};
use tonic::{Request, Response, Status};

use crate::cause::Cause;
use crate::dial::Link;
use crate::error::{Error, Refused, is_transport};
use crate::shared::Shared;
use crate::tracer::Operation;

impl Shared {
    /// Makes a call on a live connection, waiting for one until the deadline.
    pub(crate) async fn call<T, F>(
        &self,
        deadline: Instant,
        attempt: impl Fn(Arc<Link>) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let mut last = None;
        let attempts = async {
            let _permit = self.calls.acquire().await.map_err(|_closed| Error::Closed)?;
            let mut useless = None;
            loop {
                let link = self.link(useless.as_ref()).await?;
                match outcome(&link, attempt(Arc::clone(&link)).await) {
                    Outcome::Done(result) => return result,
                    Outcome::NeverSent => {}
                    Outcome::Elsewhere(refused) => last = Some(refused),
                }
                useless = Some(link);
            }
        };
        match timeout_at(deadline, attempts).await {
            Ok(result) => result,
            Err(_elapsed) => {
                let known = self.unusable().or_else(|| last.map(Error::Refused));
                Err(known.unwrap_or(Error::Timeout))
            }
        }
    }

    /// Makes a call that is about no message that is sent, within its trace.
    pub(crate) async fn call_traced<M: Clone, T, F>(
        &self,
        (operation, message_id): (Operation, Option<&str>),
        cause: &Cause,
        message: M,
        attempt: impl Fn(Arc<Link>, Request<M>) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let mut cause = cause.completed();
        let tracing = self.trace_call(operation, message_id, &mut cause);
        let attempt = |link| attempt(link, cause.stated(message.clone()));
        let answered = self.call(self.deadline(), attempt).await;
        tracing.ended(&answered);
        answered
    }

    /// Returns the deadline of a call that has no own timeout.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.call_timeout
    }
}

enum Outcome<T> {
    Done(Result<T, Error>),
    /// The connection was gone before the request was on it.
    NeverSent,
    /// The gate did nothing because this session, its certificate or this gate is ending.
    Elsewhere(Refused),
}

fn outcome<T>(link: &Link, answered: Result<Response<T>, Status>) -> Outcome<T> {
    let status = match answered {
        Ok(response) => return Outcome::Done(Ok(response.into_inner())),
        Err(status) => status,
    };
    if is_transport(&status) {
        return if was_never_sent(&status) {
            Outcome::NeverSent
        } else {
            Outcome::Done(Err(failure(link, &status)))
        };
    }
    let refused = Refused::from_status(&status);
    if refused.is_about_session() {
        Outcome::Elsewhere(refused)
    } else {
        Outcome::Done(Err(Error::Refused(refused)))
    }
}

/// Turns a status into what the program sees.
pub(crate) fn failure(link: &Link, status: &Status) -> Error {
    if is_transport(status) {
        link.refused_by_tls().unwrap_or(Error::Interrupted)
    } else {
        Error::Refused(Refused::from_status(status))
    }
}

fn was_never_sent(status: &Status) -> bool {
    let mut cause = StdError::source(status);
    while let Some(error) = cause {
        if error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled) {
            return true;
        }
        cause = error.source();
    }
    false
}
