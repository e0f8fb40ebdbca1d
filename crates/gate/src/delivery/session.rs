//! One live connection of an instance, from its welcome to its end.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use super::live::{Live, Room};
use super::{Hub, ReceiptKind, Reservation, SessionHandle};
use crate::observe::StepKind;
use crate::ports::{Claim, Leased, Leases, QueueKey};
use crate::types::{AgentId, DeliveryId, InstanceId, Intake, MessageId, Timestamp};

/// A message on its way to a receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The hand-over; a redelivery has another one.
    pub id: DeliveryId,
    /// The message.
    pub message: MessageId,
    /// Who sent it.
    pub sender: AgentId,
    /// Free text by which receivers choose a handler.
    pub message_type: String,
    /// The how-many-eth hand-over this is, from 1.
    pub attempt: u32,
    /// The envelope, JSON text.
    pub envelope: Bytes,
}

/// The delivering direction of a session; dropping it ends the session.
#[derive(Debug)]
pub struct Session {
    place: Reservation,
    closing: watch::Receiver<bool>,
    ended: watch::Receiver<bool>,
}

// LIMIT: messages that one lease takes; more wait for the next turn, so that sessions of one
// agent share its queue.
const LEASE_MAX: usize = 64;
const STRICT_LEASE_MAX: usize = 256;

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
        SessionHandle::new(Arc::clone(&self.place.hub), Arc::clone(&self.place.live))
    }

    /// Waits for the next messages; returns nothing when the session is over.
    pub async fn next(&mut self) -> Option<Vec<Delivery>> {
        loop {
            if *self.closing.borrow() || *self.ended.borrow() {
                return None;
            }
            let room = self.room();
            if room.count == 0 || (room.bytes == 0 && !(room.is_strict && room.or_one)) {
                self.pause(None, None).await;
                continue;
            }
            let claim = self.claim(room);
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
                        self.pause(Some((seen, room.is_strict)), wake_at).await;
                    }
                }
                Err(cause) => {
                    tracing::warn!(agent = %self.agent(), %cause, "cannot lease messages");
                    tokio::time::sleep(STORE_PAUSE).await;
                }
            }
        }
    }

    /// Returns what may be asked for now.
    fn room(&self) -> Room {
        let (hub, live) = (&self.place.hub, &self.place.live);
        // One at a time while a message of this agent may be what ends its sessions, so that
        // the others are not counted with it.
        let count_max = if hub.is_suspicious(&live.agent) { 1 } else { hub.settings.max_in_flight };
        live.room(count_max, hub.settings.in_flight_bytes_max)
    }

    fn claim(&self, room: Room) -> Claim {
        let live = &self.place.live;
        let own = QueueKey { agent: live.agent.clone(), instance: Some(live.instance.clone()) };
        let other = match live.intake() {
            Intake::Everything => QueueKey { instance: None, ..own.clone() },
            Intake::Replies => own.clone(),
        };
        Claim {
            queues: [other, own],
            holder: live.id,
            count: room.count.min(if room.is_strict { STRICT_LEASE_MAX } else { LEASE_MAX }),
            bytes: room.bytes,
            or_one: room.or_one,
            now: self.place.hub.clock.now(),
            reclaim_after: self.place.hub.settings.reclaim_idle,
            release: Vec::new(),
        }
    }

    /// Waits for what may let messages flow: a change of the queue (after `seen`) or the moment
    /// `wake_at`; an answer if the session is full (no `seen`) or what waits may be too large for
    /// it (beside `seen`); or the end.
    async fn pause(&mut self, seen: Option<(u64, bool)>, wake_at: Option<Timestamp>) {
        let hub = &self.place.hub;
        let agent = self.place.live.agent.clone();
        let changed = async {
            match seen {
                Some((seen, _)) => drop(hub.store.wait(agent, seen).await),
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
            () = self.place.live.settled.notified(), if seen.is_none_or(|(_, full)| full) => {}
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
                let held = hub.held(&leased);
                hub.bury(live, &held, "attempts_exhausted", "tried too often without an answer")
                    .await;
                continue;
            }
            let id = live.next_id(hub.ids.as_ref());
            let held = hub.held(&leased);
            hub.watch.measures.mine().delivered(held.bytes, held.attempt > 1);
            hub.watch.moved(|| live.step(&held, StepKind::Delivered, held.at));
            let mut table = live.held.lock();
            table.1 = table.1.saturating_add(held.bytes);
            table.0.insert(id, held);
            drop(table);
            hub.followers.tell(leased.message, ReceiptKind::Delivered, leased.attempt, "");
            let Leased { message, sender, message_type, attempt, envelope, .. } = leased;
            deliveries.push(Delivery { id, message, sender, message_type, attempt, envelope });
        }
        deliveries
    }
}

impl Hub {
    /// Gives back what an ended session still held, and records the end.
    pub(super) fn end(self: &Arc<Self>, live: &Arc<Live>) {
        live.end();
        self.followers.leave(live);
        self.suspect(&live.agent, live.held_count());
        let (hub, live) = (Arc::clone(self), Arc::clone(live));
        self.tasks.spawn(async move {
            let queue = |instance| QueueKey { agent: live.agent.clone(), instance };
            let claim = Claim {
                queues: [queue(None), queue(Some(live.instance.clone()))],
                holder: live.id,
                count: 0,
                bytes: 0,
                or_one: false,
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
