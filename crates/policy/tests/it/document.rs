//! What a policy file may say, and what is said of one that is wrong.

use std::path::PathBuf;

use policy::FaultCode::{Cedar, Cycle, Duplicate, Syntax, Unknown, Value};
use policy::{Document, Engine, Fault, FaultCode};

fn load(text: &str) -> Result<Engine, Vec<Fault>> {
    let name = PathBuf::from("policy.yaml");
    Engine::compile(Document::parse(&[(name, text.to_owned())])?)
}

/// A file with one rule, so that each case shows only what is wrong with it.
fn rule(fields: &str) -> String {
    format!(
        "rules:\n- id: one\n  effect: allow\n  principals: [\"agent:a\"]\n  actions: [send]\n  \
         resources: [\"agent:b\"]\n{fields}"
    )
}

#[test]
fn an_empty_file_is_a_policy_that_says_nothing() {
    for text in [
        "",
        "# nothing yet\n",
        "---\n",
        "{}",
        "version: 1\n",
        "rules: []\n",
        "rules:\n",
        "roles:\n",
    ] {
        assert!(load(text).unwrap().is_empty(), "{text:?}");
    }
}

/// A file, the line and column of its first fault, the code, and a part of what is said.
type File = (&'static str, u32, u32, FaultCode, &'static str);

const FILES: &[File] = &[
    ("rules: [", 1, 8, Syntax, ""),
    ("rule: []\n", 1, 1, Syntax, "unknown field `rule`"),
    ("version: 2\n", 1, 10, Value, "version 2 is not known"),
    ("version: one\n", 1, 10, Syntax, ""),
    ("roles:\n  a: {}\n  a: {}\n", 3, 3, Duplicate, "a"),
    ("roles:\n  \"a b\": {}\n", 2, 3, Value, "is not a name"),
    ("roles:\n  a: { inherits: [b] }\n", 2, 19, Unknown, "`b` is nowhere defined"),
    ("roles:\n  a: { inherits: [b] }\n  b: { inherits: [a] }\n", 2, 3, Cycle, "`a` > `b` > `a`"),
    ("roles:\n  a: { inherits: [a] }\n", 2, 3, Cycle, "`a` > `a`"),
    (
        "groups:\n  x: { members: [\"group:a\"] }\n  a: { members: [\"group:b\"] }\n  \
         b: { members: [\"group:a\"] }\n",
        3,
        3,
        Cycle,
        "`a` > `b` > `a`",
    ),
    ("groups:\n  g: { members: [\"role:r\"] }\n", 2, 18, Value, "cannot stand here"),
    ("groups:\n  g: { members: [a] }\n", 2, 18, Value, "starts with no known word"),
    ("workspaces:\n  w: { members: [\"*\"] }\n", 2, 18, Value, "cannot stand here"),
    (
        "workspaces:\n  w: { members: [\"spiffe:spiffe://mas/acme/*\"] }\n",
        2,
        18,
        Value,
        "SPIFFE IDs or claims",
    ),
    ("workspaces:\n  w: { members: [\"claim:team=x\"] }\n", 2, 18, Value, "cannot stand here"),
    ("agents:\n  a: { workspace: acme }\n", 2, 19, Unknown, "`acme` is nowhere defined"),
    ("agents:\n  a: { role: [] }\n", 2, 8, Syntax, "unknown field `role`"),
    ("networks:\n  office: [10.0.0.1/8]\n", 2, 12, Value, "no range of addresses"),
    (
        "time_windows:\n  w: { zone: Mars/Base, from: \"08:00\", until: \"18:00\" }\n",
        2,
        14,
        Value,
        "no known time zone",
    ),
];

/// What is added to a file with one rule, the line of the fault, the code, and a part of it.
type Added = (&'static str, u32, FaultCode, &'static str);

