//! `validation` and `delivery`: what a message may look like, and how it is handed over.
//!
//! Not the limits of connections: those are in `server.limits`.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::units::milliseconds;

/// The largest shapes of a message that are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Validation {
    /// Bytes of a payload. Default 4000000, so that a full payload with its envelope still fits
    /// into one gRPC message of the default size.
    #[schemars(range(min = 2, max = 67_108_864))]
    pub payload_bytes_max: usize,
    /// Levels of nesting in a payload. Default 64; deeper JSON is an attack more often than not.
    #[schemars(range(min = 1, max = 512))]
    pub depth_max: usize,
    /// Members of objects and items of lists in a payload, all together. Default 65536.
    #[schemars(range(min = 1, max = 16_777_216))]
    pub members_max: usize,
    /// Characters of one number. Default 256.
    #[schemars(range(min = 1, max = 65_536))]
    pub number_len_max: usize,
    /// Bytes of a message's type. Default 256.
    #[schemars(range(min = 1, max = 65_536))]
    pub message_type_bytes_max: usize,
    /// Bytes of an agent's whole state. Default 262144.
    #[schemars(range(min = 1, max = 67_108_864))]
    pub state_bytes_max: usize,
    /// Bytes of one field of an agent's state, name and value. Default 65536.
    #[schemars(range(min = 1, max = 67_108_864))]
    pub state_field_bytes_max: usize,
}

impl Default for Validation {
    fn default() -> Self {
        Self {
            payload_bytes_max: 4_000_000,
            depth_max: 64,
            members_max: 65_536,
            number_len_max: 256,
            message_type_bytes_max: 256,
            state_bytes_max: 262_144,
            state_field_bytes_max: 65_536,
        }
    }
}

/// What happens to a message for an agent that is not connected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Offline {
    /// It is kept until the agent comes back or the message expires.
    #[default]
    Queue,
    /// It is refused at once, as a MAS server does.
    Refuse,
}

