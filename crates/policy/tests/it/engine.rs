//! What rules of the files decide, and that the memory of decisions never outlives its reasons.

use std::path::PathBuf;
use std::sync::Arc;

use policy::{
    Action, AgentRules, Authentication, Context, Decision, Document, Engine, Kind, Policy,
    Principal, Request, Resource, RuleBook,
};

fn policy(text: &str) -> Policy {
    policy_with(&RuleBook::default(), text)
}

fn policy_with(book: &RuleBook, text: &str) -> Policy {
    let document = Document::parse(&[(PathBuf::from("p.yaml"), text.to_owned())]).unwrap();
    Policy::with(book, Some(Arc::new(Engine::compile(document).unwrap())))
}

fn send<'a>(context: Context<'a>) -> Request<'a> {
    Request { context, ..Request::between("a", Action::Send, "b") }
}

fn by(decision: Decision<'_>) -> String {
    decision.by().to_string()
}

const ONE: &str = "rules:\n- id: one\n  effect: allow\n  principals: [\"agent:a\"]\n  \
                   actions: [send, request]\n  resources: [\"agent:b\"]\n";

#[test]
fn a_decision_names_its_rules_and_a_denial_wins() {
    let deny = "- id: stop\n  effect: deny\n  principals: [\"*\"]\n  actions: [request]\n  \
                resources: [\"agent:b\"]\n";
    let text = [ONE, deny, &ONE.replace("rules:\n", "").replace("one", "two")].concat();
    let policy = policy(&text);
    let ask = |action| policy.decide("a", action, "b");
    assert_eq!(by(ask(Action::Send)), "rules one, two allow it");
    assert_eq!(by(ask(Action::Request)), "rule stop denies it");
    assert_eq!(by(ask(Action::Reply)), "no rule allows a to reply to b");
    assert_eq!(ask(Action::Request).by().code(), "denied_by_rule");
    assert_eq!(by(policy.decide("c", Action::Send, "b")), "no rule allows c to send to b");
}

#[test]
fn lists_and_roles_of_the_book_and_rules_of_the_files_stand_side_by_side() {
    let set = |names: &[&str]| names.iter().map(ToString::to_string).collect();
    let rules = AgentRules { allow: set(&["c"]), block: set(&["b"]), ..AgentRules::default() };
    let book = RuleBook { agents: [("a".to_owned(), rules)].into(), ..RuleBook::default() };
    let deny = "- id: stop\n  effect: deny\n  principals: [\"agent:a\"]\n  actions: [send]\n  \
                resources: [\"agent:c\"]\n";
    let policy = policy_with(&book, &[ONE, deny].concat());
    assert_eq!(by(policy.decide("a", Action::Send, "b")), "block list of a has b");
    assert_eq!(by(policy.decide("a", Action::Send, "c")), "rule stop denies it");
    assert_eq!(by(policy.decide("a", Action::Request, "c")), "allow list of a has c");
    // Another revision than that of the book alone.
    assert_ne!(policy.revision(), Policy::compile(&book).revision());
}

#[test]
fn what_is_remembered_is_forgotten_when_a_condition_changes() {
    let text = [
        ONE,
        "  when: { time_windows: [day], payload_bytes_max: 100, networks: [office], \
         labels_none: [pii], authentication_min: mtls, delegation_depth_max: 1 }\n",
        "  expires: 2026-11-24T00:00:00Z\n",
        "time_windows: { day: { zone: UTC, from: \"08:00\", until: \"18:00\" } }\n",
        "networks: { office: [10.0.0.0/8] }\n",
        "message_types: { other: { labels: [pii] } }\n",
    ]
    .concat();
    let policy = policy(&text);
    let noon = 1_795_435_200; // 2026-11-23T12:00:00Z
    let good = Context {
        now: noon,
        payload_bytes: 100,
        source: Some("10.1.1.1".parse().unwrap()),
        authentication: Authentication::Mtls,
        delegation_depth: 1,
        ..Context::default()
    };
    let bad = [
        Context { now: noon + 8 * 3_600, ..good },
        Context { now: noon + 24 * 3_600, ..good },
        Context { payload_bytes: 101, ..good },
        Context { source: Some("11.1.1.1".parse().unwrap()), ..good },
        Context { source: None, ..good },
        Context { labels: &["pii"], ..good },
        Context { authentication: Authentication::Bound, ..good },
        Context { delegation_depth: 2, ..good },
    ];
    for _ in 0..3 {
        for context in bad {
            assert!(policy.judge(&send(good)).is_allowed());
            assert!(!policy.judge(&send(context)).is_allowed(), "{context:?}");
        }
    }
}

