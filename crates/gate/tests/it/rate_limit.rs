//! Stage 4: whose budget is used up, and what uses it.

use std::time::Duration;

use futures::future::join_all;
use gate::types::{Action, AdminCommand, Answer, Refusal};

use crate::fixture::{
    Plan, World, agent, answer, ask, caller, hello, limits, nack, one, pass, poll, say, say_from,
    seconds, state,
};

const CARD: &str = r#"{"card":"4111 1111 1111 1111"}"#;

#[tokio::test(start_paused = true)]
async fn the_minute_is_a_sliding_window_that_names_when_it_frees() {
    let world = World::new(Plan::new().limits(limits(3, 100))).await;
    let _a = world.open("a", "i1").await;
    for _ in 0..3 {
        world.send("a", "b", "{}").await;
        pass(seconds(10)).await;
    }
    let refusal = world.refuse("a", say("b", "{}"), "RATE_LIMITED", "rate_limited").await;
    assert_eq!(refusal, Refusal::RateLimited { window: "minute", retry_after: seconds(30) });
    pass(seconds(30) - Duration::from_micros(1)).await;
    world.refuse("a", say("b", "{}"), "RATE_LIMITED", "rate_limited").await;
    pass(Duration::from_micros(1)).await;
    world.send("a", "b", "{}").await;
    // Only the first call has left the window.
    let refusal = world.refuse("a", say("b", "{}"), "RATE_LIMITED", "rate_limited").await;
    assert_eq!(refusal.retry_after(), Some(seconds(10)));
    assert_eq!(world.queued("b").await, 4);
}

