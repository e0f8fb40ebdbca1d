//! How many messages led to the one that is sent: so that the gate can end a loop of agents that
//! answer each message with another.
//!
//! Nothing here refuses anything; the gate counts and decides.

use std::future::Future;

use tonic::Request;
use tonic::metadata::MetadataValue;

use crate::message::Message;

tokio::task_local! {
    /// How many messages led to what this task sends.
    static HOPS: u32;
}

/// Runs what handles a message: so many messages led to what it sends.
pub(crate) fn behind<F: Future>(hops: u32, handling: F) -> impl Future<Output = F::Output> {
    HOPS.scope(hops, handling)
}

/// Returns how many messages led to what a message leads to.
pub(crate) const fn after(message: &Message) -> u32 {
    message.hops.saturating_add(1)
}

/// Makes the request of a call: it says how many messages led to it, as far as that is known.
pub(crate) fn stated<T>(message: T, caused: u32) -> Request<T> {
    let mut request = Request::new(message);
    let hops = caused.max(HOPS.try_with(|hops| *hops).unwrap_or_default());
    if hops > 0 {
        request.metadata_mut().insert("palisade-hops", MetadataValue::from(hops));
    }
    request
}
