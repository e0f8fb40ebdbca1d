//! The configuration of a server: one YAML file, single keys overridden by the environment.
//!
//! [`load`] gives a [`Config`] that is checked and complete, or every problem with its place.
//! It opens no other file than the one named: certificates and the store are their users' part.
//! Nothing here can turn off TLS, audit or rate limits.

mod domains;
mod environment;
mod error;
mod find;
mod fit;
mod keys;
mod resolve;
mod sections;
mod summary;
mod telemetry;
mod tls;
mod tree;

pub use environment::Environment;
#[expect(clippy::module_name_repetitions, reason = "elsewhere `Error` alone would say little")]
pub use error::{ConfigError, ConfigErrorCode};
pub use find::find;
pub use sections::{
    AgentLimits, AuditFile, CircuitBreaker, CircuitScope, CrlExpired, Delivery, Durability, Engine,
    Features, Offline, PolicyFiles, RateLimit, Role, ServerLimits, Storage, Tls, TlsFiles,
    TlsSource, Validation,
};
pub use summary::Summary;
pub use telemetry::load_telemetry;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use audit::VerifierKey;
use identity::{IdPattern, SealingKey, SpiffeId};

use self::error::Report;
use self::keys::Keys;

/// A configuration that is checked and complete: paths are absolute, defaults filled in.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// The file that it was read from, as it was named.
    pub file: PathBuf,
    /// The address, the certificate, the identities and the limits of connections.
    pub server: Server,
    /// The agents that may connect, by agent id.
    pub agents: BTreeMap<String, Agent>,
    /// Who may administer, by the name in their certificates.
    pub operators: BTreeSet<String>,
    /// The roles, by name.
    pub roles: BTreeMap<String, Role>,
    /// The files that say who may do what.
    pub policy: PolicyFiles,
    /// What every message passes.
    pub gateway: Gateway,
    /// The largest shapes of a message that are looked at.
    pub validation: Validation,
    /// Queues, redelivery and dead letters.
    pub delivery: Delivery,
    /// Where messages, rules and the audit log are kept.
    pub storage: Storage,
    /// Signed checkpoints over the audit log, and who else watches it.
    pub audit: Audit,
    /// What works, but perhaps not as meant; one sentence each, with its place.
    pub warnings: Vec<String>,
    /// Names what was set in the file and the environment: SHA-256, in hexadecimal, of its JSON
    /// text. The same for the same settings, whatever their order and comments.
    pub fingerprint: String,
}

/// The address, the certificate, the identities and the limits of connections.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Server {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// The address of metrics and health; nothing if they are off.
    pub operations: Option<SocketAddr>,
    /// The files of the server's identity and of those it trusts.
    pub tls: Tls,
    /// The own trust domain.
    pub trust_domain: String,
    /// The files with the authorities of other trust domains.
    pub federated: BTreeMap<String, PathBuf>,
    /// How agents are named in certificates.
    pub agent_ids: IdPattern,
    /// How operators are named in certificates.
    pub operator_ids: IdPattern,
    /// What connections may cost.
    pub limits: ServerLimits,
}

/// One agent of the allowlist.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Agent {
    /// Its SPIFFE ID, where that is not made of its name.
    pub spiffe_id: Option<SpiffeId>,
    /// What the agent can do, for those who look for one.
    pub capabilities: Vec<String>,
    /// Anything to tell those who find the agent.
    pub metadata: serde_json::Map<String, serde_json::Value>,
    /// The targets that it may reach.
    pub allow: BTreeSet<String>,
    /// The targets that it may never reach.
    pub block: BTreeSet<String>,
    /// The roles that it holds.
    pub roles: BTreeSet<String>,
    /// Its own rate limits, where they differ from everyone's.
    pub limits: AgentLimits,
    /// The key to which fields for this agent are encrypted.
    pub sealing_key: Option<SealingKey>,
}

/// What every message passes.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Gateway {
    /// How many messages an agent may send.
    pub rate_limit: RateLimit,
    /// Which optional stages are on.
    pub features: Features,
    /// When an agent that keeps failing is given a rest.
    pub circuit_breaker: CircuitBreaker,
    /// What is looked for in messages; compiles, as [`load`] has tried it.
    pub dlp: inspect::DlpSpec,
    /// A copy of the audit log as JSON lines.
    pub audit: AuditFile,
    /// The export of traces and metrics, if it is on.
    pub telemetry: Option<::telemetry::Settings>,
}

