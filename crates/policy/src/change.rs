//! One edit of the rule book, as the command line makes it and the audit records it.
//!
//! A change that is refused leaves the book as it was; one that is already true
//! is no error. Who may make a change is not decided here.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::pattern;
use crate::{BadPattern, Role, RuleBook};

/// One edit of the rule book.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case", deny_unknown_fields)]
pub enum Change {
    /// Adds the target to the agent's allow list.
    Allow {
        /// Whose list.
        agent: String,
        /// Which target, or `*`.
        target: String,
    },
    /// Takes the target from the agent's allow list.
    Disallow {
        /// Whose list.
        agent: String,
        /// Which target, or `*`.
        target: String,
    },
    /// Adds the target to the agent's block list.
    Block {
        /// Whose list.
        agent: String,
        /// Which target, or `*`.
        target: String,
    },
    /// Takes the target from the agent's block list.
    Unblock {
        /// Whose list.
        agent: String,
        /// Which target, or `*`.
        target: String,
    },
    /// Replaces the agent's allow list.
    SetAllow {
        /// Whose list.
        agent: String,
        /// The whole new list.
        targets: BTreeSet<String>,
    },
    /// Replaces the agent's block list.
    SetBlock {
        /// Whose list.
        agent: String,
        /// The whole new list.
        targets: BTreeSet<String>,
    },
    /// Defines a role.
    CreateRole {
        /// The role's name.
        name: String,
        /// What it is for.
        #[serde(default)]
        description: String,
        /// What it permits.
        #[serde(default)]
        permissions: BTreeSet<String>,
    },
    /// Removes a role, also from the agents that hold it.
    DeleteRole {
        /// The role's name.
        name: String,
    },
    /// Adds a permission to a role.
    Grant {
        /// The role's name.
        role: String,
        /// The permission pattern.
        permission: String,
    },
    /// Takes a permission from a role.
    Revoke {
        /// The role's name.
        role: String,
        /// The permission pattern, as it was granted.
        permission: String,
    },
    /// Gives a role to an agent.
    Assign {
        /// Which agent.
        agent: String,
        /// The role's name.
        role: String,
    },
    /// Takes a role from an agent.
    Unassign {
        /// Which agent.
        agent: String,
        /// The role's name.
        role: String,
    },
}

/// Says why a change was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// The role is not defined.
    #[error("no role `{name}` is defined; create it first")]
    NoSuchRole {
        /// The name asked for.
        name: String,
    },
    /// The role exists with other contents.
    #[error("role `{name}` exists already; grant or revoke its permissions, or delete it first")]
    RoleExists {
        /// The name asked for.
        name: String,
    },
    /// A name cannot stand in the book.
    #[error(
        "{what} `{}` is not a name: it must have 1 to {NAME_BYTES_MAX} printing characters, no \
         blank and no `*`", name.escape_debug()
    )]
    BadName {
        /// What the name is for: `agent`, `target` or `role`.
        what: &'static str,
        /// The name, shortened.
        name: String,
    },
    /// A permission pattern makes no sense.
    #[error("permission `{}` {why}", permission.escape_debug())]
    BadPermission {
        /// The pattern, shortened.
        permission: String,
        /// What is wrong with it.
        why: BadPattern,
    },
    /// A description is too long.
    #[error("the description is longer than {DESCRIPTION_BYTES_MAX} bytes")]
    LongDescription,
    /// A list is full.
    #[error("{what} would hold more than {max} entries")]
    Full {
        /// Which list.
        what: &'static str,
        /// How many it may hold.
        max: usize,
    },
}

