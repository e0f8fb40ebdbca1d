//! Stage 3: what the rules allow.

use gate::settings::Offline;
use gate::types::Refusal;

use crate::fixture::{Plan, World, answer, ask, one, poll, say};

/// Rules, the target, and the code (empty if allowed) and the rule that must decide.
type Case = (Plan, &'static str, &'static str, &'static str);

const NO_RULE: &str = "no rule allows a to send to b";
const UNKNOWN: &str = "the rules allow it, but no such agent is registered";
const NO_NAME: &str = "no agent can have the target's name";

fn cases() -> Vec<Case> {
    let no = Plan::closed;
    let every = || no().allow("a", "*");
    let role = |permission: &str| no().rbac().role("a", "r", permission);
    vec![
        (no(), "b", "denied", NO_RULE),
        (no().allow("b", "a"), "b", "denied", NO_RULE),
        (no().allow("a", "c"), "b", "denied", NO_RULE),
        // A list names agents or all of them: it has no patterns.
        (no().allow("a", "b*"), "b", "denied", NO_RULE),
        (no().allow("a", "b"), "a", "denied", "no rule allows a to send to a"),
        (no().allow("a", "b"), "b", "", "allow list of a has b"),
        (every(), "b", "", "allow list of a has *"),
        (every(), "a", "", "allow list of a has *"),
        (no().allow("a", "b").block("a", "b"), "b", "blocked", "block list of a has b"),
        (no().allow("a", "b").block("a", "*"), "b", "blocked", "block list of a has *"),
        (every().block("a", "b"), "b", "blocked", "block list of a has b"),
        (every().block("a", "c"), "b", "", "allow list of a has *"),
        (every().block("b", "a"), "b", "", "allow list of a has *"),
        (role("send:b"), "b", "", "role r grants send:b"),
        (role("send:*"), "b", "", "role r grants send:*"),
        (role("send:c"), "b", "denied", NO_RULE),
        (role("request:b"), "b", "denied", NO_RULE),
        (no().rbac().role("c", "r", "send:b"), "b", "denied", NO_RULE),
        // Roles count only where they are switched on.
        (no().role("a", "r", "send:b"), "b", "denied", NO_RULE),
        (role("*").block("a", "b"), "b", "blocked", "block list of a has b"),
        (every(), "ghost", "target_unknown", UNKNOWN),
        (no().allow("a", "ghost"), "ghost", "target_unknown", UNKNOWN),
        (role("*"), "ghost", "target_unknown", UNKNOWN),
        (no(), "ghost", "denied", "no rule allows a to send to ghost"),
        // The queue of another agent's instance.
        (role("*").allow("a", "*"), "b:i1", "target_unknown", NO_NAME),
        (every(), "", "target_unknown", NO_NAME),
        (every(), "b\n", "target_unknown", NO_NAME),
        (every(), "*", "target_unknown", NO_NAME),
    ]
}

#[tokio::test(start_paused = true)]
async fn each_rule_decides_and_is_named_in_the_record() {
    for (number, (plan, target, code, by)) in cases().into_iter().enumerate() {
        let world = World::new(plan).await;
        let _a = world.open("a", "i1").await;
        let allowed = code.is_empty();
        if allowed {
            world.send("a", target, "{}").await;
        } else {
            let refusal = world.refuse("a", say(target, "{}"), "AUTHZ_DENIED", code).await;
            assert_eq!(refusal.to_string(), by, "case {number}");
            // The caller learns one code for all of them.
            assert_eq!(refusal.code(), "not_authorized", "case {number}");
        }
        let record = world.record("message.send").await;
        assert_eq!(record.decision == "ALLOWED", allowed, "case {number}");
        assert_eq!(record.decided_by.as_deref(), Some(by), "case {number}");
        assert_eq!(record.target_id.as_deref(), Some(target), "case {number}");
        assert_eq!(world.queued("b").await, u64::from(allowed && target == "b"), "case {number}");
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
