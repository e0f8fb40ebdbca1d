//! Stage 2: what is well formed and in its place.

use std::time::Duration;

use gate::ports::{Op, StoreError};
use gate::types::{Action, AdminCommand, Hello, Refusal, Unavailable};
use policy::Change;

use crate::fixture::{
    Plan, World, answer, ask, hello, one, operator, pass, poll, say, say_from, seconds, settle_down,
};

#[tokio::test(start_paused = true)]
async fn a_hello_must_come_first_and_name_a_well_formed_instance() {
    let world = World::new(Plan::new()).await;
    world.refuse("a", Action::Open(Hello::Missing), "INVALID", "missing_hello").await;
    world.refuse("a", Action::Open(Hello::Unexpected), "INVALID", "expected_hello").await;
    let long = "x".repeat(33);
    for instance in ["", &long, "i1\n", "\ni1", "i 1", "i:1", "ö", "i\0", "a/b", "*"] {
        world.refuse("a", hello(instance), "INVALID", "invalid_instance_id").await;
        world.refuse("a", say_from(instance, "b", "{}"), "INVALID", "invalid_instance_id").await;
    }
    for instance in ["x", &"x".repeat(32), "A-z_09"] {
        assert_eq!(world.open("a", instance).await.instance().as_str(), instance);
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_session_of_an_instance_is_refused_and_the_older_one_stays() {
    let world = World::new(Plan::new()).await;
    let mut older = world.open("b", "i1").await;
    let _a = world.open("a", "i1").await;
    world.refuse("b", hello("i1"), "INVALID", "instance_already_connected").await;
    world.send("a", "b", "{}").await;
    one(&mut older);
    drop(older);
    // The place is free at once, for the same instance.
    let mut newer = world.open("b", "i1").await;
    settle_down().await;
    one(&mut newer);
}

#[tokio::test(start_paused = true)]
async fn a_refused_hello_gives_the_place_back() {
    let world = World::new(Plan::new()).await;
    world.store.fail(1, StoreError::DiskFull, |op| matches!(op, Op::Record { .. }));
    world.refuse("a", hello("i1"), "BACKPRESSURE", "disk_full").await;
    assert_eq!(world.gate.hub().session_count(), 0);
    let _opened = world.open("a", "i1").await;
}

#[tokio::test(start_paused = true)]
async fn a_message_needs_a_live_session_of_the_instance_that_it_names() {
    let world = World::new(Plan::new()).await;
    for action in [say("b", "{}"), ask("b", "{}", None), answer("x", "{}")] {
        world.refuse("a", action, "INVALID", "session_not_connected").await;
    }
    let session = world.open("a", "i2").await;
    world.refuse("a", say_from("i1", "b", "{}"), "INVALID", "session_not_connected").await;
    world.accept("a", say_from("i2", "b", "{}")).await;
    drop(session);
    world.refuse("a", say_from("i2", "b", "{}"), "INVALID", "session_not_connected").await;
}

#[tokio::test(start_paused = true)]
async fn a_payload_is_one_json_object_within_its_bounds() {
    let world = World::new(Plan::new().set(|settings| {
        settings.validation.payload =
            inspect::Limits { bytes_max: 2_000, depth_max: 4, members_max: 5, number_len_max: 9 };
    }))
    .await;
    let _a = world.open("a", "i1").await;
    let mut b = world.open("b", "i1").await;
    let padded = |bytes: usize| format!("{{\"k\":\"{}\"}}", "x".repeat(bytes - 8));
    let deep = |levels: usize| format!("{{\"k\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
    let refused = [
        ("{", "invalid_json"),
        ("nope", "invalid_json"),
        ("{\"k\":NaN}", "invalid_json"),
        ("{\"k\":Infinity}", "invalid_json"),
        ("{\"k\":1e400}", "invalid_json"),
        ("{\"k\":1} {}", "invalid_json"),
        ("\u{feff}{}", "invalid_json"),
        ("null", "payload_must_be_object"),
        ("[{}]", "payload_must_be_object"),
        ("\"{}\"", "payload_must_be_object"),
        (&deep(4), "payload_too_deep"),
        (&deep(900), "payload_too_deep"),
        ("{\"k\":1,\"k\":2}", "duplicate_key"),
        ("{\"k\":1,\"\\u006b\":2}", "duplicate_key"),
        ("{\"k\":\"\\ud800\"}", "lone_surrogate"),
        ("{\"a\":1,\"b\":2,\"c\":[1,2,3]}", "too_many_members"),
        ("{\"k\":1234567890}", "number_too_long"),
        (&padded(2_001), "payload_too_large"),
    ];
    for (payload, reason) in refused {
        let refusal = world.refuse("a", say("b", payload), "INVALID", reason).await;
        assert!(matches!(refusal, Refusal::Payload(_)), "{payload}: {refusal:?}");
    }
    assert_eq!(world.queued("b").await, 0);
    let accepted = [
        ("", "{}"),
        (" {} \n", "{}"),
        (&padded(2_000), &padded(2_000)),
        (&deep(3), &deep(3)),
        ("{\"a\":1,\"b\":2,\"c\":[1,2]}", "{\"a\":1,\"b\":2,\"c\":[1,2]}"),
        ("{\"k\":123456789}", "{\"k\":123456789}"),
        ("{\"k\":\"\\ud83d\\ude00\"}", "{\"k\":\"\\ud83d\\ude00\"}"),
    ];
    for (payload, text) in accepted {
        world.accept("a", say("b", payload)).await;
        let received = one(&mut b);
        // What was accepted travels byte for byte.
        assert!(received.text.contains(&format!(",\"data\":{text},\"meta\":")), "{payload}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_type_has_a_longest_length() {
    let world = World::new(Plan::new()).await;
    let _a = world.open("a", "i1").await;
    let typed = |bytes: usize| {
        let Action::Send { target, mut message } = say("b", "{}") else { panic!("no send") };
        message.message_type = "t".repeat(bytes);
        Action::Send { target, message }
    };
    let refusal = world.refuse("a", typed(65), "INVALID", "message_type_too_long").await;
    assert_eq!(refusal, Refusal::MessageTypeTooLong { bytes: 65, max: 64 });
    world.accept("a", typed(64)).await;
    world.accept("a", typed(0)).await;
}

#[tokio::test(start_paused = true)]
async fn other_requests_are_bounded_too() {
    let world = World::new(Plan::new()).await;
    let discover = |count| Action::Discover { capabilities: vec!["c".to_owned(); count] };
    world.refuse("a", discover(257), "INVALID", "invalid_field").await;
    world.accept("a", discover(256)).await;
    let field = |bytes: usize| crate::fixture::state(&[("k", &"x".repeat(bytes))]);
    let refusal = world.refuse("a", field(601), "INVALID", "state_too_large").await;
    assert_eq!(refusal, Refusal::StateTooLarge { bytes: 601, max: 600 });
    world.accept("a", field(600)).await;
    let register = |key: &str| Action::RegisterKey { key: key.to_owned() };
    world.refuse("a", register("no"), "INVALID", "invalid_field").await;
    world.accept("a", register("key-1")).await;
    world.refuse("a", Action::Oversize, "INVALID", "message_too_large").await;
}

#[tokio::test(start_paused = true)]
async fn what_no_contract_reads_is_refused_where_every_call_is() {
    let world = World::new(Plan::new()).await;
    let malformed = || Action::Malformed;
    let refusal = world.refuse("a", malformed(), "INVALID", "malformed_request").await;
    assert_eq!(refusal, Refusal::MalformedRequest);
    let record = world.record("request.malformed").await;
    assert_eq!((record.agent_id.as_ref(), record.message_id), ("a", None));
    // Who asks is judged before what is asked.
    let root = operator("root");
    world.refuse_caller(root, malformed(), "AUTHN_FAILED", "wrong_principal").await;
    let stranger = "stranger";
    world.refuse(stranger, malformed(), "AUTHN_FAILED", "agent_not_allowlisted").await;

    let command = || {
        let (field, reason) = ("limits.per_minute", "must not be negative");
        Action::Administer(AdminCommand::Malformed { field, reason })
    };
    let refusal = world.refuse_caller(operator("root"), command(), "INVALID", "invalid_field");
    assert_eq!(refusal.await.to_string(), "`limits.per_minute` must not be negative");
    assert_eq!(world.record("admin.malformed").await.user_id.as_deref(), Some("root"));
    world.refuse("a", command(), "AUTHN_FAILED", "wrong_principal").await;
    let eve = operator("eve");
    world.refuse_caller(eve, command(), "AUTHN_FAILED", "wrong_principal").await;
}

#[tokio::test(start_paused = true)]
async fn one_command_makes_a_bounded_number_of_changes() {
    let world = World::new(Plan::closed()).await;
    let _a = world.open("a", "i1").await;
    let changes = |count: usize| {
        let change = |number| Change::Block { agent: "c".to_owned(), target: format!("t{number}") };
        let mut changes: Vec<_> = (1..count).map(change).collect();
        changes.push(Change::Allow { agent: "a".to_owned(), target: "b".to_owned() });
        Action::Administer(AdminCommand::ChangePolicy(changes))
    };
    world.refuse_caller(operator("root"), changes(32), "INVALID", "invalid_field").await;
    world.refuse("a", say("b", "{}"), "AUTHZ_DENIED", "denied").await;
    world.run(operator("root"), changes(31)).await.unwrap();
    world.accept("a", say("b", "{}")).await;
    // Each of them stands in the record, and what came of them.
    let detail = world.record("policy.changed").await.detail;
    assert_eq!(detail["change_30"], "allow a to reach b");
    assert!((0..31).all(|index| detail.contains_key(format!("change_{index}").as_str())));
    assert_eq!(detail["revision"], world.gate.registry().snapshot().policy.revision());
}

#[tokio::test(start_paused = true)]
async fn a_reply_must_answer_an_open_request_of_its_sender() {
    let world = World::new(Plan::new().allow("c", "a")).await;
    let mut asker = world.open("a", "i1").await;
    let (_b, _c) = (world.open("b", "i1").await, world.open("c", "i1").await);
    world.refuse("b", answer("", "{}"), "INVALID", "missing_correlation_id").await;
    let unknown = ["x", "00000000000000000000000000000099", "../../mas.pending_request:1"];
    for correlation in unknown {
        world.refuse("b", answer(correlation, "{}"), "INVALID", "unknown_correlation_id").await;
    }
    let request = world.request("a", "b").await;
    // A third agent and the asker itself learn nothing and use nothing up.
    for other in ["c", "a"] {
        let refusal =
            world.refuse(other, answer(&request, "{}"), "AUTHZ_DENIED", "reply_sender_mismatch");
        assert_eq!(refusal.await, Refusal::ReplySenderMismatch);
    }
    world.refuse("b", answer(&request, "[]"), "INVALID", "payload_must_be_object").await;
    world.accept("b", answer(&request, "{\"n\":1}")).await;
    let reply = one(&mut asker).envelope;
    assert_eq!((reply["meta"]["is_reply"].as_bool(), &reply["data"]["n"]), (Some(true), &1.into()));
    assert_eq!(reply["meta"]["correlation_id"], request.as_str());
    assert_eq!(reply["meta"]["reply_to_instance_id"], "i1");
    world.refuse("b", answer(&request, "{}"), "INVALID", "unknown_correlation_id").await;
}

#[tokio::test(start_paused = true)]
async fn a_late_reply_is_told_that_it_is_late_for_a_while() {
    let world = World::new(Plan::new()).await;
    let mut asker = world.open("a", "i1").await;
    let _b = world.open("b", "i1").await;
    let [first, second] = [world.request("a", "b").await, world.request("a", "b").await];
    pass(seconds(10) - Duration::from_micros(1)).await;
    world.accept("b", answer(&first, "{}")).await;
    one(&mut asker);
    pass(Duration::from_micros(1)).await;
    world.refuse("b", answer(&second, "{}"), "INVALID", "correlation_id_expired").await;
    pass(seconds(60) - Duration::from_micros(1)).await;
    world.refuse("b", answer(&second, "{}"), "INVALID", "correlation_id_expired").await;
    pass(Duration::from_micros(1)).await;
    world.refuse("b", answer(&second, "{}"), "INVALID", "unknown_correlation_id").await;
    assert!(poll(&mut asker).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_request_without_a_timeout_waits_as_long_as_the_settings_say() {
    let world = World::new(Plan::new()).await;
    let (_a, _b) = (world.open("a", "i1").await, world.open("b", "i1").await);
    let (_, correlation) = world.message("a", ask("b", "{}", None)).await;
    let (_, endless) = world.message("a", ask("b", "{}", Some(u64::MAX))).await;
    pass(seconds(60)).await;
    let late = answer(&correlation.unwrap().to_string(), "{}");
    world.refuse("b", late, "INVALID", "correlation_id_expired").await;
    // Nobody waits for ever.
    pass(seconds(24 * 3_600 - 60)).await;
    let late = answer(&endless.unwrap().to_string(), "{}");
    world.refuse("b", late, "INVALID", "correlation_id_expired").await;
}

#[tokio::test(start_paused = true)]
async fn a_draining_gate_takes_nothing_new() {
    let world = World::new(Plan::new()).await;
    let _a = world.open("a", "i1").await;
    world.gate.drain(seconds(1)).await;
    for action in [say("b", "{}"), hello("i2"), Action::ReadState] {
        let refusal = world.refuse("a", action, "BACKPRESSURE", "draining").await;
        assert_eq!(refusal, Refusal::Unavailable(Unavailable::Draining));
    }
    let administer = Action::Administer(AdminCommand::ListAgents);
    world.refuse_caller(operator("root"), administer, "BACKPRESSURE", "draining").await;
}
