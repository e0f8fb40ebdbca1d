//! One live connection of an instance, from its welcome to its end.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::{Hub, Outcome, Reservation, Settled};
use crate::ports::{Claim, Leased, Leases, QueueKey};
use crate::types::{AgentId, DeliveryId, InstanceId, Intake, MessageId, SessionId, Timestamp};

/// A message on its way to a receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The hand-over; a redelivery has another one.
    pub id: DeliveryId,
    /// The envelope, JSON text.
    pub envelope: Bytes,
}

/// What a session holds unacknowledged.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) message: MessageId,
    pub(super) sender: AgentId,
    pub(super) message_type: String,
    pub(super) attempt: u32,
    bytes: usize,
}

/// The state of a session that both its directions share.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) id: SessionId,
    pub(super) agent: AgentId,
    pub(super) instance: InstanceId,
    intake: Intake,
    opened: AtomicBool,
    held: Mutex<(HashMap<DeliveryId, Held>, usize)>,
    settled: Notify,
    ended: watch::Sender<bool>,
}

impl Live {
    pub(super) fn new(id: SessionId, agent: AgentId, instance: InstanceId, intake: Intake) -> Self {
        Self {
            id,
            agent,
            instance,
            intake,
            opened: AtomicBool::new(false),
            held: Mutex::default(),
            settled: Notify::new(),
            ended: watch::Sender::new(false),
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

    fn delivery_of(&self, message: MessageId) -> Option<DeliveryId> {
        let held = self.held.lock();
        held.0.iter().find(|(_, one)| one.message == message).map(|(delivery, _)| *delivery)
    }

    /// Returns how many messages are unanswered.
    pub(super) fn held_count(&self) -> usize {
        self.held.lock().0.len()
    }

    /// Ends the session: nothing more is handed over.
    pub(super) fn end(&self) {
        self.ended.send_replace(true);
    }

    pub(super) fn is_ended(&self) -> bool {
        *self.ended.borrow()
    }

    /// Returns how many messages and bytes may still be handed over.
    fn room(&self, count_max: usize, bytes_max: usize) -> (usize, usize) {
        let held = self.held.lock();
        (count_max.saturating_sub(held.0.len()), bytes_max.saturating_sub(held.1))
    }
}

/// The delivering direction of a session; dropping it ends the session.
#[derive(Debug)]
pub struct Session {
    place: Reservation,
    closing: watch::Receiver<bool>,
    ended: watch::Receiver<bool>,
}

/// The acknowledging direction of a session.
#[derive(Debug, Clone)]
pub struct SessionHandle {
    hub: Arc<Hub>,
    live: Arc<Live>,
}

// LIMIT: messages that one lease takes; more wait for the next turn, so that sessions of one
// agent share its queue.
const LEASE_MAX: usize = 64;

// The pause after the store failed to answer, before it is asked again.
const STORE_PAUSE: Duration = Duration::from_millis(500);

impl Session {
    pub(super) fn new(place: Reservation) -> Self {
        let closing = place.hub.closing();
        let ended = place.live.ended.subscribe();
        Self { place, closing, ended }
    }

    /// Returns the agent.
    #[must_use]
    pub fn agent(&self) -> &AgentId {
        &self.place.live.agent
    }

    /// Returns the instance.
    #[must_use]
    pub fn instance(&self) -> &InstanceId {
        &self.place.live.instance
    }

    /// Returns the direction that acknowledges.
    #[must_use]
    pub fn handle(&self) -> SessionHandle {
        SessionHandle { hub: Arc::clone(&self.place.hub), live: Arc::clone(&self.place.live) }
    }

    /// Waits for the next messages; returns nothing when the session is over.
    pub async fn next(&mut self) -> Option<Vec<Delivery>> {
        loop {
            if *self.closing.borrow() || *self.ended.borrow() {
                return None;
            }
            let (count, bytes) = self.room();
            if count == 0 || bytes == 0 {
                self.pause(None, None).await;
                continue;
            }
            let claim = self.claim(count.min(LEASE_MAX), bytes);
            match self.place.hub.store.lease(claim).await {
                Ok(leases) => {
                    let (seen, wake_at) = (leases.seen, leases.wake_at);
                    let is_drained = leases.messages.is_empty();
                    let deliveries = self.hand_over(leases).await;
                    if !deliveries.is_empty() {
                        return Some(deliveries);
                    }
                    // Where all that was leased was buried, more may stand behind it.
                    if is_drained {
                        self.pause(Some(seen), wake_at).await;
                    }
                }
                Err(cause) => {
                    tracing::warn!(agent = %self.agent(), %cause, "cannot lease messages");
                    tokio::time::sleep(STORE_PAUSE).await;
                }
            }
        }
    }

    /// Returns how many messages and bytes may be asked for now.
    fn room(&self) -> (usize, usize) {
        let (hub, live) = (&self.place.hub, &self.place.live);
        // One at a time while a message of this agent may be what ends its sessions, so that
        // the others are not counted with it.
        let count_max = if hub.is_suspicious(&live.agent) { 1 } else { hub.settings.max_in_flight };
        live.room(count_max, hub.settings.in_flight_bytes_max)
    }

    fn claim(&self, count: usize, bytes: usize) -> Claim {
        let live = &self.place.live;
        let own = QueueKey { agent: live.agent.clone(), instance: Some(live.instance.clone()) };
        let other = match live.intake {
            Intake::Everything => QueueKey { instance: None, ..own.clone() },
            Intake::Replies => own.clone(),
        };
        Claim {
            queues: [other, own],
            holder: live.id,
            count,
            bytes,
            now: self.place.hub.clock.now(),
            reclaim_after: self.place.hub.settings.reclaim_idle,
            release: Vec::new(),
        }
    }

    /// Waits for what may let messages flow: a change of the queue (after `seen`) or the moment
    /// `wake_at`; an answer if the session is full (no `seen`); or the end.
    async fn pause(&mut self, seen: Option<u64>, wake_at: Option<Timestamp>) {
        let hub = &self.place.hub;
        let agent = self.place.live.agent.clone();
        let changed = async {
            match seen {
                Some(seen) => drop(hub.store.wait(agent, seen).await),
                None => std::future::pending().await,
            }
        };
        let due = async {
            match wake_at {
                Some(at) => tokio::time::sleep(at.since(hub.clock.now())).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = changed => {}
            () = due => {}
            () = self.place.live.settled.notified(), if seen.is_none() => {}
            _ended = self.closing.changed() => {}
            _ended = self.ended.changed() => {}
        }
    }

    /// Notes what was leased as held; buries what has been tried too often.
    async fn hand_over(&self, leases: Leases) -> Vec<Delivery> {
        let (hub, live) = (&self.place.hub, &self.place.live);
        let mut deliveries = Vec::with_capacity(leases.messages.len());
        for leased in leases.messages {
            if leased.attempt > 1 && live.delivery_of(leased.message).is_some() {
                // It came back to the session that still works on it: that delivery stands,
                // however often sessions took it from each other.
                continue;
            }
            if leased.attempt > hub.settings.max_attempts {
                let held = held(&leased);
                hub.bury(live, &held, "attempts_exhausted", "tried too often without an answer")
                    .await;
                continue;
            }
            let id = DeliveryId::from_random(hub.ids.random());
            let mut table = live.held.lock();
            table.1 = table.1.saturating_add(leased.envelope.len());
            table.0.insert(id, held(&leased));
            deliveries.push(Delivery { id, envelope: leased.envelope });
        }
        deliveries
    }
}

impl SessionHandle {
    /// Settles deliveries as their receiver answered; unknown delivery ids are ignored.
    pub async fn settle(&self, answers: Vec<Settled>) {
        let mut held = Vec::with_capacity(answers.len());
        for answer in answers {
            if let Some(one) = self.live.take(answer.delivery) {
                held.push((one, answer.outcome));
            }
        }
        self.hub.settle(&self.live, held).await;
    }

    /// Ends the session: nothing more is handed over.
    pub fn end(&self) {
        self.live.end();
    }
}

impl Hub {
    /// Gives back what an ended session still held, and records the end.
    pub(super) fn end(self: &Arc<Self>, live: &Arc<Live>) {
        live.end();
        self.suspect(&live.agent, live.held_count());
        let (hub, live) = (Arc::clone(self), Arc::clone(live));
        self.tasks.spawn(async move {
            let queue = |instance| QueueKey { agent: live.agent.clone(), instance };
            let claim = Claim {
                queues: [queue(None), queue(Some(live.instance.clone()))],
                holder: live.id,
                count: 0,
                bytes: 0,
                now: hub.clock.now(),
                reclaim_after: hub.settings.reclaim_idle,
                release: vec![live.id],
            };
            if let Err(cause) = hub.store.lease(claim).await {
                tracing::warn!(agent = %live.agent, %cause, "cannot release a session's messages");
            }
            let record = hub.session_closed(&live);
            hub.commit_quietly(vec![record], "the end of a session").await;
        });
    }
}

fn held(leased: &Leased) -> Held {
    Held {
        message: leased.message,
        sender: leased.sender.clone(),
        message_type: leased.message_type.clone(),
        attempt: leased.attempt,
        bytes: leased.envelope.len(),
    }
}

/// An answer of a receiver, as [`SessionHandle::settle`] takes it.
impl Settled {
    /// Makes an acknowledgement.
    #[must_use]
    pub const fn acknowledged(delivery: DeliveryId) -> Self {
        Self { delivery, outcome: Outcome::Acknowledged }
    }
}
