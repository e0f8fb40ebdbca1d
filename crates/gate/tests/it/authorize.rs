//! Stage 3: what the rules allow.

use gate::settings::Offline;
use gate::types::Refusal;

use crate::fixture::{Plan, World, answer, ask, one, poll, say};

/// Rules, what is asked of them, the code of the refusal, and which rule decided.
type Case = (&'static str, Plan, &'static str, Option<&'static str>, &'static str);

fn cases() -> Vec<Case> {
    let closed = Plan::closed;
    let role = |permission: &str| closed().rbac().role("a", "r", permission);
    vec![
        ("nothing", closed(), "b", Some("denied"), "no rule allows a to send to b"),
        ("oneself", closed().allow("a", "b"), "a", Some("denied"), "no rule allows a to send to a"),
        (
            "the other way",
            closed().allow("b", "a"),
            "b",
            Some("denied"),
            "no rule allows a to send to b",
        ),
        ("another", closed().allow("a", "c"), "b", Some("denied"), "no rule allows a to send to b"),
        (
            "a prefix is no pattern",
            closed().allow("a", "b*"),
            "b",
            Some("denied"),
            "no rule allows a to send to b",
        ),
        ("the target", closed().allow("a", "b"), "b", None, "allow list of a has b"),
        ("every target", closed().allow("a", "*"), "b", None, "allow list of a has *"),
        ("oneself by every", closed().allow("a", "*"), "a", None, "allow list of a has *"),
        (
            "block before allow",
            closed().allow("a", "b").block("a", "b"),
            "b",
            Some("blocked"),
            "block list of a has b",
        ),
        (
            "block before every",
            closed().allow("a", "*").block("a", "b"),
            "b",
            Some("blocked"),
            "block list of a has b",
        ),
        (
            "block of another",
            closed().allow("a", "*").block("a", "c"),
            "b",
            None,
            "allow list of a has *",
        ),
        (
            "every blocked",
            closed().allow("a", "b").block("a", "*"),
            "b",
            Some("blocked"),
            "block list of a has *",
        ),
        ("a role", role("send:b"), "b", None, "role r grants send:b"),
        ("a role with a pattern", role("send:*"), "b", None, "role r grants send:*"),
        (
            "a role for another",
            role("send:c"),
            "b",
            Some("denied"),
            "no rule allows a to send to b",
        ),
        (
            "a role for another action",
            role("request:b"),
            "b",
            Some("denied"),
            "no rule allows a to send to b",
        ),
        (
            "a role, switched off",
            closed().role("a", "r", "send:b"),
            "b",
            Some("denied"),
            "no rule allows a to send to b",
        ),
        (
            "a role of another",
            closed().rbac().role("c", "r", "send:b"),
            "b",
            Some("denied"),
            "no rule allows a to send to b",
        ),
        (
            "block before a role",
            role("*").block("a", "b"),
            "b",
            Some("blocked"),
            "block list of a has b",
        ),
        (
            "unknown by every",
            closed().allow("a", "*"),
            "ghost",
            Some("target_unknown"),
            "the rules allow it, but no such agent is registered",
        ),
        (
            "unknown by name",
            closed().allow("a", "ghost"),
            "ghost",
            Some("target_unknown"),
            "the rules allow it, but no such agent is registered",
        ),
        (
            "unknown by a role",
            role("*"),
            "ghost",
            Some("target_unknown"),
            "the rules allow it, but no such agent is registered",
        ),
        (
            "unknown and denied",
            closed(),
            "ghost",
            Some("denied"),
            "no rule allows a to send to ghost",
        ),
        (
            "an instance's queue",
            role("*").allow("a", "*"),
            "b:i1",
            Some("target_unknown"),
            "no agent can have the target's name",
        ),
        (
            "no name",
            closed().allow("a", "*"),
            "",
            Some("target_unknown"),
            "no agent can have the target's name",
        ),
        (
            "a line feed",
            closed().allow("a", "*"),
            "b\n",
            Some("target_unknown"),
            "no agent can have the target's name",
        ),
        (
            "every as a target",
            closed().allow("a", "*"),
            "*",
            Some("target_unknown"),
            "no agent can have the target's name",
        ),
    ]
}

