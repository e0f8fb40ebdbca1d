//! What senders are told about their messages while they listen.
//!
//! Best effort and in memory: the store has the truth. What a sender has no room for is counted.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use super::live::Live;
use crate::types::MessageId;

/// What can be told about a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiptKind {
    /// It is durable.
    Accepted,
    /// It waits, because no session of its target takes messages.
    Queued,
    /// It was handed to a session.
    Delivered,
    /// Its receiver has it.
    Acknowledged,
    /// It was not delivered in time.
    Expired,
    /// It will not be delivered.
    DeadLettered,
}

impl ReceiptKind {
    const fn bit(self) -> u8 {
        1 << self as u8
    }

    /// Tells whether nothing comes behind it.
    const fn is_last(self) -> bool {
        matches!(self, Self::Acknowledged | Self::Expired | Self::DeadLettered)
    }
}

/// What a sender wants to be told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wanted(u8);

impl Wanted {
    /// Adds a kind.
    pub const fn add(&mut self, kind: ReceiptKind) {
        self.0 |= kind.bit();
    }

    /// Tells whether nothing is wanted.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    const fn has(self, kind: ReceiptKind) -> bool {
        self.0 & kind.bit() != 0
    }
}

/// Something that happened to a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// To which.
    pub message: MessageId,
    /// What.
    pub kind: ReceiptKind,
    /// Why it is a dead letter; empty otherwise.
    pub reason: String,
    /// How often it was handed to a session.
    pub attempts: u32,
}

/// The messages whose senders want to be told.
#[derive(Debug, Default)]
pub(super) struct Followers {
    /// How many there are, so that nobody waits for the lock where there are none.
    count: AtomicUsize,
    of: Mutex<HashMap<MessageId, Follower>>,
}

#[derive(Debug)]
struct Follower {
    live: Weak<Live>,
    wanted: Wanted,
    /// What happened before the sender knew of the message.
    early: Option<Vec<Receipt>>,
}

/// What waits to be told to one session.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    waiting: VecDeque<Receipt>,
    dropped: u64,
    /// The messages that are followed for it, oldest first; some are over.
    followed: VecDeque<MessageId>,
    waker: Option<Waker>,
}

// LIMIT: messages that are followed for one session; the oldest is forgotten for a new one.
const FOLLOWED_MAX: usize = 65_536;

// LIMIT: receipts that wait for one session to read them; further ones are counted.
const WAITING_MAX: usize = 4_096;

impl Followers {
    /// Follows a message; what happens to it is kept back until [`Followers::tell_early`].
    pub(super) fn follow(&self, live: &Arc<Live>, message: MessageId, wanted: Wanted) {
        if wanted.is_empty() {
            return;
        }
        let mut mailbox = live.mailbox.lock();
        mailbox.followed.push_back(message);
        let forgotten =
            (mailbox.followed.len() > FOLLOWED_MAX).then(|| mailbox.followed.pop_front()).flatten();
        drop(mailbox);
        let mut of = self.of.lock();
        if let Some(forgotten) = forgotten {
            of.remove(&forgotten);
        }
        let live = Arc::downgrade(live);
        of.insert(message, Follower { live, wanted, early: Some(Vec::new()) });
        self.count.store(of.len(), Ordering::Release);
    }

    /// Forgets a message.
    pub(super) fn forget(&self, message: MessageId) {
        if self.count.load(Ordering::Acquire) > 0 {
            let mut of = self.of.lock();
            of.remove(&message);
            self.count.store(of.len(), Ordering::Release);
        }
    }

    /// Tells a sender, who knows of its message now, this and what has happened meanwhile.
    pub(super) fn tell_early(&self, message: MessageId, first: Vec<Receipt>) {
        let mut of = self.of.lock();
        let Some(follower) = of.get_mut(&message) else { return };
        let mut receipts = first;
        receipts.extend(follower.early.take().unwrap_or_default());
        let (live, wanted) = (follower.live.upgrade(), follower.wanted);
        if live.is_none() || receipts.iter().any(|receipt| receipt.kind.is_last()) {
            of.remove(&message);
            self.count.store(of.len(), Ordering::Release);
        }
        drop(of);
        if let Some(live) = live {
            receipts.retain(|receipt| wanted.has(receipt.kind));
            push(&live, receipts);
        }
    }

    /// Tells the sender of a message what happened to it, if it wants to know.
    pub(super) fn tell(&self, message: MessageId, kind: ReceiptKind, attempts: u32, reason: &str) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut of = self.of.lock();
        let Some(follower) = of.get_mut(&message) else { return };
        let receipt = Receipt { message, kind, reason: reason.to_owned(), attempts };
        if let Some(early) = &mut follower.early {
            if early.len() < EARLY_MAX || kind.is_last() {
                early.push(receipt);
            }
            return;
        }
        let (live, wanted) = (follower.live.upgrade(), follower.wanted);
        if live.is_none() || kind.is_last() {
            of.remove(&message);
            self.count.store(of.len(), Ordering::Release);
        }
        drop(of);
        if let Some(live) = live.filter(|_| wanted.has(kind)) {
            push(&live, vec![receipt]);
        }
    }

    /// Forgets what was followed for a session that has ended.
    pub(super) fn leave(&self, live: &Live) {
        let followed = std::mem::take(&mut live.mailbox.lock().followed);
        if followed.is_empty() {
            return;
        }
        let mut of = self.of.lock();
        for message in followed {
            // Another session may follow it by now.
            if of.get(&message).is_some_and(|one| std::ptr::eq(one.live.as_ptr(), live)) {
                of.remove(&message);
            }
        }
        self.count.store(of.len(), Ordering::Release);
    }
}

// LIMIT: deliveries of a message that are told late because its sender did not know of it yet.
const EARLY_MAX: usize = 8;

fn push(live: &Live, receipts: Vec<Receipt>) {
    if receipts.is_empty() {
        return;
    }
    let mut mailbox = live.mailbox.lock();
    for receipt in receipts {
        if mailbox.waiting.len() < WAITING_MAX {
            mailbox.waiting.push_back(receipt);
        } else {
            mailbox.dropped = mailbox.dropped.saturating_add(1);
        }
    }
    let waker = mailbox.waker.take();
    drop(mailbox);
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl Live {
    /// Takes what waits to be told, and how much was left out.
    pub(super) fn poll_receipts(&self, context: &Context<'_>) -> Poll<(Vec<Receipt>, u64)> {
        let mut mailbox = self.mailbox.lock();
        if mailbox.waiting.is_empty() && mailbox.dropped == 0 {
            mailbox.waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        let receipts = mailbox.waiting.drain(..).collect();
        Poll::Ready((receipts, std::mem::take(&mut mailbox.dropped)))
    }
}