const RULES: &[Added] = &[
    ("  when: { labels: [a] }\n", 7, Syntax, "unknown field `labels`"),
    ("  when: { time_windows: [never] }\n", 7, Unknown, "`never` is nowhere defined"),
    ("  when: { networks: [home] }\n", 7, Unknown, "`home` is nowhere defined"),
    ("  when: { authentication_min: strong }\n", 7, Value, "is no strength"),
    ("  when: { payload_bytes_max: -1 }\n", 7, Syntax, ""),
    ("  when: { domains: [] }\n", 2, Value, "can never apply"),
    ("  when: { approved_by: [boss] }\n", 2, Value, "`approved_by` is not supported yet"),
    ("  unless: { labels_any: [pii] }\n", 2, Unknown, "gives the label `pii`"),
    ("  when: { domains: [law] }\n", 2, Unknown, "gives the domain `law`"),
    ("  unless: {}\n", 7, Value, "`unless` names nothing"),
    ("  expires: tomorrow\n", 7, Value, "is no moment"),
    (
        "- id: one\n  effect: deny\n  principals: [\"*\"]\n  actions: [send]\n  \
            resources: [\"*\"]\n",
        7,
        Duplicate,
        "policy.yaml:2:7 already",
    ),
    (
        "- id: two\n  effect: deny\n  principals: [\"agent:a\"]\n  actions: [send]\n  \
      resources: [\"agent:b\"]\n",
        7,
        Value,
        "say the opposite",
    ),
    (
        "- id: two\n  effect: allow\n  principals: [\"*\"]\n  actions: [\"*\"]\n  \
            resources: [\"*\"]\n",
        7,
        Value,
        "allows everything to everybody",
    ),
    (
        "- id: two\n  effect: allow\n  principals: []\n  actions: [send]\n  resources: [\"*\"]\n",
        7,
        Value,
        "applies to nothing",
    ),
    (
        "- id: two\n  effect: permit\n  principals: [\"*\"]\n  actions: [send]\n  \
            resources: [\"*\"]\n",
        8,
        Value,
        "is no effect",
    ),
    (
        "- id: two\n  effect: allow\n  principals: [\"*\"]\n  actions: [sned]\n  \
            resources: [\"*\"]\n",
        10,
        Value,
        "is no action",
    ),
    (
        "- id: two\n  effect: allow\n  principals: [\"table:x\"]\n  actions: [send]\n  \
            resources: [\"*\"]\n",
        9,
        Value,
        "cannot stand here",
    ),
    (
        "- id: two\n  effect: allow\n  principals: [\"role:r\"]\n  actions: [send]\n  \
            resources: [\"*\"]\n",
        9,
        Unknown,
        "add it under `roles`",
    ),
    (
        "- id: two\n  effect: allow\n  principals: [\"*\"]\n  actions: [send]\n  \
            resources: [\"table:x\"]\n",
        7,
        Value,
        "can never apply",
    ),
    (
        "- effect: allow\n  principals: [\"*\"]\n  actions: [send]\n  resources: [\"*\"]\n",
        7,
        Syntax,
        "has no `id`",
    ),
    (
        "- id: a/b\n  effect: allow\n  principals: [\"*\"]\n  actions: [send]\n  \
            resources: [\"*\"]\n",
        7,
        Value,
        "is no id",
    ),
    (
        "- id: two\n  effect: allow\n  principals: [\"agent:**\"]\n  \
            actions: [send, request, reply, discover]\n  resources: [\"agent:*\"]\n  \
            when: { payload_bytes_min: 0, authentication_min: none, message_types: [\"*\"] }\n",
        7,
        Value,
        "allows everything to everybody",
    ),
    (
        "cedar: |\n  @id(\"x\")\n  permit(principal is Agent, action, resource);\n",
        8,
        Value,
        "allows everything to everybody",
    ),
    (
        "cedar: |\n  @id(\"x\")\n  forbid(principal, action, resource)\n  \
            when { principal in Group::\"typo\" };\n",
        8,
        Unknown,
        "group:typo",
    ),
    ("cedar: 'permit(principal, action, resource'\n", 7, Cedar, ""),
    ("cedar: 'permit(principal, action, resource);'\n", 7, Cedar, "@id"),
    (
        "cedar: |\n  @id(\"x\")\n  permit(principal, action, resource)\n  \
            when { context.colour == 1 };\n",
        8,
        Cedar,
        "colour",
    ),
    (
        "cedar: |\n  @id(\"x\")\n  permit(principal in Group::\"g\", action, resource);\n",
        8,
        Unknown,
        "group:g",
    ),
    (
        "cedar: |\n  @id(\"one\")\n  permit(principal, action == Action::\"send\", resource);\n",
        8,
        Duplicate,
        "the id `one`",
    ),
];

