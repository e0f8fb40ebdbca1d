//! Stage 8: what the counters say.

use gate::types::{Action, AdminCommand, Caller, Rejection};

use crate::fixture::{Plan, World, caller, limits, nack, one, operator, say};

#[tokio::test(start_paused = true)]
async fn every_call_is_counted_once_by_its_decision() {
    let plan = Plan::new()
        .limits(limits(8, 100))
        .dlp(|spec| {
            spec.policy_overrides.insert("phone".to_owned(), inspect::Action::Encrypt);
        })
        .register("b", |registration| registration.sealing_key = Some("key-1".to_owned()));
    let world = World::new(plan).await;
    assert!(world.gate.decisions().is_empty());
    let rejected = Rejection { code: "missing_spiffe_san", reason: "none".to_owned() };
    world.run(Caller::Rejected(rejected), Action::Connect).await.unwrap_err();
    world.run(operator("root"), Action::Administer(AdminCommand::ListAgents)).await.unwrap();
    let (_a, mut b) = (world.open("a", "i1").await, world.open("b", "i1").await);
    for payload in [
        r#"{"to":"ann@example.com"}"#,
        r#"{"ssn":"536-22-1234"}"#,
        r#"{"call":"(212) 555-0147"}"#,
        r#"{"card":"4111 1111 1111 1111"}"#,
        "{}",
        "[]",
    ] {
        drop(world.run(caller("a"), say("b", payload)).await);
    }
    for received in crate::fixture::poll(&mut b) {
        nack(&b, &received, false).await;
    }
    for (sender, target) in [("a", "c"), ("a", "b"), ("a", "b"), ("a", "b"), ("a", "b")] {
        drop(world.run(caller(sender), say(target, "{}")).await);
    }
    world.store.fail(2, gate::ports::StoreError::Busy, |_| true);
    world.run(caller("b"), say("a", "{}")).await.unwrap_err();
    world.send("b", "a", "{}").await;
    let totals = world.gate.decisions();
    let expected = [
        ("ALERT", 1),
        ("ALLOWED", 5),
        ("AUTHN_FAILED", 1),
        ("AUTHZ_DENIED", 1),
        ("BACKPRESSURE", 1),
        ("CIRCUIT_OPEN", 3),
        ("DLP_BLOCKED", 1),
        ("DLP_ENCRYPTED", 1),
        ("DLP_REDACTED", 1),
        ("INVALID", 1),
        ("RATE_LIMITED", 1),
    ];
    assert_eq!(totals, expected.into());
}

#[tokio::test(start_paused = true)]
async fn the_start_is_recorded_and_so_is_the_stop() {
    let world = World::new(Plan::new()).await;
    let revision = world.gate.registry().snapshot().policy.revision().to_owned();
    let record = world.record("config.loaded").await;
    assert_eq!(record.policy_revision, Some(revision.into()));
    assert_eq!(record.detail["configuration"], "test");
    world.gate.drain(crate::fixture::seconds(1)).await;
    let events: Vec<_> = world.records().await.into_iter().map(|one| one.event_type).collect();
    assert_eq!(events, ["config.loaded", "server.stopped"]);
}

#[tokio::test(start_paused = true)]
async fn no_payload_and_no_reason_of_a_receiver_stands_in_a_record() {
    let world = World::new(Plan::new()).await;
    let (_a, mut b) = (world.open("a", "i1").await, world.open("b", "i1").await);
    world.send("a", "b", r#"{"text":"between us"}"#).await;
    let received = one(&mut b);
    nack(&b, &received, false).await;
    world.run(caller("a"), say("b", r#"{"text":"between us"#)).await.unwrap_err();
    let records = world.records().await;
    assert_eq!(records.last().unwrap().reason.as_deref(), Some("invalid_json"));
    let shown = format!("{records:?}");
    assert!(!shown.contains("between us") && !shown.contains("will not"), "{shown}");
}
