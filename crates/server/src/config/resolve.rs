//! What depends on several keys, or on where the file is.
//!
//! Single keys have been checked by `fit` when this runs.

use std::path::Path;

use identity::{IdPattern, IdPatternError, SealingKey, SpiffeId};
use inspect::RuleError;
use policy::{Level, Problem};

use super::domains;
use super::error::{ConfigError, ConfigErrorCode, Report};
use super::fit;
use super::keys::{Keys, Kind};
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
    };
    let mut config = Config {
        file: path.to_owned(),
        server: Server {
            listen: file.server.listen.0,
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
        if keys.telemetry.enabled {
            let message = "telemetry export is not available in this version; set it to false";
            self.add("gateway.telemetry.enabled", message);
        }
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

    fn domains(&mut self, config: &Config) {
        for (place, what) in domains::problems(config) {
            self.add(&place, what);
        }
    }

    fn rules(&mut self, config: &Config) {
        if config.agents.is_empty() {
            self.warnings.push("agents: none is listed, so none can connect".to_owned());
        }
        for Problem { level, place, what } in config.rule_book().check() {
            match level {
                Level::Warning => self.warnings.push(format!("{place}: {what}")),
                Level::Error => {
                    let path = self.entry(&place, &what).unwrap_or(place);
                    self.add(&path, what);
                }
            }
        }
    }

    /// Returns the entry of a list that a message names.
    fn entry(&self, place: &str, what: &str) -> Option<String> {
        let steps: Vec<&str> = place.split('.').collect();
        let Value::List(items) = &self.root.at(&steps).value else { return None };
        let is_named = |item: &Node| match &item.value {
            Value::Scalar(_, text) => what.contains(&format!("`{}`", text.escape_debug())),
            Value::Null | Value::List(_) | Value::Map(_) => false,
        };
        items.iter().position(is_named).map(|at| format!("{place}[{at}]"))
    }

    fn dlp(&mut self, config: &Config) {
        let spec = &config.gateway.dlp;
        if let Err(error) = inspect::Dlp::compile(spec) {
            let what = error.to_string();
            let path = self.dlp_place(spec, &error, &what);
            self.add(&path, what);
        }
        if !config.gateway.features.dlp && *spec != inspect::DlpSpec::default() {
            let warning = "gateway.dlp: has no effect while gateway.features.dlp is false";
            self.warnings.push(warning.to_owned());
        }
    }

    /// Returns the key that a rule cannot be compiled for.
    fn dlp_place(&self, spec: &inspect::DlpSpec, error: &RuleError, what: &str) -> String {
        let (rule, field) = match error {
            RuleError::TooMany { .. } | RuleError::AllTooLarge => (None, ""),
            RuleError::BadField { rule, field, .. } => (Some(rule), *field),
            RuleError::DuplicateId { rule } => (Some(rule), "id"),
            RuleError::BadPattern { rule, .. }
            | RuleError::MatchesEmpty { rule }
            | RuleError::MatchesNothing { rule }
            | RuleError::TooLarge { rule } => (Some(rule), "pattern"),
            RuleError::UnknownType { field, name, .. } => {
                let place = format!("gateway.dlp.{field}");
                let entry = self.entry(&place, what);
                return entry.unwrap_or_else(|| fit::below(&place, name));
            }
        };
        // The last one: of two rules with one id, the second is in the way.
        let at = rule.and_then(|id| spec.rules.iter().rposition(|rule| rule.id == *id));
        let place = "gateway.dlp.rules";
        at.map_or_else(|| place.to_owned(), |at| format!("{place}[{at}].{field}"))
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

/// Moves the sections of a MAS gateway from the top of the tree to below `gateway`.
pub(super) fn lift_gateway(keys: &Keys, root: &mut Node, report: &mut Report) {
    let Kind::Section { keys: top, .. } = keys.shape(keys.root()).kind else { return };
    let Some(gateway) = top.get("gateway") else { return };
    let Kind::Section { keys: below, .. } = keys.shape(gateway).kind else { return };
    let Value::Map(entries) = &mut root.value else { return };
    let (lifted, mut kept): (Vec<_>, Vec<_>) = std::mem::take(entries)
        .into_iter()
        .partition(|(key, _)| below.contains_key(&key.name) && !top.contains_key(&key.name));
    if let Some((first, _)) = lifted.first() {
        let at = first.at.clone();
        if !kept.iter().any(|(key, _)| key.name == "gateway") {
            let key = Key { at: at.clone(), name: "gateway".to_owned() };
            kept.push((key, Node { at, value: Value::Null }));
        }
    }
    let gateway = kept.iter_mut().find(|(key, _)| key.name == "gateway");
    if let Some((_, gateway)) = gateway {
        for (key, node) in lifted {
            below_gateway(gateway, key, node, report);
        }
    }
    *entries = kept;
}

fn below_gateway(gateway: &mut Node, key: Key, node: Node, report: &mut Report) {
    if matches!(gateway.value, Value::Null) {
        gateway.value = Value::Map(Vec::new());
    }
    // Anything else than a mapping is reported when the tree is checked.
    let Value::Map(entries) = &mut gateway.value else { return };
    if entries.iter().any(|(known, _)| known.name == key.name) {
        let message = format!("is also there as gateway.{}; remove one of them", key.name);
        report.add(ConfigErrorCode::DuplicateKey, &key.at, &key.name, message);
        return;
    }
    entries.push((key, node));
}
