//! `agents`, `operators` and `roles`: who may connect, and whom each may reach.
//!
//! The rules are only kept here; what they decide is the policy crate's part.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The section `agents`, by agent id.
#[derive(Default, Deserialize, Serialize)]
#[serde(transparent)]
pub(in super::super) struct Agents(pub(in super::super) BTreeMap<String, AgentKeys>);

impl JsonSchema for Agents {
    fn schema_name() -> Cow<'static, str> {
        "Agents".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        by_name(&generator.subschema_for::<AgentKeys>(), "agent-id")
    }
}

/// The section `roles`, by name.
#[derive(Default, Deserialize, Serialize)]
#[serde(transparent)]
pub(in super::super) struct Roles(pub(in super::super) BTreeMap<String, Role>);

impl JsonSchema for Roles {
    fn schema_name() -> Cow<'static, str> {
        "Roles".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        by_name(&generator.subschema_for::<Role>(), "role-name")
    }
}

fn by_name(value: &Schema, format: &str) -> Schema {
    json_schema!({
        "type": "object",
        "propertyNames": { "pattern": NAME, "format": format },
        "additionalProperties": value,
    })
}

/// Returns the schema of the list of operators.
pub(super) fn operators(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "uniqueItems": true,
        "items": { "type": "string", "pattern": NAME, "format": "operator-name" },
    })
}

/// What names look like, for editors; the formats are what is checked.
const NAME: &str = "^[A-Za-z0-9_-]{1,64}$";

/// One agent of the allowlist, as it is written.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in super::super) struct AgentKeys {
    /// The agent's SPIFFE ID, where it is not made of its name by `server.spiffe.agent_path`; the
    /// way to name an agent of a trust domain in `server.spiffe.federated`. Default none.
    #[schemars(extend("format" = "spiffe-id"))]
    pub(in super::super) spiffe_id: Option<String>,
    /// What the agent can do, for those who look for one. Default none.
    pub(in super::super) capabilities: Vec<String>,
    /// Anything to tell those who find the agent; any YAML mapping. Default empty.
    pub(in super::super) metadata: serde_json::Map<String, serde_json::Value>,
    /// The agents that it may send to; `*` stands for all of them. Default none: what is not
    /// allowed is denied.
    pub(in super::super) allow: BTreeSet<String>,
    /// The agents that it may never send to, whatever else allows it; `*` stands for all.
    /// Default none.
    pub(in super::super) block: BTreeSet<String>,
    /// The roles that it holds. Default none.
    pub(in super::super) roles: BTreeSet<String>,
    /// Rate limits of its own. Default: those of `gateway.rate_limit`.
    pub(in super::super) limits: AgentLimits,
    /// The X25519 key, in base64url, to which fields for this agent are encrypted; made by
    /// `palisade cert agent --seal`. Default none: what must be encrypted is then blocked.
    #[schemars(extend("format" = "sealing-key"))]
    pub(in super::super) sealing_key: Option<String>,
}

/// The rate limits of one agent, where they differ from everyone's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AgentLimits {
    /// Messages in any 60 seconds. Default: `gateway.rate_limit.per_minute`.
    #[schemars(range(min = 0, max = 1_000_000_000_000_u64))]
    pub per_minute: Option<u64>,
    /// Messages in any 3600 seconds. Default: `gateway.rate_limit.per_hour`.
    #[schemars(range(min = 0, max = 1_000_000_000_000_u64))]
    pub per_hour: Option<u64>,
}

/// A named set of permissions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Role {
    /// What the role is for, for the reader. Default empty.
    pub description: String,
    /// Permissions such as send:billing-*, where `*` stands for any characters. Default none.
    pub permissions: BTreeSet<String>,
}
