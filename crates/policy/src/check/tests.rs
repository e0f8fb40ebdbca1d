//! Every problem is found at its place, and a sound book has none.

use crate::RuleBook;

fn problems(json: &str) -> Vec<String> {
    let book: RuleBook = serde_json::from_str(json).unwrap();
    book.check().iter().map(ToString::to_string).collect()
}

#[test]
fn a_sound_book_has_no_problems() {
    let book = r#"{
        "agents": {
            "a": {"allow": ["b", "*"], "block": [], "roles": ["ops"]},
            "b": {}
        },
        "roles": {"ops": {"description": "operators", "permissions": ["send:*", "reply:a"]}},
        "rbac": true
    }"#;
    assert_eq!(problems(book), Vec::<String>::new());
}

#[test]
fn every_problem_is_named_with_its_place() {
    let book = r#"{
        "agents": {
            "a": {"allow": ["b*", "c", "a b"], "block": ["c"], "roles": ["dev"]},
            "x y": {}
        },
        "roles": {"ops": {"permissions": ["sned:*"]}, "o\nps": {}},
        "rbac": false
    }"#;
    let expected = [
        "error: agents.a.allow: `a b` is not an agent id",
        "error: agents.a.allow: `b*` has a `*` inside, which only permissions of roles may have",
        "warning: agents.a.allow: `c` is not an agent of this book",
        "warning: agents.a.block: `c` is not an agent of this book",
        "warning: agents.a: `c` is allowed and blocked; the block wins",
        "error: agents.a.roles: no role `dev` is defined; add it under roles or remove it here",
        "warning: agents.a.roles: has no effect while roles are off; set rbac to true",
        "error: agents.x y: is not an agent id",
        "error: roles.o\\nps: is not a role name",
        "error: roles.ops.permissions: `sned:*` starts with no known action; use `send:`, \
         `request:`, `reply:`, `discover:` or `*`",
    ];
    assert_eq!(problems(book), expected);
}
