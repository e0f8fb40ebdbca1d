//! The compiled policy against the plain one, over random policies and requests.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use fastrand::Rng;
use policy::{
    Action, AgentRules, Authentication, Claims, Context, Decision, Document, Engine, Kind, Policy,
    Principal, Reason, Request, Resource, Role, RuleBook,
};

use crate::reference;

/// Requests that are decided in the test command; `PALISADE_POLICY_REQUESTS=1000000` for more.
const REQUESTS: u32 = 30_000;
/// Requests for each policy; enough for the memory to be asked again.
const PER_POLICY: u32 = 500;

const AGENTS: [&str; 6] = ["a", "b", "a1", "w-1", "w-2", "stranger"];
const USERS: [&str; 3] = ["u", "v", "stranger"];
const ROLES: [&str; 4] = ["r0", "r1", "r2", "r3"];
const GROUPS: [&str; 3] = ["g0", "g1", "g2"];
const WORKSPACES: [&str; 3] = ["default", "red", "blue"];
const TABLES: [&str; 5] = ["orders", "orders.eu", "agents.state.a.x", "agents.state.b.x", "t*"];
const TYPES: [&str; 4] = ["", "task.new", "task.done", "chat"];
const LABELS: [&str; 3] = ["pii", "secret", "internal"];
const DOMAINS: [&str; 3] = ["", "law", "trade"];
const SOURCES: [&str; 4] = ["10.1.2.3", "192.168.0.1", "fd00::1", "::ffff:10.9.9.9"];
const SPIFFE: [&str; 3] = ["", "spiffe://mas/agent/a", "spiffe://mas/agent/w-1"];
// A Monday in and out of the window, a Sunday, and both sides of the moment in rules.
const TIMES: [i64; 5] = [1_795_424_400, 1_795_460_400, 1_795_338_000, 1_800_000_000, 1_799_999_999];

#[test]
fn the_compiled_policy_decides_like_the_plain_one() {
    let wanted = std::env::var("PALISADE_POLICY_REQUESTS").ok().and_then(|text| text.parse().ok());
    let wanted: u32 = wanted.unwrap_or(REQUESTS);
    let seed = std::env::var("PALISADE_POLICY_SEED").ok().and_then(|text| text.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("seed {seed}");
    let mut rng = Rng::with_seed(seed);
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    let mut decided = 0;
    while decided < wanted {
        let text = policy_text(&mut rng);
        let document = Document::parse(&[(PathBuf::from("p.yaml"), text.clone())])
            .unwrap_or_else(|faults| panic!("seed {seed}: {faults:?}\n{text}"));
        let book = book(&mut rng);
        let engine = Engine::compile(document.clone())
            .unwrap_or_else(|faults| panic!("seed {seed}: {faults:?}\n{text}"));
        let compiled = Policy::with(&book, Some(Arc::new(engine)));
        for _ in 0..PER_POLICY {
            let draw = Draw::new(&mut rng);
            let request = draw.request();
            let plain = reference::decide(&book, &document, &request);
            let found = of(compiled.judge(&request));
            assert_eq!(found, plain, "seed {seed}\n{request:#?}\n{text}\n{book:#?}");
            *seen.entry(plain.code).or_default() += 1;
            decided += 1;
        }
    }
    println!("{decided} requests: {seen:?}");
    for code in [
        "namespace",
        "capability",
        "blocked",
        "workspace",
        "denied_by_rule",
        "denied",
        "undeclared",
        "book",
        "rules",
    ] {
        assert!(seen.contains_key(code), "no request came to `{code}`: {seen:?}");
    }
}

fn of(decision: Decision<'_>) -> reference::Outcome {
    let (allowed, by) = (decision.is_allowed(), decision.by());
    let (rules, count) = match by {
        Reason::Rules(ruling) => (ruling.ids().map(str::to_owned).collect(), ruling.count()),
        Reason::AllowList { .. }
        | Reason::Role { .. }
        | Reason::BlockList { .. }
        | Reason::Failed(_)
        | Reason::Namespace { .. }
        | Reason::Capability { .. }
        | Reason::Workspace { .. }
        | Reason::Undeclared { .. }
        | Reason::NoRule { .. } => (Vec::new(), 0),
    };
    let code = if !allowed {
        by.code()
    } else if matches!(by, Reason::Rules(_)) {
        "rules"
    } else {
        "book"
    };
    reference::Outcome { allowed, code, rules, count: usize::try_from(count).unwrap() }
}

fn some<'a>(rng: &mut Rng, from: &[&'a str], max: usize) -> Vec<&'a str> {
    let count = rng.usize(1..=max);
    (0..count).map(|_| *rng.choice(from).unwrap()).collect()
}