#[test]
fn policies_in_cedar_count_like_rules_and_are_never_remembered_too_long() {
    let text = "agents: { a: { workspace: red }, b: { workspace: red } }\nworkspaces: { red: }\n\
                cedar: |\n  @id(\"small\")\n  permit(principal == Agent::\"a\", \
                action == Action::\"send\", resource)\n  when { context.payload_bytes < 10 && \
                resource.workspace == principal.workspace };\n  @id(\"never-c\")\n  \
                forbid(principal, action, resource == Agent::\"c\");\n";
    let policy = policy(text);
    for _ in 0..3 {
        let small = Context { payload_bytes: 9, ..Context::default() };
        let large = Context { payload_bytes: 10, ..Context::default() };
        assert_eq!(by(policy.judge(&send(small))), "rule small allows it");
        assert!(!policy.judge(&send(large)).is_allowed());
    }
    assert_eq!(by(policy.decide("a", Action::Reply, "c")), "rule never-c denies it");
    assert!(policy.engine().unwrap().to_cedar().contains("@id(\"small\")"));
}

#[test]
fn a_condition_in_cedar_may_name_what_nothing_else_names() {
    let text = [
        ONE,
        "cedar: |\n  @id(\"no\")\n  forbid(principal, action, resource) when {\n    \
         principal in Match::\"spiffe:spiffe://mas/lab/*\" || resource in MessageType::\"x\" };\n",
    ]
    .concat();
    let policy = policy(&text);
    assert_eq!(by(policy.judge(&send(Context::default()))), "rule one allows it");
    let of_type = send(Context { message_type: "x", ..Context::default() });
    assert_eq!(by(policy.judge(&of_type)), "rule no denies it");
    let principal = Principal { spiffe_id: "spiffe://mas/lab/a", ..Principal::agent("a") };
    let from_lab = Request { principal, ..send(Context::default()) };
    assert_eq!(by(policy.judge(&from_lab)), "rule no denies it");
}

#[test]
fn a_rule_that_cannot_be_computed_refuses() {
    // The validator cannot see that the sum is too large.
    let text = [
        ONE,
        "cedar: |\n  @id(\"sum\")\n  forbid(principal, action == Action::\"send\", resource)\n  \
         when { context.payload_bytes + 9223372036854775807 < 0 };\n",
    ]
    .concat();
    let policy = policy(&text);
    assert!(policy.judge(&send(Context::default())).is_allowed());
    let one = Context { payload_bytes: 1, ..Context::default() };
    let decision = policy.judge(&send(one));
    assert!(!decision.is_allowed());
    assert_eq!(decision.by().code(), "policy_failed");
    assert_eq!(by(decision), "rule sum could not be computed");
}

#[test]
fn nothing_crosses_a_workspace_without_a_rule_that_says_so() {
    let text = "workspaces: { red: { members: [\"agent:r*\"] }, blue: { members: \
        [\"agent:b*\"] } }\n\
                rules:\n- id: all\n  effect: allow\n  principals: [\"*\"]\n  actions: [send]\n  \
                resources: [\"*\"]\n- id: bridge\n  effect: allow\n  principals: [\"agent:r1\"]\n  \
                actions: [send]\n  resources: [\"agent:b1\"]\n  cross_workspace: true\n";
    let allow = ["b1", "b2", "r2"].map(str::to_owned).into();
    let rules = AgentRules { allow, ..AgentRules::default() };
    let book = RuleBook { agents: [("r1".to_owned(), rules)].into(), ..RuleBook::default() };
    let policy = policy_with(&book, text);
    assert_eq!(by(policy.decide("r2", Action::Send, "r1")), "rule all allows it");
    assert_eq!(by(policy.decide("r1", Action::Send, "b1")), "rule bridge allows it");
    for (sender, target) in [("r1", "b2"), ("b1", "r1"), ("r1", "other"), ("other", "b1")] {
        let decision = policy.decide(sender, Action::Send, target);
        assert_eq!(decision.by().code(), "workspace", "{sender} {target}");
    }
    assert_eq!(by(policy.decide("r1", Action::Send, "r2")), "allow list of r1 has r2");
    // Tables belong to no workspace here, so they are in the one of those without any.
    let table = Request {
        resource: Resource { kind: Kind::Table, id: "t" },
        action: Action::Read,
        ..Request::between("r1", Action::Send, "b1")
    };
    assert_eq!(policy.judge(&table).by().code(), "workspace");
}

#[test]
fn what_several_workspaces_claim_is_reached_by_nobody() {
    let text = "workspaces: { red: { members: [\"agent:r*\"] }, blue: { members: \
        [\"agent:*b\"] } }\n\
                rules:\n- id: bridge\n  effect: allow\n  principals: [\"*\"]\n  \
                actions: [send]\n  resources: [\"agent:*\"]\n  cross_workspace: true\n";
    let policy = policy(text);
    assert_eq!(by(policy.decide("r", Action::Send, "b")), "rule bridge allows it");
    for (sender, target) in [("r", "rb"), ("rb", "r"), ("rb", "rb")] {
        let decision = policy.decide(sender, Action::Send, target);
        assert_eq!(decision.by().code(), "workspace", "{sender} {target}");
    }
    // The policy and the token disagree.
    let claims = policy::Claims::new(Some("blue".to_owned()), None, Default::default());
    let principal = Principal { claims: Some(&claims), ..Principal::agent("r") };
    let request = Request { principal, ..Request::between("r", Action::Send, "b") };
    assert_eq!(policy.judge(&request).by().code(), "workspace");
}

