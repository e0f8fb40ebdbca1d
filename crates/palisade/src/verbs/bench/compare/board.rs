//! The load that all sides of a comparison get: counters, the measured window, and its sample.
//!
//! A message is in flight from its publishing until its receiver has acknowledged it. Each session
//! has the same number of them in flight, whatever server it talks to, so that neither side is
//! measured with a longer queue than the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::bail;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::super::process;
use crate::clock;

/// What is asked of every side.
#[derive(Debug, Clone, Copy)]
pub(in crate::verbs::bench) struct Shape {
    /// Connections; each sends and receives.
    pub(in crate::verbs::bench) sessions: u32,
    /// Messages in flight of each session.
    pub(in crate::verbs::bench) in_flight: usize,
    /// The time that is measured, after a second to warm up, or as long where it is shorter.
    pub(in crate::verbs::bench) window: Duration,
}

/// What one run of one side gave.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub(in crate::verbs::bench) struct Sample {
    /// Messages that were sent, delivered and acknowledged in the window.
    pub(in crate::verbs::bench) messages: u64,
    /// CPU time of the server for each of them, in microseconds; none if its process is unknown.
    pub(in crate::verbs::bench) cpu_us: Option<f64>,
    /// Time that passed for each of them, in microseconds.
    pub(in crate::verbs::bench) time_us: f64,
    /// Messages that were accepted and had not arrived long after the end: must be 0.
    pub(in crate::verbs::bench) undelivered: u64,
    /// Messages that were accepted in the whole run.
    pub(in crate::verbs::bench) accepted: u64,
}

/// What all sessions of a run share.
#[derive(Debug, Default)]
pub(super) struct Board {
    next: AtomicU64,
    accepted: AtomicU64,
    taken: AtomicU64,
    over: AtomicBool,
}

impl Board {
    /// Returns the number of the next message, or nothing when no more are to be sent.
    pub(super) fn next(&self) -> Option<u64> {
        let over = self.over.load(Ordering::Acquire);
        (!over).then(|| self.next.fetch_add(1, Ordering::AcqRel))
    }

    /// Notes that the server has accepted messages.
    pub(super) fn accepted(&self, count: u64) {
        self.accepted.fetch_add(count, Ordering::Relaxed);
    }

    /// Notes that messages were received and acknowledged.
    pub(super) fn taken(&self, count: u64) {
        self.taken.fetch_add(count, Ordering::Relaxed);
    }

    /// Waits until all that was sent was accepted and has arrived; returns how many have not.
    async fn settle(&self) -> u64 {
        let sent = || self.next.load(Ordering::Acquire);
        let arrived = || {
            let taken = self.taken.load(Ordering::Relaxed);
            taken.min(self.accepted.load(Ordering::Relaxed))
        };
        for _ in 0..SETTLE_ROUNDS {
            if arrived() >= sent() {
                break;
            }
            sleep(SETTLE_INTERVAL).await;
        }
        sent().saturating_sub(arrived())
    }
}

/// Holds how many messages one session may still put in flight: its receiver gives them back.
pub(super) fn flights(shape: Shape) -> Vec<Arc<Semaphore>> {
    (0..shape.sessions).map(|_| Arc::new(Semaphore::new(shape.in_flight))).collect()
}

/// Lets the sessions run, first to warm up, then measured, and waits for what is in flight.
///
/// The sessions run until they are stopped here; one that ends by itself has failed.
///
/// # Errors
/// Returns the error of the first session that fails.
pub(super) async fn measure(
    mut sessions: JoinSet<anyhow::Result<()>>,
    board: &Board,
    pid: Option<u32>,
    window: Duration,
) -> anyhow::Result<Sample> {
    watch(&mut sessions, WARM_UP.min(window)).await?;
    let cpu_before = pid.map(process::cpu_time).transpose()?;
    let taken_before = board.taken.load(Ordering::Relaxed);
    let start = clock::instant();
    let mut messages = 0;
    for _ in 0..WINDOWS_MAX {
        watch(&mut sessions, window).await?;
        messages = board.taken.load(Ordering::Relaxed) - taken_before;
        // Nothing, where one sync for each of thousands in flight takes longer than a window.
        if messages >= MESSAGES_MIN {
            break;
        }
    }
    let took = start.elapsed();
    let cpu_after = pid.map(process::cpu_time).transpose()?;
    board.over.store(true, Ordering::Release);
    let undelivered = tokio::select! {
        undelivered = board.settle() => undelivered,
        failed = watch(&mut sessions, Duration::MAX) => { failed?; 0 }
    };
    sessions.shutdown().await;
    if messages == 0 {
        bail!("no message was delivered in {took:?}");
    }
    let each = |time: Duration| time.as_secs_f64() * 1e6 / super::super::count(messages);
    Ok(Sample {
        messages,
        cpu_us: cpu_after.zip(cpu_before).map(|(after, before)| each(after.saturating_sub(before))),
        time_us: each(took),
        undelivered,
        accepted: board.accepted.load(Ordering::Relaxed),
    })
}

/// Waits for a time, or for the first session that ends.
async fn watch(sessions: &mut JoinSet<anyhow::Result<()>>, time: Duration) -> anyhow::Result<()> {
    tokio::select! {
        () = sleep(time) => Ok(()),
        Some(ended) = sessions.join_next() => {
            ended??;
            bail!("a session of the load ended before its time")
        }
    }
}

/// The first second connects code paths, fills caches and lets stores make their first files.
const WARM_UP: Duration = Duration::from_secs(1);
/// Fewer messages say nothing: the window is measured again, up to a limit, and added to the first.
const MESSAGES_MIN: u64 = 100;
const WINDOWS_MAX: u32 = 10;
/// LIMIT: how long the last deliveries may take, together with the interval.
const SETTLE_ROUNDS: u32 = 3_000;
const SETTLE_INTERVAL: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_sent_and_never_arrived_is_counted() {
        let board = Board::default();
        for _ in 0..5 {
            board.next().unwrap();
        }
        board.accepted(5);
        board.taken(5);
        assert_eq!(board.settle().await, 0);
        board.next().unwrap();
        board.over.store(true, Ordering::Release);
        assert_eq!(board.next(), None);
        tokio::time::pause();
        board.taken(1);
        assert_eq!(board.settle().await, 1, "it was taken, but nobody has accepted it");
    }

    #[tokio::test]
    async fn a_session_that_ends_by_itself_is_an_error() {
        let mut sessions = JoinSet::new();
        sessions.spawn(async { Ok(()) });
        let failed = measure(sessions, &Board::default(), None, Duration::from_secs(5)).await;
        assert!(failed.unwrap_err().to_string().contains("before its time"));
    }
}
