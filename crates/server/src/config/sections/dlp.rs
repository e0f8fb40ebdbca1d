//! `gateway.dlp`: what is looked for in messages, as it is written.
//!
//! The rules are compiled by the inspect crate; this only mirrors its shape with descriptions.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The section `gateway.dlp` as it is written.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in super::super) struct DlpKeys {
    /// How the rules below meet the built-in ones: append adds them, replace drops the built-in
    /// ones. Default append.
    #[schemars(schema_with = "merge_strategies")]
    merge_strategy: inspect::MergeStrategy,
    /// Built-in types that are not looked for, such as icd10. Default none.
    disable_defaults: Vec<String>,
    /// Action by type, whatever else says so; applied last. Default none.
    #[schemars(schema_with = "actions_by_type")]
    policy_overrides: BTreeMap<String, inspect::Action>,
    /// Rules of your own. Default none.
    rules: Vec<RuleKeys>,
}

/// One rule of an operator, as it is written.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RuleKeys {
    /// Name that errors point at, unique among the rules. Required.
    id: String,
    /// Type that findings carry, a built-in one or a new one. Required.
    #[serde(rename = "type")]
    kind: String,
    /// Regular expression that is looked for in keys, strings and numbers. Required.
    pattern: String,
    /// What happens to what is found: alert, redact, encrypt or block. Required.
    #[schemars(schema_with = "actions")]
    action: inspect::Action,
    /// How grave it is; for readers of the audit log, it decides nothing. Default medium.
    #[serde(default)]
    #[schemars(schema_with = "severities")]
    severity: inspect::Severity,
    /// What the rule is for, for the reader. Default empty.
    #[serde(default)]
    description: String,
    /// Whether the rule is in force. Default true.
    #[serde(default = "enabled")]
    enabled: bool,
    /// Whether capital and small letters are the same. Default false.
    #[serde(default)]
    case_insensitive: bool,
}

impl From<DlpKeys> for inspect::DlpSpec {
    fn from(keys: DlpKeys) -> Self {
        Self {
            merge_strategy: keys.merge_strategy,
            disable_defaults: keys.disable_defaults,
            policy_overrides: keys.policy_overrides,
            rules: keys.rules.into_iter().map(inspect::RuleSpec::from).collect(),
        }
    }
}

impl From<RuleKeys> for inspect::RuleSpec {
    fn from(keys: RuleKeys) -> Self {
        Self {
            id: keys.id,
            kind: keys.kind,
            pattern: keys.pattern,
            action: keys.action,
            severity: keys.severity,
            description: keys.description,
            enabled: keys.enabled,
            case_insensitive: keys.case_insensitive,
        }
    }
}

const fn enabled() -> bool {
    true
}

fn merge_strategies(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": ["append", "replace"] })
}

fn actions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": ["alert", "redact", "encrypt", "block"] })
}

fn severities(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": ["low", "medium", "high", "critical"] })
}

fn actions_by_type(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "additionalProperties": actions(generator) })
}
