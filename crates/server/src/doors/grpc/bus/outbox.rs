//! What waits to be told on a native session, and what its client has left unanswered.
//!
//! Deliveries are not here: those are pulled when there is room for them.

use std::task::{Context, Waker};

use parking_lot::Mutex;
use wire::palisade::bus::v1 as bus;

/// What the direction that reads tells the one that writes.
#[derive(Debug, Default)]
pub(super) struct Outbox(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    outcomes: Vec<bus::Outcome>,
    /// Publishes whose outcome the client cannot have read, and their bytes.
    count: usize,
    bytes: usize,
    /// What of these goes with the outcomes above.
    leaving: (usize, usize),
    goodbye: Option<bus::Goodbye>,
    is_done: bool,
    waker: Option<Waker>,
}

/// What was taken out to be written.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) outcomes: Vec<bus::Outcome>,
    /// Whether nothing comes behind these.
    pub(super) is_done: bool,
}

// LIMIT: publishes of one session that may be unanswered, and their bytes. One is always taken.
pub(super) const PUBLISHES_MAX: usize = 1_024;
pub(super) const CREDIT_BYTES: usize = 1 << 20;

impl Outbox {
    /// Counts publishes of these sizes; false if the client was not given that much credit.
    pub(super) fn charge(&self, sizes: impl Iterator<Item = usize>) -> bool {
        let mut inner = self.0.lock();
        for size in sizes {
            let bytes = inner.bytes.saturating_add(size);
            if inner.count >= PUBLISHES_MAX || (bytes > CREDIT_BYTES && inner.count > 0) {
                return false;
            }
            inner.count += 1;
            inner.bytes = bytes;
        }
        true
    }

    /// Lets outcomes out, of publishes of so many bytes together.
    pub(super) fn push(&self, outcomes: Vec<bus::Outcome>, bytes: usize) {
        if outcomes.is_empty() {
            return;
        }
        let mut inner = self.0.lock();
        inner.leaving.0 += outcomes.len();
        inner.leaving.1 = inner.leaving.1.saturating_add(bytes);
        inner.outcomes.extend(outcomes);
        wake(inner.waker.take());
    }

    /// Says why the session ends; the first reason stands.
    pub(super) fn say_goodbye(&self, goodbye: bus::Goodbye) {
        self.0.lock().goodbye.get_or_insert(goodbye);
    }

    /// Says that nothing more comes.
    pub(super) fn finish(&self) {
        let mut inner = self.0.lock();
        inner.is_done = true;
        wake(inner.waker.take());
    }

    /// Takes what waits; what is taken is on its way to the client, who may publish as much again.
    pub(super) fn take(&self, context: &Context<'_>) -> Taken {
        let mut inner = self.0.lock();
        let (count, bytes) = std::mem::take(&mut inner.leaving);
        inner.count = inner.count.saturating_sub(count);
        inner.bytes = inner.bytes.saturating_sub(bytes);
        inner.waker = Some(context.waker().clone());
        Taken { outcomes: std::mem::take(&mut inner.outcomes), is_done: inner.is_done }
    }

    /// Takes the reason of the end.
    pub(super) fn goodbye(&self) -> Option<bus::Goodbye> {
        self.0.lock().goodbye.take()
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(outbox: &Outbox) -> Taken {
        outbox.take(&Context::from_waker(Waker::noop()))
    }

    fn outcomes(count: usize) -> Vec<bus::Outcome> {
        vec![bus::Outcome::default(); count]
    }

    #[test]
    fn credit_comes_back_with_outcomes_that_are_taken() {
        let outbox = Outbox::default();
        assert!(outbox.charge([CREDIT_BYTES / 2, CREDIT_BYTES / 2].into_iter()));
        assert!(!outbox.charge([1].into_iter()));
        outbox.push(outcomes(1), CREDIT_BYTES / 2);
        assert!(!outbox.charge([1].into_iter()), "the outcome was not taken yet");
        assert_eq!(take(&outbox).outcomes.len(), 1);
        assert!(outbox.charge([CREDIT_BYTES / 2].into_iter()));
        assert!(!outbox.charge([1].into_iter()));
    }

    #[test]
    fn one_publish_is_always_taken_and_never_more_than_may_be() {
        let outbox = Outbox::default();
        assert!(outbox.charge([CREDIT_BYTES * 3].into_iter()));
        assert!(!outbox.charge([1].into_iter()));
        outbox.push(outcomes(1), CREDIT_BYTES * 3);
        take(&outbox);
        assert!(outbox.charge([1; PUBLISHES_MAX].into_iter()));
        assert!(!outbox.charge([1].into_iter()));
    }

    #[test]
    fn the_first_goodbye_stands_and_comes_last() {
        let outbox = Outbox::default();
        outbox.say_goodbye(bus::Goodbye { code: "one".to_owned(), ..Default::default() });
        outbox.say_goodbye(bus::Goodbye { code: "two".to_owned(), ..Default::default() });
        assert!(!take(&outbox).is_done);
        outbox.finish();
        assert!(take(&outbox).is_done);
        assert_eq!(outbox.goodbye().unwrap().code, "one");
    }
}
