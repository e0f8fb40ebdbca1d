//! A message that ends whoever receives it: it is found, and the others do not pay for it.

use std::collections::BTreeSet;

use gate::ports::MessageState;
use gate::types::MessageId;

use crate::fixture::{Plan, World, ack, id, one, poll, read, settle_down, soon};

/// Lets `b` connect again and again and handle what comes, and go away at once when `poison` is
/// among it, until `count` messages are handled; returns how many sessions that took.
async fn work_off(world: &World, poison: MessageId, count: usize) -> usize {
    let mut handled = BTreeSet::new();
    for sessions in 1..100 {
        let mut b = world.open("b", "i1").await;
        while handled.len() < count {
            let received = read(soon(b.next()).await.unwrap());
            assert!(!received.is_empty());
            if received.iter().any(|one| id(one) == poison) {
                break;
            }
            for one in received {
                ack(&b, &one).await;
                assert!(handled.insert(id(&one).to_string()), "handled twice");
            }
        }
        if handled.len() == count {
            return sessions;
        }
        drop(b);
        settle_down().await;
    }
    panic!("{} of {count} were handled", handled.len())
}

#[tokio::test(start_paused = true)]
async fn one_poisonous_message_of_many_is_the_only_one_that_dies() {
    for place in [0, 3, 27, 48] {
        let world = World::new(Plan::new()).await;
        let _a = world.open("a", "i1").await;
        let mut messages = Vec::new();
        for number in 0..50 {
            messages.push(world.send("a", "b", &format!("{{\"n\":{number}}}")).await);
        }
        let poison = messages.remove(place);
        let before = world.now();
        // Three that it ends, and one that finds it dead.
        assert_eq!(work_off(&world, poison, 49).await, 4, "{place}");
        assert_eq!(world.now(), before, "it was time that helped");
        for message in messages {
            let view = world.status("a", message).await.unwrap();
            assert_eq!(view.state, MessageState::Acknowledged);
            assert!(view.attempts <= 2, "{place}: {view:?}");
        }
        let view = world.status("a", poison).await.unwrap();
        assert_eq!(view.state, MessageState::DeadLettered);
        let records = world.records().await;
        let dead = records.iter().filter(|record| record.event_type == "dead_letter");
        let dead: Vec<_> = dead.map(|record| record.message_id.clone().unwrap()).collect();
        assert_eq!(dead, [poison.to_string()]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_is_trusted_again_after_as_many_answers_as_it_left_out() {
    let world = World::new(Plan::new()).await;
    let _a = world.open("a", "i1").await;
    for _ in 0..12 {
        world.send("a", "b", "{}").await;
    }
    let mut b = world.open("b", "i1").await;
    assert_eq!(poll(&mut b).len(), 10);
    drop(b);
    settle_down().await;
    // Its other sessions are handed one at a time too, and all of them earn trust.
    let (mut b, mut other) = (world.open("b", "i1").await, world.open("b", "i2").await);
    for _ in 0..5 {
        let pair = [one(&mut b), one(&mut other)];
        assert!(poll(&mut b).is_empty() && poll(&mut other).is_empty());
        ack(&b, &pair[0]).await;
        ack(&other, &pair[1]).await;
    }
    assert_eq!(poll(&mut b).len(), 2);
    // Another agent was never under suspicion.
    let _b = world.send("b", "a", "{}").await;
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
    assert_eq!(view.reason, "attempts_exhausted");
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
