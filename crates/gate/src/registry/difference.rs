//! How an agent's rules differ from those in the configuration.

use std::collections::BTreeSet;

use policy::AgentRules;
use serde::{Deserialize, Serialize};

/// What was added to and removed from the configured rules of one agent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Difference {
    allow: SetDifference,
    block: SetDifference,
    roles: SetDifference,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct SetDifference {
    added: BTreeSet<String>,
    removed: BTreeSet<String>,
}

impl Difference {
    /// Returns what leads from `base` to `rules`.
    #[must_use]
    pub fn between(base: &AgentRules, rules: &AgentRules) -> Self {
        Self {
            allow: SetDifference::between(&base.allow, &rules.allow),
            block: SetDifference::between(&base.block, &rules.block),
            roles: SetDifference::between(&base.roles, &rules.roles),
        }
    }

    /// Returns whether nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns `base` with the difference.
    #[must_use]
    pub fn applied_to(&self, mut base: AgentRules) -> AgentRules {
        self.allow.apply(&mut base.allow);
        self.block.apply(&mut base.block);
        self.roles.apply(&mut base.roles);
        base
    }
}

impl SetDifference {
    fn between(base: &BTreeSet<String>, set: &BTreeSet<String>) -> Self {
        Self {
            added: set.difference(base).cloned().collect(),
            removed: base.difference(set).cloned().collect(),
        }
    }

    fn apply(&self, set: &mut BTreeSet<String>) {
        set.extend(self.added.iter().cloned());
        set.retain(|name| !self.removed.contains(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(allow: &[&str]) -> AgentRules {
        let allow = allow.iter().map(|name| (*name).to_owned()).collect();
        AgentRules { allow, ..AgentRules::default() }
    }

    #[test]
    fn a_change_stays_when_the_configuration_is_edited_later() {
        let kept = Difference::between(&rules(&["a", "b"]), &rules(&["b", "c"]));
        assert_eq!(kept.applied_to(rules(&["a", "b"])), rules(&["b", "c"]));
        assert_eq!(kept.applied_to(rules(&["a", "x"])), rules(&["c", "x"]));
        assert!(Difference::between(&rules(&["a"]), &rules(&["a"])).is_empty());
    }
}
