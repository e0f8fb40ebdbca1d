//! What an operator can set, already checked; the server's configuration makes it.

use std::time::Duration;

use crate::limits::RateLimits;

/// All settings of a gate.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Limits of agents that have none of their own.
    pub limits: RateLimits,
    /// Whether payloads are searched for sensitive content (`gateway.features.dlp`).
    pub dlp: bool,
    /// The circuit breaker; none if switched off (`gateway.features.circuit_breaker`).
    pub circuit: Option<CircuitSettings>,
    /// What is accepted at all.
    pub validation: Validation,
    /// How messages reach their targets.
    pub delivery: DeliverySettings,
}

/// `gateway.circuit_breaker`.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::module_name_repetitions, reason = "it is read where its module is not named")]
pub struct CircuitSettings {
    /// Consecutive failures that open a circuit.
    pub failure_threshold: u32,
    /// Successes that close a half-open circuit.
    pub success_threshold: u32,
    /// How long a circuit stays open before probes may pass.
    pub timeout: Duration,
    /// Failures further apart than this do not add up.
    pub window: Duration,
    /// Probes that may be under way at once in a half-open circuit.
    pub half_open_max: u32,
    /// Whose failures count together.
    pub scope: CircuitScope,
    /// Senders whose circuits towards a target must be open for it to open for all.
    pub senders_to_open: u32,
}

/// Whose failures count together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CircuitScope {
    /// Each sender has its own circuit towards a target.
    Sender,
    /// All senders share the target's circuit, as in the MAS server.
    Target,
}

/// `validation`: bounds of what is accepted.
#[derive(Debug, Clone)]
pub struct Validation {
    /// Bounds of a payload.
    pub payload: inspect::Limits,
    /// The longest message type, in bytes.
    pub message_type_bytes_max: usize,
    /// The largest value of one field of a state, in bytes.
    pub state_field_bytes_max: usize,
    /// The largest state of an agent, keys and values together, in bytes.
    pub state_bytes_max: usize,
}

/// `delivery`.
#[derive(Debug, Clone)]
#[expect(clippy::module_name_repetitions, reason = "it is read where its module is not named")]
pub struct DeliverySettings {
    /// Unacknowledged deliveries that one session holds at most.
    pub max_in_flight: usize,
    /// Bytes of unacknowledged envelopes that one session holds at most.
    pub in_flight_bytes_max: usize,
    /// After this time without acknowledgement another instance may get a message.
    pub reclaim_idle: Duration,
    /// Attempts before a message becomes a dead letter.
    pub max_attempts: u32,
    /// What happens to a message whose target is not connected.
    pub offline: Offline,
    /// How long a message is kept for its target.
    pub expire_after: Duration,
    /// The pause before the second attempt; it doubles with each further one.
    pub retry_backoff: Duration,
    /// The longest pause between attempts.
    pub retry_backoff_max: Duration,
    /// How long a request waits if its asker does not say.
    pub request_timeout: Duration,
    /// The largest envelope that receivers take, in bytes.
    pub envelope_bytes_max: usize,
    /// Messages that may lead to one another.
    pub hops_max: u32,
    /// How long a sender's idempotency key is remembered.
    pub idempotency: Duration,
    /// How many keys of one sender are remembered; the store keeps the bound.
    pub idempotency_keys_max: usize,
    /// Sessions of one agent at once.
    pub sessions_per_agent_max: usize,
    /// Memory for the times of recent messages, in bytes.
    pub trace_bytes_max: usize,
}

/// What happens to a message whose target is not connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offline {
    /// It waits in the queue.
    Queue,
    /// It is refused, as in the MAS server.
    Refuse,
}
