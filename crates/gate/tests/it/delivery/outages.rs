//! What receivers answer while the store cannot take it: kept, in order, and never in the way.

use gate::delivery::{Outcome, Settled};
use gate::ports::{MessageState, Op, StoreError};
use store::Bounds;

use crate::fixture::{
    Plan, World, ack, id, nack, one, pass, poll, seconds, settle_down, soon, text_of,
};

const fn settles(op: &Op) -> bool {
    matches!(op, Op::Settle { .. })
}

#[tokio::test(start_paused = true)]
async fn answers_wait_for_a_store_that_is_busy_or_full_for_a_while() {
    for (fault, least) in [(StoreError::Busy, 6), (StoreError::DiskFull, 300)] {
        let world = World::new(Plan::new()).await;
        let (_a, mut b) = (world.open("a", "i1").await, world.open("b", "i1").await);
        let mut messages = Vec::new();
        for _ in 0..3 {
            messages.push(world.send("a", "b", "{}").await);
        }
        let received = poll(&mut b);
        world.store.fail(302, fault.clone(), settles);
        let before = world.now();
        let refused = Outcome::Refused { reason: String::new(), retryable: false };
        let answers = vec![
            Settled::acknowledged(received[0].delivery),
            Settled { delivery: received[1].delivery, outcome: refused },
            Settled::acknowledged(received[2].delivery),
        ];
        b.handle().settle(answers).await;
        let waited = world.now().since(before);
        assert!(waited >= seconds(least) && waited < seconds(least + 3), "{fault}: {waited:?}");
        let mut states = Vec::new();
        for message in &messages {
            states.push(world.status("a", *message).await.unwrap().state);
        }
        let done = MessageState::Acknowledged;
        assert_eq!(states, [done, MessageState::DeadLettered, done], "{fault}");
        pass(seconds(100)).await;
        assert!(poll(&mut b).is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_waits_no_longer_than_its_session_and_the_message_comes_again() {
    for fault in [StoreError::Busy, StoreError::DiskFull] {
        let world = World::new(Plan::new()).await;
        let (_a, mut b) = (world.open("a", "i1").await, world.open("b", "i1").await);
        let message = world.send("a", "b", "{}").await;
        let received = one(&mut b);
        world.store.fail(usize::MAX, fault.clone(), settles);
        let handle = b.handle();
        let answer = vec![Settled::acknowledged(received.delivery)];
        let settling = world.gate.tasks().spawn(async move { handle.settle(answer).await });
        pass(seconds(50)).await;
        assert!(!settling.is_finished(), "{fault}");
        let before = world.now();
        drop(b);
        soon(settling).await.unwrap();
        assert!(world.now().since(before) <= seconds(1), "{fault}");
        settle_down().await;
        assert_eq!(world.status("a", message).await.unwrap().state, MessageState::Queued);
        let mut b = world.open("b", "i2").await;
        assert_eq!(id(&one(&mut b)), message);
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_does_not_wait_for_a_store_that_takes_no_answer() {
    let world = World::new(Plan::new()).await;
    let (_a, mut b) = (world.open("a", "i1").await, world.open("b", "i1").await);
    world.send("a", "b", "{}").await;
    let received = one(&mut b);
    world.store.fail(usize::MAX, StoreError::DiskFull, settles);
    let handle = b.handle();
    let answer = vec![Settled::acknowledged(received.delivery)];
    world.gate.tasks().spawn(async move { handle.settle(answer).await });
    settle_down().await;
    let before = world.now();
    world.gate.drain(seconds(100)).await;
    assert!(world.now().since(before) <= seconds(1));
}

#[tokio::test(start_paused = true)]
async fn a_message_waits_while_there_is_no_room_for_a_dead_letter() {
    let bounds = Bounds { dead_letters_max: 1, ..Bounds::default() };
    let plan = Plan::new().set(|settings| settings.circuit = None);
    let world = World::bounded(plan, bounds).await;
    let (_a, mut b) = (world.open("a", "i1").await, world.open("b", "i1").await);
    let mut messages = Vec::new();
    for number in 0..3 {
        messages.push(world.send("a", "b", &format!("{{\"n\":{number}}}")).await);
    }
    let received = poll(&mut b);
    nack(&b, &received[0], false).await;
    // No room for the second: it is put back, and the answer behind it is not held up.
    let before = world.now();
    let refused = Outcome::Refused { reason: String::new(), retryable: false };
    let refused = Settled { delivery: received[1].delivery, outcome: refused };
    b.handle().settle(vec![refused, Settled::acknowledged(received[2].delivery)]).await;
    assert_eq!(world.now(), before);
    let view = world.status("a", messages[2]).await.unwrap();
    assert_eq!(view.state, MessageState::Acknowledged);
    // It comes back after the longest pause, and the attempts do not count.
    for _ in 0..5 {
        let view = world.status("a", messages[1]).await.unwrap();
        assert_eq!((view.state, view.attempts), (MessageState::Queued, 0));
        pass(std::time::Duration::from_micros(1_499_999)).await;
        assert!(poll(&mut b).is_empty());
        pass(std::time::Duration::from_micros(1)).await;
        let received = one(&mut b);
        assert_eq!(text_of(std::slice::from_ref(&received)), ["{\"n\":1}"]);
        nack(&b, &received, false).await;
    }
    let drop = gate::types::AdminCommand::DropDeadLetter(messages[0].to_string());
    world.admin(drop).await;
    pass(seconds(2)).await;
    let received = one(&mut b);
    nack(&b, &received, false).await;
    let view = world.status("a", messages[1]).await.unwrap();
    assert_eq!((view.state, view.attempts), (MessageState::DeadLettered, 1));
}

#[tokio::test(start_paused = true)]
async fn what_was_tried_too_often_waits_for_room_too() {
    let bounds = Bounds { dead_letters_max: 1, ..Bounds::default() };
    let plan = Plan::new().set(|settings| settings.circuit = None);
    let world = World::bounded(plan, bounds).await;
    let (_a, mut b) = (world.open("a", "i1").await, world.open("b", "i1").await);
    let first = world.send("a", "b", "{}").await;
    let received = one(&mut b);
    nack(&b, &received, false).await;
    drop(b);
    let poison = world.send("a", "b", "{}").await;
    for _ in 0..3 {
        let mut b = world.open("b", "i1").await;
        assert_eq!(id(&one(&mut b)), poison);
        drop(b);
        settle_down().await;
    }
    let healthy = world.send("a", "b", "{}").await;
    let mut b = world.open("b", "i1").await;
    let deliveries = soon(b.next()).await.unwrap();
    let received = crate::fixture::read(deliveries);
    assert_eq!(received.iter().map(id).collect::<Vec<_>>(), [healthy]);
    assert_eq!(world.status("a", poison).await.unwrap().state, MessageState::Queued);
    ack(&b, &received[0]).await;
    world.admin(gate::types::AdminCommand::DropDeadLetter(first.to_string())).await;
    let task = world.gate.tasks().spawn(async move { b.next().await });
    pass(seconds(2)).await;
    let view = world.status("a", poison).await.unwrap();
    assert_eq!(
        (view.state, view.reason.as_str()),
        (MessageState::DeadLettered, "attempts_exhausted")
    );
    assert!(!task.is_finished());
    world.gate.drain(seconds(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_busy_store_does_not_lose_an_acknowledgement() {
    let world = World::new(Plan::new()).await;
    let (_a, mut b) = (world.open("a", "i1").await, world.open("b", "i1").await);
    let message = world.send("a", "b", "{}").await;
    let received = one(&mut b);
    world.store.fail(400, StoreError::Busy, settles);
    ack(&b, &received).await;
    assert_eq!(world.status("a", message).await.unwrap().state, MessageState::Acknowledged);
}