impl RuleBook {
    /// Applies a change and returns whether the book is different now.
    ///
    /// # Errors
    /// Refuses names and patterns that make no sense, permissions and agents for
    /// a role that is not defined, and lists beyond their limit; the book is then
    /// as it was.
    pub fn apply(&mut self, change: &Change) -> Result<bool, ChangeError> {
        match change {
            Change::Allow { agent, target } => self.add_target(agent, target, List::Allow),
            Change::Block { agent, target } => self.add_target(agent, target, List::Block),
            Change::Disallow { agent, target } => {
                Ok(self.remove_target(agent, target, List::Allow))
            }
            Change::Unblock { agent, target } => Ok(self.remove_target(agent, target, List::Block)),
            Change::SetAllow { agent, targets } => self.set_targets(agent, targets, List::Allow),
            Change::SetBlock { agent, targets } => self.set_targets(agent, targets, List::Block),
            Change::CreateRole { name, description, permissions } => {
                self.create_role(name, description, permissions)
            }
            Change::DeleteRole { name } => Ok(self.delete_role(name)),
            Change::Grant { role, permission } => self.grant(role, permission),
            Change::Revoke { role, permission } => {
                Ok(self.roles.get_mut(role).is_some_and(|role| role.permissions.remove(permission)))
            }
            Change::Assign { agent, role } => self.assign(agent, role),
            Change::Unassign { agent, role } => {
                Ok(self.agents.get_mut(agent).is_some_and(|rules| rules.roles.remove(role)))
            }
        }
    }

    fn add_target(&mut self, agent: &str, target: &str, list: List) -> Result<bool, ChangeError> {
        check_name("agent", agent)?;
        check_target(target)?;
        self.room_for_agent(agent)?;
        let held = self.agents.get(agent).map_or(0, |rules| list.of(rules).len());
        let is_new = self.agents.get(agent).is_none_or(|rules| !list.of(rules).contains(target));
        if !is_new {
            return Ok(false);
        }
        room(list.name(), held, TARGETS_MAX)?;
        let rules = self.agents.entry(agent.to_owned()).or_default();
        Ok(list.of_mut(rules).insert(target.to_owned()))
    }

    fn remove_target(&mut self, agent: &str, target: &str, list: List) -> bool {
        self.agents.get_mut(agent).is_some_and(|rules| list.of_mut(rules).remove(target))
    }

    fn set_targets(
        &mut self,
        agent: &str,
        targets: &BTreeSet<String>,
        list: List,
    ) -> Result<bool, ChangeError> {
        check_name("agent", agent)?;
        targets.iter().try_for_each(|target| check_target(target))?;
        self.room_for_agent(agent)?;
        if targets.len() > TARGETS_MAX {
            return Err(ChangeError::Full { what: list.name(), max: TARGETS_MAX });
        }
        let held = self.agents.get(agent).map(|rules| list.of(rules));
        if held.map_or(targets.is_empty(), |held| held == targets) {
            return Ok(false);
        }
        let rules = self.agents.entry(agent.to_owned()).or_default();
        list.of_mut(rules).clone_from(targets);
        Ok(true)
    }

    fn create_role(
        &mut self,
        name: &str,
        description: &str,
        permissions: &BTreeSet<String>,
    ) -> Result<bool, ChangeError> {
        check_name("role", name)?;
        permissions.iter().try_for_each(|permission| check_permission(permission))?;
        if description.len() > DESCRIPTION_BYTES_MAX {
            return Err(ChangeError::LongDescription);
        }
        if permissions.len() > PERMISSIONS_MAX {
            return Err(ChangeError::Full { what: "the role", max: PERMISSIONS_MAX });
        }
        let role = Role { description: description.to_owned(), permissions: permissions.clone() };
        if let Some(existing) = self.roles.get(name) {
            let same = *existing == role;
            return if same {
                Ok(false)
            } else {
                Err(ChangeError::RoleExists { name: name.to_owned() })
            };
        }
        room("the list of roles", self.roles.len(), ROLES_MAX)?;
        self.roles.insert(name.to_owned(), role);
        Ok(true)
    }

    fn delete_role(&mut self, name: &str) -> bool {
        let mut changed = self.roles.remove(name).is_some();
        for rules in self.agents.values_mut() {
            changed |= rules.roles.remove(name);
        }
        changed
    }

    fn grant(&mut self, name: &str, permission: &str) -> Result<bool, ChangeError> {
        check_permission(permission)?;
        let role = self.roles.get_mut(name).ok_or_else(|| no_such_role(name))?;
        if role.permissions.contains(permission) {
            return Ok(false);
        }
        room("the role", role.permissions.len(), PERMISSIONS_MAX)?;
        Ok(role.permissions.insert(permission.to_owned()))
    }

