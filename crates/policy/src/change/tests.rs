//! Edits, their refusals, their undoing and their audit lines.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{Change, ChangeError, TARGETS_MAX};
use crate::{Action, BadPattern, Policy, RuleBook};

fn allow(agent: &str, target: &str) -> Change {
    Change::Allow { agent: agent.to_owned(), target: target.to_owned() }
}

fn disallow(agent: &str, target: &str) -> Change {
    Change::Disallow { agent: agent.to_owned(), target: target.to_owned() }
}

fn role(name: &str, permissions: &[&str]) -> Change {
    let permissions = permissions.iter().map(ToString::to_string).collect();
    Change::CreateRole { name: name.to_owned(), description: String::new(), permissions }
}

fn assign(agent: &str, role: &str) -> Change {
    Change::Assign { agent: agent.to_owned(), role: role.to_owned() }
}

fn delete(name: &str) -> Change {
    Change::DeleteRole { name: name.to_owned() }
}

fn grant(role: &str, permission: &str) -> Change {
    Change::Grant { role: role.to_owned(), permission: permission.to_owned() }
}

fn revoke(role: &str, permission: &str) -> Change {
    Change::Revoke { role: role.to_owned(), permission: permission.to_owned() }
}

/// Returns the changes by which each kind of change is done, and undone.
fn pairs() -> Vec<(Change, Change)> {
    let (a, b, r) = (|| "a".to_owned(), || "b".to_owned(), || "ops".to_owned());
    let two = || BTreeSet::from(["b".to_owned(), "*".to_owned()]);
    vec![
        (allow("a", "b"), disallow("a", "b")),
        (Change::Block { agent: a(), target: b() }, Change::Unblock { agent: a(), target: b() }),
        (
            Change::SetAllow { agent: a(), targets: two() },
            Change::SetAllow { agent: a(), targets: BTreeSet::new() },
        ),
        (
            Change::SetBlock { agent: a(), targets: two() },
            Change::SetBlock { agent: a(), targets: BTreeSet::new() },
        ),
        (role("new", &["send:*"]), delete("new")),
        (grant("ops", "reply:*"), revoke("ops", "reply:*")),
        (assign("a", "ops"), Change::Unassign { agent: a(), role: r() }),
    ]
}

/// A book that knows the agent `a` and the role `ops`.
fn start() -> RuleBook {
    let mut book = RuleBook::default();
    book.agents.entry("a".to_owned()).or_default();
    book.apply(&role("ops", &["send:ops-*"])).unwrap();
    book
}

#[test]
fn each_change_applies_once_and_can_be_undone() {
    for (change, undo) in pairs() {
        let mut book = start();
        assert_eq!(book.apply(&undo), Ok(false), "{undo}");
        assert_eq!(book, start());
        assert_eq!(book.apply(&change), Ok(true), "{change}");
        assert_ne!(book, start(), "{change}");
        let once = book.clone();
        assert_eq!(book.apply(&change), Ok(false), "{change}");
        assert_eq!(book, once);
        assert_eq!(book.apply(&undo), Ok(true), "{undo}");
        assert_eq!(book, start(), "{undo}");
    }
}

#[test]
fn a_deleted_role_is_gone_from_its_agents() {
    let mut book = RuleBook { rbac: true, ..start() };
    book.apply(&assign("a", "ops")).unwrap();
    assert!(Policy::compile(&book).decide("a", Action::Send, "ops-1").is_allowed());
    assert_eq!(book.apply(&delete("ops")), Ok(true));
    assert!(book.agents["a"].roles.is_empty());
    book.apply(&role("ops", &["send:ops-*"])).unwrap();
    assert!(!Policy::compile(&book).decide("a", Action::Send, "ops-1").is_allowed());
}

