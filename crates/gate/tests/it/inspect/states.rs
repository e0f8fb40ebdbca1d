//! State updates: values that are JSON are searched and stay JSON, others are texts.

use std::collections::BTreeMap;

use gate::types::{Action, Answer};

use crate::fixture::{Plan, World, state};

async fn read(world: &World) -> BTreeMap<String, String> {
    let answer = world.accept("a", Action::ReadState).await;
    let Answer::State(state) = answer else { panic!("no state but {answer:?}") };
    state
}

#[tokio::test(start_paused = true)]
async fn the_values_of_a_state_update_are_searched() {
    let world = World::new(Plan::new()).await;
    world.accept("a", state(&[("plain", "\"x\""), ("ssn", "\"536-22-1234\"")])).await;
    let record = world.record("state.update").await;
    assert_eq!(record.decision, "DLP_REDACTED");
    assert!(record.sensitive_data_masked);
    let kept = read(&world).await;
    assert_eq!(kept["plain"], "\"x\"");
    assert_eq!(kept["ssn"], "\"XXX-XX-1234\"");
    let blocked = state(&[("plain", "y"), ("card", "4111 1111 1111 1111")]);
    world.refuse("a", blocked, "DLP_BLOCKED", "dlp_blocked").await;
    assert_eq!(read(&world).await, kept);
}

#[tokio::test(start_paused = true)]
async fn values_that_are_json_are_masked_as_json_and_texts_as_texts() {
    let world = World::new(Plan::new()).await;
    let cases = [
        // A number that its field names.
        ("ssn", "536228145", r#""XXX-XX-8145""#),
        // An object, with its own white space.
        ("profile", r#"{"ssn": 536228145, "n" : 1}"#, r#"{"ssn": "XXX-XX-8145", "n" : 1}"#),
        ("quoted", r#""536-22-8145""#, r#""XXX-XX-8145""#),
        ("list", r#"[1, {"x": "536-22-8145"}]"#, r#"[1, {"x": "XXX-XX-8145"}]"#),
        // No JSON, so a text before and behind.
        ("plain", "536-22-8145", "XXX-XX-8145"),
        ("note", "his is \"536-22-8145\"\n", "his is \"XXX-XX-8145\"\n"),
        ("broken", r#"{"x": "536-22-8145""#, r#"{"x": "XXX-XX-8145""#),
        ("two", r#"1,"sly":"536-22-8145""#, r#"1,"sly":"XXX-XX-8145""#),
        ("after", r#"1} 536-22-8145"#, r#"1} XXX-XX-8145"#),
    ];
    for (field, value, masked) in cases {
        // Others beside it stay as they are.
        let update = state(&[("a", "true"), (field, value), ("zz", "a text"), ("zzz", "")]);
        world.accept("a", update).await;
        let record = world.record("state.update").await;
        assert_eq!((record.decision.as_ref(), record.violations.len()), ("DLP_REDACTED", 1));
        let kept = read(&world).await;
        assert_eq!(kept[field], masked);
        let others = ["a", "zz", "zzz"].map(|field| kept[field].as_str());
        assert_eq!((others, kept.len()), (["true", "a text", ""], 4), "{field}");
        world.accept("a", Action::ResetState).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_field_whose_name_is_masked_keeps_its_value_as_it_was() {
    let world = World::new(Plan::new()).await;
    let update = [("536-22-8145", "a text"), ("536-22-8146", "{\"n\":1}"), ("x", "1")];
    world.accept("a", state(&update)).await;
    let expected = [("XXX-XX-8145", "a text"), ("XXX-XX-8146", "{\"n\":1}"), ("x", "1")].map(own);
    assert_eq!(read(&world).await, expected.into());
}

fn own((field, value): (&str, &str)) -> (String, String) {
    (field.to_owned(), value.to_owned())
}

#[tokio::test(start_paused = true)]
async fn one_value_is_never_read_as_two() {
    let world = World::new(Plan::new()).await;
    let update = [("f", r#"1,"g":2"#), ("g", "3"), ("ssn", "536228145")];
    world.accept("a", state(&update)).await;
    let expected = [("f", r#"1,"g":2"#), ("g", "3"), ("ssn", r#""XXX-XX-8145""#)].map(own);
    assert_eq!(read(&world).await, expected.into());
}

#[tokio::test(start_paused = true)]
async fn values_are_encrypted_to_the_agents_own_key() {
    let encrypts = || {
        Plan::new().dlp(|spec| {
            spec.policy_overrides.insert("ssn".to_owned(), inspect::Action::Encrypt);
        })
    };
    let update = || {
        state(&[
            ("json", r#"{"profile":{"ssn": 536228145}}"#),
            ("plain", "it is 536-22-8145"),
            ("ssn", "536228145"),
        ])
    };
    let world = World::new(encrypts()).await;
    world.refuse("a", update(), "DLP_BLOCKED", "dlp_blocked").await;
    assert!(read(&world).await.is_empty());
    world.accept("a", Action::RegisterKey { key: "key-a".to_owned() }).await;
    world.accept("a", update()).await;
    assert_eq!(world.record("state.update").await.decision, "DLP_ENCRYPTED");
    let kept = read(&world).await;
    let json: serde_json::Value = serde_json::from_str(&kept["json"]).unwrap();
    let sealed = "sealed with key-a for a: 9 bytes";
    assert_eq!(json["profile"]["ssn"], sealed);
    assert_eq!(kept["ssn"], format!("\"{sealed}\""));
    assert_eq!(kept["plain"], "sealed with key-a for a: 17 bytes");
}
