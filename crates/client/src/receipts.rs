//! Who follows which message that was sent, and what the gate told of it.
//!
//! Nothing here is certain: receipts are lost with their session. Who follows then asks the gate.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use wire::palisade::bus::v1::{Receipt, ReceiptKind};

use crate::message::{MessageState, MessageStatus};

#[derive(Debug, Default)]
pub(crate) struct Receipts(Mutex<HashMap<String, watch::Sender<MessageStatus>>>);

impl Receipts {
    /// Hands on what comes for a message; beyond the bound nothing, so that its follower asks.
    pub(crate) fn follow(&self, message: &str, follower: watch::Sender<MessageStatus>) {
        let mut table = self.table();
        if table.len() >= FOLLOWED_MAX {
            table.retain(|_, follower| !follower.is_closed());
        }
        if table.len() < FOLLOWED_MAX {
            table.insert(message.to_owned(), follower);
        }
    }

    /// Takes what the gate tells.
    pub(crate) fn tell(&self, receipts: Vec<Receipt>) {
        let mut table = self.table();
        for receipt in receipts {
            let Some(state) = state(receipt.kind()) else { continue };
            let Some(follower) = table.get(&receipt.message_id) else { continue };
            let Receipt { message_id, reason, attempts, .. } = receipt;
            // Fails if nobody follows any more.
            let told = follower.send(MessageStatus { state, attempts, reason });
            if told.is_err() || state.is_final() {
                table.remove(&message_id);
            }
        }
    }

    /// Leaves all who follow to ask the gate themselves.
    pub(crate) fn clear(&self) {
        self.table().clear();
    }

    fn table(&self) -> MutexGuard<'_, HashMap<String, watch::Sender<MessageStatus>>> {
        // INVARIANT: no code that can panic runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn state(kind: ReceiptKind) -> Option<MessageState> {
    match kind {
        ReceiptKind::Unspecified | ReceiptKind::Accepted => None,
        ReceiptKind::Queued => Some(MessageState::Queued),
        ReceiptKind::Delivered => Some(MessageState::Delivered),
        ReceiptKind::Acknowledged => Some(MessageState::Acknowledged),
        ReceiptKind::Expired => Some(MessageState::Expired),
        ReceiptKind::DeadLettered => Some(MessageState::DeadLettered),
    }
}

/// LIMIT: as many messages of a session as a gate follows.
const FOLLOWED_MAX: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt(kind: ReceiptKind) -> Vec<Receipt> {
        let (message_id, reason) = ("m".to_owned(), String::new());
        vec![Receipt { message_id, kind: kind.into(), reason, attempts: 1 }]
    }

    #[tokio::test]
    async fn a_follower_hears_until_the_end_and_is_forgotten_then() {
        let receipts = Receipts::default();
        let start =
            MessageStatus { state: MessageState::Queued, attempts: 0, reason: String::new() };
        let (sender, mut follower) = watch::channel(start.clone());
        receipts.follow("m", sender);
        receipts.tell(receipt(ReceiptKind::Delivered));
        follower.changed().await.unwrap();
        assert_eq!(follower.borrow_and_update().state, MessageState::Delivered);
        receipts.tell(receipt(ReceiptKind::Acknowledged));
        follower.changed().await.unwrap();
        assert_eq!(follower.borrow_and_update().state, MessageState::Acknowledged);
        assert!(receipts.table().is_empty());
        assert!(follower.changed().await.is_err());

        let (sender, mut follower) = watch::channel(start);
        receipts.follow("m", sender);
        receipts.clear();
        assert!(follower.changed().await.is_err());
    }

    #[tokio::test]
    async fn each_kind_of_receipt_is_told_as_its_state_and_ends_are_the_last() {
        let receipts = Receipts::default();
        for (kind, state, is_last) in [
            (ReceiptKind::Queued, MessageState::Queued, false),
            (ReceiptKind::Delivered, MessageState::Delivered, false),
            (ReceiptKind::Acknowledged, MessageState::Acknowledged, true),
            (ReceiptKind::Expired, MessageState::Expired, true),
            (ReceiptKind::DeadLettered, MessageState::DeadLettered, true),
        ] {
            // Something that no receipt tells.
            let start = MessageStatus { state, attempts: 9, reason: "before".to_owned() };
            let (sender, mut follower) = watch::channel(start);
            receipts.follow("m", sender);
            receipts.tell(receipt(ReceiptKind::Accepted));
            assert!(!follower.has_changed().unwrap(), "the answer to the sender says it");
            receipts.tell(receipt(kind));
            let told = MessageStatus { state, attempts: 1, reason: String::new() };
            assert_eq!(*follower.borrow_and_update(), told);
            assert_eq!(receipts.table().is_empty(), is_last, "{kind:?}");
        }
    }
}
