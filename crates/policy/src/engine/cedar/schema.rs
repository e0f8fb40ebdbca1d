//! The types that rules are checked against.

use cedar_policy::{EntityId, EntityTypeName, EntityUid, Schema};

use super::Names;
use crate::{Action, Kind};

/// Returns the schema of policies and the names in it.
pub(super) fn schema() -> Result<(Schema, Names), String> {
    let kind = |kind: Kind| name(kind).parse::<EntityTypeName>().map_err(|e| e.to_string());
    let kinds = Kind::ALL.into_iter().map(kind).collect::<Result<Vec<_>, _>>()?;
    let pattern = PATTERN.parse::<EntityTypeName>().map_err(|error| error.to_string())?;
    let action = "Action".parse::<EntityTypeName>().map_err(|error| error.to_string())?;
    let actions = Action::ALL
        .iter()
        .map(|it| EntityUid::from_type_name_and_id(action.clone(), EntityId::new(it.as_str())));
    let names = Names { kinds, pattern, actions: actions.collect() };
    Ok((super::parse_schema(&text())?, names))
}

/// Returns the schema as Cedar writes it.
pub(super) fn text() -> String {
    let actions = Action::ALL.map(|action| {
        let kinds: Vec<&str> = action.resources().iter().map(|kind| name(*kind)).collect();
        format!(
            "action \"{action}\" appliesTo {{\n  principal: [Agent, User, ServiceAccount],\n  \
             resource: [{}],\n  context: Circumstances,\n}};\n",
            kinds.join(", ")
        )
    });
    [TYPES, &actions.concat()].concat()
}

/// Returns the name of a kind in Cedar.
pub(super) const fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Agent => "Agent",
        Kind::User => "User",
        Kind::ServiceAccount => "ServiceAccount",
        Kind::Group => "Group",
        Kind::Role => "Role",
        Kind::Workspace => "Workspace",
        Kind::MessageType => "MessageType",
        Kind::Channel => "Channel",
        Kind::Table => "Table",
        Kind::Tool => "Tool",
        Kind::EmbeddingSpace => "EmbeddingSpace",
        Kind::Udf => "Udf",
    }
}

/// The type of what a pattern, a SPIFFE ID or a claim stands for.
pub(super) const PATTERN: &str = "Match";

const TYPES: &str = r#"
type Circumstances = {
  message_type: String,
  payload_bytes: Long,
  labels: Set<String>,
  domain: String,
  skill: String,
  now: Long,
  time_windows: Set<String>,
  networks: Set<String>,
  authentication: Long,
  delegation_depth: Long,
  approved_by: Set<String>,
};
entity Role in [Role];
entity Group in [Group, Role];
entity Match in [Group, Role, Workspace];
entity Workspace in [Match] = { id: String, workspace: String };
entity Agent in [Group, Role, Workspace, MessageType, Match] = { id: String, workspace: String };
entity User, ServiceAccount in [Group, Role, Workspace, Match] = { id: String, workspace: String };
entity MessageType, Channel, Table, Tool, EmbeddingSpace, Udf in [Workspace, Match] =
  { id: String, workspace: String };
"#;
