//! What an operator writes about data-loss prevention: rules, overrides and how they merge.
//!
//! Plain data as it stands in the configuration file; nothing is checked here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Names what happens to a finding, from the mildest to the strictest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// The message passes unchanged and is marked.
    Alert,
    /// What was found is replaced by a mask.
    Redact,
    /// The whole value is sealed for the recipient.
    Encrypt,
    /// The message does not pass.
    Block,
}

/// Says how grave a finding is; it decides nothing.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Of interest at most.
    Low,
    /// Sensitive in some settings.
    #[default]
    Medium,
    /// Sensitive everywhere.
    High,
    /// Harmful as soon as a stranger reads it.
    Critical,
}

/// Says how an operator's rules meet the built-in ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MergeStrategy {
    /// The built-in types without the disabled ones, and the rules.
    #[default]
    Append,
    /// The rules alone.
    Replace,
}

/// Describes one rule of an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleSpec {
    /// The name that errors point at, unique among the rules.
    pub id: String,
    /// The type that findings carry, a built-in one or a new one.
    #[serde(rename = "type")]
    pub kind: String,
    /// The regular expression that is looked for in keys, strings and numbers.
    pub pattern: String,
    /// What happens to all findings of the type.
    pub action: Action,
    /// How grave findings of the type are.
    #[serde(default)]
    pub severity: Severity,
    /// What the rule is for, in the operator's words.
    #[serde(default)]
    pub description: String,
    /// Whether the rule is in force.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Whether capital and small letters are the same.
    #[serde(default)]
    pub case_insensitive: bool,
}

/// Describes the whole policy of data-loss prevention; the default is the built-in types.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DlpSpec {
    /// How the rules meet the built-in ones.
    pub merge_strategy: MergeStrategy,
    /// The built-in types that are not looked for.
    pub disable_defaults: Vec<String>,
    /// The action of a type whatever else says so, applied last.
    pub policy_overrides: BTreeMap<String, Action>,
    /// The operator's own rules.
    pub rules: Vec<RuleSpec>,
}

fn yes() -> bool {
    true
}
