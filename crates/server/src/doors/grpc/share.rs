//! What one principal has a share of: calls at once, their bytes, and rates.
//!
//! All connections of an identity share it. It counts and says no; what a no means is decided
//! where it is met.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use gate::types::Refusal;
use parking_lot::Mutex;
use tonic::Status;

use super::bucket::Bucket;
use super::lasting::Lasting;
use crate::config::ServerLimits;

/// What one principal uses of what is bounded.
#[derive(Debug)]
pub(super) struct Share {
    calls: AtomicUsize,
    bytes: AtomicUsize,
    held: AtomicUsize,
    all: Arc<AtomicUsize>,
    limits: ServerLimits,
    /// HTTP/2 frames without work.
    pub(super) idle_frames: Bucket,
    /// Calls that it cancels.
    pub(super) cancels: Bucket,
    /// Calls of it that are refused.
    pub(super) refusals: Bucket,
    /// Bytes that it sends.
    pub(super) received: Bucket,
    penalty: Lasting,
    slowness: Lasting,
}

// How many seconds of a rate may come at once.
const RESERVE_SECONDS: f64 = 5.0;
const BYTES_RESERVE_SECONDS: f64 = 1.0;

// LIMIT: the part of a reserve with which the slow lane begins: half a second of a rate in a
// burst. Of bytes more, since one large message is no flood.
const FEW_LEFT: f64 = 0.9;
const BYTES_LEFT: f64 = 0.5;

// LIMIT: answers of refused calls that are held back at once, for one principal.
const HELD_MAX: usize = 64;

impl Share {
    fn new(limits: ServerLimits, all: Arc<AtomicUsize>) -> Self {
        let bucket = |per_second: u32| Bucket::new(f64::from(per_second), RESERVE_SECONDS);
        let bytes = u32::try_from(limits.bytes_per_second_per_identity).unwrap_or(u32::MAX);
        Self {
            calls: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            held: AtomicUsize::new(0),
            all,
            limits,
            idle_frames: bucket(limits.idle_frames_per_second),
            cancels: bucket(limits.cancels_per_second),
            refusals: bucket(limits.refusals_per_second),
            received: Bucket::new(f64::from(bytes), BYTES_RESERVE_SECONDS),
            penalty: Lasting::new(limits.penalty, limits.penalty_max),
            slowness: Lasting::new(limits.slow_lane, limits.slow_lane_max),
        }
    }

    /// Begins a call; nothing if as many are under way as may be.
    pub(super) fn begin(self: &Arc<Self>) -> Option<Arc<Ticket>> {
        // LIMIT: server.limits.calls_per_identity_max.
        if !add(&self.calls, 1, self.limits.calls_per_identity_max) {
            return None;
        }
        Some(Arc::new(Ticket {
            share: Arc::clone(self),
            bytes: AtomicUsize::new(0),
            refusal: OnceLock::new(),
        }))
    }

    /// Takes a place to wait in with a refusal; nothing if too many wait.
    pub(super) fn hold(self: &Arc<Self>) -> Option<Held> {
        add(&self.held, 1, HELD_MAX).then(|| Held(Arc::clone(self)))
    }

    /// Refuses further connections for a while.
    pub(super) fn punish(&self) {
        let away = self.penalty.begin();
        // From when it may come back.
        self.slowness.begin_with(away);
    }

    /// Tells whether connections are refused because of what an earlier one did.
    pub(super) fn is_punished(&self) -> bool {
        self.penalty.is_on()
    }

    /// Sends its connections to the slow lane for a while.
    pub(super) fn slow_down(&self) {
        self.slowness.begin();
    }

    /// Tells whether its connections belong in the slow lane.
    pub(super) fn is_slow(&self) -> bool {
        self.slowness.is_on()
    }

    /// Sends its connections to the slow lane if it does much of what is limited. That is long
    /// before a limit is met, and costs nothing where there is no want of processor.
    pub(super) fn judge(&self) {
        let counts = [&self.idle_frames, &self.cancels, &self.refusals];
        if counts.iter().any(|rate| rate.is_below(FEW_LEFT)) || self.received.is_below(BYTES_LEFT) {
            self.slow_down();
        }
    }

    fn is_quiet(&self) -> bool {
        let rates = [&self.idle_frames, &self.cancels, &self.refusals, &self.received];
        let times = [&self.penalty, &self.slowness];
        times.iter().all(|time| time.is_forgotten()) && rates.iter().all(|rate| rate.is_full())
    }
}

/// Adds to a count if it stays within a bound.
fn add(count: &AtomicUsize, more: usize, max: usize) -> bool {
    let within = |now: usize| now.checked_add(more).filter(|sum| *sum <= max);
    count.fetch_update(Ordering::AcqRel, Ordering::Acquire, within).is_ok()
}

/// A call under way, from its first header until the gate has decided it.
#[derive(Debug)]
pub(super) struct Ticket {
    share: Arc<Share>,
    bytes: AtomicUsize,
    refusal: OnceLock<Refusal>,
}