/// Signed checkpoints over the audit log, and who else watches it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Audit {
    /// The file with the key that signs checkpoints; without one there are none.
    pub signing_key: Option<PathBuf>,
    /// The least time between two checkpoints.
    pub checkpoint_every: Duration,
    /// How many older checkpoints are kept.
    pub checkpoints_kept: usize,
    /// Who cosigns each checkpoint.
    pub witnesses: Vec<Witness>,
}

/// Someone who cosigns checkpoints and refuses a changed history.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Witness {
    /// Where it is asked: `http://`, host and perhaps port and path.
    pub url: String,
    /// With which key it answers.
    pub key: VerifierKey,
}

/// Reads a configuration file, lets the environment override single keys and checks the whole.
///
/// # Errors
/// Returns every problem that was found, at most 100; problems of single keys hide those of
/// several keys together.
pub fn load(path: &Path, environment: &Environment) -> Result<Config, Vec<ConfigError>> {
    let text = find::read(path).map_err(|error| vec![error])?;
    let mut root = tree::parse(&text, path).map_err(|error| vec![error])?;
    let keys = Keys::new();
    let mut report = Report::new(path);
    if is_gateway_file(path, environment) {
        resolve::lift_gateway(&keys, &mut root, &mut report);
    }
    environment.overlay(&keys, &mut root, &mut report);
    let mut value = fit::fit(&keys, &root, &mut report);
    // cedar-policy lets JSON objects keep the order of the file, for the whole program.
    value.sort_all_objects();
    if !report.is_empty() {
        return Err(report.into_errors());
    }
    let fingerprint = audit::text_hash(&value.to_string());
    let file = serde_json::from_value(value).map_err(|error| {
        vec![ConfigError::about(ConfigErrorCode::Value, path, error.to_string())]
    })?;
    let mut config = resolve::resolve(file, path, &root, report)?;
    config.fingerprint = fingerprint;
    Ok(config)
}

/// Returns the JSON Schema, draft 2020-12, of a configuration file.
#[must_use]
pub fn schema() -> serde_json::Value {
    Keys::new().into_root()
}

/// Files of a MAS gateway may have the sections of `gateway` at the top.
fn is_gateway_file(path: &Path, environment: &Environment) -> bool {
    path.file_stem().is_some_and(|stem| stem == "mas") || environment.names_gateway_file(path)
}

impl Config {
    /// Returns the access rules as the policy crate compiles them.
    #[must_use]
    pub fn rule_book(&self) -> policy::RuleBook {
        let agents = self.agents.iter().map(|(id, agent)| {
            let rules = policy::AgentRules {
                allow: agent.allow.clone(),
                block: agent.block.clone(),
                roles: agent.roles.clone(),
            };
            (id.clone(), rules)
        });
        let roles = self.roles.iter().map(|(name, role)| {
            let permissions = role.permissions.clone();
            (name.clone(), policy::Role { description: role.description.clone(), permissions })
        });
        policy::RuleBook {
            agents: agents.collect(),
            roles: roles.collect(),
            rbac: self.gateway.features.rbac,
        }
    }

    /// Reads and compiles the policy files, if the configuration names any.
    ///
    /// # Errors
    /// Returns every fault that was found, with its place.
    pub fn policy_engine(&self) -> Result<Option<Arc<policy::Engine>>, Vec<policy::Fault>> {
        if self.policy.files.is_empty() {
            return Ok(None);
        }
        let sources = policy::Sources(self.policy.files.clone());
        let engine = policy::Engine::compile(policy::Document::load(&sources)?)?;
        Ok(Some(Arc::new(engine)))
    }

    /// Returns the limits of a payload as the inspect crate checks them.
    #[must_use]
    pub const fn payload_limits(&self) -> inspect::Limits {
        inspect::Limits {
            bytes_max: self.validation.payload_bytes_max,
            depth_max: self.validation.depth_max,
            members_max: self.validation.members_max,
            number_len_max: self.validation.number_len_max,
        }
    }

    /// Returns the rate limits of an agent: its own, else everyone's.
    #[must_use]
    pub fn rate_limit(&self, agent: &str) -> RateLimit {
        let everyone = self.gateway.rate_limit;
        let own = self.agents.get(agent).map(|agent| agent.limits).unwrap_or_default();
        RateLimit {
            per_minute: own.per_minute.unwrap_or(everyone.per_minute),
            per_hour: own.per_hour.unwrap_or(everyone.per_hour),
        }
    }

    /// Returns what an operator wants to see at a glance.
    #[must_use]
    pub fn summary(&self) -> Summary {
        Summary::of(self)
    }
}