#[test]
fn each_fault_is_told_with_its_place_and_what_to_do() {
    for (text, line, column, code, says) in FILES {
        let faults = load(text).unwrap_err();
        let fault = &faults[0];
        assert_eq!((fault.place.line, fault.place.column), (*line, *column), "{text}\n{fault}");
        assert_eq!(fault.code, *code, "{text}\n{fault}");
        assert!(fault.message.contains(says), "{text}\n{fault}");
        assert!(
            fault.to_string().starts_with(&format!("policy.yaml:{line}:{column}: ")),
            "{fault}"
        );
    }
}

#[test]
fn each_fault_of_a_rule_is_told_with_its_place_and_what_to_do() {
    for (fields, line, code, says) in RULES {
        let text = rule(fields);
        let faults = load(&text).err().unwrap_or_else(|| panic!("accepted: {text}"));
        let fault = &faults[0];
        assert_eq!((fault.place.line, fault.code), (*line, *code), "{text}\n{fault}");
        assert!(fault.message.contains(says), "{text}\n{fault}");
    }
}

#[test]
fn a_key_with_nothing_behind_it_is_refused() {
    let of_rule = "when, unless, not_before, expires, id, principals, actions, resources";
    let of_when = "message_types, payload_bytes_min, payload_bytes_max, labels_any, labels_all, \
                   labels_none, domains, time_windows, networks, authentication_min, \
                   delegation_depth_max, approved_by";
    let of_agent = "workspace, roles, groups, domains, message_types, skills";
    let mut texts = Vec::new();
    for nothing in ["", " ~", " null"] {
        texts.extend(of_rule.split(", ").map(|key| match key {
            "id" | "principals" | "actions" | "resources" => {
                let whole = rule("");
                let lines = whole.lines().map(|line| {
                    let is_it = line.contains(&format!("{key}:"));
                    let bare = line.split_inclusive(':').next().unwrap_or_default();
                    format!("{}\n", if is_it { [bare, nothing].concat() } else { line.to_owned() })
                });
                lines.collect::<String>()
            }
            _ => rule(&format!("  {key}:{nothing}\n")),
        }));
        for list in ["when", "unless"] {
            let texts_of =
                of_when.split(", ").map(|key| rule(&format!("  {list}:\n    {key}:{nothing}\n")));
            texts.extend(texts_of);
        }
        texts.extend(
            of_agent.split(", ").map(|key| format!("agents:\n  a:\n    {key}:{nothing}\n")),
        );
        for keys in [
            "workspaces:\n  w:\n    members:",
            "roles:\n  r:\n    members:",
            "roles:\n  r:\n    inherits:",
            "groups:\n  g:\n    members:",
            "groups:\n  g:\n    roles:",
            "message_types:\n  t:\n    labels:",
            "message_types:\n  t:\n    domain:",
            "message_types:\n  t:\n    skill:",
            "networks:\n  n:",
            "cedar:",
        ] {
            texts.push(format!("{keys}{nothing}\n"));
        }
        texts.push(rule("  when: {}\n"));
        texts.push("networks: { n: [] }\n".to_owned());
    }
    let accepted: Vec<_> = texts.iter().filter(|text| load(text).is_ok()).collect();
    assert!(accepted.is_empty(), "{accepted:#?}");
    let fault = load(&rule("  when:\n    time_windows:\n")).unwrap_err().remove(0);
    assert_eq!((fault.place.line, fault.code), (8, Syntax), "{fault}");
    assert!(fault.message.contains("nothing stands behind the key"), "{fault}");
}

#[test]
fn all_faults_are_told_at_once_up_to_a_bound() {
    let text: String = (0..300).map(|n| format!("  r{n}: {{ inherits: [none] }}\n")).collect();
    let faults = load(&format!("roles:\n{text}")).unwrap_err();
    assert_eq!(faults.len(), 100);
    assert_eq!(faults[1].place.line, 3);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "that it takes little time is what is tested")]