#[test]
fn a_senseless_change_is_refused_and_changes_nothing() {
    let bad_name =
        |what, name: &str| ChangeError::BadName { what, name: name.chars().take(64).collect() };
    let no_role = || ChangeError::NoSuchRole { name: "dev".to_owned() };
    let long = "x".repeat(129);
    let table = [
        (allow("", "b"), bad_name("agent", "")),
        (allow("*", "b"), bad_name("agent", "*")),
        (allow("a\n", "b"), bad_name("agent", "a\n")),
        (allow("a", "b c"), bad_name("target", "b c")),
        (allow("a", "b*"), bad_name("target", "b*")),
        (allow("a", &long), bad_name("target", &long)),
        (role("", &[]), bad_name("role", "")),
        (role("ops", &["send:x"]), ChangeError::RoleExists { name: "ops".to_owned() }),
        (
            role("new", &["sned:x"]),
            ChangeError::BadPermission {
                permission: "sned:x".to_owned(),
                why: BadPattern::UnknownAction,
            },
        ),
        (
            grant("ops", ""),
            ChangeError::BadPermission { permission: String::new(), why: BadPattern::Empty },
        ),
        (grant("dev", "send:*"), no_role()),
        (assign("a", "dev"), no_role()),
    ];
    for (change, error) in table {
        let mut book = start();
        assert_eq!(book.apply(&change), Err(error), "{change:?}");
        assert_eq!(book, start(), "{change:?}");
    }
}

#[test]
fn a_full_list_takes_no_more() {
    let mut book = start();
    let targets: BTreeSet<String> = (0..TARGETS_MAX).map(|n| format!("t{n}")).collect();
    let full = ChangeError::Full { what: "the allow list", max: TARGETS_MAX };
    let mut over = targets.clone();
    over.insert("one-more".to_owned());
    assert_eq!(
        book.apply(&Change::SetAllow { agent: "a".to_owned(), targets: over }),
        Err(full.clone())
    );
    assert_eq!(book.apply(&Change::SetAllow { agent: "a".to_owned(), targets }), Ok(true));
    assert_eq!(book.apply(&allow("a", "one-more")), Err(full));
    assert_eq!(book.apply(&allow("a", "t0")), Ok(false));
}

#[test]
fn a_change_says_in_one_line_what_it_does() {
    let lines: Vec<String> =
        pairs().iter().flat_map(|(change, undo)| [change.to_string(), undo.to_string()]).collect();
    let expected = [
        "allow a to reach b",
        "no longer allow a to reach b",
        "block a from b",
        "no longer block a from b",
        "set the allow list of a to [*, b]",
        "set the allow list of a to []",
        "set the block list of a to [*, b]",
        "set the block list of a to []",
        "create role new with [send:*]",
        "delete role new",
        "grant reply:* to role ops",
        "revoke reply:* from role ops",
        "assign role ops to a",
        "take role ops from a",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn changes_and_books_survive_json() {
    for (change, undo) in pairs() {
        for change in [change, undo] {
            let json = serde_json::to_string(&change).unwrap();
            assert_eq!(serde_json::from_str::<Change>(&json).unwrap(), change, "{json}");
        }
    }
    let json = serde_json::to_string(&allow("a", "b")).unwrap();
    assert_eq!(json, r#"{"change":"allow","agent":"a","target":"b"}"#);
    assert!(
        serde_json::from_str::<RuleBook>(r#"{"agent":{}}"#).is_err(),
        "unknown keys are refused"
    );
    assert_eq!(serde_json::from_str::<RuleBook>("{}").unwrap(), RuleBook::default());
}

proptest! {
    #[test]
    fn allowing_and_disallowing_leaves_every_decision_as_it_was(
        agent in "a|b",
        target in "a|b|\\*",
        before in prop::collection::vec(("a|b", "a|b|\\*"), 0..4),
    ) {
        let mut book = RuleBook::default();
        for (agent, target) in before {
            book.apply(&allow(&agent, &target)).unwrap();
        }
        let policy = Policy::compile(&book);
        if book.apply(&allow(&agent, &target)).unwrap() {
            prop_assert!(book.apply(&disallow(&agent, &target)).unwrap());
        }
        let after = Policy::compile(&book);
        for sender in ["a", "b"] {
            for target in ["a", "b"] {
                prop_assert_eq!(
                    policy.decide(sender, Action::Send, target),
                    after.decide(sender, Action::Send, target)
                );
            }
        }
    }
}
