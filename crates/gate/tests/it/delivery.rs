//! Delivery: what reaches whom, in which order, and how much at once.

mod ends;
mod outages;
mod poison;
mod redelivery;
mod takeover;

use std::time::Duration;

use gate::delivery::Settled;
use gate::ports::{MessageState, StoreError};
use gate::settings::Offline;
use gate::types::{Action, Answer, DeliveryId, Hello, Intake};

use crate::fixture::{
    Plan, World, ack, answer, hello, id, nack, one, pass, poll, say, say_from, seconds, soon,
    text_of,
};

fn numbered(numbers: impl Iterator<Item = usize>) -> Vec<String> {
    numbers.map(|number| format!("{{\"n\":{number}}}")).collect()
}

#[tokio::test(start_paused = true)]
async fn messages_arrive_in_order_and_only_as_many_as_one_session_may_hold() {
    let world = World::new(Plan::new()).await;
    let (_a, mut b) = (world.open("a", "i1").await, world.open("b", "i1").await);
    let mut ids = Vec::new();
    for payload in numbered(0..25) {
        ids.push(world.send("a", "b", &payload).await);
    }
    let first = poll(&mut b);
    assert_eq!(text_of(&first), numbered(0..10));
    assert!(poll(&mut b).is_empty(), "more than `max_in_flight`");
    // Room comes back one by one, whatever is acknowledged.
    ack(&b, &first[7]).await;
    nack(&b, &first[2], false).await;
    let second = poll(&mut b);
    assert_eq!(text_of(&second), numbered(10..12));
    for received in first.iter().chain(&second) {
        ack(&b, received).await;
    }
    let third = poll(&mut b);
    assert_eq!(text_of(&third), numbered(12..22));
    let answers = third.iter().map(|received| Settled::acknowledged(received.delivery));
    b.handle().settle(answers.collect()).await;
    let fourth = poll(&mut b);
    assert_eq!(text_of(&fourth), numbered(22..25));
    assert_eq!(fourth.last().map(id).as_ref(), ids.last());
    let ids: std::collections::BTreeSet<_> = ids.iter().map(ToString::to_string).collect();
    assert_eq!(ids.len(), 25);
}

