//! Handling of messages: a task for each, a bound on how many, an answer for every one.
//!
//! It does not order messages: with more than one handler at once they overtake each other.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt as _;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracing::Instrument as _;

use crate::cause::{self, Cause};
use crate::error::{Error, HandlerError};
use crate::incoming::Incoming;
use crate::message::Message;
use crate::shared::Shared;
use crate::trace::TraceContext;

/// Hands each message to the handler until the client ends, then waits for those under way.
pub(crate) async fn listen<H, F>(shared: &Arc<Shared>, handler: H) -> Result<(), Error>
where
    H: Fn(Message) -> F + Send + Sync + 'static,
    F: Future<Output = Result<(), HandlerError>> + Send + 'static,
{
    let handler = Arc::new(handler);
    let room = Arc::new(Semaphore::new(shared.handlers_max.min(Semaphore::MAX_PERMITS)));
    let mut under_way = JoinSet::new();
    loop {
        // First the room, so that no message is taken which would then wait here.
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { break };
        while under_way.try_join_next().is_some() {}
        let Some(incoming) = shared.take().await else { break };
        let handler = Arc::clone(&handler);
        under_way.spawn(async move {
            // What the handler logs, and what is logged of it, carries the message's trace.
            let trace = incoming.message.trace();
            let log = trace.map_or_else(tracing::Span::none, TraceContext::log_span);
            handle(incoming, &*handler).instrument(log).await;
            drop(permit);
        });
    }
    while under_way.join_next().await.is_some() {}
    if shared.phases.closing.is_cancelled() {
        return Ok(());
    }
    let error = shared.ended().await;
    if matches!(error, Error::Closed) { Ok(()) } else { Err(error) }
}

async fn handle<F>(incoming: Incoming, handler: &impl Fn(Message) -> F)
where
    F: Future<Output = Result<(), HandlerError>>,
{
    let (message, answer, _open) = incoming.split();
    let message_id = message.message_id.clone();
    // The message is gone after a panic, and the handler shares nothing else with this code.
    let handling = cause::behind(Cause::of(&message), async { handler(message).await });
    let handled = AssertUnwindSafe(handling).catch_unwind().await;
    let given = match handled {
        Ok(Ok(())) => answer.ack().await,
        Ok(Err(why)) => answer.nack(why).await,
        Err(_panic) => {
            tracing::error!(%message_id, "handler panicked");
            answer.nack(HandlerError::fatal("the handler panicked")).await
        }
    };
    if let Err(error) = given {
        tracing::debug!(%message_id, %error, "answer not given, the message will come again");
    }
}
