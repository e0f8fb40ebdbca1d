//! Background work: counted, and waited for when the gate closes.

use std::future::Future;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

/// The tasks of one gate.
#[derive(Debug, Clone)]
pub struct Tasks {
    tracker: TaskTracker,
    /// Where all work is done, from wherever it is started; nothing where that is not known yet.
    home: Option<Handle>,
}

impl Default for Tasks {
    /// Makes them at home in the runtime that this is called in.
    fn default() -> Self {
        Self { tracker: TaskTracker::default(), home: Handle::try_current().ok() }
    }
}

impl Tasks {
    /// Starts a task that outlives its caller.
    #[expect(clippy::disallowed_methods, reason = "the one place that may spawn: it counts")]
    pub fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        let work = self.tracker.track_future(work);
        match &self.home {
            Some(home) => home.spawn(work),
            None => tokio::spawn(work),
        }
    }

    /// Starts a task in another runtime than the gate's: work whose pace concerns nobody else.
    pub fn spawn_away<T: Send + 'static>(
        &self,
        away: &Handle,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        away.spawn(self.tracker.track_future(work))
    }

    /// Does work at home, wherever it is asked for: what holds a lock must not be held up while
    /// it does. Dropping it stops the work. Nothing if the work failed.
    pub async fn at_home<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let is_home =
            |home: &Handle| Handle::try_current().is_ok_and(|here| here.id() == home.id());
        if self.home.as_ref().is_none_or(is_home) {
            return Some(work.await);
        }
        AbortOnDropHandle::new(self.spawn(work)).await.ok()
    }

    /// Waits until all tasks have ended; tasks may still be started meanwhile.
    pub async fn drain(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Starts another runtime, whose one thread has a name.
    fn away() -> tokio::runtime::Runtime {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(1).thread_name("away").enable_all().build().unwrap()
    }

    /// Returns the name of the thread that waits for it.
    fn thread() -> impl Future<Output = String> {
        std::future::poll_fn(|_| {
            let name = std::thread::current().name().unwrap_or_default().to_owned();
            std::task::Poll::Ready(name)
        })
    }

    #[tokio::test]
    async fn work_that_is_started_elsewhere_is_done_at_home() {
        let (tasks, away) = (Tasks::default(), away());
        let elsewhere = tasks.clone();
        let seen = tasks.spawn_away(away.handle(), async move {
            let spawned = elsewhere.spawn(thread()).await.unwrap();
            [thread().await, spawned, elsewhere.at_home(thread()).await.unwrap()]
        });
        let [there, spawned, at_home] = seen.await.unwrap();
        let here = thread().await;
        assert_eq!((there.as_str(), &spawned, &at_home), ("away", &here, &here));
        away.shutdown_background();
    }

    #[tokio::test]
    async fn work_at_home_stops_when_nobody_waits_for_it_any_more() {
        let (tasks, away) = (Tasks::default(), away());
        let (ended, over) = tokio::sync::oneshot::channel::<()>();
        let elsewhere = tasks.clone();
        let waits = tasks.spawn_away(away.handle(), async move {
            let forever = async move {
                let _ended = ended;
                std::future::pending::<()>().await;
            };
            tokio::time::timeout(std::time::Duration::from_millis(20), elsewhere.at_home(forever))
                .await
        });
        assert!(waits.await.unwrap().is_err());
        assert!(over.await.is_err(), "its sender is dropped with it");
        away.shutdown_background();
    }
}