#[tokio::test(start_paused = true)]
async fn each_rule_decides_and_is_named_in_the_record() {
    for (name, plan, target, code, by) in cases() {
        let world = World::new(plan).await;
        let _a = world.open("a", "i1").await;
        match code {
            Some(code) => {
                let refusal = world.refuse("a", say(target, "{}"), "AUTHZ_DENIED", code).await;
                assert_eq!(refusal.to_string(), by, "{name}");
                // The caller learns one code for all of them.
                assert_eq!(refusal.code(), "not_authorized", "{name}");
                assert_eq!(world.record("message.send").await.target_id.as_deref(), Some(target));
            }
            None => {
                world.accept("a", say(target, "{}")).await;
                let record = world.record("message.send").await;
                assert_eq!(record.decision, "ALLOWED", "{name}");
                assert_eq!(record.decided_by.as_deref(), Some(by), "{name}");
                assert_eq!(world.queued(target).await, 1, "{name}");
            }
        }
        assert_eq!(world.queued("b").await, u64::from(code.is_none() && target == "b"), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_record_names_the_policy_that_decided() {
    let world = World::new(Plan::new()).await;
    let _a = world.open("a", "i1").await;
    world.send("a", "b", "{}").await;
    let revision = world.gate.registry().snapshot().policy.revision().to_owned();
    assert_eq!(world.record("message.send").await.policy_revision, Some(revision.into()));
}

#[tokio::test(start_paused = true)]
async fn an_offline_target_is_queued_for_or_refused_as_the_settings_say() {
    let world = World::new(Plan::new()).await;
    let _a = world.open("a", "i1").await;
    world.send("a", "b", "{}").await;
    assert_eq!(world.queued("b").await, 1);

    let refuses = Plan::new().set(|settings| settings.delivery.offline = Offline::Refuse);
    let world = World::new(refuses).await;
    let _a = world.open("a", "i1").await;
    let refusal = world.refuse("a", say("b", "{}"), "AUTHZ_DENIED", "target_offline").await;
    assert!(refusal.to_string().contains("delivery.offline"), "{refusal}");
    // Who may not know of a target does not learn whether it is connected.
    world.refuse("a", say("c", "{}"), "AUTHZ_DENIED", "denied").await;
    let b = world.open("b", "i1").await;
    world.send("a", "b", "{}").await;
    drop(b);
    world.refuse("a", say("b", "{}"), "AUTHZ_DENIED", "target_offline").await;
}

#[tokio::test(start_paused = true)]
async fn a_request_and_a_reply_need_their_own_permissions() {
    let asks = Plan::closed().rbac().role("a", "asks", "request:b").role("b", "answers", "reply:a");
    let world = World::new(asks).await;
    let mut a = world.open("a", "i1").await;
    let _b = world.open("b", "i1").await;
    world.refuse("a", say("b", "{}"), "AUTHZ_DENIED", "denied").await;
    let request = world.request("a", "b").await;
    let record = world.record("message.request").await;
    assert_eq!(record.decided_by.as_deref(), Some("role asks grants request:b"));
    assert_eq!(record.correlation_id.as_deref(), Some(request.as_str()));
    world.refuse("b", ask("a", "{}", None), "AUTHZ_DENIED", "denied").await;
    world.accept("b", answer(&request, "{}")).await;
    let record = world.record("message.reply").await;
    assert_eq!(record.decided_by.as_deref(), Some("role answers grants reply:a"));
    assert_eq!(record.target_id.as_deref(), Some("a"));
    one(&mut a);
}

#[tokio::test(start_paused = true)]
async fn a_refused_reply_does_not_use_up_its_request() {
    let world = World::new(Plan::closed().allow("a", "b")).await;
    let mut a = world.open("a", "i1").await;
    let _b = world.open("b", "i1").await;
    let request = world.request("a", "b").await;
    let refusal = world.refuse("b", answer(&request, "{}"), "AUTHZ_DENIED", "denied").await;
    let Refusal::NotAuthorized { by, .. } = refusal else { panic!("{refusal:?}") };
    assert_eq!(by, "no rule allows b to reply to a");
    assert!(poll(&mut a).is_empty());
    let allow = policy::Change::Allow { agent: "b".to_owned(), target: "a".to_owned() };
    world.admin(gate::types::AdminCommand::ChangePolicy(vec![allow])).await;
    world
        .refuse(
            "b",
            answer(&request, r#"{"password":"hunter2hunter2"}"#),
            "DLP_BLOCKED",
            "dlp_blocked",
        )
        .await;
    world.accept("b", answer(&request, "{}")).await;
    one(&mut a);
}
