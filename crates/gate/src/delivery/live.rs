//! What both directions of a session share: what is unanswered, and how much may be.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::held::Held;
use super::receipts::Mailbox;
use crate::ports::Ids;
use crate::types::{AgentId, DeliveryId, InstanceId, Intake, MessageId, SessionId, Timestamp};

/// The state of a session that both its directions share.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) id: SessionId,
    pub(super) agent: AgentId,
    pub(super) instance: InstanceId,
    intake: Intake,
    pub(super) since: Timestamp,
    opened: AtomicBool,
    pub(super) held: Mutex<(HashMap<DeliveryId, Held>, usize)>,
    pub(super) settled: Notify,
    pub(super) ended: watch::Sender<bool>,
    window: Mutex<Option<Window>>,
    pub(super) mailbox: Mutex<Mailbox>,
}

/// What a receiver itself lets be unanswered.
#[derive(Debug)]
struct Window {
    count_max: usize,
    bytes_max: usize,
    /// The number of the last delivery.
    last: u64,
}

impl Live {
    pub(super) fn new(
        id: SessionId,
        (agent, instance): (AgentId, InstanceId),
        intake: Intake,
        since: Timestamp,
    ) -> Self {
        Self {
            id,
            agent,
            instance,
            intake,
            since,
            opened: AtomicBool::new(false),
            held: Mutex::default(),
            settled: Notify::new(),
            ended: watch::Sender::new(false),
            window: Mutex::default(),
            mailbox: Mutex::default(),
        }
    }

    pub(super) fn open(&self) {
        self.opened.store(true, Ordering::Release);
    }

    pub(super) fn is_open(&self) -> bool {
        self.opened.load(Ordering::Acquire)
    }

    pub(super) const fn intake(&self) -> Intake {
        self.intake
    }

    pub(super) fn take(&self, delivery: DeliveryId) -> Option<Held> {
        let mut held = self.held.lock();
        let one = held.0.remove(&delivery)?;
        held.1 = held.1.saturating_sub(one.bytes);
        drop(held);
        self.settled.notify_one();
        Some(one)
    }

    /// Takes a message that another session acknowledged; false if it is not held here.
    pub(super) fn take_message(&self, message: MessageId) -> bool {
        let delivery = self.delivery_of(message);
        delivery.is_some_and(|delivery| self.take(delivery).is_some())
    }

    pub(super) fn delivery_of(&self, message: MessageId) -> Option<DeliveryId> {
        let held = self.held.lock();
        held.0.iter().find(|(_, one)| one.message == message).map(|(delivery, _)| *delivery)
    }

    /// Returns how many messages are unanswered.
    pub(super) fn held_count(&self) -> usize {
        self.held().0
    }

    /// Returns how many messages and bytes are unanswered.
    pub(super) fn held(&self) -> (usize, usize) {
        let held = self.held.lock();
        (held.0.len(), held.1)
    }

    /// Ends the session: nothing more is handed over.
    pub(super) fn end(&self) {
        self.ended.send_replace(true);
    }

    pub(super) fn ending(&self) -> watch::Receiver<bool> {
        self.ended.subscribe()
    }

    /// Bounds what is unanswered, and numbers deliveries from now on.
    pub(super) fn limit(&self, count_max: usize, bytes_max: usize) {
        *self.window.lock() = Some(Window { count_max, bytes_max, last: 0 });
    }

    /// Lets more bytes be unanswered.
    pub(super) fn widen(&self, bytes: usize, max: usize) {
        if let Some(window) = self.window.lock().as_mut() {
            window.bytes_max = window.bytes_max.saturating_add(bytes).min(max);
        }
        self.settled.notify_one();
    }

    pub(super) fn is_ended(&self) -> bool {
        *self.ended.borrow()
    }

    /// Returns what may still be handed over.
    pub(super) fn room(&self, mut count_max: usize, mut bytes_max: usize) -> Room {
        let window = self.window.lock().as_ref().map(|own| (own.count_max, own.bytes_max));
        if let Some((count, bytes)) = window {
            (count_max, bytes_max) = (count_max.min(count), bytes_max.min(bytes));
        }
        let held = self.held.lock();
        Room {
            count: count_max.saturating_sub(held.0.len()),
            bytes: bytes_max.saturating_sub(held.1),
            or_one: window.is_none() || held.0.is_empty(),
            is_strict: window.is_some(),
        }
    }

    /// Names the next hand-over: by number where the receiver counts, else so that it is unique.
    pub(super) fn next_id(&self, ids: &dyn Ids) -> DeliveryId {
        match self.window.lock().as_mut() {
            Some(window) => {
                window.last = window.last.saturating_add(1);
                DeliveryId::from_random(u128::from(window.last))
            }
            None => DeliveryId::from_random(ids.random()),
        }
    }
}

/// What may still be handed over to a session.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    pub(super) count: usize,
    pub(super) bytes: usize,
    /// Whether one message may be larger than the bytes.
    pub(super) or_one: bool,
    /// Whether the receiver said how much it takes.
    pub(super) is_strict: bool,
}
