//! Reads a rule book for what an operator would not have meant.
//!
//! Nothing found here changes what the compiled policy does: it allows only what
//! is written, and a rule that makes no sense allows nothing.

use std::collections::BTreeSet;
use std::fmt;

use crate::book::EVERY;
use crate::{AgentRules, RuleBook, change, pattern};

/// How bad a [`Problem`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The book should not be put in force.
    Error,
    /// The book works, but perhaps not as meant.
    Warning,
}

/// Something in a rule book that makes no sense, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub level: Level,
    /// Where it is, as the keys that lead there.
    pub place: String,
    /// What it is and what to do.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Error => "error",
            Level::Warning => "warning",
        };
        write!(f, "{level}: {}: {}", self.place, self.what)
    }
}

impl RuleBook {
    /// Returns what makes no sense in the book, errors and warnings in the order of the book.
    #[must_use]
    pub fn check(&self) -> Vec<Problem> {
        let mut found = Vec::new();
        for (agent, rules) in &self.agents {
            self.check_agent(agent, rules, &mut found);
        }
        for (name, role) in &self.roles {
            if !change::is_name(name) {
                found.push(error(
                    format!("roles.{}", name.escape_debug()),
                    "is not a role name".to_owned(),
                ));
            }
            for permission in &role.permissions {
                if let Err(why) = pattern::check(permission) {
                    let what = format!("`{}` {why}", permission.escape_debug());
                    found.push(error(format!("roles.{}.permissions", name.escape_debug()), what));
                }
            }
        }
        found
    }

    fn check_agent(&self, agent: &str, rules: &AgentRules, found: &mut Vec<Problem>) {
        let place = format!("agents.{}", agent.escape_debug());
        if !change::is_name(agent) {
            found.push(error(place.clone(), "is not an agent id".to_owned()));
        }
        self.check_targets(&format!("{place}.allow"), &rules.allow, found);
        self.check_targets(&format!("{place}.block"), &rules.block, found);
        for target in rules.allow.intersection(&rules.block) {
            let what =
                format!("`{}` is allowed and blocked; the block wins", target.escape_debug());
            found.push(warning(place.clone(), what));
        }
        for role in &rules.roles {
            if !self.roles.contains_key(role) {
                let what = format!(
                    "no role `{}` is defined; add it under roles or remove it here",
                    role.escape_debug()
                );
                found.push(error(format!("{place}.roles"), what));
            }
        }
        if !self.rbac && !rules.roles.is_empty() {
            let what = "has no effect while roles are off; set rbac to true".to_owned();
            found.push(warning(format!("{place}.roles"), what));
        }
    }

    fn check_targets(&self, place: &str, targets: &BTreeSet<String>, found: &mut Vec<Problem>) {
        for target in targets.iter().filter(|target| *target != EVERY) {
            let shown = target.escape_debug();
            if target.contains('*') {
                let what =
                    format!("`{shown}` has a `*` inside, which only permissions of roles may have");
                found.push(error(place.to_owned(), what));
            } else if !change::is_name(target) {
                found.push(error(place.to_owned(), format!("`{shown}` is not an agent id")));
            } else if !self.agents.contains_key(target) {
                let what = format!("`{shown}` is not an agent of this book");
                found.push(warning(place.to_owned(), what));
            }
        }
    }
}

const fn error(place: String, what: String) -> Problem {
    Problem { level: Level::Error, place, what }
}

const fn warning(place: String, what: String) -> Problem {
    Problem { level: Level::Warning, place, what }
}

#[cfg(test)]
mod tests;
