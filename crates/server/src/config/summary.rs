//! A configuration at a glance, for `palisade config check`.
//!
//! It holds counts and places, and nothing that would be a secret.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Serialize;

use super::{Config, Durability, Features, Offline, RateLimit};

/// What an operator wants to see of a configuration at a glance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Summary {
    /// The file that it was read from.
    pub file: PathBuf,
    /// The address to listen on.
    pub listen: SocketAddr,
    /// The form of an agent's SPIFFE ID.
    pub agent_ids: String,
    /// How many agents may connect.
    pub agents: usize,
    /// How many operators may change rules.
    pub operators: usize,
    /// How many roles are defined.
    pub roles: usize,
    /// The name of the access rules in force, the same for the same rules.
    pub policy_revision: String,
    /// How many messages an agent may send, unless it has limits of its own.
    pub rate_limit: RateLimit,
    /// Which optional stages are on.
    pub features: Features,
    /// How many rules of the operator's own are in force.
    pub dlp_rules: usize,
    /// What happens to a message for an agent that is not connected.
    pub offline: Offline,
    /// The folder of the store.
    pub storage: PathBuf,
    /// When a commit counts as done.
    pub durability: Durability,
    /// The file that gets a copy of the audit log.
    pub audit_file: Option<PathBuf>,
    /// The collector that traces and metrics are exported to.
    pub telemetry: Option<String>,
    /// What works, but perhaps not as meant.
    pub warnings: Vec<String>,
}

impl Summary {
    pub(super) fn of(config: &Config) -> Self {
        let rules = config.gateway.dlp.rules.iter();
        Self {
            file: config.file.clone(),
            listen: config.server.listen,
            agent_ids: config.server.agent_ids.to_string(),
            agents: config.agents.len(),
            operators: config.operators.len(),
            roles: config.roles.len(),
            policy_revision: policy::Policy::compile(&config.rule_book()).revision().to_owned(),
            rate_limit: config.gateway.rate_limit,
            features: config.gateway.features,
            dlp_rules: rules.filter(|rule| rule.enabled).count(),
            offline: config.delivery.offline,
            storage: config.storage.path.clone(),
            durability: config.storage.durability,
            audit_file: config.gateway.audit.file_path.clone(),
            telemetry: config.gateway.telemetry.as_ref().map(|to| to.endpoint.to_string()),
            warnings: config.warnings.clone(),
        }
    }
}
