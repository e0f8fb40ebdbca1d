//! The sections of the configuration, with the meaning, default and reason of every key.
//!
//! One type serves the file, the JSON Schema and the running server, so a key is said once.
//! Nothing here looks at another key or at the file's place: that is `resolve`'s part.

mod agents;
mod audit;
mod delivery;
mod dlp;
mod gateway;
mod limits;
mod policy;
mod server;
mod storage;
mod telemetry;
mod units;

pub(super) use agents::{AgentKeys, Agents, Roles};
pub use agents::{AgentLimits, Role};
pub(super) use audit::AuditKeys;
pub use delivery::{Delivery, Offline, Validation};
pub(super) use dlp::DlpKeys;
pub(super) use gateway::GatewayKeys;
pub use gateway::{AuditFile, CircuitBreaker, CircuitScope, Features, RateLimit};
pub use limits::ServerLimits;
pub use policy::PolicyFiles;
pub use server::{CrlExpired, Tls, TlsFiles, TlsSource};
pub(super) use server::{ServerKeys, SpiffeKeys, TlsKeys};
pub use storage::{Durability, Engine, Storage};
pub(super) use telemetry::{RedisKeys, TelemetryKeys};

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Deserialize;

/// Configuration of a palisade server. Every key but the three TLS files (or a
/// Workload API in their place) has a default.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "palisade.yaml")]
pub(super) struct File {
    /// Where the server listens, its certificate, who it trusts, and what a connection may cost.
    #[serde(default)]
    pub(super) server: ServerKeys,
    /// The agents that may connect, by agent id. Default none: an agent that is not listed is
    /// refused, whatever its certificate says.
    #[serde(default)]
    pub(super) agents: Agents,
    /// Who may administer, by the name in their certificates. Default none: an operator's
    /// certificate that is not listed is refused.
    #[serde(default)]
    #[schemars(schema_with = "agents::operators")]
    pub(super) operators: BTreeSet<String>,
    /// Roles that agents can be given, by name; they count only with gateway.features.rbac.
    #[serde(default)]
    pub(super) roles: Roles,
    /// The files that say who may do what, besides agents and roles here.
    #[serde(default)]
    pub(super) policy: PolicyFiles,
    /// What every message passes: limits, circuits, inspection, audit.
    #[serde(default)]
    pub(super) gateway: GatewayKeys,
    /// The largest shapes of a message that are looked at.
    #[serde(default)]
    pub(super) validation: Validation,
    /// Queues, redelivery and dead letters.
    #[serde(default)]
    pub(super) delivery: Delivery,
    /// Where messages, rules and the audit log are kept.
    #[serde(default)]
    pub(super) storage: Storage,
    /// Signed checkpoints over the audit log, and who else watches it.
    #[serde(default)]
    pub(super) audit: AuditKeys,
}