#[test]
fn a_message_has_the_labels_of_all_that_is_said_of_its_type() {
    let text = "message_types:\n  \"*\": { labels: [internal], domain: all, skill: any }\n  \
                \"task.*\": { labels: [pii], domain: law }\n  task.new: { labels: [fresh] }\n\
                agents: { b: { domains: [law, all], skills: [any] } }\n\
                rules:\n- id: all\n  effect: allow\n  principals: [\"*\"]\n  actions: [send]\n  \
                resources: [\"*\"]\n  when: { labels_all: [internal] }\n\
                - id: no-pii\n  effect: deny\n  principals: [\"*\"]\n  actions: [send]\n  \
                resources: [\"*\"]\n  when: { labels_any: [pii], domains: [law] }\n";
    let policy = policy(text);
    for (message_type, says) in [
        ("chat", "rule all allows it"),
        ("task.old", "rule no-pii denies it"),
        ("task.new", "rule no-pii denies it"),
    ] {
        let context = Context { message_type, ..Context::default() };
        assert_eq!(by(policy.judge(&send(context))), says, "{message_type}");
    }
}

#[test]
fn a_denial_of_discovery_hides_whom_one_may_send_to() {
    let rule = |id: &str, effect: &str, action: &str, to: &str| {
        format!(
            "- id: {id}\n  effect: {effect}\n  principals: [\"agent:a\"]\n  \
             actions: [{action}]\n  resources: [\"agent:{to}\"]\n"
        )
    };
    let text = [
        "rules:\n",
        &rule("send", "allow", "send", "*"),
        &rule("hide", "deny", "discover", "b"),
        &rule("mute", "deny", "send", "c"),
        &rule("show", "allow", "discover", "c"),
    ];
    let policy = policy(&text.concat());
    let request = Request::between("a", Action::Discover, "a");
    assert!(policy.judge(&send(Context::default())).is_allowed());
    assert!(!policy.finds(&request, "b"), "a denial is final");
    assert!(policy.finds(&request, "c"), "it is found without being sent to");
    assert!(policy.finds(&request, "d"), "whom one may send to is found");
    assert!(!policy.finds(&Request::between("d", Action::Discover, "d"), "a"));
}

#[test]
fn a_target_is_asked_only_for_what_it_declares() {
    let text = "agents:\n  b: { domains: [law], message_types: [\"task.*\"], skills: [sum] }\n\
                rules:\n- id: all\n  effect: allow\n  principals: [\"*\"]\n  \
                    actions: [send, reply]\n  \
                resources: [\"*\"]\n";
    let policy = policy(text);
    let good =
        Context { message_type: "task.new", domain: "law", skill: "sum", ..Context::default() };
    let none = Context { domain: "", skill: "", ..good };
    assert!(policy.judge(&send(good)).is_allowed() && policy.judge(&send(none)).is_allowed());
    for (context, what) in [
        (Context { message_type: "chat", ..good }, "message type"),
        (Context { domain: "trade", ..good }, "domain"),
        (Context { skill: "sing", ..good }, "skill"),
    ] {
        let decision = policy.judge(&send(context));
        assert_eq!(by(decision), format!("b does not declare the {what}"));
        // An answer was asked for.
        let reply = Request { action: Action::Reply, ..send(context) };
        assert!(policy.judge(&reply).is_allowed());
    }
}

#[test]
fn a_principal_is_known_by_name_certificate_or_claim() {
    let text = "groups: { sre: { members: [\"claim:team=sre\", \"spiffe:spiffe://mas/ops/*\"] } }\n\
                roles: { auditor: {}, chief: { inherits: [auditor], members: [\"user:eve\"] } }\n\
                rules:\n- id: by-group\n  effect: allow\n  principals: [\"group:sre\"]\n  \
                actions: [administer]\n  resources: [\"agent:b\"]\n- id: by-role\n  \
                    effect: allow\n  \
                principals: [\"role:auditor\"]\n  actions: [read]\n  resources: [\"table:log\"]\n";
    let policy = policy(text);
    let team = std::collections::BTreeMap::from([("team".to_owned(), ["sre".to_owned()].into())]);
    let claims = policy::Claims::new(None, None, team);
    let user = Principal { kind: Kind::User, id: "joe", spiffe_id: "", claims: None };
    let administer = |principal| {
        let resource = Resource { kind: Kind::Agent, id: "b" };
        let context = Context::default();
        policy
            .judge(&Request { principal, action: Action::Administer, resource, context })
            .is_allowed()
    };
    assert!(!administer(user));
    assert!(administer(Principal { claims: Some(&claims), ..user }));
    assert!(administer(Principal { spiffe_id: "spiffe://mas/ops/joe", ..user }));
    assert!(!administer(Principal { spiffe_id: "spiffe://other/ops/joe", ..user }));
    let read = |principal| {
        let resource = Resource { kind: Kind::Table, id: "log" };
        let context = Context::default();
        policy.judge(&Request { principal, action: Action::Read, resource, context }).is_allowed()
    };
    assert!(read(Principal { id: "eve", ..user }));
    assert!(!read(user) && !read(Principal { id: "eve", ..Principal::agent("eve") }));
}
