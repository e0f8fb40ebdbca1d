//! Messages that wait for the program to take them.
//!
//! The session puts them in and goes on reading; how many there can be is the gate's credit.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::incoming::Delivered;

#[derive(Debug, Default)]
pub(crate) struct Buffer {
    inside: Mutex<Inside>,
    /// Wakes one who waits for a message.
    arrived: Notify,
    /// Wakes the session of the MAS wire, which waits for room.
    room: Notify,
}

#[derive(Debug, Default)]
struct Inside {
    waiting: VecDeque<Delivered>,
    closed: bool,
}

impl Buffer {
    /// Adds messages and returns how many wait now.
    pub(crate) fn put(&self, messages: impl IntoIterator<Item = Delivered>) -> usize {
        let mut inside = self.inside();
        inside.waiting.extend(messages);
        let waiting = inside.waiting.len();
        drop(inside);
        if waiting > 0 {
            self.arrived.notify_one();
        }
        waiting
    }

    /// Waits until fewer messages wait than a bound.
    pub(crate) async fn room(&self, bound: usize) {
        while self.inside().waiting.len() >= bound {
            self.room.notified().await;
        }
    }

    /// Forgets what a session brought that is over: the gate delivers it to another one.
    pub(crate) fn forget(&self) {
        self.inside().waiting.clear();
    }

    /// Ends the waiting of all who wait.
    pub(crate) fn close(&self) {
        self.inside().closed = true;
        self.arrived.notify_one();
    }

    /// Waits for a message; nothing when the client has ended.
    pub(crate) async fn take(&self) -> Option<Delivered> {
        loop {
            let (taken, is_closed, others) = self.pop();
            // Each wakes the next, because one permit stands for any number of messages.
            if others || is_closed {
                self.arrived.notify_one();
            }
            if taken.is_some() {
                self.room.notify_one();
            }
            if taken.is_some() || is_closed {
                return taken;
            }
            self.arrived.notified().await;
        }
    }

    /// Takes what there is; tells whether it is over, and whether there is more.
    fn pop(&self) -> (Option<Delivered>, bool, bool) {
        let mut inside = self.inside();
        if inside.closed {
            return (None, true, false);
        }
        let taken = inside.waiting.pop_front();
        (taken, false, !inside.waiting.is_empty())
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        // INVARIANT: no code that can panic runs under the lock.
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
