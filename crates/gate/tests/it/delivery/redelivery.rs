//! What is delivered again, to whom, after which time, and how often.

use std::time::Duration;

use gate::ports::MessageState;
use gate::types::{AdminAnswer, AdminCommand};

use crate::fixture::{
    Plan, World, ack, id, nack, one, pass, poll, seconds, settle_down, soon, text_of,
};

#[tokio::test(start_paused = true)]
async fn a_retry_comes_after_its_pause_which_doubles_up_to_a_maximum() {
    let world = World::new(Plan::new().set(|settings| settings.delivery.max_attempts = 4)).await;
    let (_a, mut b) = (world.open("a", "i1").await, world.open("b", "i1").await);
    let message = world.send("a", "b", "{}").await;
    let mut deliveries = std::collections::HashSet::new();
    for pause in [1_000, 1_500, 1_500] {
        let received = one(&mut b);
        assert_eq!(id(&received), message);
        deliveries.insert(received.delivery);
        nack(&b, &received, true).await;
        assert_eq!(world.status("a", message).await.unwrap().state, MessageState::Queued);
        pass(Duration::from_millis(pause) - Duration::from_micros(1)).await;
        assert!(poll(&mut b).is_empty());
        pass(Duration::from_micros(1)).await;
    }
    deliveries.insert(one(&mut b).delivery);
    assert_eq!(deliveries.len(), 4, "a redelivery has an id of its own");
    let view = world.status("a", message).await.unwrap();
    assert_eq!((view.state, view.attempts), (MessageState::Delivered, 4));
}

