//! The answering direction of a session: what its client says while messages flow to it.

use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::watch;

use super::live::Live;
use super::{Hub, Outcome, Receipt, ReceiptKind, Settled, Wanted};
use crate::ports::{Found, MessageState, MessageView, Read};
use crate::types::{AgentId, MessageId, SessionId};

/// The answering direction of a session.
#[derive(Debug, Clone)]
pub struct SessionHandle {
    hub: Arc<Hub>,
    live: Arc<Live>,
}

impl SessionHandle {
    pub(super) const fn new(hub: Arc<Hub>, live: Arc<Live>) -> Self {
        Self { hub, live }
    }

    /// Returns the session's id.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.live.id
    }

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

    /// Has deliveries numbered from 1, and no more of them unanswered than this, which is at most
    /// what the settings allow and stands for it if zero. Returns what is in force.
    #[must_use]
    pub fn limit(&self, count: usize, bytes: usize) -> (usize, usize) {
        let settings = &self.hub.settings;
        let bound = |wanted: usize, max: usize| if wanted == 0 { max } else { wanted.min(max) };
        let count = bound(count, settings.max_in_flight);
        let bytes = bound(bytes, settings.in_flight_bytes_max);
        self.live.limit(count, bytes);
        (count, bytes)
    }

    /// Lets so many bytes more be unanswered, up to what the settings allow.
    pub fn widen(&self, bytes: usize) {
        self.live.widen(bytes, self.hub.settings.in_flight_bytes_max);
    }

    /// Follows a message that is about to be committed.
    pub(crate) fn follow(&self, message: MessageId, wanted: Wanted) {
        self.hub.followers.follow(&self.live, message, wanted);
    }

    /// Tells the session what has happened to a message to `target` that it has heard of by now:
    /// that it was accepted, and whether it waits.
    pub fn heard(&self, message: MessageId, target: &str) {
        let accepted =
            Receipt { message, kind: ReceiptKind::Accepted, reason: String::new(), attempts: 0 };
        let mut first = vec![accepted.clone()];
        // A reply has no target that is named, and its asker is there as a rule.
        let waits = AgentId::parse(target).is_ok_and(|agent| !self.hub.takes_messages(&agent));
        if waits {
            first.push(Receipt { kind: ReceiptKind::Queued, ..accepted });
        }
        self.hub.followers.tell_early(message, first);
    }

    /// Follows a message that an earlier call has made, and tells what has become of it so far.
    pub async fn follow_again(&self, message: MessageId, wanted: Wanted) {
        if wanted.is_empty() {
            return;
        }
        self.follow(message, wanted);
        let found = self.hub.store.read(Read::Message(message)).await;
        let kind = |kind, attempts, reason| Receipt { message, kind, reason, attempts };
        let mut first = vec![kind(ReceiptKind::Accepted, 0, String::new())];
        if let Ok(Some(Found::Message(view))) = found {
            let MessageView { state, attempts, mut reason, .. } = view;
            reason.truncate(reason.split(':').next().unwrap_or_default().len());
            let state = match state {
                MessageState::Queued => ReceiptKind::Queued,
                MessageState::Delivered => ReceiptKind::Delivered,
                MessageState::Acknowledged => ReceiptKind::Acknowledged,
                MessageState::Expired => ReceiptKind::Expired,
                MessageState::DeadLettered => ReceiptKind::DeadLettered,
            };
            first.push(kind(state, attempts, reason));
        }
        self.hub.followers.tell_early(message, first);
    }

    /// Takes receipts that wait for this session, and how many were left out.
    pub fn poll_receipts(&self, context: &Context<'_>) -> Poll<(Vec<Receipt>, u64)> {
        self.live.poll_receipts(context)
    }

    /// Returns what turns true when the session is to end.
    #[must_use]
    pub fn ending(&self) -> (watch::Receiver<bool>, watch::Receiver<bool>) {
        (self.hub.closing(), self.live.ending())
    }

    /// Ends the session: nothing more is handed over.
    pub fn end(&self) {
        self.live.end();
    }
}

/// An answer of a receiver, as [`SessionHandle::settle`] takes it.
impl Settled {
    /// Makes an acknowledgement.
    #[must_use]
    pub const fn acknowledged(delivery: crate::types::DeliveryId) -> Self {
        Self { delivery, outcome: Outcome::Acknowledged }
    }
}