    fn assign(&mut self, agent: &str, role: &str) -> Result<bool, ChangeError> {
        check_name("agent", agent)?;
        if !self.roles.contains_key(role) {
            return Err(no_such_role(role));
        }
        self.room_for_agent(agent)?;
        Ok(self.agents.entry(agent.to_owned()).or_default().roles.insert(role.to_owned()))
    }

    fn room_for_agent(&self, agent: &str) -> Result<(), ChangeError> {
        if self.agents.contains_key(agent) {
            return Ok(());
        }
        room("the list of agents", self.agents.len(), AGENTS_MAX)
    }
}

/// Which of an agent's two lists.
#[derive(Clone, Copy)]
enum List {
    Allow,
    Block,
}

impl List {
    const fn name(self) -> &'static str {
        match self {
            Self::Allow => "the allow list",
            Self::Block => "the block list",
        }
    }

    const fn of(self, rules: &crate::AgentRules) -> &BTreeSet<String> {
        match self {
            Self::Allow => &rules.allow,
            Self::Block => &rules.block,
        }
    }

    const fn of_mut(self, rules: &mut crate::AgentRules) -> &mut BTreeSet<String> {
        match self {
            Self::Allow => &mut rules.allow,
            Self::Block => &mut rules.block,
        }
    }
}

fn room(what: &'static str, held: usize, max: usize) -> Result<(), ChangeError> {
    if held < max { Ok(()) } else { Err(ChangeError::Full { what, max }) }
}

fn no_such_role(name: &str) -> ChangeError {
    ChangeError::NoSuchRole { name: shortened(name) }
}

fn check_target(target: &str) -> Result<(), ChangeError> {
    if target == crate::book::EVERY { Ok(()) } else { check_name("target", target) }
}

fn check_name(what: &'static str, name: &str) -> Result<(), ChangeError> {
    if is_name(name) { Ok(()) } else { Err(ChangeError::BadName { what, name: shortened(name) }) }
}

/// Returns whether a text can name an agent or a role.
pub(crate) fn is_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && !name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '*')
}

fn check_permission(permission: &str) -> Result<(), ChangeError> {
    pattern::check(permission)
        .map_err(|why| ChangeError::BadPermission { permission: shortened(permission), why })
}

fn shortened(text: &str) -> String {
    text.chars().take(SHOWN_CHARS_MAX).collect()
}

impl fmt::Display for Change {
    /// Writes the change as one line for the audit.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allow { agent, target } => write!(f, "allow {agent} to reach {target}"),
            Self::Disallow { agent, target } => {
                write!(f, "no longer allow {agent} to reach {target}")
            }
            Self::Block { agent, target } => write!(f, "block {agent} from {target}"),
            Self::Unblock { agent, target } => write!(f, "no longer block {agent} from {target}"),
            Self::SetAllow { agent, targets } => {
                write!(f, "set the allow list of {agent} to {}", Listed(targets))
            }
            Self::SetBlock { agent, targets } => {
                write!(f, "set the block list of {agent} to {}", Listed(targets))
            }
            Self::CreateRole { name, permissions, .. } => {
                write!(f, "create role {name} with {}", Listed(permissions))
            }
            Self::DeleteRole { name } => write!(f, "delete role {name}"),
            Self::Grant { role, permission } => write!(f, "grant {permission} to role {role}"),
            Self::Revoke { role, permission } => write!(f, "revoke {permission} from role {role}"),
            Self::Assign { agent, role } => write!(f, "assign role {role} to {agent}"),
            Self::Unassign { agent, role } => write!(f, "take role {role} from {agent}"),
        }
    }
}

/// Writes a set as `[a, b]`.
struct Listed<'a>(&'a BTreeSet<String>);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (place, entry) in self.0.iter().enumerate() {
            if place > 0 {
                f.write_str(", ")?;
            }
            f.write_str(entry)?;
        }
        f.write_str("]")
    }
}

// LIMIT: sizes that no sensible book reaches, so that no list of changes fills the memory.
const AGENTS_MAX: usize = 100_000;
const ROLES_MAX: usize = 10_000;
const TARGETS_MAX: usize = 10_000;
const PERMISSIONS_MAX: usize = 10_000;
const NAME_BYTES_MAX: usize = 128;
const DESCRIPTION_BYTES_MAX: usize = 1_024;
const SHOWN_CHARS_MAX: usize = 64;

#[cfg(test)]
mod tests;
