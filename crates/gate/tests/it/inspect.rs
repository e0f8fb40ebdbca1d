//! Stage 6: which content passes, and in which form.

mod states;

use gate::ports::Op;
use gate::types::{Action, Refusal};
use inspect::{Action as Handling, RuleSpec, Severity};

use crate::fixture::{Plan, World, ack, one, say};

const SSN: &str = r#"{"n":1,"ssn":"536-22-1234"}"#;
const MAIL: &str = r#"{"to":"ann@example.com"}"#;
const CARD: &str = r#"{"card":"4111 1111 1111 1111"}"#;

fn encrypts(kind: &str) -> Plan {
    let kind = kind.to_owned();
    Plan::new().dlp(|spec| {
        spec.policy_overrides.insert(kind, Handling::Encrypt);
    })
}

async fn registered(plan: Plan, key: &str) -> World {
    let world = World::new(plan).await;
    world.accept("b", Action::RegisterKey { key: key.to_owned() }).await;
    world
}

/// Sends and returns the delivered payload's text, checked against the record.
async fn pass_through(world: &World, payload: &str, decision: &str, violations: &[&str]) -> String {
    let _a = world.open("a", "i1").await;
    let mut b = world.open("b", "i1").await;
    world.send("a", "b", payload).await;
    let received = one(&mut b);
    ack(&b, &received).await;
    let (_, rest) = received.text.split_once("\"data\":").unwrap();
    let (text, _) = rest.split_once(",\"meta\":").unwrap();
    let record = world.record("message.send").await;
    assert_eq!(record.decision, decision);
    assert_eq!(record.violations, violations);
    let salts = world.store.commits().into_iter().flat_map(|batch| batch.ops).filter_map(|op| {
        let Op::Record { salt, .. } = op else { return None };
        salt
    });
    let [salt] = salts.collect::<Vec<_>>()[..] else { panic!("not one salt") };
    assert_eq!(record.payload_commitment, Some(salt.commitment(text).into()));
    assert_eq!(record.sensitive_data_masked, text != payload);
    assert_eq!((record.outcome, record.reason), (audit::Outcome::Success, None));
    text.to_owned()
}

#[tokio::test(start_paused = true)]
async fn what_is_clean_passes_byte_for_byte() {
    let world = World::new(Plan::new()).await;
    let text = "{ \"n\" : 1.0e1, \"text\":\"caf\\u00e9\" }";
    assert_eq!(pass_through(&world, text, "ALLOWED", &[]).await, text);
}

#[tokio::test(start_paused = true)]
async fn what_only_alerts_passes_unchanged_and_is_recorded() {
    let world = World::new(Plan::new()).await;
    assert_eq!(pass_through(&world, MAIL, "ALERT", &["email"]).await, MAIL);
}

