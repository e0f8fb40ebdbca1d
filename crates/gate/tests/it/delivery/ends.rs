//! What becomes of a message, who may know it, and when its time is over.

use std::collections::BTreeSet;
use std::time::Duration;

use gate::ports::{MessageState, Op, StoreError};
use gate::types::{Action, Answer};

use crate::fixture::{
    Plan, World, ack, ask, id, limits, nack, one, pass, poll, seconds, status_of,
};

#[tokio::test(start_paused = true)]
async fn a_sender_sees_each_state_of_its_message() {
    let world = World::new(Plan::new()).await;
    let _a = world.open("a", "i1").await;
    let mut messages = Vec::new();
    for _ in 0..3 {
        messages.push(world.send("a", "b", "{}").await);
    }
    let mut b = world.open("b", "i1").await;
    let mut seen = vec![world.status("a", messages[0]).await.unwrap().state];
    let received = poll(&mut b);
    seen.push(world.status("a", messages[0]).await.unwrap().state);
    ack(&b, &received[0]).await;
    seen.push(world.status("a", messages[0]).await.unwrap().state);
    nack(&b, &received[1], false).await;
    seen.push(world.status("a", messages[1]).await.unwrap().state);
    nack(&b, &received[2], true).await;
    pass(seconds(3_600)).await;
    seen.push(world.status("a", messages[2]).await.unwrap().state);
    let expected = [
        MessageState::Queued,
        MessageState::Delivered,
        MessageState::Acknowledged,
        MessageState::DeadLettered,
        MessageState::Expired,
    ];
    assert_eq!(seen, expected);
}

#[tokio::test(start_paused = true)]
async fn nobody_but_its_sender_learns_of_a_message() {
    let world = World::new(Plan::new()).await;
    let _a = world.open("a", "i1").await;
    let message = world.send("a", "b", "{}").await;
    for other in ["b", "c"] {
        assert_eq!(world.status(other, message).await, None);
    }
    for malformed in ["", "1", "not an id", "../dlq"] {
        let asks = Action::MessageStatus { message: malformed.to_owned() };
        assert!(matches!(world.accept("a", asks).await, Answer::Status(None)));
    }
    assert_eq!(world.record("message.status").await.agent_id, "a");
    assert!(matches!(world.accept("a", status_of(message)).await, Answer::Status(Some(_))));
}

#[tokio::test(start_paused = true)]
async fn a_message_expires_in_its_moment_and_is_not_delivered_after_it() {
    let world = World::new(Plan::new()).await;
    let _a = world.open("a", "i1").await;
    let kept = world.send("a", "b", "{}").await;
    pass(seconds(3_600) - Duration::from_micros(1)).await;
    let mut b = world.open("b", "i1").await;
    assert_eq!(id(&one(&mut b)), kept);
    drop(b);

    let lost = world.send("a", "b", "{}").await;
    let held = world.send("a", "b", "{}").await;
    pass(seconds(3_600)).await;
    let mut b = world.open("b", "i1").await;
    assert!(poll(&mut b).is_empty());
    for message in [lost, held] {
        assert_eq!(world.status("a", message).await.unwrap().state, MessageState::Expired);
    }
    let record = world.record("expired").await;
    assert_eq!((record.decision.as_ref(), record.outcome), ("EXPIRED", audit::Outcome::Error));
    assert_eq!(record.target_id.as_deref(), Some("b"));
}

#[tokio::test(start_paused = true)]
async fn a_thousand_expired_messages_leave_within_two_periods_each_with_a_record() {
    let world = World::new(Plan::new().limits(limits(10_000, 10_000))).await;
    let _a = world.open("a", "i1").await;
    let mut messages = BTreeSet::new();
    for _ in 0..1_000 {
        messages.insert(world.send("a", "b", "{}").await.to_string());
    }
    pass(seconds(3_600)).await;
    pass(seconds(2)).await;
    assert_eq!(world.queued("b").await, 0);
    let records = world.records().await;
    let expired = records.into_iter().filter(|record| record.event_type == "expired");
    let expired: Vec<_> = expired.map(|record| record.message_id.unwrap().into_owned()).collect();
    assert_eq!(expired.len(), 1_000);
    assert_eq!(expired.into_iter().collect::<BTreeSet<_>>(), messages);
}

#[tokio::test(start_paused = true)]
async fn one_message_that_is_taken_at_the_last_moment_keeps_no_other_from_expiring() {
    let world = World::new(Plan::new()).await;
    let _a = world.open("a", "i1").await;
    for _ in 0..5 {
        world.send("a", "b", "{}").await;
    }
    // The batch of all meets a conflict, and then one of them by itself.
    world.store.fail(2, StoreError::Conflict { op: 0 }, |op| matches!(op, Op::Expire { .. }));
    pass(seconds(3_600)).await;
    pass(seconds(1)).await;
    assert_eq!(world.queued("b").await, 0);
    let records = world.records().await;
    assert_eq!(records.iter().filter(|record| record.event_type == "expired").count(), 5);
}

#[tokio::test(start_paused = true)]
async fn what_a_receiver_holds_does_not_expire_under_it() {
    let world = World::new(Plan::new()).await;
    let (_a, mut b) = (world.open("a", "i1").await, world.open("b", "i1").await);
    let message = world.send("a", "b", "{}").await;
    let received = one(&mut b);
    pass(seconds(4_000)).await;
    assert_eq!(world.status("a", message).await.unwrap().state, MessageState::Delivered);
    ack(&b, &received).await;
    assert_eq!(world.status("a", message).await.unwrap().state, MessageState::Acknowledged);
}

#[tokio::test(start_paused = true)]
async fn a_request_expires_with_its_asker_and_not_later_than_any_message() {
    let world = World::new(Plan::new()).await;
    let _a = world.open("a", "i1").await;
    let (short, _) = world.message("a", ask("b", "{}", Some(10))).await;
    let (long, _) = world.message("a", ask("b", "{}", Some(9_999))).await;
    pass(seconds(10)).await;
    pass(seconds(1)).await;
    assert_eq!(world.status("a", short).await.unwrap().state, MessageState::Expired);
    assert_eq!(world.status("a", long).await.unwrap().state, MessageState::Queued);
    pass(seconds(3_600)).await;
    assert_eq!(world.status("a", long).await.unwrap().state, MessageState::Expired);
}

#[tokio::test(start_paused = true)]
async fn a_gate_that_is_drained_at_once_does_not_wait_for_its_own_work() {
    let world = World::new(Plan::new()).await;
    let before = world.now();
    world.gate.drain(seconds(100)).await;
    assert_eq!(world.now(), before);
}
