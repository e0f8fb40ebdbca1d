//! Background work: counted, and waited for when the gate closes.

use std::future::Future;

use tokio_util::task::TaskTracker;

/// The tasks of one gate.
#[derive(Debug, Clone, Default)]
pub struct Tasks(TaskTracker);

impl Tasks {
    /// Starts a task that outlives its caller.
    #[expect(clippy::disallowed_methods, reason = "the one place that may spawn: it counts")]
    pub fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<T> {
        tokio::spawn(self.0.track_future(work))
    }

    /// Waits until all tasks have ended; tasks may still be started meanwhile.
    pub async fn drain(&self) {
        self.0.close();
        self.0.wait().await;
    }
}
