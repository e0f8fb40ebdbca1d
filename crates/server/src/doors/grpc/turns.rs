//! Turns: those who do too much are served one piece at a time, and give way while others wait.
//!
//! On a machine with time to spare nobody waits, and they are served at full speed. Priorities of
//! threads would not do: a thread of low priority that is interrupted while it holds a lock of the
//! runtime holds up everyone who wants that lock.

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use tokio::sync::{Mutex, Notify};
use tokio::time::Instant;

use super::share::Share;

/// What is done in turns.
pub(super) type Work = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// The turn of all who share one.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<()>);

// How long a task that lets others go first is away where nobody has anything to do.
const NOBODY_WAITS: Duration = Duration::from_micros(100);
// LIMIT: while others wait, all who take turns get a tenth of one processor.
const WAY: u32 = 9;
// A piece is short, and a timer's step is a thousandth of a second.
const WAY_MIN: Duration = Duration::from_millis(1);

impl Turns {
    /// Does a connection's work until it ends: freely while its share is not slow, else in turns.
    pub(super) async fn drive(&self, share: &Share, mut work: Work) {
        loop {
            let freely = std::future::poll_fn(|context| {
                if share.is_slow() {
                    return Poll::Ready(false);
                }
                work.as_mut().poll(context).map(|()| true)
            });
            if freely.await || self.slowly(share, &mut work).await {
                return;
            }
        }
    }

    /// Does work in turns while its share is slow; true if it has ended.
    async fn slowly(&self, share: &Share, work: &mut Work) -> bool {
        let alarm = Arc::new(Alarm::default());
        let waker = Waker::from(Arc::clone(&alarm));
        while share.is_slow() {
            let turn = self.0.lock().await;
            let begun = Instant::now();
            if work.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                // At once: what its end means for the share must be known before it comes back.
                return true;
            }
            give_way(begun.elapsed()).await;
            drop(turn);
            alarm.0.notified().await;
        }
        false
    }

    /// Waits for a turn, and lets others go first.
    pub(super) async fn queue(&self) {
        let _turn = self.0.lock().await;
        give_way(Duration::ZERO).await;
    }
}

/// Lets others go first; if there are any, in proportion to what it held them up.
async fn give_way(took: Duration) {
    let asked = Instant::now();
    tokio::task::yield_now().await;
    if asked.elapsed() > NOBODY_WAITS {
        tokio::time::sleep((took * WAY).max(WAY_MIN)).await;
    }
}

/// Wakes work that waits for more than its turn.
#[derive(Debug, Default)]
struct Alarm(Notify);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::super::share::Shares;
    use super::*;
    use crate::config::ServerLimits;

    /// Makes a share that is slow for so long once it is told to be.
    fn share(length: Duration) -> Arc<Share> {
        let limits =
            ServerLimits { slow_lane: length, slow_lane_max: length, ..ServerLimits::default() };
        Shares::new(limits).of("a")
    }

    #[tokio::test]
    async fn a_connection_goes_on_whether_it_is_slow_or_not() {
        let share = share(Duration::from_millis(50));
        let (news, steps) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
        let (waits, counts) = (Arc::clone(&news), Arc::clone(&steps));
        let work: Work = Box::pin(async move {
            for _ in 0..3 {
                waits.notified().await;
                counts.fetch_add(1, Ordering::Relaxed);
            }
        });
        let stepped = async |count: usize| {
            news.notify_one();
            while steps.load(Ordering::Relaxed) < count {
                tokio::task::yield_now().await;
            }
        };
        let turns = Turns::default();
        let drives = async {
            stepped(1).await;
            share.slow_down();
            stepped(2).await;
            while share.is_slow() {
                tokio::task::yield_now().await;
            }
            stepped(3).await;
        };
        tokio::join!(turns.drive(&share, work), drives);
    }

    /// Returns how often a slow connection gets its turn in a time in which others work as well.
    async fn pieces(others_work: bool) -> usize {
        let (share, turns) = (share(Duration::from_secs(60)), Turns::default());
        share.slow_down();
        let pieces = Arc::new(AtomicUsize::new(0));
        let counts = Arc::clone(&pieces);
        let greedy = std::future::poll_fn(move |context| {
            counts.fetch_add(1, Ordering::Relaxed);
            busy(Duration::from_micros(200));
            context.waker().wake_by_ref();
            Poll::<()>::Pending
        });
        let is_over = AtomicBool::new(false);
        let others = async {
            while others_work && !is_over.load(Ordering::Relaxed) {
                busy(Duration::from_micros(200));
                tokio::task::yield_now().await;
            }
        };
        let ends = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            is_over.store(true, Ordering::Relaxed);
        };
        let driven = async {
            tokio::select! {
                () = turns.drive(&share, Box::pin(greedy)) => {}
                () = ends => {}
            }
        };
        // In tasks of their own, so that they wait for each other as connections do.
        tokio::join!(driven, others);
        pieces.load(Ordering::Relaxed)
    }

    fn busy(time: Duration) {
        let begun = Instant::now();
        while begun.elapsed() < time {}
    }

    #[tokio::test]
    async fn while_others_wait_it_gets_a_tenth() {
        let (alone, beside_others) = (pieces(false).await, pieces(true).await);
        // At most one in two milliseconds beside others; alone, five times as many or more.
        assert!(beside_others > 10, "{beside_others}");
        assert!(alone > 3 * beside_others, "{alone} {beside_others}");
    }
}
