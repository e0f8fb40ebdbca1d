//! Background work: counted, and waited for when the gate closes.

use std::future::Future;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

/// The tasks of one gate.
#[derive(Debug, Clone, Default)]
pub struct Tasks(TaskTracker);

impl Tasks {
    /// Starts a task that outlives its caller, in the runtime that this is called in.
    #[expect(clippy::disallowed_methods, reason = "the one place that may spawn: it counts")]
    pub fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        tokio::spawn(self.0.track_future(work))
    }

    /// Starts a task in another runtime: work whose pace concerns nobody else.
    pub fn spawn_away<T: Send + 'static>(
        &self,
        away: &Handle,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        away.spawn(self.0.track_future(work))
    }

    /// Waits until all tasks have ended; tasks may still be started meanwhile.
    pub async fn drain(&self) {
        self.0.close();
        self.0.wait().await;
    }
}
