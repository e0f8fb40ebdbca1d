//! What led to a message that is sent: how many messages before it, and in which trace.
//!
//! The gate ends a loop of agents that answer each message with another by the number; it counts
//! and decides, nothing is refused here.

use std::future::Future;
use std::sync::Arc;

use tonic::Request;
use tonic::metadata::MetadataValue;

use crate::message::Message;
use crate::trace::TraceContext;

/// Says what a message follows from, as far as that is known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cause {
    /// How many messages led to it.
    pub(crate) hops: u32,
    pub(crate) trace: Option<Arc<TraceContext>>,
}

tokio::task_local! {
    /// What led to that which this task sends.
    static CAUSE: Cause;
}

impl Cause {
    /// Returns the cause of what a message leads to.
    pub(crate) fn of(message: &Message) -> Self {
        Self { hops: message.hops.saturating_add(1), trace: message.trace.clone() }
    }

    /// Adds what the handler knows in which this is called.
    pub(crate) fn completed(&self) -> Self {
        let here = CAUSE.try_with(Clone::clone).unwrap_or_default();
        Self { hops: self.hops.max(here.hops), trace: self.trace.clone().or(here.trace) }
    }

    /// Makes the request of a unary call, which tells the cause in its metadata.
    pub(crate) fn stated<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        if self.hops > 0 {
            metadata.insert("palisade-hops", MetadataValue::from(self.hops));
        }
        let Some(trace) = &self.trace else { return request };
        // INVARIANT: a trace context is printable, so both become metadata.
        if let Ok(parent) = MetadataValue::try_from(trace.traceparent()) {
            metadata.insert("traceparent", parent);
        }
        if let Some(Ok(state)) = trace.tracestate().map(MetadataValue::try_from) {
            metadata.insert("tracestate", state);
        }
        request
    }
}

/// Runs what handles a message; what it sends has this cause.
pub(crate) fn behind<F: Future>(cause: Cause, handling: F) -> impl Future<Output = F::Output> {
    CAUSE.scope(cause, handling)
}