fn a_hostile_file_is_refused_quickly() {
    let deep = format!("rules: {}{}", "[".repeat(5_000), "]".repeat(5_000));
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n".to_owned()
        + &(1..9)
            .map(|n| {
                let (one, before) = ((b'a' + n) as char, (b'a' + n - 1) as char);
                format!("{one}: &{one} [{}]\n", vec![format!("*{before}"); 9].join(","))
            })
            .collect::<String>();
    let wide = format!("rules: [{}]", "[],".repeat(2_000_000));
    let long_name = format!("roles:\n  {}: {{}}\n", "r".repeat(200));
    for text in [deep, bomb, wide, long_name] {
        let begun = std::time::Instant::now();
        assert!(load(&text).is_err());
        assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
    }
}

#[test]
fn a_cedar_text_that_goes_too_deep_is_refused_before_it_is_parsed() {
    let with = |condition: &str| {
        let text =
            format!("@id(\"x\") permit(principal, action, resource) when {{ {condition} }};");
        Document::parse(&[(PathBuf::from("p.cedar"), text)]).map(Engine::compile).unwrap()
    };
    let deep = |n: usize| format!("{}1{} == 1", "(".repeat(n), ")".repeat(n));
    let long = |n: usize| format!("1{} == 1", "+1".repeat(n));
    let ifs = |n: usize| format!("{}1 == 1", "if 1 == 1 then 1 == 1 else ".repeat(n));
    let nots = |n: usize| format!("{}(1 == 1)", "!(".repeat(n));
    for text in [deep(1_000_000), long(1_000_000), ifs(200_000), nots(100_000), "[".repeat(40)] {
        let fault = with(&text).unwrap_err().remove(0);
        assert_eq!(fault.code, FaultCode::TooLarge, "{fault}");
        assert!(fault.message.contains("more than"), "{fault}");
    }
    // As deep as is taken goes through all of the parser and the validator.
    for text in [deep(31), long(498), ifs(99)] {
        with(&text).unwrap();
    }
    // What stands in a text or a comment is no bracket and no operator.
    let quoted = format!("context.domain != \"{}\\\"{}\"", "(".repeat(100), "+".repeat(1_000));
    with(&quoted).unwrap();
    with(&format!("// \"{}\n 1 == 1", "(".repeat(100))).unwrap();
    let many = "@id(\"x\") permit(principal, action, resource);".repeat(10_001);
    let document = Document::parse(&[(PathBuf::from("p.cedar"), many)]).unwrap();
    assert_eq!(Engine::compile(document).unwrap_err()[0].code, FaultCode::TooLarge);
}

#[test]
fn several_files_are_one_policy_and_a_name_is_defined_once() {
    let file = |name: &str, text: &str| (PathBuf::from(name), text.to_owned());
    let roles = file("a.yaml", "roles:\n  leader: {}\n");
    let rules = file(
        "b.yaml",
        &rule(
            "- id: two\n  effect: deny\n  principals: [\"role:leader\"]\n  actions: [send]\n  \
                resources: [\"*\"]\n",
        ),
    );
    let cedar = file(
        "c.cedar",
        "@id(\"three\")\npermit(principal, action == Action::\"read\", resource == \
            Table::\"t\");\n",
    );
    let all = Document::parse(&[roles.clone(), rules.clone(), cedar]).unwrap();
    assert_eq!(Engine::compile(all.clone()).unwrap().len(), 3);
    // The name of the policy is that of its files and their order.
    let again = Document::parse(&[roles.clone(), rules.clone()]).unwrap();
    let turned = Document::parse(&[rules, roles.clone()]).unwrap();
    assert_eq!(all.digest.len(), 64);
    assert_ne!(all.digest, again.digest);
    assert_ne!(turned.digest, again.digest);

    let twice = file("d.yaml", "roles:\n  other: {}\n  leader: {}\n");
    let faults = Document::parse(&[roles, twice]).unwrap_err();
    assert_eq!(
        faults[0].to_string(),
        "d.yaml:3:3: `leader` stands in `roles` at a.yaml:2:3 already; remove one of them"
    );
    let broken =
        Document::parse(&[file("e.cedar", "@id(\"x\")\npermit(principal, action,\n  resourc);\n")]);
    let faults = Engine::compile(broken.unwrap()).unwrap_err();
    assert_eq!((faults[0].place.line, faults[0].code), (3, Cedar), "{}", faults[0]);
}
