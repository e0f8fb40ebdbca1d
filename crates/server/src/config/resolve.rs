//! What depends on several keys, or on where the file is.
//!
//! Single keys have been checked by `fit` when this runs.

mod lift;
mod rules;

use std::path::Path;

use identity::{IdPattern, IdPatternError, SealingKey, SpiffeId};

pub(super) use self::lift::lift_gateway;
use super::error::{ConfigError, ConfigErrorCode, Report};
use super::sections::{AgentKeys, AuditKeys, File, GatewayKeys, SpiffeKeys, TlsFiles, TlsSource};
use super::tree::{Key, Node, Value};
use super::{Agent, Audit, Config, Gateway, Server, Witness};

/// Makes the configuration from what the file says.
///
/// # Errors
/// Returns every problem of keys that do not go together.
pub(super) fn resolve(
    file: File,
    path: &Path,
    root: &Node,
    report: Report,
) -> Result<Config, Vec<ConfigError>> {
    let mut resolve = Resolve { root, report, warnings: Vec::new() };
    let spiffe = resolve.spiffe(&file.server.spiffe);
    let tls = super::tls::resolve(&file.server, |code, path, message| {
        resolve.report(code, path, message);
    });
    resolve.gateway(&file.gateway);
    let telemetry = super::telemetry::resolve(&file.gateway.telemetry, |path, message| {
        resolve.add(path, message);
    });
    let agents = file.agents.0.into_iter();
    let agents = agents.map(|(id, keys)| (id.clone(), resolve.agent(&id, keys))).collect();
    let (Some((agent_ids, operator_ids)), Some(tls)) = (spiffe, tls) else {
        return Err(resolve.report.into_errors());
    };
    let gateway = Gateway {
        rate_limit: file.gateway.rate_limit,
        features: file.gateway.features,
        circuit_breaker: file.gateway.circuit_breaker,
        dlp: file.gateway.dlp.into(),
        audit: file.gateway.audit,
        telemetry,
    };
    let mut config = Config {
        file: path.to_owned(),
        server: Server {
            listen: file.server.listen.0,
            operations: file.server.operations.listen,
            tls,
            trust_domain: file.server.spiffe.trust_domain,
            federated: file.server.spiffe.federated,
            agent_ids,
            operator_ids,
            limits: file.server.limits,
        },
        agents,
        operators: file.operators,
        roles: file.roles.0,
        policy: file.policy,
        gateway,
        validation: file.validation,
        delivery: file.delivery,
        storage: file.storage,
        audit: audit(file.audit),
        warnings: Vec::new(),
        // Made from the same values by `load`, which has them as text.
        fingerprint: String::new(),
    };
    resolve.domains(&config);
    resolve.rules(&config);
    resolve.dlp(&config);
    resolve.sizes(&config);
    resolve.folder(&mut config, path);
    resolve.audit(&config);
    config.warnings = resolve.warnings;
    if resolve.report.is_empty() { Ok(config) } else { Err(resolve.report.into_errors()) }
}

struct Resolve<'a> {
    root: &'a Node,
    report: Report,
    warnings: Vec<String>,
}