#[tokio::test(start_paused = true)]
async fn a_session_holds_a_bounded_number_of_bytes() {
    let plan = Plan::new().set(|settings| settings.delivery.in_flight_bytes_max = 1_000);
    let world = World::new(plan).await;
    let (_a, mut b) = (world.open("a", "i1").await, world.open("b", "i1").await);
    let payload = format!("{{\"text\":\"{}\"}}", "x".repeat(400));
    for _ in 0..3 {
        world.send("a", "b", &payload).await;
    }
    world.send("a", "b", &format!("{{\"text\":\"{}\"}}", "x".repeat(4_000))).await;
    // A second of about 700 bytes would be over; the first is always given.
    let received = one(&mut b);
    ack(&b, &received).await;
    for _ in 0..2 {
        let received = one(&mut b);
        ack(&b, &received).await;
    }
    one(&mut b);
    assert!(poll(&mut b).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_waiting_session_is_woken_by_a_message_and_by_an_acknowledgement() {
    let plan = Plan::new().set(|settings| settings.delivery.max_in_flight = 1);
    let world = World::new(plan).await;
    let (_a, mut b) = (world.open("a", "i1").await, world.open("b", "i1").await);
    let handle = b.handle();
    let (tell, told) = tokio::sync::oneshot::channel();
    let waiting = world.gate.tasks().spawn(async move {
        let first = b.next().await.unwrap();
        tell.send(first[0].id).unwrap();
        (first.len(), b.next().await.unwrap().len())
    });
    let before = world.now();
    crate::fixture::settle_down().await;
    world.send("a", "b", "{}").await;
    world.send("a", "b", "{}").await;
    let first = soon(told).await.unwrap();
    crate::fixture::settle_down().await;
    assert!(!waiting.is_finished());
    handle.settle(vec![Settled::acknowledged(first)]).await;
    assert_eq!(soon(waiting).await.unwrap(), (1, 1));
    assert_eq!(world.now(), before, "it was time that woke it");
}

#[tokio::test(start_paused = true)]
async fn instances_share_the_agents_queue_and_each_message_goes_to_one() {
    let plan = Plan::new().set(|settings| settings.delivery.max_in_flight = 2);
    let world = World::new(plan).await;
    let _a = world.open("a", "i1").await;
    let (mut first, mut second) = (world.open("b", "i1").await, world.open("b", "i2").await);
    for payload in numbered(0..4) {
        world.send("a", "b", &payload).await;
    }
    assert_eq!(text_of(&poll(&mut first)), numbered(0..2));
    assert_eq!(text_of(&poll(&mut second)), numbered(2..4));
    assert!(poll(&mut first).is_empty() && poll(&mut second).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_reply_goes_to_the_instance_that_asked_and_waits_for_it() {
    let world = World::new(Plan::new()).await;
    let (mut asker, mut other) = (world.open("a", "i1").await, world.open("a", "i2").await);
    let _b = world.open("b", "i1").await;
    let requests = [world.request("a", "b").await, world.request("a", "b").await];
    world.accept("b", answer(&requests[0], "{}")).await;
    assert!(poll(&mut other).is_empty());
    one(&mut asker);
    drop(asker);
    crate::fixture::settle_down().await;
    world.accept("b", answer(&requests[1], "{}")).await;
    assert!(poll(&mut other).is_empty());
    let mut asker = world.open("a", "i1").await;
    // The first was not acknowledged before the session ended.
    let first = one(&mut asker);
    assert_eq!(first.envelope["meta"]["correlation_id"], requests[0].as_str());
    ack(&asker, &first).await;
    assert_eq!(one(&mut asker).envelope["meta"]["correlation_id"], requests[1].as_str());
}

#[tokio::test(start_paused = true)]
async fn a_session_for_replies_leaves_the_agents_messages_to_others() {
    let world = World::new(Plan::new()).await;
    let _b = world.open("b", "i1").await;
    let only_replies = Action::Open(Hello::Instance("i1".to_owned(), Intake::Replies));
    let Answer::Opened(mut asker) = world.accept("a", only_replies).await else {
        panic!("no session")
    };
    world.send("b", "a", "{}").await;
    let request = world.request("a", "b").await;
    world.accept("b", answer(&request, "{}")).await;
    assert_eq!(one(&mut asker).envelope["meta"]["is_reply"], true);
    let mut all = world.open("a", "i2").await;
    assert_eq!(one(&mut all).envelope["meta"]["is_reply"], false);
}

#[tokio::test(start_paused = true)]
async fn an_agent_with_sessions_for_replies_only_takes_no_messages() {
    let plan = Plan::new().set(|settings| settings.delivery.offline = Offline::Refuse);
    let world = World::new(plan).await;
    let _b = world.open("b", "i1").await;
    let only_replies = Action::Open(Hello::Instance("i1".to_owned(), Intake::Replies));
    let answer_to = world.accept("a", only_replies).await;
    let Answer::Opened(mut asker) = answer_to else { panic!("no session but {answer_to:?}") };
    world.refuse("b", say("a", "{}"), "AUTHZ_DENIED", "target_offline").await;
    let discover = Action::Discover { capabilities: Vec::new() };
    let found = world.accept("b", discover).await;
    assert!(matches!(&found, Answer::Agents(agents) if agents.is_empty()), "{found:?}");
    // It is there for the answers to what it asks.
    let request = world.request("a", "b").await;
    world.accept("b", answer(&request, "{}")).await;
    one(&mut asker);
}

#[tokio::test(start_paused = true)]
async fn an_offline_target_gets_its_messages_when_it_comes_back_even_over_a_restart() {
    let world = World::new(Plan::new()).await;
    let _a = world.open("a", "i1").await;
    let mut ids = Vec::new();
    for payload in numbered(0..3) {
        ids.push(world.send("a", "b", &payload).await);
    }
    assert_eq!(world.status("a", ids[0]).await.unwrap().state, MessageState::Queued);
    let world = world.restarted(Plan::new()).await;
    let mut b = world.open("b", "i7").await;
    let received = poll(&mut b);
    assert_eq!(text_of(&received), numbered(0..3));
    assert_eq!(received.iter().map(id).collect::<Vec<_>>(), ids);
}

#[tokio::test(start_paused = true)]
async fn an_agent_has_a_bounded_number_of_sessions() {
    let world = World::new(Plan::new()).await;
    let mut sessions = Vec::new();
    for number in 0..4 {
        sessions.push(world.open("a", &format!("i{number}")).await);
    }
    let refusal = world.refuse("a", hello("i4"), "BACKPRESSURE", "backpressure").await;
    assert_eq!(refusal.retry_after(), Some(seconds(1)));
    let _other = world.open("b", "i4").await;
    sessions.pop();
    let _more = world.open("a", "i4").await;
    assert_eq!(world.gate.hub().session_count(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_sessions_and_leaves_what_they_held_for_later() {
    let world = World::new(Plan::new()).await;
    let (_a, mut b) = (world.open("a", "i1").await, world.open("b", "i1").await);
    let message = world.send("a", "b", "{}").await;
    one(&mut b);
    let before = world.now();
    let task = world.gate.tasks().spawn(async move { b.next().await });
    world.gate.drain(seconds(100)).await;
    assert!(soon(task).await.unwrap().is_none());
    assert_eq!(world.now(), before, "the drain waited for nothing");
    crate::fixture::settle_down().await;
    let world = world.restarted(Plan::new()).await;
    let mut b = world.open("b", "i1").await;
    assert_eq!(id(&one(&mut b)), message);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_its_client_ended_hands_over_nothing_more() {
    let world = World::new(Plan::new()).await;
    let (_a, mut b) = (world.open("a", "i1").await, world.open("b", "i1").await);
    b.handle().end();
    world.send("a", "b", "{}").await;
    assert!(soon(b.next()).await.is_none());
    assert_eq!(world.queued("b").await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_to_lease_is_asked_again() {
    let world = World::new(Plan::new()).await;
    let (_a, mut b) = (world.open("a", "i1").await, world.open("b", "i1").await);
    world.send("a", "b", "{}").await;
    world.store.fail_lease(StoreError::Unreachable("gone".to_owned()));
    let before = world.now();
    assert_eq!(soon(b.next()).await.unwrap().len(), 1);
    assert!(world.now().since(before) < seconds(2));
    // A session keeps working behind it.
    world.accept("a", say("b", "{}")).await;
    one(&mut b);
}

#[tokio::test(start_paused = true)]
async fn unknown_and_repeated_acknowledgements_change_nothing() {
    let world = World::new(Plan::new()).await;
    let (_a, mut b) = (world.open("a", "i1").await, world.open("b", "i1").await);
    let mut other = world.open("b", "i2").await;
    let message = world.send("a", "b", "{}").await;
    let received = one(&mut b);
    // Not its own delivery.
    ack(&other, &received).await;
    assert_eq!(world.status("a", message).await.unwrap().state, MessageState::Delivered);
    let commits = world.store.commits().len();
    b.handle().settle(Vec::new()).await;
    b.handle().settle(vec![Settled::acknowledged(DeliveryId::from_random(u128::MAX))]).await;
    assert_eq!(world.store.commits().len(), commits);
    ack(&b, &received).await;
    nack(&b, &received, false).await;
    ack(&b, &received).await;
    assert_eq!(world.store.commits().len(), commits + 1);
    assert_eq!(world.status("a", message).await.unwrap().state, MessageState::Acknowledged);
    pass(Duration::from_secs(100)).await;
    assert!(poll(&mut b).is_empty() && poll(&mut other).is_empty());
    world.accept("a", say_from("i1", "b", "{}")).await;
}
