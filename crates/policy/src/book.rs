//! The editable source of the access rules, as files and the store keep it.
//!
//! It decides nothing: [`crate::Policy`] is compiled from it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// The whole set of rules: who may reach whom, directly or through roles.
///
/// An empty book allows nothing. The fields of these types stand in alphabetical
/// order, which makes their JSON the canonical one that names a policy revision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RuleBook {
    /// The rules of each agent, by agent id.
    pub agents: BTreeMap<String, AgentRules>,
    /// Whether roles count at all; without it only the ACL sets decide.
    pub rbac: bool,
    /// The roles that agents can be given, by name.
    pub roles: BTreeMap<String, Role>,
}

/// The rules of one agent as a sender.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AgentRules {
    /// The targets it may reach; `*` stands for every target.
    pub allow: BTreeSet<String>,
    /// The targets it may never reach, whatever else allows it; `*` stands for every target.
    pub block: BTreeSet<String>,
    /// The roles it holds.
    pub roles: BTreeSet<String>,
}

/// A named set of permissions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Role {
    /// What the role is for, in the operator's words.
    pub description: String,
    /// Permission patterns such as `send:billing-*`.
    pub permissions: BTreeSet<String>,
}

/// The entry of an ACL set that stands for every target.
pub(crate) const EVERY: &str = "*";
