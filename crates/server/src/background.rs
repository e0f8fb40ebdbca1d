//! Threads of the lowest priority, for single pieces of work that take long.
//!
//! The costly half of handshakes and long computations go on here, at full speed where the
//! processor has nothing better to do. Nothing here takes a lock often that others wait for: a
//! thread of low priority that is interrupted with one holds them up. Connections are therefore
//! never served here.

mod computations;
mod priority;

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::Poll;

use gate::tasks::Tasks;
use tokio::runtime::{Builder, Handle, Runtime};

pub(crate) use self::computations::{Computations, Room};

/// A runtime of its own.
#[derive(Debug)]
pub(crate) struct Background {
    handle: Handle,
    /// Taken when it ends.
    runtime: Option<Runtime>,
}

// LIMIT: threads for handshakes: they get one core at most, also on a machine that is idle
// otherwise.
const THREADS: usize = 1;

/// What becomes of a connection or a handshake, bit by bit.
pub(crate) type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// How a ride in the lane ended.
pub(crate) enum Ride<T> {
    /// The work is done.
    Done(T),
    /// The work goes on elsewhere.
    Back(Work<T>),
}

impl Background {
    /// Starts the lane.
    ///
    /// # Errors
    ///
    /// Returns what the system says against another thread.
    pub(crate) fn start() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("palisade-behind")
            .on_thread_start(priority::lower)
            .enable_all()
            .build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }

    /// Goes on with some work in the lane until it is done, or for as long as `stays` says before
    /// each of its steps. Nothing if the work failed or the lane has ended.
    pub(crate) async fn ride<T: Send + 'static>(
        &self,
        tasks: &Tasks,
        work: Work<T>,
        mut stays: impl FnMut() -> bool + Send + 'static,
    ) -> Option<Ride<T>> {
        let mut work = Some(work);
        let riding = poll_fn(move |context| {
            let Some(mut going) = work.take() else { return Poll::Pending };
            if !stays() {
                return Poll::Ready(Ride::Back(going));
            }
            match going.as_mut().poll(context) {
                Poll::Ready(done) => Poll::Ready(Ride::Done(done)),
                Poll::Pending => {
                    work = Some(going);
                    Poll::Pending
                }
            }
        });
        tasks.spawn_away(&self.handle, riding).await.ok()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // Waiting for its threads would block the one that drops it.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::sync::Notify;

    use super::*;

    fn thread() -> String {
        std::thread::current().name().unwrap_or_default().to_owned()
    }

    #[tokio::test]
    async fn work_rides_in_the_lane_until_it_is_done() {
        let threads = Background::start().unwrap();
        let ride = threads.ride(&Tasks::default(), Box::pin(async { thread() }), || true).await;
        let Some(Ride::Done(seen)) = ride else { panic!("it came back") };
        assert_eq!(seen, "palisade-behind");
        assert_ne!(thread(), "palisade-behind");
    }

    #[tokio::test]
    async fn work_comes_back_where_it_was_and_goes_on() {
        let threads = Background::start().unwrap();
        let (stays, news) = (Arc::new(AtomicBool::new(true)), Arc::new(Notify::new()));
        let steps = Arc::clone(&news);
        let work: Work<[String; 2]> = Box::pin(async move {
            let first = thread();
            steps.notified().await;
            [first, thread()]
        });
        let allowed = Arc::clone(&stays);
        let riding = async move {
            let tasks = Tasks::default();
            threads.ride(&tasks, work, move || allowed.load(Ordering::Acquire)).await
        };
        let ends = async {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            stays.store(false, Ordering::Release);
            news.notify_one();
        };
        let (ride, ()) = tokio::join!(riding, ends);
        let Some(Ride::Back(work)) = ride else { panic!("it did not come back") };
        let [first, second] = work.await;
        assert_eq!((first.as_str(), second), ("palisade-behind", thread()));
    }

    #[tokio::test]
    async fn work_that_fails_ends_alone() {
        let threads = Background::start().unwrap();
        let tasks = Tasks::default();
        let failing: Work<()> = Box::pin(async { panic!("as a test") });
        assert!(threads.ride(&tasks, failing, || true).await.is_none());
        let ride = threads.ride(&tasks, Box::pin(async { 7 }), || true).await;
        assert!(matches!(ride, Some(Ride::Done(7))));
    }
}
