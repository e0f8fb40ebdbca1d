//! What stands in the frames of a native session, as the gate knows it, and back.
//!
//! Nothing is decided here.

use std::time::Duration;

use gate::delivery::{Delivery, Receipt, ReceiptKind, Wanted};
use gate::delivery::{Outcome, Settled};
use gate::types::{
    Action, Contents, CorrelationId, DeliveryId, Item, MessageId, Outgoing, Refusal,
};
use wire::palisade::bus::v1 as bus;

use super::super::peer::trace_of;

/// Reads what is published by an instance.
pub(super) fn item(publish: bus::Publish, instance: &str) -> Item {
    let wanted = wanted(&publish);
    let trace = trace_of(Some(&publish.traceparent), Some(&publish.tracestate));
    let ttl = (publish.ttl_ms > 0).then(|| Duration::from_millis(u64::from(publish.ttl_ms)));
    let key = publish.idempotency_key;
    // A kind of a later version is refused: whatever it means, it is not a plain send.
    let kind = bus::MessageKind::try_from(publish.kind);
    let payload = String::from_utf8(Vec::from(publish.payload));
    let (Ok(kind), Ok(payload)) = (kind, payload) else {
        return Item { action: Action::Malformed, trace, key, ttl, wanted };
    };
    let message = Outgoing {
        instance: instance.to_owned(),
        message_type: publish.message_type,
        payload,
        hops: (publish.hops > 0).then(|| publish.hops.to_string()),
    };
    let target = publish.target_id;
    let action = match kind {
        bus::MessageKind::Send => Action::Send { target, message },
        bus::MessageKind::Request => Action::Request { target, message, timeout: ttl },
        bus::MessageKind::Reply => Action::Reply { correlation: publish.correlation_id, message },
    };
    Item { action, trace, key, ttl, wanted }
}

/// Reads which receipts are wanted; kinds of a later version are passed over.
pub(super) fn wanted(publish: &bus::Publish) -> Wanted {
    let mut wanted = Wanted::default();
    for kind in publish.receipts() {
        match kind {
            bus::ReceiptKind::Unspecified => {}
            bus::ReceiptKind::Accepted => wanted.add(ReceiptKind::Accepted),
            bus::ReceiptKind::Queued => wanted.add(ReceiptKind::Queued),
            bus::ReceiptKind::Delivered => wanted.add(ReceiptKind::Delivered),
            bus::ReceiptKind::Acknowledged => wanted.add(ReceiptKind::Acknowledged),
            bus::ReceiptKind::Expired => wanted.add(ReceiptKind::Expired),
            bus::ReceiptKind::DeadLettered => wanted.add(ReceiptKind::DeadLettered),
        }
    }
    wanted
}

/// Reads the answers to deliveries.
pub(super) fn answers(acks: Vec<u64>, nacks: Vec<bus::Nack>) -> Vec<Settled> {
    let delivery = |number: u64| DeliveryId::from_random(u128::from(number));
    let acks = acks.into_iter().map(|number| Settled::acknowledged(delivery(number)));
    let nacks = nacks.into_iter().map(|nack| Settled {
        delivery: delivery(nack.delivery_id),
        outcome: Outcome::Refused { reason: nack.reason, retryable: nack.retryable },
    });
    acks.chain(nacks).collect()
}

pub(super) fn accepted(
    item: u64,
    message: MessageId,
    (correlation, duplicate): (Option<CorrelationId>, bool),
) -> bus::Outcome {
    let accepted = bus::Accepted {
        message_id: message.to_string(),
        correlation_id: correlation.map(|id| id.to_string()).unwrap_or_default(),
        duplicate,
    };
    bus::Outcome { item, result: Some(bus::outcome::Result::Accepted(accepted)) }
}

pub(super) fn refused(item: u64, refusal: &Refusal) -> bus::Outcome {
    let refused = bus::Refused {
        code: refusal.code().to_owned(),
        decision: refusal.decision().as_str().to_owned(),
        reason: refusal.to_string(),
        retry_after_ms: retry_after(refusal),
    };
    bus::Outcome { item, result: Some(bus::outcome::Result::Refused(refused)) }
}

pub(super) fn goodbye(refusal: &Refusal) -> bus::Goodbye {
    bus::Goodbye {
        code: refusal.code().to_owned(),
        reason: refusal.to_string(),
        retry_after_ms: retry_after(refusal),
    }
}

/// Rounded up, so that a caller who waits this long is not too early.
fn retry_after(refusal: &Refusal) -> u64 {
    let wait = refusal.retry_after();
    wait.map_or(0, |wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).saturating_add(1))
}

/// Writes a delivery; nothing if its envelope is none that the gate wrote.
pub(super) fn delivery(delivery: Delivery) -> Option<bus::Delivery> {
    let text = std::str::from_utf8(&delivery.envelope).ok()?;
    let contents = Contents::read(text)?;
    let kind = match (contents.expects_reply, contents.is_reply) {
        (_, true) => bus::MessageKind::Reply,
        (true, false) => bus::MessageKind::Request,
        (false, false) => bus::MessageKind::Send,
    };
    let (begin, end) = contents.payload;
    Some(bus::Delivery {
        delivery_id: u64::try_from(delivery.id.number()).ok()?,
        attempt: delivery.attempt,
        message_id: delivery.message.to_string(),
        sender_id: delivery.sender.to_string(),
        sender_instance_id: contents.sender_instance,
        message_type: delivery.message_type,
        payload: delivery.envelope.slice(begin..end),
        kind: kind.into(),
        correlation_id: contents.correlation.unwrap_or_default(),
        hops: contents.hops,
        traceparent: contents.traceparent.unwrap_or_default(),
        tracestate: contents.tracestate.unwrap_or_default(),
        accepted_at_us: contents.accepted_at.micros(),
    })
}

pub(super) fn receipt(receipt: Receipt) -> bus::Receipt {
    let kind = match receipt.kind {
        ReceiptKind::Accepted => bus::ReceiptKind::Accepted,
        ReceiptKind::Queued => bus::ReceiptKind::Queued,
        ReceiptKind::Delivered => bus::ReceiptKind::Delivered,
        ReceiptKind::Acknowledged => bus::ReceiptKind::Acknowledged,
        ReceiptKind::Expired => bus::ReceiptKind::Expired,
        ReceiptKind::DeadLettered => bus::ReceiptKind::DeadLettered,
    };
    bus::Receipt {
        message_id: receipt.message.to_string(),
        kind: kind.into(),
        reason: receipt.reason,
        attempts: receipt.attempts,
    }
}