#[tokio::test(start_paused = true)]
async fn what_is_redacted_is_masked_in_the_envelope_and_nowhere_else_in_clear() {
    let world = World::new(Plan::new()).await;
    let text = pass_through(&world, SSN, "DLP_REDACTED", &["ssn"]).await;
    assert_eq!(text, r#"{"n":1,"ssn":"XXX-XX-1234"}"#);
    for batch in world.store.commits() {
        let shown = format!("{batch:?}");
        assert!(!shown.contains("536-22"), "the store holds it in clear: {shown}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_blocked_is_refused_with_its_kinds_and_without_its_text() {
    let world = World::new(Plan::new()).await;
    let _a = world.open("a", "i1").await;
    let refusal = world.refuse("a", say("b", CARD), "DLP_BLOCKED", "dlp_blocked").await;
    assert_eq!(refusal, Refusal::DlpBlocked { unsealed: false });
    let record = world.record("message.send").await;
    assert_eq!(record.violations, ["credit_card"]);
    assert!(!format!("{record:?}{refusal}").contains("4111"));
    assert_eq!(world.queued("b").await, 0);
    // The strictest of all findings decides.
    let mixed = r#"{"to":"ann@example.com","ssn":"536-22-1234","card":"4111 1111 1111 1111"}"#;
    world.refuse("a", say("b", mixed), "DLP_BLOCKED", "dlp_blocked").await;
    let record = world.record("message.send").await;
    assert_eq!(record.violations, ["email", "ssn", "credit_card"]);
}

#[tokio::test(start_paused = true)]
async fn a_field_is_encrypted_to_the_key_that_the_recipient_registered() {
    let world = registered(encrypts("email"), "key-1").await;
    let text = pass_through(&world, MAIL, "DLP_ENCRYPTED", &["email"]).await;
    assert_eq!(text, r#"{"to":"sealed with key-1 for b: 15 bytes"}"#);
    // A newer key replaces the older one, also over a restart.
    world.accept("b", Action::RegisterKey { key: "key-2".to_owned() }).await;
    let world = world.restarted(encrypts("email")).await;
    let text = pass_through(&world, MAIL, "DLP_ENCRYPTED", &["email"]).await;
    assert!(text.contains("sealed with key-2 for b"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn what_must_be_encrypted_and_cannot_be_is_blocked() {
    let configured = encrypts("email")
        .register("b", |registration| registration.sealing_key = Some("key-broken".to_owned()));
    for world in [
        World::new(encrypts("email")).await,
        registered(encrypts("email"), "key-broken").await,
        World::new(configured).await,
    ] {
        let _a = world.open("a", "i1").await;
        let refusal = world.refuse("a", say("b", MAIL), "DLP_BLOCKED", "dlp_blocked").await;
        assert_eq!(refusal, Refusal::DlpBlocked { unsealed: true });
        assert_eq!(world.record("message.send").await.violations, ["email"]);
        assert_eq!(world.queued("b").await, 0);
        // With a card beside it, it is not for the missing key that nothing passes.
        let both = r#"{"to":"ann@example.com","card":"4111 1111 1111 1111"}"#;
        let refusal = world.refuse("a", say("b", both), "DLP_BLOCKED", "dlp_blocked").await;
        assert_eq!(refusal, Refusal::DlpBlocked { unsealed: false });
    }
}

#[tokio::test(start_paused = true)]
async fn the_senders_key_is_not_the_recipients() {
    let world = World::new(encrypts("email")).await;
    world.accept("a", Action::RegisterKey { key: "key-a".to_owned() }).await;
    let _a = world.open("a", "i1").await;
    world.refuse("a", say("b", MAIL), "DLP_BLOCKED", "dlp_blocked").await;
}

#[tokio::test(start_paused = true)]
async fn operators_rules_are_in_force() {
    let rule = RuleSpec {
        id: "codename".to_owned(),
        kind: "project".to_owned(),
        pattern: "(?i)blue heron".to_owned(),
        action: Handling::Block,
        severity: Severity::High,
        description: String::new(),
        enabled: true,
        case_insensitive: false,
    };
    let world = World::new(Plan::new().dlp(|spec| {
        spec.rules.push(rule);
        spec.disable_defaults.push("credit_card".to_owned());
    }))
    .await;
    let _a = world.open("a", "i1").await;
    let secret = r#"{"text":"about\nBlue Heron"}"#;
    world.refuse("a", say("b", secret), "DLP_BLOCKED", "dlp_blocked").await;
    assert_eq!(world.record("message.send").await.violations, ["project"]);
    world.send("a", "b", CARD).await;
}

#[tokio::test(start_paused = true)]
async fn requests_and_replies_are_searched_too() {
    let world = World::new(Plan::new()).await;
    let (_a, mut b) = (world.open("a", "i1").await, world.open("b", "i1").await);
    let blocked = crate::fixture::ask("b", CARD, None);
    world.refuse("a", blocked, "DLP_BLOCKED", "dlp_blocked").await;
    world.accept("a", crate::fixture::ask("b", SSN, None)).await;
    let request = one(&mut b).envelope;
    assert_eq!(request["data"]["ssn"], "XXX-XX-1234");
    let correlation = request["meta"]["correlation_id"].as_str().unwrap();
    let blocked = crate::fixture::answer(correlation, CARD);
    world.refuse("b", blocked, "DLP_BLOCKED", "dlp_blocked").await;
    world.accept("b", crate::fixture::answer(correlation, MAIL)).await;
    assert_eq!(world.record("message.reply").await.decision, "ALERT");
}

#[tokio::test(start_paused = true)]
async fn a_sensitive_message_type_is_blocked_and_does_not_stand_in_the_record() {
    let world = World::new(Plan::new()).await;
    let _a = world.open("a", "i1").await;
    let typed = |message_type: &str, target: &str, payload: &str| {
        let Action::Send { target, mut message } = say(target, payload) else { panic!("no send") };
        message.message_type = message_type.to_owned();
        Action::Send { target, message }
    };
    let secret = "for 536-22-1234";
    let refused = [
        (typed(secret, "b", "{}"), "DLP_BLOCKED", "dlp_blocked", &["ssn"][..]),
        // Not even beside a payload that is worse, or where an earlier stage refuses.
        (typed(secret, "b", CARD), "DLP_BLOCKED", "dlp_blocked", &["credit_card", "ssn"]),
        (typed(secret, "c", "{}"), "AUTHZ_DENIED", "denied", &[]),
        (typed(secret, "b", "["), "INVALID", "invalid_json", &[]),
    ];
    for (action, decision, reason, violations) in refused {
        world.refuse("a", action, decision, reason).await;
        let record = world.record("message.send").await;
        assert_eq!(record.message_type.as_deref(), Some("[REDACTED]"));
        assert_eq!(record.violations, violations);
    }
    for batch in world.store.commits() {
        let shown = format!("{batch:?}");
        assert!(!shown.contains("536-22"), "the store holds it: {shown}");
    }
    assert_eq!(world.queued("b").await, 0);
    // What only alerts may stand in a record, and does not hold a message up.
    world.accept("a", typed("mail of ann@example.com", "b", "{}")).await;
    let record = world.record("message.send").await;
    assert_eq!(record.message_type.as_deref(), Some("mail of ann@example.com"));
    // Without the feature nothing is looked at.
    let world = World::new(Plan::new().set(|settings| settings.dlp = false)).await;
    let _a = world.open("a", "i1").await;
    world.accept("a", typed(secret, "b", "{}")).await;
}

#[tokio::test(start_paused = true)]
async fn an_envelope_is_never_larger_than_what_receivers_take() {
    let world = World::new(Plan::new()).await;
    let text = r#"{"text":"some payload"}"#;
    let (_a, mut b) = (world.open("a", "i1").await, world.open("b", "i1").await);
    world.send("a", "b", text).await;
    // What the wire adds to an envelope is counted as 64 bytes.
    let bytes = one(&mut b).text.len() + 64;

    let taking =
        |max: usize| Plan::new().set(move |settings| settings.delivery.envelope_bytes_max = max);
    let world = World::new(taking(bytes)).await;
    let _a = world.open("a", "i1").await;
    world.send("a", "b", text).await;
    let world = World::new(taking(bytes - 1)).await;
    let _a = world.open("a", "i1").await;
    let refusal = world.refuse("a", say("b", text), "INVALID", "envelope_too_large").await;
    assert_eq!(refusal, Refusal::EnvelopeTooLarge { bytes, max: bytes - 1 });
}

#[tokio::test(start_paused = true)]
async fn without_the_feature_nothing_is_searched() {
    let off = || encrypts("email").set(|settings| settings.dlp = false);
    for payload in [CARD, SSN, MAIL] {
        let world = World::new(off()).await;
        assert_eq!(pass_through(&world, payload, "ALLOWED", &[]).await, payload);
    }
}