fn list(all: &[&str]) -> String {
    let quoted: Vec<_> = all.iter().map(|it| format!("\"{it}\"")).collect();
    format!("[{}]", quoted.join(", "))
}

const MEMBERS: [&str; 9] = [
    "agent:a",
    "agent:w-*",
    "agent:*1",
    "user:u",
    "user:*",
    "service_account:ci",
    "spiffe:spiffe://mas/agent/a",
    "spiffe:spiffe://mas/*/w-*",
    "claim:team=x*",
];

fn policy_text(rng: &mut Rng) -> String {
    let mut text = String::from("version: 1\nroles:\n");
    for (at, role) in ROLES.iter().enumerate() {
        let inherits = if at > 0 && rng.bool() { vec![ROLES[rng.usize(..at)]] } else { vec![] };
        let members = if rng.bool() { some(rng, &MEMBERS, 2) } else { vec![] };
        text.push_str(&format!(
            "  {role}: {{ inherits: {}, members: {} }}\n",
            list(&inherits),
            list(&members)
        ));
    }
    text.push_str("groups:\n");
    for (at, group) in GROUPS.iter().enumerate() {
        let mut members = some(rng, &MEMBERS, 2);
        let inner = format!("group:{}", GROUPS[at.saturating_sub(1)]);
        if at > 0 && rng.bool() {
            members.push(&inner);
        }
        let roles = if rng.u8(..3) == 0 { some(rng, &ROLES, 1) } else { vec![] };
        text.push_str(&format!(
            "  {group}: {{ members: {}, roles: {} }}\n",
            list(&members),
            list(&roles)
        ));
    }
    text.push_str("workspaces:\n  default: {}\n");
    for (name, members) in [
        ("red", ["agent:w-*", "table:orders*", "user:u", "agent:*1"]),
        ("blue", ["agent:w-1", "table:agents.*", "user:v", "channel:*"]),
    ] {
        let members = if rng.u8(..3) == 0 { some(rng, &members, 2) } else { vec![] };
        text.push_str(&format!("  {name}: {{ members: {} }}\n", list(&members)));
    }
    members(rng, &mut text, "agents", &AGENTS[..5]);
    members(rng, &mut text, "users", &USERS[..2]);
    // Every label and domain that rules name must be given by a type.
    text.push_str(
        "message_types:\n  chat: { labels: [internal] }\n  \"task.*\": { domain: law, \
         skill: sum, labels: [pii] }\n  task.done: { domain: trade, labels: [secret] }\n",
    );
    if rng.bool() {
        text.push_str("  \"t*\": { domain: trade, skill: sing, labels: [internal] }\n");
    }
    text.push_str(
        "networks:\n  office: [10.0.0.0/8]\n  lab: [\"fd00::/8\", 192.168.0.1]\n\
         time_windows:\n  \
         business: { zone: Europe/Berlin, days: [mon-fri], from: \"08:00\", until: \"18:00\" }\n\
         rules:\n",
    );
    for number in 0..rng.u32(0..12) {
        rule(rng, &mut text, number);
    }
    text
}

fn members(rng: &mut Rng, text: &mut String, section: &str, names: &[&str]) {
    text.push_str(&format!("{section}:\n"));
    for name in names {
        if rng.u8(..3) == 0 {
            text.push_str(&format!("  {name}:\n"));
            continue;
        }
        text.push_str(&format!("  {name}: {{ "));
        if rng.u8(..4) == 0 {
            text.push_str(&format!("workspace: {}, ", rng.choice(WORKSPACES).unwrap()));
        }
        if rng.bool() {
            text.push_str(&format!("roles: {}, ", list(&some(rng, &ROLES, 2))));
        }
        if rng.bool() {
            text.push_str(&format!("groups: {}, ", list(&some(rng, &GROUPS, 2))));
        }
        if rng.u8(..6) == 0 {
            text.push_str("domains: [law], skills: [sum], ");
        }
        if rng.u8(..6) == 0 {
            text.push_str("message_types: [\"task.*\", \"\\u002a\"], ");
        } else if rng.u8(..6) == 0 {
            text.push_str("message_types: [\"task.*\"], ");
        }
        text.push_str("}\n");
    }
}