impl Ticket {
    /// Counts bytes of the call's body; returns the full bound's key if there is no room.
    pub(super) fn charge(&self, bytes: usize) -> Result<(), &'static str> {
        let share = &self.share;
        if !add(&share.bytes, bytes, share.limits.call_bytes_per_identity_max) {
            return Err("the room for this identity's calls (call_bytes_per_identity_max)");
        }
        if !add(&share.all, bytes, share.limits.call_bytes_max) {
            share.bytes.fetch_sub(bytes, Ordering::AcqRel);
            return Err("the room for calls (call_bytes_max)");
        }
        self.bytes.fetch_add(bytes, Ordering::AcqRel);
        Ok(())
    }

    /// Returns the share that the call is counted in.
    pub(super) fn share(&self) -> Arc<Share> {
        Arc::clone(&self.share)
    }

    /// Returns the bytes of the call's body that have come.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Acquire)
    }

    /// Notes why the call's body is not read to its end; the first reason stands. Returns what
    /// ends the reading.
    pub(super) fn refuse(&self, refusal: Refusal) -> Status {
        let ended = Status::aborted(refusal.code());
        drop(self.refusal.set(refusal));
        ended
    }

    /// Returns why the call's body was not read to its end, if it was not.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        self.refusal.get().cloned()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let bytes = *self.bytes.get_mut();
        self.share.bytes.fetch_sub(bytes, Ordering::AcqRel);
        self.share.all.fetch_sub(bytes, Ordering::AcqRel);
        self.share.calls.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A place among the refusals that are held back.
#[derive(Debug)]
pub(super) struct Held(Arc<Share>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The share of each principal.
#[derive(Debug)]
pub(super) struct Shares {
    limits: ServerLimits,
    all: Arc<AtomicUsize>,
    of: Mutex<(HashMap<String, Arc<Share>>, usize)>,
}

// Below so many shares none is forgotten; above, whenever they have doubled.
const SWEEP_FROM: usize = 1_024;

impl Shares {
    pub(super) fn new(limits: ServerLimits) -> Self {
        Self { limits, all: Arc::default(), of: Mutex::new((HashMap::new(), SWEEP_FROM)) }
    }

    /// Returns the share of a principal by its name. It outlives the principal's connections
    /// until its rates are full again, so that coming back gains nothing.
    pub(super) fn of(&self, name: &str) -> Arc<Share> {
        let mut guard = self.of.lock();
        let (of, sweep_at) = &mut *guard;
        if let Some(share) = of.get(name) {
            return Arc::clone(share);
        }
        if of.len() >= *sweep_at {
            of.retain(|_, share| Arc::strong_count(share) > 1 || !share.is_quiet());
            *sweep_at = (of.len() * 2).max(SWEEP_FROM);
        }
        let share = Arc::new(Share::new(self.limits, Arc::clone(&self.all)));
        of.insert(name.to_owned(), Arc::clone(&share));
        share
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn shares() -> Shares {
        Shares::new(ServerLimits {
            calls_per_identity_max: 2,
            call_bytes_per_identity_max: 100,
            call_bytes_max: 150,
            ..ServerLimits::default()
        })
    }

    #[tokio::test]
    async fn calls_count_until_the_last_holder_lets_go() {
        let shares = shares();
        let share = shares.of("a");
        let first = share.begin().unwrap();
        let run = Arc::clone(&first);
        let _second = share.begin().unwrap();
        drop(first);
        assert!(shares.of("a").begin().is_none());
        assert!(shares.of("b").begin().is_some());
        drop(run);
        assert!(share.begin().is_some());
    }

    #[tokio::test]
    async fn bytes_are_bounded_for_each_and_for_all() {
        let shares = shares();
        let a = shares.of("a").begin().unwrap();
        let b = shares.of("b").begin().unwrap();
        a.charge(60).unwrap();
        assert!(a.charge(41).unwrap_err().contains("per_identity"));
        a.charge(40).unwrap();
        b.charge(50).unwrap();
        assert!(b.charge(1).unwrap_err().contains("call_bytes_max"));
        drop(a);
        b.charge(50).unwrap();
        assert!(b.charge(1).unwrap_err().contains("per_identity"));
        drop(b);
        assert_eq!(shares.all.load(Ordering::Acquire), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_much_is_slow_long_before_a_limit_and_not_for_ever() {
        let shares = shares();
        let share = shares.of("a");
        share.judge();
        assert!(!share.is_slow());
        assert!(share.refusals.take(60));
        share.judge();
        assert!(share.is_slow() && !share.is_punished() && !shares.of("b").is_slow());
        tokio::time::advance(Duration::from_secs(6)).await;
        share.judge();
        assert!(!share.is_slow());
        // Again, and for twice as long.
        assert!(share.cancels.take(60));
        share.judge();
        tokio::time::advance(Duration::from_secs(6)).await;
        assert!(share.is_slow());
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_cut_is_slow_when_it_comes_back_and_stays_away_longer_each_time() {
        let share = shares().of("a");
        for seconds in [2, 4, 8] {
            share.punish();
            tokio::time::advance(Duration::from_millis(seconds * 1_000 - 1)).await;
            assert!(share.is_punished(), "{seconds}");
            tokio::time::advance(Duration::from_millis(1)).await;
            assert!(!share.is_punished() && share.is_slow(), "{seconds}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_share_is_forgotten_when_it_is_quiet_and_not_before() {
        let shares = shares();
        shares.of("busy").refusals.take(100);
        shares.of("bad").punish();
        let _connected = shares.of("connected");
        for number in 0..SWEEP_FROM {
            shares.of(&number.to_string());
        }
        let known = |name: &str| shares.of.lock().0.contains_key(name);
        assert!(known("busy") && known("bad") && known("connected") && !known("1"));
        tokio::time::advance(Duration::from_secs(60)).await;
        for number in 0..SWEEP_FROM {
            shares.of(&number.to_string());
        }
        // What was bad is worse the next time, and so not forgotten that soon.
        assert!(known("connected") && !known("busy") && known("bad"));
        tokio::time::advance(Duration::from_secs(600)).await;
        for number in 0..4 * SWEEP_FROM {
            shares.of(&number.to_string());
        }
        assert!(known("connected") && !known("bad"));
    }
}
