//! Stage 3: what the rules allow.

use gate::settings::Offline;
use gate::types::{Action, Answer, Refusal};

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

const FILE: &str = r#"
workspaces: { red: { members: ["agent:c", "agent:d"] } }
agents:
  b: { message_types: ["say", "task.*"], domains: [law] }
message_types:
  "task.*": { labels: [internal] }
  task.trade: { domain: trade }
networks: { test: [192.0.2.0/24], other: [198.51.100.0/24] }
rules:
- id: b-takes-tasks
  effect: allow
  principals: ["spiffe:spiffe://mas/agent/a"]
  actions: [send, request]
  resources: ["agent:b"]
  when:
    message_types: ["say", "task.*"]
    networks: [test]
    authentication_min: mtls
    payload_bytes_max: 20
    delegation_depth_max: 1
- id: never-from-elsewhere
  effect: deny
  principals: ["*"]
  actions: ["*"]
  resources: ["*"]
  when: { networks: [other] }
- id: d-learns-of-c
  effect: allow
  principals: ["agent:d"]
  actions: [discover]
  resources: ["agent:c"]
- id: nothing-internal-to-c
  effect: deny
  principals: ["*"]
  actions: [send]
  resources: ["agent:c"]
  when: { labels_any: [internal] }
"#;

/// Returns a message of this type and payload, which so many led to.
fn typed(target: &str, message_type: &str, payload: &str, hops: u32) -> Action {
    let Action::Send { target, mut message } = say(target, payload) else {
        panic!("say is a send");
    };
    message.message_type = message_type.to_owned();
    message.hops = Some(hops.to_string());
    Action::Send { target, message }
}

#[tokio::test(start_paused = true)]
async fn rules_of_files_see_the_message_and_are_named_in_the_record() {
    let long = format!("{{\"x\":\"{}\"}}", "x".repeat(20));
    let cases = [
        ("a", typed("b", "say", "{}", 0), "", "rule b-takes-tasks allows it"),
        ("a", typed("b", "task.new", "{}", 1), "", "rule b-takes-tasks allows it"),
        ("a", typed("b", "say", "{}", 2), "denied", NO_RULE),
        ("a", typed("b", "say", &long, 0), "denied", NO_RULE),
        ("a", typed("b", "task.trade", "{}", 0), "undeclared", "b does not declare the domain"),
        ("a", typed("b", "chat", "{}", 0), "denied", NO_RULE),
        ("d", typed("c", "chat", "{}", 0), "", "allow list of d has c"),
        (
            "d",
            typed("c", "task.new", "{}", 0),
            "denied_by_rule",
            "rule nothing-internal-to-c denies it",
        ),
        ("a", typed("c", "chat", "{}", 0), "workspace", "no rule lets a reach c across workspaces"),
        ("d", typed("d", "chat", "{}", 0), "denied", "no rule allows d to send to d"),
    ];
    let plan = Plan::closed().allow("a", "c").allow("d", "c").policy(FILE);
    let world = World::new(plan).await;
    let (_a, _d) = (world.open("a", "i1").await, world.open("d", "i1").await);
    let revision = world.gate.registry().snapshot().policy.revision().to_owned();
    for (sender, action, code, by) in cases {
        if code.is_empty() {
            world.accept(sender, action).await;
        } else {
            let refusal = world.refuse(sender, action, "AUTHZ_DENIED", code).await;
            assert_eq!(refusal.to_string(), by);
        }
        let record = world.record("message.send").await;
        assert_eq!(record.decided_by.as_deref(), Some(by));
        assert_eq!(record.policy_revision.as_deref(), Some(revision.as_str()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_rule_of_a_file_may_let_an_agent_be_found_that_cannot_be_sent_to() {
    let world = World::new(Plan::closed().policy(FILE)).await;
    let (_a, _b) = (world.open("a", "i1").await, world.open("b", "i1").await);
    let (_c, _d) = (world.open("c", "i1").await, world.open("d", "i1").await);
    for (asks, found) in [("d", vec!["c"]), ("c", vec![]), ("a", vec![])] {
        let discover = Action::Discover { capabilities: Vec::new() };
        let answer = world.accept(asks, discover).await;
        let Answer::Agents(agents) = answer else { panic!("{answer:?}") };
        let names: Vec<_> = agents.iter().map(|agent| agent.agent.as_str()).collect();
        assert_eq!(names, found, "{asks}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_of_the_lists_leaves_the_rules_of_files_in_force() {
    let world = World::new(Plan::closed().policy(FILE)).await;
    let _a = world.open("a", "i1").await;
    let before = world.gate.registry().snapshot().policy.revision().to_owned();
    let block = policy::Change::Block { agent: "a".to_owned(), target: "d".to_owned() };
    world.admin(gate::types::AdminCommand::ChangePolicy(vec![block])).await;
    world.accept("a", typed("b", "say", "{}", 0)).await;
    assert_ne!(world.gate.registry().snapshot().policy.revision(), before);
    let block = policy::Change::Block { agent: "a".to_owned(), target: "b".to_owned() };
    world.admin(gate::types::AdminCommand::ChangePolicy(vec![block])).await;
    world.refuse("a", typed("b", "say", "{}", 0), "AUTHZ_DENIED", "blocked").await;
}