#[tokio::test(start_paused = true)]
async fn the_hour_holds_where_the_minute_would_let_through() {
    let world = World::new(Plan::new().limits(limits(3, 4))).await;
    let _a = world.open("a", "i1").await;
    for _ in 0..4 {
        world.send("a", "b", "{}").await;
        pass(seconds(100)).await;
    }
    let refusal = world.refuse("a", say("b", "{}"), "RATE_LIMITED", "rate_limited").await;
    assert_eq!(refusal, Refusal::RateLimited { window: "hour", retry_after: seconds(3_200) });
    pass(seconds(3_200) - Duration::from_micros(1)).await;
    world.refuse("a", say("b", "{}"), "RATE_LIMITED", "rate_limited").await;
    pass(Duration::from_micros(1)).await;
    world.send("a", "b", "{}").await;
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_zero_refuses_everything() {
    for (zero, window) in [(limits(0, 9), "minute"), (limits(9, 0), "hour")] {
        let world = World::new(Plan::new().limits(zero)).await;
        let _a = world.open("a", "i1").await;
        for action in [say("b", "{}"), ask("b", "{}", None), Action::ReadState] {
            let refusal = world.refuse("a", action, "RATE_LIMITED", "rate_limited").await;
            assert!(matches!(refusal, Refusal::RateLimited { window: full, .. } if full == window));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_can_have_limits_of_its_own() {
    let plan = Plan::new()
        .limits(limits(1, 9))
        .register("a", |registration| registration.limits = Some(limits(2, 9)))
        .register("c", |registration| registration.limits = Some(limits(0, 0)));
    let world = World::new(plan).await;
    let _sessions =
        [world.open("a", "i1").await, world.open("c", "i1").await, world.open("d", "i1").await];
    for (agent, calls) in [("a", 2), ("c", 0), ("d", 1)] {
        for _ in 0..calls {
            world.send(agent, "b", "{}").await;
        }
        world.refuse(agent, say("b", "{}"), "RATE_LIMITED", "rate_limited").await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_stage_refuses_is_not_counted_and_what_a_later_one_refuses_is() {
    let world = World::new(Plan::new().limits(limits(2, 100))).await;
    let _a = world.open("a", "i1").await;
    for _ in 0..5 {
        world.refuse("a", say("b", "["), "INVALID", "invalid_json").await;
        world.refuse("a", say("c", "{}"), "AUTHZ_DENIED", "denied").await;
    }
    world.refuse("a", say("b", CARD), "DLP_BLOCKED", "dlp_blocked").await;
    pass(seconds(1)).await;
    world.send("a", "b", "{}").await;
    for _ in 0..5 {
        world.refuse("a", say("b", "{}"), "RATE_LIMITED", "rate_limited").await;
    }
    // The blocked message leaves the window after a minute; the limited ones were never in it.
    pass(seconds(59)).await;
    world.send("a", "b", "{}").await;
    world.refuse("a", say("b", "{}"), "RATE_LIMITED", "rate_limited").await;
}

#[tokio::test(start_paused = true)]
async fn what_an_open_circuit_refuses_is_counted() {
    let world = World::new(Plan::new().limits(limits(5, 100))).await;
    let (_a, mut b) = (world.open("a", "i1").await, world.open("b", "i1").await);
    for _ in 0..3 {
        world.send("a", "b", "{}").await;
        let received = one(&mut b);
        nack(&b, &received, false).await;
    }
    for _ in 0..2 {
        world.refuse("a", say("b", "{}"), "CIRCUIT_OPEN", "circuit_open").await;
    }
    world.refuse("a", say("b", "{}"), "RATE_LIMITED", "rate_limited").await;
}

#[tokio::test(start_paused = true)]
async fn all_instances_and_all_kinds_of_messages_share_one_budget() {
    let world = World::new(Plan::new().limits(limits(3, 100))).await;
    let _a = [world.open("a", "i1").await, world.open("a", "i2").await];
    let _b = world.open("b", "i1").await;
    let to_a = world.request("b", "a").await;
    world.accept("a", say_from("i2", "b", "{}")).await;
    world.accept("a", ask("b", "{}", None)).await;
    world.accept("a", answer(&to_a, "{}")).await;
    for instance in ["i1", "i2"] {
        let more = say_from(instance, "b", "{}");
        world.refuse("a", more, "RATE_LIMITED", "rate_limited").await;
    }
    // Another agent has its own.
    world.send("b", "a", "{}").await;
}

#[tokio::test(start_paused = true)]
async fn the_windows_survive_a_restart() {
    let plan = Plan::new().limits(limits(2, 100));
    let world = World::new(plan.clone()).await;
    let _a = world.open("a", "i1").await;
    world.send("a", "b", "{}").await;
    pass(seconds(20)).await;
    world.send("a", "b", "{}").await;
    world.accept("a", Action::ReadState).await;
    world.accept("a", Action::ReadState).await;

    let world = world.restarted(plan).await;
    let _a = world.open("a", "i1").await;
    let refusal = world.refuse("a", say("b", "{}"), "RATE_LIMITED", "rate_limited").await;
    assert_eq!(refusal.retry_after(), Some(seconds(40)));
    world.refuse("a", Action::ReadState, "RATE_LIMITED", "rate_limited").await;
    pass(seconds(40)).await;
    world.send("a", "b", "{}").await;
}

#[tokio::test(start_paused = true)]
async fn other_calls_have_windows_of_their_own() {
    let world = World::new(Plan::new().limits(limits(6, 100))).await;
    let _a = world.open("a", "i1").await;
    let mut sent = None;
    for _ in 0..6 {
        sent = Some(world.send("a", "b", "{}").await);
    }
    world.refuse("a", say("b", "{}"), "RATE_LIMITED", "rate_limited").await;
    let control = || {
        vec![
            Action::Discover { capabilities: Vec::new() },
            Action::ReadState,
            state(&[("field", "value")]),
            Action::ResetState,
            Action::MessageStatus { message: sent.unwrap().to_string() },
            Action::RegisterKey { key: "key-1".to_owned() },
        ]
    };
    for action in control() {
        world.accept("a", action).await;
    }
    for action in control() {
        world.refuse("a", action, "RATE_LIMITED", "rate_limited").await;
    }
    // Sessions are counted by themselves, operators not at all.
    for number in 2..5 {
        let _session = world.open("a", &format!("i{number}")).await;
        world.admin(AdminCommand::ListAgents).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_opens_sessions_all_the_time_is_limited_for_a_while() {
    let world = World::new(Plan::new().limits(limits(1, 1))).await;
    for number in 0..1_200 {
        if number == 600 {
            pass(seconds(20)).await;
        }
        // All its instances together.
        drop(world.open("a", if number % 2 == 0 { "i1" } else { "i2" }).await);
    }
    let refusal = world.refuse("a", hello("i3"), "RATE_LIMITED", "rate_limited").await;
    assert_eq!(refusal, Refusal::RateLimited { window: "minute", retry_after: seconds(40) });
    assert!(!world.gate.hub().is_active(&agent("a")), "the place was not given back");
    let _b = world.open("b", "i1").await;
    pass(seconds(40) - Duration::from_micros(1)).await;
    world.refuse("a", hello("i3"), "RATE_LIMITED", "rate_limited").await;
    pass(Duration::from_micros(1)).await;
    let _a = world.open("a", "i3").await;
    // What it opened counts towards nothing else.
    world.accept("a", say_from("i3", "b", "{}")).await;
}

#[tokio::test(start_paused = true)]
async fn of_a_burst_exactly_as_many_pass_as_the_limit_says() {
    let world = World::new(Plan::new().limits(limits(10, 100))).await;
    let (_a, mut b) = (world.open("a", "i1").await, world.open("b", "i1").await);
    let burst = (0..50).map(|_| world.run(caller("a"), say("b", "{}")));
    let answers = join_all(burst).await;
    let accepted = answers.iter().filter(|one| matches!(one, Ok(Answer::Accepted { .. }))).count();
    let limited = |one: &&Result<Answer, Refusal>| {
        matches!(one, Err(Refusal::RateLimited { window: "minute", retry_after })
            if *retry_after == seconds(60))
    };
    assert_eq!((accepted, answers.iter().filter(limited).count()), (10, 40));
    assert_eq!(poll(&mut b).len(), 10);
    assert_eq!(world.queued("b").await, 10);
    let records = world.records().await;
    let sends = records.iter().filter(|record| record.event_type == "message.send");
    let (allowed, refused): (Vec<_>, Vec<_>) = sends.partition(|one| one.decision == "ALLOWED");
    assert_eq!((allowed.len(), refused.len()), (10, 40));
    assert!(refused.iter().all(|record| record.reason.as_deref() == Some("rate_limited")));
}
