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
    // The receiver's words are for operators.
    assert_eq!(view.reason, "attempts_exhausted");
    let show = AdminCommand::ShowDeadLetter(message.to_string());
    let answer = world.admin(show).await;
    let AdminAnswer::DeadLetter(letter, text) = answer else { panic!("no letter but {answer:?}") };
    assert_eq!(letter.view.reason, "attempts_exhausted: will not");
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
    assert_eq!(view.reason, "refused");
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
    let third = one(&mut second);
    assert_eq!(text_of(std::slice::from_ref(&third)), ["{\"n\":3}"]);
    let before = world.now();
    drop(first);
    settle_down().await;
    // One at a time, until as many are answered as the first left unanswered.
    assert!(poll(&mut second).is_empty());
    ack(&second, &third).await;
    for expected in ["{\"n\":0}", "{\"n\":2}"] {
        let received = one(&mut second);
        assert_eq!(received.envelope["data"].to_string(), expected);
        ack(&second, &received).await;
    }
    assert_eq!(world.now(), before);
    let closed = world.record("session.close").await;
    assert_eq!((closed.agent_id.as_ref(), closed.sender_instance_id.as_deref()), ("b", Some("i1")));
}
