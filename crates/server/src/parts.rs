//! What the gate needs from the outside, made from the configuration and the system.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use gate::Parts;
use gate::limits::RateLimits;
use gate::ports::{Clock, FieldSealer, Store};
use gate::registry::Registration;
use gate::settings::{
    CircuitScope, CircuitSettings, DeliverySettings, Offline, Settings, Validation,
};
use gate::types::{AgentId, Timestamp};
use identity::SealingKey;
use inspect::{Dlp, SealError};
use store::Bounds;

use crate::background::{Computations, Room};
use crate::config::{self, Agent, Config};
use crate::ids::RandomIds;
use crate::serve::ServeError;

/// The system's wall clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock behind the port")]
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let micros = since.map_or(0, |since| since.as_micros());
        Timestamp::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    #[expect(clippy::disallowed_methods, reason = "this is the clock behind the port")]
    fn elapsed(&self) -> Duration {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        START.elapsed()
    }
}

/// Encrypts fields with the identity crate's sealing keys.
#[derive(Debug, Clone, Copy, Default)]
struct KeySealer;

impl FieldSealer for KeySealer {
    fn check_key(&self, key: &str) -> Result<(), String> {
        match SealingKey::parse(key) {
            Ok(_key) => Ok(()),
            Err(cause) => Err(cause.to_string()),
        }
    }

    fn seal(&self, key: &str, recipient: &str, plaintext: &str) -> Result<String, SealError> {
        let key = SealingKey::parse(key).or(Err(SealError))?;
        identity::seal(&key, recipient.as_bytes(), plaintext.as_bytes()).or(Err(SealError))
    }
}

/// Makes the parts of a gate from a checked configuration and an open store.
///
/// # Errors
///
/// Returns [`ServeError::Rules`] when the inspection rules do not compile; a configuration that
/// was loaded has been checked for that. Returns [`ServeError::Policy`] when a policy file has a
/// fault. Returns [`ServeError::Threads`] when no thread can be
/// started for long computations.
pub fn gate_parts(config: &Config, store: Arc<dyn Store>) -> Result<Parts, ServeError> {
    let limits = &config.server.limits;
    let room = Room {
        all_max: limits.large_payloads_max,
        each_max: limits.large_payloads_per_identity_max,
    };
    let agents = config.agents.iter().filter_map(|(id, agent)| {
        let id = AgentId::parse(id).ok()?;
        let registration = registration(config, id.as_str(), agent);
        Some((id, registration))
    });
    Ok(Parts {
        store,
        observers: Vec::new(),
        tracer: None,
        clock: Arc::new(SystemClock),
        ids: Arc::new(RandomIds),
        sealer: Arc::new(KeySealer),
        aside: Arc::new(Computations::start(room).map_err(ServeError::Threads)?),
        settings: settings(config),
        agents: agents.collect::<BTreeMap<_, _>>(),
        operators: config.operators.clone(),
        rules: config.rule_book(),
        policy: config.policy_engine().map_err(ServeError::Policy)?,
        fingerprint: config.fingerprint.clone(),
        dlp: Dlp::compile(&config.gateway.dlp)
            .map_err(|cause| ServeError::Rules(cause.to_string()))?,
    })
}

fn registration(config: &Config, id: &str, agent: &Agent) -> Registration {
    let own = agent.limits.per_minute.is_some() || agent.limits.per_hour.is_some();
    Registration {
        capabilities: agent.capabilities.clone(),
        metadata_json: serde_json::Value::Object(agent.metadata.clone()).to_string(),
        limits: own.then(|| limits(config.rate_limit(id))),
        sealing_key: agent.sealing_key.as_ref().map(ToString::to_string),
    }
}

const fn limits(limits: config::RateLimit) -> RateLimits {
    RateLimits { per_minute: limits.per_minute, per_hour: limits.per_hour }
}

fn settings(config: &Config) -> Settings {
    let breaker = config.gateway.circuit_breaker;
    let circuit = CircuitSettings {
        failure_threshold: breaker.failure_threshold,
        success_threshold: breaker.success_threshold,
        timeout: breaker.timeout,
        window: breaker.window,
        half_open_max: breaker.half_open_max,
        scope: match breaker.scope {
            config::CircuitScope::Sender => CircuitScope::Sender,
            config::CircuitScope::Target => CircuitScope::Target,
        },
        senders_to_open: breaker.senders_to_open,
    };
    let delivery = &config.delivery;
    Settings {
        limits: limits(config.gateway.rate_limit),
        dlp: config.gateway.features.dlp,
        circuit: config.gateway.features.circuit_breaker.then_some(circuit),
        validation: Validation {
            payload: config.payload_limits(),
            message_type_bytes_max: config.validation.message_type_bytes_max,
            state_field_bytes_max: config.validation.state_field_bytes_max,
            state_bytes_max: config.validation.state_bytes_max,
        },
        delivery: DeliverySettings {
            max_in_flight: delivery.max_in_flight,
            in_flight_bytes_max: delivery.in_flight_bytes_max,
            reclaim_idle: delivery.reclaim_idle,
            max_attempts: delivery.max_attempts,
            offline: match delivery.offline {
                config::Offline::Queue => Offline::Queue,
                config::Offline::Refuse => Offline::Refuse,
            },
            expire_after: delivery.expire_after,
            retry_backoff: delivery.retry_backoff,
            retry_backoff_max: delivery.retry_backoff_max,
            request_timeout: delivery.request_timeout,
            envelope_bytes_max: delivery.envelope_bytes_max,
            hops_max: delivery.hops_max,
            idempotency: Duration::from_secs(delivery.idempotency_seconds),
            idempotency_keys_max: usize::try_from(delivery.idempotency_keys_max)
                .unwrap_or(usize::MAX),
            sessions_per_agent_max: config.server.limits.sessions_per_agent_max,
            trace_bytes_max: delivery.trace_bytes_max,
        },
    }
}

/// Makes the bounds of the store.
pub(crate) fn bounds(config: &Config) -> Bounds {
    let delivery = &config.delivery;
    let percent = |of: u64, percent: u64| {
        let exact = u128::from(of).saturating_mul(percent.into()).div_ceil(100);
        u64::try_from(exact).unwrap_or(u64::MAX)
    };
    let share = |of| percent(of, delivery.sender_share_percent);
    let letters = |of| percent(of, delivery.dead_letter_share_percent);
    Bounds {
        queue_bytes_max: delivery.queue_bytes_max,
        queue_len_max: delivery.queue_len_max,
        share_bytes_max: share(delivery.queue_bytes_max),
        share_len_max: share(delivery.queue_len_max),
        sender_bytes_max: delivery.sender_bytes_max,
        total_bytes_max: config.storage.bytes_max,
        dead_letters_max: delivery.dead_letters_max,
        dead_letter_bytes_max: delivery.dead_letter_bytes_max,
        agent_letters_max: letters(delivery.dead_letters_max),
        agent_letter_bytes_max: letters(delivery.dead_letter_bytes_max),
        statuses_max: usize::try_from(delivery.statuses_max).unwrap_or(usize::MAX),
        sent_max: usize::try_from(delivery.idempotency_keys_max).unwrap_or(usize::MAX),
    }
}
