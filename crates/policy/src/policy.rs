//! The compiled rules: one lookup per question, no parsing, no allocation for ACL answers.
//!
//! A policy never changes; a changed [`RuleBook`] is compiled into a new one.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::book::EVERY;
use crate::engine::Verdict;
use crate::{
    Action, AgentRules, Decision, Effect, Engine, Kind, Pattern, Reason, Request, Resource,
    RuleBook, hard,
};

/// The rules in force, ready to be asked.
#[derive(Clone, Debug)]
pub struct Policy {
    revision: String,
    agents: HashMap<Box<str>, Rights>,
    engine: Option<Arc<Engine>>,
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
        Self::with(book, None)
    }

    /// Compiles the rules of a book and puts those of policy files beside them.
    ///
    /// A denial of either wins; an allowance of either is enough.
    #[must_use]
    pub fn with(book: &RuleBook, engine: Option<Arc<Engine>>) -> Self {
        let agents = book
            .agents
            .iter()
            .map(|(agent, rules)| (Box::from(agent.as_str()), Rights::compile(book, rules)))
            .collect();
        let digest = engine.as_ref().map(|engine| engine.document().digest.as_str());
        Self { revision: revision(book, digest), agents, engine }
    }

    /// Returns the rules of the policy files, if there are any.
    #[must_use]
    pub const fn engine(&self) -> Option<&Arc<Engine>> {
        self.engine.as_ref()
    }

    /// Returns the name of these rules: the first 16 hexadecimal digits of the
    /// SHA-256 of the book as compact JSON with sorted keys, and of the digest of the files.
    #[must_use]
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// Decides whether one agent may do this with another, under no special circumstances.
    #[must_use]
    pub fn decide<'a>(&'a self, sender: &'a str, action: Action, target: &'a str) -> Decision<'a> {
        self.judge(&Request::between(sender, action, target))
    }

    /// Decides a request, and says what decided.
    ///
    /// First come the namespace and what the credential carries, which no rule can widen. Then a
    /// block or a denying rule wins over everything; then the border of a workspace stops what no
    /// rule lets cross; then the allow list is asked, the roles of the book, and the rules of the
    /// files. What the target has not declared is refused in the end. A message to oneself needs
    /// a rule like any other.
    #[must_use]
    pub fn judge<'a>(&'a self, request: &Request<'a>) -> Decision<'a> {
        if let Some(by) = hard::refuses(request) {
            return Decision::Denied { by };
        }
        let rights = self.rights(request);
        let (sender, target) = (request.principal.id, request.resource.id);
        if let Some(entry) = rights.and_then(|rights| rights.block.entry(target)) {
            return Decision::Denied { by: Reason::BlockList { agent: sender, entry } };
        }
        let Some(engine) = &self.engine else {
            let by = rights.and_then(|rights| rights.allows(sender, request.action, target));
            return decision(by, Reason::no_rule(request));
        };
        let answer = engine.answer(request);
        let by_file = match answer.verdict {
            Verdict::Denied(rules) => {
                return Decision::Denied { by: Reason::Rules(engine.ruling(Effect::Deny, rules)) };
            }
            Verdict::Failed(rules) => {
                return Decision::Denied { by: Reason::Failed(engine.ruling(Effect::Deny, rules)) };
            }
            Verdict::Allowed(rules) => Some(Reason::Rules(engine.ruling(Effect::Allow, rules))),
            Verdict::Silent => None,
        };
        // Neither a list nor a role of the book names workspaces, so none of them leads across.
        let in_book = rights.filter(|_| !answer.crosses);
        let by = in_book.and_then(|rights| rights.allows(sender, request.action, target));
        match (by.or(by_file), answer.undeclared) {
            (Some(_), Some(what)) => Decision::Denied { by: Reason::Undeclared { target, what } },
            (None, _) if answer.crosses => {
                let (principal, resource) = (sender, target);
                Decision::Denied { by: Reason::Workspace { principal, resource } }
            }
            (by, _) => decision(by, Reason::no_rule(request)),
        }
    }

    /// Returns what the book says of the principal, where a book has a say.
    fn rights(&self, request: &Request<'_>) -> Option<&Rights> {
        let is_between_agents =
            request.principal.kind == Kind::Agent && request.resource.kind == Kind::Agent;
        let is_messaging = Action::MESSAGING.contains(&request.action);
        (is_between_agents && is_messaging).then(|| self.agents.get(request.principal.id)).flatten()
    }

    /// Returns whether whoever asks may know of an agent: a rule of the files allows it, or it may
    /// send to it and nothing denies that it learns of it.
    #[must_use]
    pub fn finds(&self, request: &Request<'_>, target: &str) -> bool {
        let judge = |action| {
            let resource = Resource { kind: Kind::Agent, id: target };
            self.judge(&Request { action, resource, ..*request })
        };
        if self.engine.is_some() {
            match judge(Action::Discover) {
                Decision::Allowed { .. } => return true,
                // Nothing is said of it.
                Decision::Denied { by: Reason::NoRule { .. } | Reason::Workspace { .. } } => {}
                Decision::Denied { .. } => return false,
            }
        }
        judge(Action::Send).is_allowed()
    }
}

fn decision<'a>(by: Option<Reason<'a>>, none: Reason<'a>) -> Decision<'a> {
    by.map_or(Decision::Denied { by: none }, |by| Decision::Allowed { by })
}

impl Rights {
    /// Returns what allows it: the list before the roles.
    fn allows<'a>(&'a self, sender: &'a str, action: Action, target: &str) -> Option<Reason<'a>> {
        let listed = self.allow.entry(target);
        let listed = listed.map(|entry| Reason::AllowList { agent: sender, entry });
        listed.or_else(|| self.granted(action, target))
    }

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
fn revision(book: &RuleBook, digest: Option<&str>) -> String {
    let json = serde_json::to_vec(book).expect("a rule book becomes JSON");
    let mut hash = Sha256::new_with_prefix(json);
    // JSON has no second document behind it, so nothing else has the same bytes.
    hash.update(digest.unwrap_or_default());
    hash.finalize().iter().take(REVISION_BYTES).map(|byte| format!("{byte:02x}")).collect()
}

const REVISION_BYTES: usize = 8;

#[cfg(test)]
mod tests;
