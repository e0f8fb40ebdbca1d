//! The one place where this library starts a task.
//!
//! It keeps no list: what is started here ends with the connection or the session that it serves,
//! whose owner holds the handle.

use std::future::Future;

use tokio::task::AbortHandle;
use tracing::Instrument as _;

/// Ends its task when dropped.
#[derive(Debug)]
pub(crate) struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Starts a task that ends by itself or when the handle is dropped.
#[expect(clippy::disallowed_methods, reason = "this is the one place that the ban points to")]
pub(crate) fn spawn(name: &'static str, future: impl Future<Output = ()> + Send + 'static) -> Task {
    Task(tokio::spawn(future.instrument(tracing::debug_span!("task", name))).abort_handle())
}

/// Starts a task that nobody holds; it must see by itself when to end.
#[expect(clippy::disallowed_methods, reason = "this is the one place that the ban points to")]
pub(crate) fn detach(name: &'static str, future: impl Future<Output = ()> + Send + 'static) {
    drop(tokio::spawn(future.instrument(tracing::debug_span!("task", name))));
}
