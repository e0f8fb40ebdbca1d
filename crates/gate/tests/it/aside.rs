//! Long computations: they go aside, hold up nobody, and change no stage and no order.

use std::sync::Arc;

use gate::limits::RateLimits;
use gate::types::{Answer, Refusal};
use tokio::task::JoinHandle;

use crate::fixture::{Corner, Plan, World, call, caller, say, state};

/// Returns a payload that is large enough to be looked at aside.
fn large(text: &str) -> String {
    format!("{{\"text\":\"{text}\",\"fill\":\"{}\"}}", "x ".repeat(10_000))
}

/// Lets everything go as far as it can.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

/// Starts a send of `a` to `target`, up to where it waits.
async fn sending(
    world: &World,
    target: &str,
    payload: &str,
) -> JoinHandle<Result<Answer, Refusal>> {
    let gate = Arc::clone(&world.gate);
    let call = call(caller("a"), say(target, payload));
    let tasks = gate.tasks().clone();
    let started = tasks.spawn(async move { gate.run(call).await });
    settle().await;
    started
}

#[tokio::test(start_paused = true)]
async fn a_large_payload_is_parsed_and_searched_aside_and_others_pass_it() {
    let corner = Corner::with_room(1);
    let world = World::new(Plan::new().aside(&corner)).await;
    let _a = world.open("a", "i1").await;
    let _c = world.open("c", "i1").await;
    let sent = sending(&world, "b", &large("536-22-1234")).await;
    assert_eq!(corner.owners(), ["a"]);
    // Small ones do not go there, and do not wait.
    world.send("c", "b", "{}").await;
    assert_eq!(world.queued("b").await, 1);
    corner.work();
    settle().await;
    // Parsed; what is found in it is another computation.
    assert_eq!((corner.owners(), world.queued("b").await), (vec!["a".to_owned()], 1));
    corner.work();
    sent.await.unwrap().unwrap();
    assert_eq!(world.queued("b").await, 2);
    assert_eq!(world.record("message.send").await.decision, "DLP_REDACTED");
}

#[tokio::test(start_paused = true)]
async fn without_room_aside_a_large_payload_is_refused_and_a_small_one_is_not() {
    let world = World::new(Plan::new().aside(&Corner::with_room(0))).await;
    let _a = world.open("a", "i1").await;
    let refusal = world.refuse("a", say("b", &large("")), "BACKPRESSURE", "backpressure").await;
    assert!(refusal.to_string().contains("the corner"), "{refusal}");
    assert!(refusal.retry_after().is_some());
    let fields = [("f", "x".repeat(500)), ("g", "x".repeat(400))];
    world
        .accept("a", state(&fields.each_ref().map(|(field, value)| (*field, value.as_str()))))
        .await;
    world.send("a", "b", "{}").await;
    assert_eq!(world.queued("b").await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_computation_that_is_lost_refuses_its_call() {
    let corner = Corner::with_room(1);
    let world = World::new(Plan::new().aside(&corner)).await;
    let _a = world.open("a", "i1").await;
    for stage in ["validate", "inspect"] {
        let sent = sending(&world, "b", &large("")).await;
        if stage == "inspect" {
            corner.work();
            settle().await;
        }
        corner.lose();
        let refusal = sent.await.unwrap().unwrap_err();
        assert_eq!(refusal.decision().as_str(), "BACKPRESSURE", "{stage}: {refusal}");
        assert_eq!(world.queued("b").await, 0, "{stage}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_stage_that_refuses_decides_for_large_payloads_too() {
    let limits = RateLimits { per_minute: 1, per_hour: 10 };
    let world = World::new(Plan::new().limits(limits)).await;
    let _a = world.open("a", "i1").await;
    let card = large("4111 1111 1111 1111");
    let broken = card.trim_end_matches('}').to_owned();
    world.refuse("a", say("d", &broken), "INVALID", "invalid_json").await;
    world.refuse("a", say("d", &card), "AUTHZ_DENIED", "denied").await;
    world.refuse("a", say("b", &card), "DLP_BLOCKED", "dlp_blocked").await;
    world.refuse("a", say("b", &card), "RATE_LIMITED", "rate_limited").await;
    assert_eq!(world.queued("b").await, 0);
}
