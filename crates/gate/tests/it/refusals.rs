//! Refusals without end: counted where they are not recorded, and never lost.

use gate::ports::{Op, StoreError};
use gate::types::Action;

use crate::fixture::{Plan, World, caller, limits, pass, say, seconds};

/// Lets `a` send what no rule allows, `count` times.
async fn flood(world: &World, count: usize) {
    for _ in 0..count {
        let refusal = world.run(caller("a"), say("c", "{}")).await.unwrap_err();
        assert_eq!(refusal.code(), "not_authorized");
    }
}

/// Returns how many records an agent's refusals have, and what the counting ones say.
async fn recorded(world: &World) -> (usize, Vec<(String, Option<String>)>) {
    let records = world.records().await;
    let single = records.iter().filter(|record| record.decision == "AUTHZ_DENIED").count();
    let counting = records.iter().filter(|record| record.event_type == "refusals.counted");
    let count = |code: &str, record: &audit::Record<'_>| record.detail.get(code).cloned();
    let counts = counting.map(|one| {
        let principal = count("principal", one).unwrap();
        (principal, count("not_authorized", one))
    });
    (single, counts.collect())
}

fn counted(count: &str) -> Vec<(String, Option<String>)> {
    vec![("spiffe://mas/agent/a".to_owned(), Some(count.to_owned()))]
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_refusals_leave_as_many_records_as_a_person_can_read_and_a_number() {
    let world = World::new(Plan::new()).await;
    let (_a, _d) = (world.open("a", "i1").await, world.open("d", "i1").await);
    flood(&world, 10_000).await;
    assert_eq!(recorded(&world).await, (600, Vec::new()));
    // Another principal's are recorded meanwhile.
    world.refuse("d", say("c", "{}"), "AUTHZ_DENIED", "denied").await;
    // So is what is accepted.
    world.send("a", "b", "{}").await;
    assert_eq!(world.record("message.send").await.decision, "ALLOWED");
    pass(seconds(70)).await;
    assert_eq!(recorded(&world).await, (601, counted("9400")));
    let record = world.record("refusals.counted").await;
    assert_eq!(record.detail.len(), 2);
    // The next period begins anew.
    world.refuse("a", say("c", "{}"), "AUTHZ_DENIED", "denied").await;
    pass(seconds(200)).await;
    assert_eq!(recorded(&world).await, (602, counted("9400")));
    assert_eq!(world.gate.decisions()["AUTHZ_DENIED"], 10_002);
}

#[tokio::test(start_paused = true)]
async fn a_drained_gate_leaves_no_count_behind() {
    let world = World::new(Plan::new()).await;
    let _a = world.open("a", "i1").await;
    flood(&world, 1_000).await;
    world.gate.drain(seconds(1)).await;
    assert_eq!(recorded(&world).await, (600, counted("400")));
    let events: Vec<_> = world.records().await.into_iter().map(|one| one.event_type).collect();
    assert_eq!(events.last().unwrap(), "server.stopped");
}

#[tokio::test(start_paused = true)]
async fn a_count_that_cannot_be_recorded_is_tried_again() {
    let world = World::new(Plan::new()).await;
    let _a = world.open("a", "i1").await;
    flood(&world, 700).await;
    world.store.fail(2, StoreError::DiskFull, |op| matches!(op, Op::Record { .. }));
    for _ in 0..14 {
        pass(seconds(5)).await;
    }
    // Both failures were met and what was counted meanwhile is not mixed up.
    assert_eq!(recorded(&world).await, (600, counted("100")));
    flood(&world, 603).await;
    for _ in 0..14 {
        pass(seconds(5)).await;
    }
    let counts = [counted("100"), counted("3")].concat();
    assert_eq!(recorded(&world).await, (1_200, counts));
}

#[tokio::test(start_paused = true)]
async fn each_code_is_counted_by_itself() {
    let world = World::new(Plan::new().limits(limits(0, 0))).await;
    let _a = world.open("a", "i1").await;
    flood(&world, 600).await;
    for (times, action) in [(3, Action::ReadState), (5, Action::Malformed), (2, say("b", "["))] {
        for _ in 0..times {
            world.run(caller("a"), action.clone()).await.unwrap_err();
        }
    }
    pass(seconds(70)).await;
    let detail = world.record("refusals.counted").await.detail;
    let expected = [
        ("invalid_json", "2"),
        ("malformed_request", "5"),
        ("principal", "spiffe://mas/agent/a"),
        ("rate_limited", "3"),
    ];
    let detail: Vec<_> = detail.iter().map(|(name, text)| (name.as_ref(), text.as_ref())).collect();
    assert_eq!(detail, expected);
}

#[tokio::test(start_paused = true)]
async fn what_counts_towards_a_limit_is_recorded_one_by_one() {
    // What a later stage refuses is bounded by the rate limit.
    let world = World::new(Plan::new().limits(limits(700, 700))).await;
    let _a = world.open("a", "i1").await;
    let card = r#"{"card":"4111 1111 1111 1111"}"#;
    for _ in 0..700 {
        world.run(caller("a"), say("b", card)).await.unwrap_err();
    }
    let records = world.records().await;
    assert_eq!(records.iter().filter(|record| record.decision == "DLP_BLOCKED").count(), 700);
}