impl Resolve<'_> {
    fn add(&mut self, path: &str, message: impl Into<String>) {
        self.report(ConfigErrorCode::Value, path, message);
    }

    fn report(&mut self, code: ConfigErrorCode, path: &str, message: impl Into<String>) {
        let steps: Vec<&str> =
            path.split(['.', '[', ']']).filter(|step| !step.is_empty()).collect();
        let at = &self.root.at(&steps).at;
        self.report.add(code, at, path, message);
    }

    /// Returns the forms of the ids of agents and of operators, which must never be the same.
    fn spiffe(&mut self, keys: &SpiffeKeys) -> Option<(IdPattern, IdPattern)> {
        let agents = self.pattern(&keys.trust_domain, &keys.agent_path, "agent_path");
        let operators = self.pattern(&keys.trust_domain, &keys.operator_path, "operator_path");
        let is_placeholder = |segment: &str| segment.starts_with('{');
        let both = |(one, other): (&str, &str)| {
            one == other || is_placeholder(one) || is_placeholder(other)
        };
        let [one, other] = [&keys.agent_path, &keys.operator_path].map(|path| path.split('/'));
        let is_same_len = one.clone().count() == other.clone().count();
        if agents.is_some() && operators.is_some() && is_same_len && one.zip(other).all(both) {
            let message = "one ID could be an agent's and an operator's; make the paths differ in \
                           a segment that is no placeholder";
            self.add("server.spiffe.operator_path", message);
        }
        agents.zip(operators)
    }

    fn pattern(&mut self, trust_domain: &str, path: &str, key: &str) -> Option<IdPattern> {
        match IdPattern::new(trust_domain, path) {
            Ok(pattern) => Some(pattern),
            // Both patterns have the one trust domain, so one of them reports it.
            Err(IdPatternError::TrustDomain(_)) if key == "operator_path" => None,
            Err(error @ IdPatternError::TrustDomain(_)) => {
                self.add("server.spiffe.trust_domain", error.to_string());
                None
            }
            Err(error) => {
                self.add(&format!("server.spiffe.{key}"), error.to_string());
                None
            }
        }
    }

    fn gateway(&mut self, keys: &GatewayKeys) {
        if keys.redis.url.is_some() || keys.redis.socket_timeout.is_some() {
            let warning = "gateway.redis: ignored; this version keeps everything in its own store, \
                           see storage";
            self.warnings.push(warning.to_owned());
        }
    }

    fn agent(&mut self, id: &str, keys: AgentKeys) -> Agent {
        let sealing_key = keys.sealing_key.and_then(|text| {
            let key = SealingKey::parse(&text);
            if let Err(error) = &key {
                self.add(&format!("agents.{id}.sealing_key"), error.to_string());
            }
            key.ok()
        });
        Agent {
            // Its form has been checked.
            spiffe_id: keys.spiffe_id.and_then(|id| SpiffeId::parse(&id).ok()),
            capabilities: keys.capabilities,
            metadata: keys.metadata,
            allow: keys.allow,
            block: keys.block,
            roles: keys.roles,
            limits: keys.limits,
            sealing_key,
        }
    }

    fn audit(&mut self, config: &Config) {
        let key = config.audit.signing_key.as_ref();
        if key.is_some_and(|key| key.starts_with(&config.storage.path)) {
            let message = "is in the store's folder: who can change the log could sign it too; \
                           keep the key elsewhere";
            self.add("audit.signing_key", message);
        }
        if key.is_none() && !config.audit.witnesses.is_empty() {
            let message = "has no effect without audit.signing_key; make a key with `palisade \
                           audit key`";
            self.add("audit.witnesses", message);
        }
        for (at, witness) in config.audit.witnesses.iter().enumerate() {
            let before = config.audit.witnesses.iter().take(at);
            if before.into_iter().any(|other| other.key == witness.key) {
                self.add(&format!("audit.witnesses[{at}].key"), "is there twice");
            }
        }
    }

    fn sizes(&mut self, config: &Config) {
        let message_max = wide(config.server.limits.message_bytes_max);
        let envelope_max = wide(config.delivery.envelope_bytes_max);
        let payload_max = wide(config.validation.payload_bytes_max);
        let (delivery, storage) = (&config.delivery, &config.storage);
        let pairs = [
            (
                ("validation.payload_bytes_max", payload_max),
                ("server.limits.message_bytes_max", message_max),
            ),
            (
                ("validation.payload_bytes_max", payload_max),
                ("delivery.envelope_bytes_max", envelope_max),
            ),
            (
                ("delivery.envelope_bytes_max", envelope_max),
                ("server.limits.message_bytes_max", message_max),
            ),
            (
                ("delivery.envelope_bytes_max", envelope_max),
                ("delivery.in_flight_bytes_max", wide(delivery.in_flight_bytes_max)),
            ),
            (
                ("delivery.envelope_bytes_max", envelope_max),
                ("delivery.queue_bytes_max", delivery.queue_bytes_max),
            ),
            (
                ("validation.state_field_bytes_max", wide(config.validation.state_field_bytes_max)),
                ("validation.state_bytes_max", wide(config.validation.state_bytes_max)),
            ),
            (
                ("storage.segment_bytes", storage.segment_bytes),
                ("storage.bytes_max", storage.bytes_max),
            ),
            (
                ("delivery.retry_backoff_ms", milliseconds(delivery.retry_backoff)),
                ("delivery.retry_backoff_max_ms", milliseconds(delivery.retry_backoff_max)),
            ),
        ];
        for ((small, value), (large, bound)) in pairs {
            if value > bound {
                let message = format!("is {value}, but must not exceed {large}, which is {bound}");
                let place = if self.is_written(small) { small } else { large };
                self.add(
                    place,
                    if place == small { message } else { format!("{small} {message}") },
                );
            }
        }
    }

    /// Returns whether a key is in the file or the environment, not left at its default.
    fn is_written(&self, path: &str) -> bool {
        let (section, key) = path.rsplit_once('.').unwrap_or(("", path));
        let section = self.root.at(&section.split('.').collect::<Vec<_>>());
        match &section.value {
            Value::Map(entries) => entries.iter().any(|(Key { name, .. }, _)| name == key),
            Value::Null | Value::Scalar(..) | Value::List(_) => false,
        }
    }

    /// Makes relative paths start from the file's folder.
    fn folder(&mut self, config: &mut Config, path: &Path) {
        let path = match std::path::absolute(path) {
            Ok(path) => path,
            Err(error) => {
                self.add("", format!("the file's folder cannot be found: {error}"));
                return;
            }
        };
        let folder = path.parent().unwrap_or(&path);
        let tls = match &mut config.server.tls.source {
            TlsSource::Files(TlsFiles { cert, key, client_ca, crl }) => {
                [Some(cert), Some(key), Some(client_ca), crl.as_mut()]
            }
            TlsSource::WorkloadApi(_) => [None, None, None, None],
        };
        let files = tls.into_iter().flatten().chain([&mut config.storage.path]);
        let files = files.chain(config.server.federated.values_mut());
        let files = files.chain(config.audit.signing_key.as_mut());
        let files = files.chain(&mut config.policy.files);
        for file in files.chain(config.gateway.audit.file_path.as_mut()) {
            *file = folder.join(&*file);
        }
    }
}

fn audit(keys: AuditKeys) -> Audit {
    let witnesses = keys.witnesses.into_iter().filter_map(|witness| {
        // The form of the key has been checked with the key alone.
        Some(Witness { key: witness.key.parse().ok()?, url: witness.url })
    });
    Audit {
        signing_key: keys.signing_key,
        checkpoint_every: keys.checkpoint_every,
        checkpoints_kept: keys.checkpoints_kept,
        witnesses: witnesses.collect(),
    }
}

fn wide(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn milliseconds(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