const PRINCIPALS: [&str; 16] = [
    "*",
    "agent:a",
    "agent:b",
    "agent:w-*",
    "agent:*",
    "user:u",
    "user:*",
    "service_account:*",
    "group:g0",
    "group:g1",
    "group:g2",
    "role:r0",
    "role:r1",
    "workspace:red",
    "spiffe:spiffe://mas/agent/*",
    "claim:team=x1",
];
const AGENT_LIKE: [&str; 10] = [
    "*",
    "agent:a",
    "agent:b",
    "agent:w-*",
    "group:g0",
    "group:g2",
    "role:r0",
    "role:r3",
    "workspace:default",
    "message_type:task.*",
];
const TABLE_LIKE: [&str; 6] =
    ["*", "table:orders", "table:orders*", "table:agents.state.*", "table:*", "workspace:red"];

fn rule(rng: &mut Rng, text: &mut String, number: u32) {
    let is_about_agents = rng.bool();
    let (resources, actions) = if is_about_agents {
        (some(rng, &AGENT_LIKE, 3), some(rng, &["send", "request", "reply", "discover", "*"], 3))
    } else {
        (some(rng, &TABLE_LIKE, 2), some(rng, &["read", "write", "subscribe", "query", "*"], 3))
    };
    let principals = some(rng, &PRINCIPALS, 3);
    let all = [&principals, &resources, &actions].iter().all(|it| it.contains(&"*"));
    let effect = if all || rng.u8(..3) == 0 { "deny" } else { "allow" };
    text.push_str(&format!(
        "  - id: rule-{number}\n    effect: {effect}\n    principals: {}\n    actions: {}\n    \
         resources: {}\n",
        list(&principals),
        list(&actions),
        list(&resources)
    ));
    // Of its own, so that no two rules contradict each other.
    let own = format!("payload_bytes_max: {}, ", 1_000_000 + number);
    text.push_str(&format!("    when: {{ {own}{} }}\n", conditions(rng)));
    if rng.u8(..4) == 0 {
        text.push_str(&format!(
            "    unless: {{ payload_bytes_max: 2000000, {} }}\n",
            conditions(rng)
        ));
    }
    if rng.u8(..3) == 0 {
        text.push_str("    cross_workspace: true\n");
    }
    if rng.u8(..5) == 0 {
        text.push_str("    expires: 2027-01-15T08:00:00Z\n");
    } else if rng.u8(..5) == 0 {
        text.push_str("    not_before: 2027-01-15T09:00:00+01:00\n");
    }
}

fn conditions(rng: &mut Rng) -> String {
    const ALL: [&str; 12] = [
        "message_types: [\"task.*\"]",
        "message_types: [chat, \"*.new\"]",
        "payload_bytes_min: 100",
        "labels_any: [pii, secret]",
        "labels_all: [pii, secret]",
        "labels_none: [pii]",
        "domains: [law]",
        "time_windows: [business]",
        "networks: [office]",
        "networks: [lab, office]",
        "authentication_min: bound",
        "delegation_depth_max: 1",
    ];
    let mut picked: BTreeMap<&str, &str> = BTreeMap::new();
    for _ in 0..rng.u8(..3) {
        let one = rng.choice(ALL).unwrap();
        picked.insert(one.split(':').next().unwrap(), one);
    }
    picked.into_values().collect::<Vec<_>>().join(", ")
}

