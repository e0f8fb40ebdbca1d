//! The compiled rules: one lookup per question, no parsing, no allocation for ACL answers.
//!
//! A policy never changes; a changed [`RuleBook`] is compiled into a new one.

use std::collections::{HashMap, HashSet};

use sha2::{Digest, Sha256};

use crate::book::EVERY;
use crate::{Action, AgentRules, Decision, Pattern, Reason, RuleBook};

/// The rules in force, ready to be asked.
#[derive(Clone, Debug)]
pub struct Policy {
    revision: String,
    agents: HashMap<Box<str>, Rights>,
}

/// What one agent may do as a sender.
#[derive(Clone, Debug, Default)]
struct Rights {
    allow: Targets,
    block: Targets,
    /// Permissions without `*`, with the role that grants them.
    exact: HashMap<Box<str>, Box<str>>,
    /// Permissions with `*`, with the role that grants them.
    wild: Vec<(Box<str>, Pattern)>,
}

/// A compiled ACL set.
#[derive(Clone, Debug, Default)]
struct Targets {
    every: bool,
    named: HashSet<Box<str>>,
}

impl Policy {
    /// Compiles the rules. Every book compiles; what makes no sense in it allows nothing.
    #[must_use]
    pub fn compile(book: &RuleBook) -> Self {
        let agents = book
            .agents
            .iter()
            .map(|(agent, rules)| (Box::from(agent.as_str()), Rights::compile(book, rules)))
            .collect();
        Self { revision: revision(book), agents }
    }

    /// Returns the name of these rules: the first 16 hexadecimal digits of the
    /// SHA-256 of the book as compact JSON with sorted keys.
    #[must_use]
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// Decides whether the sender may do this with the target, and says which rule decided.
    ///
    /// A block wins over everything, then the allow list is asked, then the roles.
    /// A message to oneself needs a rule like any other.
    #[must_use]
    pub fn decide<'a>(&'a self, sender: &'a str, action: Action, target: &'a str) -> Decision<'a> {
        let none = Decision::Denied { by: Reason::NoRule { sender, action, target } };
        let Some(rights) = self.agents.get(sender) else { return none };
        if let Some(entry) = rights.block.entry(target) {
            return Decision::Denied { by: Reason::BlockList { agent: sender, entry } };
        }
        if let Some(entry) = rights.allow.entry(target) {
            return Decision::Allowed { by: Reason::AllowList { agent: sender, entry } };
        }
        rights.granted(action, target).map_or(none, |by| Decision::Allowed { by })
    }

    /// Returns those of the known agents to which the sender may send, in the order given.
    #[must_use]
    pub fn targets<'a>(&self, sender: &str, known: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
        known.filter(|target| self.decide(sender, Action::Send, target).is_allowed()).collect()
    }
}

impl Rights {
    fn compile(book: &RuleBook, rules: &AgentRules) -> Self {
        let mut rights = Self {
            allow: Targets::compile(rules.allow.iter()),
            block: Targets::compile(rules.block.iter()),
            ..Self::default()
        };
        if !book.rbac {
            return rights;
        }
        for name in &rules.roles {
            let Some(role) = book.roles.get(name) else { continue };
            for permission in &role.permissions {
                let pattern = Pattern::new(permission);
                if pattern.is_exact() {
                    rights
                        .exact
                        .entry(permission.as_str().into())
                        .or_insert_with(|| name.as_str().into());
                } else {
                    rights.wild.push((name.as_str().into(), pattern));
                }
            }
        }
        rights
    }

    fn granted(&self, action: Action, target: &str) -> Option<Reason<'_>> {
        if self.exact.is_empty() && self.wild.is_empty() {
            return None;
        }
        action.granted_by().iter().find_map(|granting| {
            let wanted = [granting.as_str(), ":", target].concat();
            if let Some((permission, role)) = self.exact.get_key_value(wanted.as_str()) {
                return Some(Reason::Role { role, permission });
            }
            self.wild
                .iter()
                .find(|(_, pattern)| pattern.matches(&wanted))
                .map(|(role, pattern)| Reason::Role { role, permission: pattern.as_str() })
        })
    }
}

impl Targets {
    fn compile<'a>(entries: impl Iterator<Item = &'a String>) -> Self {
        let mut targets = Self::default();
        for entry in entries {
            if entry == EVERY {
                targets.every = true;
            } else {
                targets.named.insert(entry.as_str().into());
            }
        }
        targets
    }

    /// Returns the entry that covers the target: itself before `*`, as it says more.
    fn entry(&self, target: &str) -> Option<&str> {
        let named = self.named.get(target).map(AsRef::as_ref);
        named.or_else(|| self.every.then_some(EVERY))
    }
}

#[expect(
    clippy::expect_used,
    reason = "maps with text keys, sets of text and a boolean always become JSON"
)]
fn revision(book: &RuleBook) -> String {
    let json = serde_json::to_vec(book).expect("a rule book becomes JSON");
    let digest = Sha256::digest(json);
    digest.iter().take(REVISION_BYTES).map(|byte| format!("{byte:02x}")).collect()
}

const REVISION_BYTES: usize = 8;

#[cfg(test)]
mod tests;
