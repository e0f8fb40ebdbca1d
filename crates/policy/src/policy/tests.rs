//! Which rule wins, what the reason says, and agreement with a plain evaluator.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::Policy;
use crate::{Action, AgentRules, Reason, Request, Role, RuleBook};

fn set(entries: &[&str]) -> BTreeSet<String> {
    entries.iter().map(ToString::to_string).collect()
}

/// A book in which `a` has these rules and the role `ops` these permissions.
fn book(allow: &[&str], block: &[&str], permissions: &[&str]) -> RuleBook {
    let rules = AgentRules { allow: set(allow), block: set(block), roles: set(&["ops"]) };
    let role = Role { description: String::new(), permissions: set(permissions) };
    RuleBook {
        agents: BTreeMap::from([("a".to_owned(), rules)]),
        roles: BTreeMap::from([("ops".to_owned(), role)]),
        rbac: true,
    }
}

#[test]
fn the_first_rule_that_applies_decides_and_says_so() {
    type Case<'a> = (&'a [&'a str], &'a [&'a str], &'a [&'a str], Action, bool, &'a str);
    let table: &[Case<'_>] = &[
        (&[], &[], &[], Action::Send, false, "no rule allows a to send to b"),
        (&[], &[], &[], Action::Request, false, "no rule allows a to request b"),
        (&["b"], &[], &[], Action::Send, true, "allow list of a has b"),
        (&["*"], &[], &[], Action::Send, true, "allow list of a has *"),
        (&["b", "*"], &[], &[], Action::Send, true, "allow list of a has b"),
        (&["B"], &[], &[], Action::Send, false, "no rule allows a to send to b"),
        (&["b"], &["b"], &["*"], Action::Send, false, "block list of a has b"),
        (&["b"], &["*"], &["*"], Action::Send, false, "block list of a has *"),
        (&["*"], &["b"], &[], Action::Reply, false, "block list of a has b"),
        (&[], &["b"], &["send:b"], Action::Send, false, "block list of a has b"),
        (&["*"], &["c"], &[], Action::Send, true, "allow list of a has *"),
        (&["b"], &[], &["send:b"], Action::Send, true, "allow list of a has b"),
        (&[], &[], &["send:b"], Action::Send, true, "role ops grants send:b"),
        (&[], &[], &["send:*"], Action::Send, true, "role ops grants send:*"),
        (&[], &[], &["send:b"], Action::Request, true, "role ops grants send:b"),
        (&[], &[], &["send:b"], Action::Reply, true, "role ops grants send:b"),
        (&[], &[], &["send:b"], Action::Discover, true, "role ops grants send:b"),
        (&[], &[], &["request:b"], Action::Request, true, "role ops grants request:b"),
        (&[], &[], &["request:b"], Action::Send, false, "no rule allows a to send to b"),
        (&[], &[], &["reply:*"], Action::Reply, true, "role ops grants reply:*"),
        (&[], &[], &["reply:*"], Action::Request, false, "no rule allows a to request b"),
        (&[], &[], &["discover:b"], Action::Discover, true, "role ops grants discover:b"),
        (&[], &[], &["discover:b"], Action::Send, false, "no rule allows a to send to b"),
        (&[], &[], &["b"], Action::Send, false, "no rule allows a to send to b"),
    ];
    for (allow, block, permissions, action, is_allowed, reason) in table {
        let policy = Policy::compile(&book(allow, block, permissions));
        let decision = policy.decide("a", *action, "b");
        assert_eq!(decision.by().to_string(), *reason);
        assert_eq!(decision.is_allowed(), *is_allowed, "{reason}");
    }
}

#[test]
fn an_empty_book_allows_nothing() {
    let policy = Policy::compile(&RuleBook::default());
    for action in Action::ALL {
        let decision = policy.decide("a", action, "b");
        assert!(!decision.is_allowed());
        assert_eq!(decision.by(), Reason::NoRule { sender: "a", action, target: "b" });
    }
}

#[test]
fn a_message_to_oneself_needs_a_rule() {
    assert!(!Policy::compile(&book(&["b"], &[], &[])).decide("a", Action::Send, "a").is_allowed());
    assert!(Policy::compile(&book(&["a"], &[], &[])).decide("a", Action::Send, "a").is_allowed());
}

#[test]
fn roles_count_only_when_they_are_on() {
    let mut book = book(&[], &[], &["*"]);
    assert!(Policy::compile(&book).decide("a", Action::Send, "b").is_allowed());
    book.rbac = false;
    assert!(!Policy::compile(&book).decide("a", Action::Send, "b").is_allowed());
}

#[test]
fn a_role_that_is_held_but_not_defined_grants_nothing() {
    let mut book = book(&[], &[], &["*"]);
    book.roles.clear();
    assert!(!Policy::compile(&book).decide("a", Action::Send, "b").is_allowed());
}

#[test]
fn targets_are_those_that_may_be_sent_to() {
    let policy = Policy::compile(&book(&["b", "c"], &["c", "ops-2"], &["send:ops-*", "reply:d"]));
    let known = ["a", "b", "c", "d", "ops-1", "ops-2"];
    let found = |sender| {
        let request = Request::between(sender, Action::Discover, sender);
        known.into_iter().filter(|target| policy.finds(&request, target)).collect::<Vec<_>>()
    };
    assert_eq!(found("a"), ["b", "ops-1"]);
    assert!(found("nobody").is_empty());
}

#[test]
fn the_revision_names_the_rules() {
    let revision = |book: &RuleBook| Policy::compile(book).revision().to_owned();
    // printf '{"agents":{},"rbac":false,"roles":{}}' | sha256sum
    assert_eq!(revision(&RuleBook::default()), "3d2ae2d38e59df67");
    let one = book(&["b"], &[], &[]);
    assert_eq!(revision(&one), revision(&one.clone()));
    assert_ne!(revision(&one), revision(&book(&[], &["b"], &[])));
    let off = RuleBook { rbac: false, ..one.clone() };
    assert_ne!(revision(&one), revision(&off));
}

/// Says the rules once more, as plainly as they can be said.
fn naive(book: &RuleBook, sender: &str, action: Action, target: &str) -> bool {
    let Some(rules) = book.agents.get(sender) else { return false };
    let has = |list: &BTreeSet<String>| list.contains("*") || list.contains(target);
    if has(&rules.block) {
        return false;
    }
    let words: &[&str] = match action {
        Action::Send => &["send"],
        Action::Request => &["send", "request"],
        Action::Reply => &["send", "reply"],
        Action::Discover => &["send", "discover"],
        // Roles of the book are about messages between agents.
        Action::Read
        | Action::Write
        | Action::Subscribe
        | Action::Publish
        | Action::Propose
        | Action::Vote
        | Action::Query
        | Action::Administer => &[],
    };
    let held = rules.roles.iter().filter_map(|name| book.roles.get(name));
    let grants = held.flat_map(|role| &role.permissions).any(|permission| {
        let pattern = crate::Pattern::new(permission);
        words.iter().any(|word| pattern.matches(&format!("{word}:{target}")))
    });
    Action::MESSAGING.contains(&action) && (has(&rules.allow) || (book.rbac && grants))
}

fn names(from: &'static [&'static str]) -> impl Strategy<Value = BTreeSet<String>> {
    prop::collection::btree_set(prop::sample::select(from).prop_map(str::to_owned), 0..4)
}

fn books() -> impl Strategy<Value = RuleBook> {
    const PERMISSIONS: &[&str] =
        &["*", "send:*", "send:b", "request:*", "reply:b", "s*:b*", "discover:a", "*b1", "x"];
    let rules =
        (names(&["a", "b", "b1", "*"]), names(&["a", "b", "b1", "*"]), names(&["r", "s", "t"]))
            .prop_map(|(allow, block, roles)| AgentRules { allow, block, roles });
    let role =
        names(PERMISSIONS).prop_map(|permissions| Role { description: String::new(), permissions });
    let agents = prop::collection::btree_map("a|b|b1", rules, 0..4);
    let roles = prop::collection::btree_map("r|s", role, 0..3);
    (agents, roles, any::<bool>()).prop_map(|(agents, roles, rbac)| RuleBook {
        agents,
        roles,
        rbac,
    })
}

proptest! {
    #[test]
    fn the_compiled_policy_agrees_with_the_book(book in books()) {
        let policy = Policy::compile(&book);
        for sender in ["a", "b", "b1", "c"] {
            for target in ["a", "b", "b1", "c", "*"] {
                for action in Action::ALL {
                    prop_assert_eq!(
                        policy.decide(sender, action, target).is_allowed(),
                        naive(&book, sender, action, target),
                        "{} {} {}", sender, action, target
                    );
                }
            }
        }
    }

    #[test]
    fn a_role_never_widens_a_block(book in books()) {
        let policy = Policy::compile(&book);
        for (sender, rules) in &book.agents {
            for target in &rules.block {
                prop_assert!(!policy.decide(sender, Action::Send, target).is_allowed());
            }
        }
    }
}