fn book(rng: &mut Rng) -> RuleBook {
    let mut book = RuleBook { rbac: rng.bool(), ..RuleBook::default() };
    let set = |rng: &mut Rng, from: &[&str]| -> BTreeSet<String> {
        if rng.u8(..3) > 0 {
            return BTreeSet::new();
        }
        some(rng, from, 2).into_iter().map(str::to_owned).collect()
    };
    for name in AGENTS {
        let allow = set(rng, &["a", "b", "w-1", "*"]);
        let block = set(rng, &["a", "b", "w-1", "w-2"]);
        book.agents.insert(name.to_owned(), AgentRules { allow, block, roles: set(rng, &ROLES) });
    }
    for name in ROLES {
        let permissions = set(rng, &["send:*", "request:b", "reply:*", "*", "discover:w-*"]);
        book.roles.insert(name.to_owned(), Role { permissions, ..Role::default() });
    }
    book
}

/// Everything that a request borrows.
struct Draw {
    principal: (Kind, &'static str, &'static str),
    claims: Option<Claims>,
    action: Action,
    resource: (Kind, &'static str),
    labels: Vec<&'static str>,
    approved_by: &'static [&'static str],
    context: Context<'static>,
}

impl Draw {
    fn new(rng: &mut Rng) -> Self {
        let kind =
            *rng.choice(&[Kind::Agent, Kind::Agent, Kind::User, Kind::ServiceAccount]).unwrap();
        let names: &[&str] = if kind == Kind::Agent {
            &AGENTS
        } else if kind == Kind::User {
            &USERS
        } else {
            &["ci", "cd"]
        };
        let id = *rng.choice(names).unwrap();
        let (action, resource) = match rng.u8(..8) {
            0..4 => (
                *rng.choice(&Action::MESSAGING).unwrap(),
                (Kind::Agent, *rng.choice(&AGENTS).unwrap()),
            ),
            4..6 => {
                (*rng.choice(&Action::ALL).unwrap(), (Kind::Table, *rng.choice(&TABLES).unwrap()))
            }
            6 => (Action::Publish, (Kind::MessageType, *rng.choice(&TYPES[1..]).unwrap())),
            // Also what makes no sense.
            _ => (*rng.choice(&Action::ALL).unwrap(), (*rng.choice(&Kind::ALL).unwrap(), "red")),
        };
        let labels = if rng.bool() { some(rng, &LABELS, 3) } else { vec![] };
        let context = Context {
            message_type: rng.choice(TYPES).unwrap(),
            payload_bytes: *rng.choice(&[0, 1, 99, 100, 5_000, 1_000_005, u64::MAX]).unwrap(),
            labels: &[],
            domain: rng.choice(DOMAINS).unwrap(),
            skill: rng.choice(["", "sum", "sing"]).unwrap(),
            now: *rng.choice(&TIMES).unwrap(),
            source: rng.bool().then(|| rng.choice(SOURCES).unwrap().parse().unwrap()),
            authentication: *rng.choice(&Authentication::ALL).unwrap(),
            delegation_depth: rng.u32(..4),
            approved_by: &[],
        };
        Self {
            principal: (kind, id, rng.choice(SPIFFE).unwrap()),
            claims: (rng.u8(..3) == 0).then(|| claims(rng)),
            action,
            resource,
            labels,
            approved_by: if rng.bool() { &["boss", "u"] } else { &[] },
            context,
        }
    }

    fn request(&self) -> Request<'_> {
        let (kind, id, spiffe_id) = self.principal;
        Request {
            principal: Principal { kind, id, spiffe_id, claims: self.claims.as_ref() },
            action: self.action,
            resource: Resource { kind: self.resource.0, id: self.resource.1 },
            context: Context {
                labels: &self.labels,
                approved_by: self.approved_by,
                ..self.context
            },
        }
    }
}

fn claims(rng: &mut Rng) -> Claims {
    const SCOPES: [&str; 8] = [
        "neuralbus.send:a",
        "neuralbus.send:b",
        "neuralbus.request:w-1",
        "neuralbus.read:orders.*",
        "neuralbus.write:agents.state.a.*",
        "planning.vote",
        "neuralbus.read",
        "neuralbus.read:orders",
    ];
    let workspace = rng.bool().then(|| (*rng.choice(&WORKSPACES).unwrap()).to_owned());
    let capabilities =
        rng.bool().then(|| some(rng, &SCOPES, 4).into_iter().map(str::to_owned).collect());
    let team = ["x1", "y"].into_iter().filter(|_| rng.bool()).map(str::to_owned).collect();
    Claims::new(workspace, capabilities, BTreeMap::from([("team".to_owned(), team)]))
}