#[tokio::test(start_paused = true)]
async fn a_session_wakes_by_itself_when_a_retry_is_due() {
    let world = World::new(Plan::new()).await;
    let (_a, mut b) = (world.open("a", "i1").await, world.open("b", "i1").await);
    world.send("a", "b", "{}").await;
    let received = one(&mut b);
    nack(&b, &received, true).await;
    let before = world.now();
    assert_eq!(soon(b.next()).await.unwrap().len(), 1);
    let waited = world.now().since(before);
    assert!(waited >= seconds(1) && waited < Duration::from_millis(1_010), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn attempts_end_as_a_dead_letter_with_the_payload() {
    let world = World::new(Plan::new()).await;
    let (_a, mut b) = (world.open("a", "i1").await, world.open("b", "i1").await);
    let message = world.send("a", "b", "{\"n\":7}").await;
    for _ in 0..3 {
        let received = one(&mut b);
        nack(&b, &received, true).await;
        pass(seconds(2)).await;
    }
    assert!(poll(&mut b).is_empty());
    let view = world.status("a", message).await.unwrap();
    assert_eq!((view.state, view.attempts), (MessageState::DeadLettered, 3));
    assert_eq!(view.reason, "will not");
    let show = AdminCommand::ShowDeadLetter(message.to_string());
    let answer = world.admin(show).await;
    let AdminAnswer::DeadLetter(_, text) = answer else { panic!("no letter but {answer:?}") };
    assert!(text.contains("\"data\":{\"n\":7}"), "{text}");
    let record = world.record("dead_letter").await;
    assert_eq!(
        (record.decision.as_ref(), record.reason.as_deref()),
        ("DLQ", Some("attempts_exhausted"))
    );
    assert_eq!(record.message_id.as_deref(), Some(message.to_string().as_str()));
    assert_eq!((record.sender_id.as_deref(), record.target_id.as_deref()), (Some("a"), Some("b")));
}

#[tokio::test(start_paused = true)]
async fn a_final_refusal_is_a_dead_letter_at_once() {
    let world = World::new(Plan::new()).await;
    let (_a, mut b) = (world.open("a", "i1").await, world.open("b", "i1").await);
    let message = world.send("a", "b", "{}").await;
    let received = one(&mut b);
    nack(&b, &received, false).await;
    let view = world.status("a", message).await.unwrap();
    assert_eq!((view.state, view.attempts), (MessageState::DeadLettered, 1));
    assert_eq!(world.record("dead_letter").await.reason.as_deref(), Some("refused"));
    assert_eq!(world.queued("b").await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_slow_receiver_never_gets_what_it_holds_again() {
    let world = World::new(Plan::new()).await;
    let (_a, mut b) = (world.open("a", "i1").await, world.open("b", "i1").await);
    let message = world.send("a", "b", "{}").await;
    let received = one(&mut b);
    for _ in 0..20 {
        pass(seconds(30)).await;
        assert!(poll(&mut b).is_empty());
    }
    ack(&b, &received).await;
    let view = world.status("a", message).await.unwrap();
    assert_eq!((view.state, view.attempts), (MessageState::Acknowledged, 1));
}

#[tokio::test(start_paused = true)]
async fn another_instance_takes_over_what_one_holds_for_too_long() {
    let world = World::new(Plan::new()).await;
    let _a = world.open("a", "i1").await;
    let (mut slow, mut quick) = (world.open("b", "i1").await, world.open("b", "i2").await);
    let message = world.send("a", "b", "{}").await;
    let held = one(&mut slow);
    pass(seconds(30) - Duration::from_micros(1)).await;
    assert!(poll(&mut quick).is_empty());
    pass(Duration::from_micros(1)).await;
    let taken = one(&mut quick);
    assert_eq!((id(&held), id(&taken)), (message, message));
    assert_ne!(held.delivery, taken.delivery);
    // The late answers of the first change nothing for the second.
    nack(&slow, &held, false).await;
    ack(&slow, &held).await;
    assert_eq!(world.status("a", message).await.unwrap().state, MessageState::Delivered);
    assert!(world.records().await.iter().all(|record| record.event_type != "dead_letter"));
    ack(&quick, &taken).await;
    assert_eq!(world.status("a", message).await.unwrap().state, MessageState::Acknowledged);
    assert!(poll(&mut slow).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_waiting_instance_wakes_by_itself_to_take_over() {
    let world = World::new(Plan::new()).await;
    let _a = world.open("a", "i1").await;
    let (mut slow, mut quick) = (world.open("b", "i1").await, world.open("b", "i2").await);
    world.send("a", "b", "{}").await;
    one(&mut slow);
    let before = world.now();
    assert_eq!(soon(quick.next()).await.unwrap().len(), 1);
    let waited = world.now().since(before);
    assert!(waited >= seconds(30) && waited < seconds(31), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_beside_others_does_not_spoil_them() {
    let world = World::new(Plan::new()).await;
    let _a = world.open("a", "i1").await;
    let mut slow = world.open("b", "i1").await;
    let first = world.send("a", "b", "{\"n\":1}").await;
    let lost = one(&mut slow);
    pass(seconds(30)).await;
    let mut quick = world.open("b", "i2").await;
    one(&mut quick);
    let second = world.send("a", "b", "{\"n\":2}").await;
    let good = one(&mut slow);
    let both = [&lost, &good].map(|one| gate::delivery::Settled::acknowledged(one.delivery));
    slow.handle().settle(both.into()).await;
    assert_eq!(world.status("a", first).await.unwrap().state, MessageState::Delivered);
    assert_eq!(world.status("a", second).await.unwrap().state, MessageState::Acknowledged);
}

#[tokio::test(start_paused = true)]
async fn what_an_ended_session_held_is_free_at_once_and_in_order() {
    let world = World::new(Plan::new()).await;
    let _a = world.open("a", "i1").await;
    let (mut first, mut second) = (world.open("b", "i1").await, world.open("b", "i2").await);
    for payload in ["{\"n\":0}", "{\"n\":1}", "{\"n\":2}"] {
        world.send("a", "b", payload).await;
    }
    let held = poll(&mut first);
    ack(&first, &held[1]).await;
    world.send("a", "b", "{\"n\":3}").await;
    assert_eq!(text_of(&poll(&mut second)), ["{\"n\":3}"]);
    let before = world.now();
    drop(first);
    settle_down().await;
    assert_eq!(text_of(&poll(&mut second)), ["{\"n\":0}", "{\"n\":2}"]);
    assert_eq!(world.now(), before);
    let closed = world.record("session.close").await;
    assert_eq!((closed.agent_id.as_ref(), closed.sender_instance_id.as_deref()), ("b", Some("i1")));
}

#[tokio::test(start_paused = true)]
async fn a_message_whose_receivers_always_go_away_ends_as_a_dead_letter() {
    let world = World::new(Plan::new()).await;
    let _a = world.open("a", "i1").await;
    let poison = world.send("a", "b", "{\"n\":1}").await;
    for _ in 0..3 {
        let mut b = world.open("b", "i1").await;
        assert_eq!(id(&one(&mut b)), poison);
        drop(b);
        settle_down().await;
    }
    let healthy = world.send("a", "b", "{\"n\":2}").await;
    let mut b = world.open("b", "i1").await;
    let received = soon(b.next()).await.unwrap();
    assert_eq!(received.len(), 1);
    assert!(received[0].envelope.windows(7).any(|text| text == b"{\"n\":2}"));
    let view = world.status("a", poison).await.unwrap();
    assert_eq!(view.state, MessageState::DeadLettered);
    assert!(view.reason.contains("tried too often"), "{}", view.reason);
    let record = world.record("dead_letter").await;
    assert_eq!(record.reason.as_deref(), Some("attempts_exhausted"));
    assert_eq!(world.status("a", healthy).await.unwrap().state, MessageState::Delivered);
}

#[tokio::test(start_paused = true)]
async fn what_stands_behind_a_poisonous_message_does_not_wait_for_another_event() {
    let plan = Plan::new().set(|settings| settings.delivery.max_in_flight = 1);
    let world = World::new(plan).await;
    let _a = world.open("a", "i1").await;
    let poison = world.send("a", "b", "{\"n\":1}").await;
    let healthy = world.send("a", "b", "{\"n\":2}").await;
    for _ in 0..3 {
        let mut b = world.open("b", "i1").await;
        assert_eq!(id(&one(&mut b)), poison);
        drop(b);
        settle_down().await;
    }
    let mut b = world.open("b", "i1").await;
    let before = world.now();
    assert_eq!(soon(b.next()).await.unwrap().len(), 1);
    assert_eq!(world.now(), before);
    assert_eq!(world.status("a", healthy).await.unwrap().state, MessageState::Delivered);
}

#[tokio::test(start_paused = true)]
async fn a_busy_store_does_not_lose_an_acknowledgement() {
    let world = World::new(Plan::new()).await;
    let (_a, mut b) = (world.open("a", "i1").await, world.open("b", "i1").await);
    let message = world.send("a", "b", "{}").await;
    let received = one(&mut b);
    let settles = |op: &gate::ports::Op| matches!(op, gate::ports::Op::Settle { .. });
    world.store.fail(40, gate::ports::StoreError::Busy, settles);
    ack(&b, &received).await;
    assert_eq!(world.status("a", message).await.unwrap().state, MessageState::Acknowledged);
}