/// Queues, redelivery and dead letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Delivery {
    /// Deliveries that a session may hold without acknowledging. Default 200.
    #[schemars(range(min = 1, max = 100_000))]
    pub max_in_flight: usize,
    /// Bytes of those deliveries. Default 67108864.
    #[schemars(range(min = 1_024, max = 4_294_967_296_u64))]
    pub in_flight_bytes_max: usize,
    /// Milliseconds without acknowledgement after which another session of the agent may get a
    /// delivery. Default 30000.
    #[serde(rename = "reclaim_idle_ms", with = "milliseconds")]
    #[schemars(with = "u64", range(min = 1, max = 86_400_000))]
    pub reclaim_idle: Duration,
    /// Attempts before a message becomes a dead letter. Default 5.
    #[schemars(range(min = 1, max = 1_000))]
    pub max_attempts: u32,
    /// What happens to a message for an agent that is not connected. Default queue; refuse is
    /// what a MAS server does.
    pub offline: Offline,
    /// Milliseconds after which a queued message ends as expired: its payload is gone, and it
    /// cannot be replayed. Default 86400000, a day.
    #[serde(rename = "expire_after_ms", with = "milliseconds")]
    #[schemars(with = "u64", range(min = 1, max = 31_536_000_000_u64))]
    pub expire_after: Duration,
    /// Milliseconds before the second attempt; each further one waits twice as long. Default
    /// 1000.
    #[serde(rename = "retry_backoff_ms", with = "milliseconds")]
    #[schemars(with = "u64", range(min = 1, max = 86_400_000))]
    pub retry_backoff: Duration,
    /// Milliseconds that the wait between attempts never exceeds. Default 60000.
    #[serde(rename = "retry_backoff_max_ms", with = "milliseconds")]
    #[schemars(with = "u64", range(min = 1, max = 86_400_000))]
    pub retry_backoff_max: Duration,
    /// Milliseconds that a request waits for its reply when the caller names no time. Default
    /// 60000.
    #[serde(rename = "request_timeout_ms", with = "milliseconds")]
    #[schemars(with = "u64", range(min = 1, max = 86_400_000))]
    pub request_timeout: Duration,
    /// Bytes queued for one agent; above it senders are told to slow down. Default 67108864.
    #[schemars(range(min = 1_024, max = 1_099_511_627_776_u64))]
    pub queue_bytes_max: u64,
    /// Messages queued for one agent. Default 100000.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub queue_len_max: u64,
    /// What one sender may hold of the queue of one agent, in percent of its bytes and of its
    /// messages; one message is always taken. Default 25, so that it takes several senders
    /// together to fill a queue.
    #[schemars(range(min = 1, max = 100))]
    pub sender_share_percent: u64,
    /// Bytes that one sender may hold in all queues together. Default 134217728, an eighth of
    /// `storage.bytes_max`.
    #[schemars(range(min = 1_024, max = 1_099_511_627_776_u64))]
    pub sender_bytes_max: u64,
    /// Messages that may lead to one another, where their senders say so: a message that is one
    /// further is refused. Default 16; loops between agents end there.
    #[schemars(range(min = 1, max = 65_535))]
    pub hops_max: u32,
    /// Bytes of the largest envelope that is handed to a receiver. Default 4194304, which is
    /// what a gRPC client takes by default.
    #[schemars(range(min = 1_024, max = 67_108_864))]
    pub envelope_bytes_max: usize,
    /// Dead letters that are kept. Default 1000000. None goes by itself: what is over is not
    /// taken, and stays in its queue until letters are replayed or dropped.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub dead_letters_max: u64,
    /// Bytes of those dead letters. Default 4294967296.
    #[schemars(range(min = 1_024, max = 1_125_899_906_842_624_u64))]
    pub dead_letter_bytes_max: u64,
    /// What the dead letters to one agent, and those of one sender, may take of that room, in
    /// percent. Default 25.
    #[schemars(range(min = 1, max = 100))]
    pub dead_letter_share_percent: u64,
    /// Messages whose fate can still be asked for after it is settled. Default 100000.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub statuses_max: u64,
    /// Bytes of memory for the times of recent messages, which `palisade trace` shows. Default
    /// 16777216: some 100000 events, of which a delivered message has three. 0 keeps none.
    #[schemars(range(min = 0, max = 17_179_869_184_u64))]
    pub trace_bytes_max: usize,
    /// Seconds for which a sender's idempotency key is remembered, so that a retry with it makes
    /// no second message. Default 86400.
    #[schemars(range(min = 1, max = 2_592_000))]
    pub idempotency_seconds: u64,
    /// Keys of one sender that are remembered; the oldest is forgotten for a new one. Default
    /// 32768: more than the default limits let an agent send in a day. Each takes about 75 bytes of
    /// memory, and as much again for the time in which a checkpoint is made.
    #[schemars(range(min = 1, max = 100_000_000))]
    pub idempotency_keys_max: u64,
}

impl Default for Delivery {
    fn default() -> Self {
        Self {
            max_in_flight: 200,
            in_flight_bytes_max: 67_108_864,
            reclaim_idle: Duration::from_secs(30),
            max_attempts: 5,
            offline: Offline::Queue,
            expire_after: Duration::from_secs(86_400),
            retry_backoff: Duration::from_secs(1),
            retry_backoff_max: Duration::from_secs(60),
            request_timeout: Duration::from_secs(60),
            queue_bytes_max: 67_108_864,
            queue_len_max: 100_000,
            sender_share_percent: 25,
            sender_bytes_max: 134_217_728,
            hops_max: 16,
            envelope_bytes_max: 4_194_304,
            dead_letters_max: 1_000_000,
            dead_letter_bytes_max: 4_294_967_296,
            dead_letter_share_percent: 25,
            statuses_max: 100_000,
            trace_bytes_max: 16_777_216,
            idempotency_seconds: 86_400,
            idempotency_keys_max: 32_768,
        }
    }
}
