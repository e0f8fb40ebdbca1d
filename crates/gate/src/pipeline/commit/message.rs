//! What commits a message: into its target's queue, with its record, in one batch.

use std::time::Duration;

use bytes::Bytes;

use super::hand_over::Then;
use crate::case::Case;
use crate::gate::Gate;
use crate::ports::{Entry, Expect, Key, Op, QueueKey, Sent};
use crate::types::{CorrelationId, Message, MessageKind, Pending, Timestamp};

// A request is remembered a little longer than its asker waits, so that a late reply is told
// that it is late and not that nobody asked.
const GRACE: Duration = Duration::from_secs(60);

/// Returns what queues a message, and what that is for.
pub(super) fn deliver(
    gate: &Gate,
    case: &Case,
    message: Message,
    envelope: String,
) -> (Vec<Op>, Then) {
    let settings = &gate.settings.delivery;
    let mut expires_at = case.at.after(settings.expire_after);
    if let Some(ttl) = case.ttl {
        expires_at = expires_at.min(case.at.after(ttl));
    }
    let mut instance = None;
    let mut changes = Vec::with_capacity(3);
    match &message.kind {
        MessageKind::Send => {}
        MessageKind::Request { correlation } => {
            let until = case.at.after(message.timeout);
            // Nobody waits for the answer to a request whose time is over.
            expires_at = expires_at.min(until);
            changes.push(ask(&message, *correlation, until));
        }
        MessageKind::Reply { correlation, instance: asker } => {
            instance = Some(asker.clone());
            changes.push(Op::Delete {
                key: Key::Pending(*correlation),
                expect: message.answers.map_or(Expect::Anything, Expect::Version),
            });
        }
    }
    let correlation = message.kind.correlation();
    let is_reply = matches!(message.kind, MessageKind::Reply { .. });
    let sender = message.sender;
    if let Some((key, content)) = case.hashes {
        changes.push(Op::Remember(Sent {
            sender: sender.clone(),
            key,
            content,
            message: case.id,
            correlation,
            // LIMIT: delivery.idempotency_seconds
            expires_at: case.at.after(settings.idempotency),
        }));
    }
    changes.push(Op::Enqueue(Entry {
        message: case.id,
        sender: sender.clone(),
        queue: QueueKey { agent: message.target, instance },
        envelope: Bytes::from(envelope),
        message_type: message.message_type,
        accepted_at: case.at,
        expires_at,
    }));
    (changes, Then::Deliver { sender, correlation, is_reply })
}

fn ask(message: &Message, correlation: CorrelationId, until: Timestamp) -> Op {
    let pending = Pending {
        agent_id: message.sender.clone(),
        instance_id: message.instance.clone(),
        target_id: message.target.clone(),
        expires_at: Duration::from_micros(until.micros()).as_secs_f64(),
        hops: message.hops,
    };
    Op::Put {
        key: Key::Pending(correlation),
        value: Bytes::from(serde_json::to_vec(&pending).unwrap_or_default()),
        expect: Expect::Absent,
        expires_at: Some(until.after(GRACE)),
    }
}
