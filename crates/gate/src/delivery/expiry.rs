//! Messages whose time is over leave their queue, with a record.

use std::sync::Arc;
use std::time::Duration;

use audit::Record;

use super::held::NO_TRACE;
use super::{Hub, ReceiptKind};
use crate::observe::{MessageStep, StepKind};
use crate::ports::{Batch, Found, MessageView, Op, Scan, StoreError};
use crate::types::Timestamp;

// How often queues are searched; a message is never delivered after its time anyway.
const PERIOD: Duration = Duration::from_secs(1);

// LIMIT: messages that one search takes.
const PAGE: usize = 256;

impl Hub {
    /// Removes expired messages until the sessions are closed.
    pub(crate) async fn expire_messages(self: Arc<Self>) {
        let mut closing = self.closing();
        // The sessions may have been closed before this began.
        while !*closing.borrow() {
            tokio::select! {
                biased;
                () = tokio::time::sleep(PERIOD) => {}
                _closed = closing.changed() => continue,
            }
            // A full page has more behind it.
            while self.expire_page().await.unwrap_or_else(|cause| {
                tracing::warn!(%cause, "cannot remove expired messages");
                0
            }) == PAGE
            {}
        }
    }

    async fn expire_page(&self) -> Result<usize, StoreError> {
        let now = self.clock.now();
        let due = self.store.scan(Scan::Expired { now }, PAGE).await?;
        let mut groups = Vec::with_capacity(due.len());
        let mut views = Vec::with_capacity(due.len());
        for found in due {
            let Found::Message(view) = found else { continue };
            let expire = Op::Expire { message: view.message, at: now };
            groups.push(vec![expire, self.expired(&view)]);
            views.push(view);
        }
        if groups.is_empty() {
            return Ok(0);
        }
        let count = groups.len();
        match self.commit_together(&groups).await {
            Ok(()) => {
                views.iter().for_each(|view| self.note_expired(view, now));
                return Ok(count);
            }
            // A session got one of them at the last moment; the others still expire.
            Err(StoreError::Conflict { .. }) => {}
            Err(cause) => return Err(cause),
        }
        for (ops, view) in groups.into_iter().zip(&views) {
            match self.store.commit(Batch { ops }).await {
                Ok(()) => self.note_expired(view, now),
                Err(StoreError::Conflict { .. }) => {}
                Err(cause) => return Err(cause),
            }
        }
        Ok(count)
    }

    fn note_expired(&self, view: &MessageView, at: Timestamp) {
        self.watch.measures.mine().expired(1);
        self.followers.tell(view.message, ReceiptKind::Expired, view.attempts, "");
        self.watch.moved(|| MessageStep {
            kind: StepKind::Expired,
            message: view.message,
            sender: &view.sender,
            target: &view.target,
            message_type: "",
            instance: None,
            session: None,
            attempt: view.attempts,
            at,
            handed_over: None,
            bytes: 0,
            trace: &NO_TRACE,
        });
    }

    fn expired(&self, view: &MessageView) -> Op {
        let record = Record {
            timestamp: crate::pipeline::moment(self.clock.now()).into(),
            event_type: "expired".into(),
            agent_id: view.target.as_str().into(),
            request_id: view.message.to_string().into(),
            outcome: audit::Outcome::Error,
            decision: "EXPIRED".into(),
            reason: Some("not_delivered_in_time".into()),
            message_id: Some(view.message.to_string().into()),
            sender_id: Some(view.sender.as_str().into()),
            target_id: Some(view.target.as_str().into()),
            ..Record::default()
        };
        Op::record(record.encode())
    }
}
