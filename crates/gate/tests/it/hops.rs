//! Hops: messages that lead to one another come to an end.

use gate::types::{Answer, Refusal};

use crate::fixture::{Plan, World, ack, answer, ask_after, one, say, say_after};

#[tokio::test(start_paused = true)]
async fn a_message_carries_its_hops_up_to_the_limit_and_no_further() {
    let world = World::new(Plan::new()).await;
    let (_a, mut b) = (world.open("a", "i1").await, world.open("b", "i1").await);
    world.accept("a", say("b", "{}")).await;
    for (stated, hops) in [("0", 0), ("1", 1), ("016", 16)] {
        let first = one(&mut b);
        ack(&b, &first).await;
        world.accept("a", say_after(stated, "b")).await;
        let received = one(&mut b);
        assert_eq!(received.envelope["meta"]["hops"], hops);
        ack(&b, &received).await;
        world.accept("a", say("b", "{}")).await;
    }
    assert_eq!(one(&mut b).envelope["meta"]["hops"], 0);
    let refusal = world.refuse("a", say_after("17", "b"), "INVALID", "too_many_hops").await;
    assert_eq!(refusal, Refusal::TooManyHops { hops: 17, max: 16 });
    world.refuse("a", ask_after("17", "b"), "INVALID", "too_many_hops").await;
}

#[tokio::test(start_paused = true)]
async fn hops_that_are_no_number_are_refused() {
    let world = World::new(Plan::new()).await;
    let _a = world.open("a", "i1").await;
    for stated in ["", "-1", "+1", "1.0", " 1", "x", "4294967296", "1,1"] {
        world.refuse("a", say_after(stated, "b"), "INVALID", "invalid_field").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_reply_has_one_hop_more_than_its_request_whatever_its_sender_says() {
    let world = World::new(Plan::new()).await;
    let (mut a, mut b) = (world.open("a", "i1").await, world.open("b", "i1").await);
    for (stated, hops) in [("0", 1), ("16", 17)] {
        let Answer::Accepted { correlation, .. } = world.accept("a", ask_after(stated, "b")).await
        else {
            panic!("not accepted")
        };
        let request = one(&mut b);
        ack(&b, &request).await;
        let correlation = correlation.unwrap().to_string();
        world.accept("b", answer(&correlation, "{}")).await;
        let reply = one(&mut a);
        assert_eq!(reply.envelope["meta"]["hops"], hops);
        ack(&a, &reply).await;
    }
}
