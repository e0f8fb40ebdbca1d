//! `gateway`: what every message passes, with the names that a MAS gateway reads.
//!
//! There is no key to turn rate limits or audit off.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::units::seconds;
use super::{DlpKeys, RedisKeys, TelemetryKeys};

/// The section `gateway` as it is written.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in super::super) struct GatewayKeys {
    /// How many messages an agent may send, all its instances together.
    pub(in super::super) rate_limit: RateLimit,
    /// Which optional stages are on.
    pub(in super::super) features: Features,
    /// When an agent that keeps failing is given a rest.
    pub(in super::super) circuit_breaker: CircuitBreaker,
    /// What is looked for in messages, and what is done about it.
    pub(in super::super) dlp: DlpKeys,
    /// A copy of the audit log as JSON lines, for other programs.
    pub(in super::super) audit: AuditFile,
    /// Export of traces and metrics to an OpenTelemetry collector.
    pub(in super::super) telemetry: TelemetryKeys,
    /// Read from files of a MAS gateway and ignored: the embedded store is used.
    pub(in super::super) redis: RedisKeys,
}

/// How many messages an agent may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RateLimit {
    /// Messages in any 60 seconds. Default 100; 0 refuses everything.
    #[schemars(range(min = 0, max = 1_000_000_000_000_u64))]
    pub per_minute: u64,
    /// Messages in any 3600 seconds. Default 1000; 0 refuses everything.
    #[schemars(range(min = 0, max = 1_000_000_000_000_u64))]
    pub per_hour: u64,
}

impl Default for RateLimit {
    fn default() -> Self {
        Self { per_minute: 100, per_hour: 1_000 }
    }
}

/// Which optional stages are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Features {
    /// Whether messages are searched for sensitive values. Default true.
    pub dlp: bool,
    /// Whether roles count beside the allow lists. Default false, as in a MAS gateway.
    pub rbac: bool,
    /// Whether messages to an agent that keeps failing are held back. Default true.
    pub circuit_breaker: bool,
}

impl Default for Features {
    fn default() -> Self {
        Self { dlp: true, rbac: false, circuit_breaker: true }
    }
}

/// Whom an open circuit holds back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CircuitScope {
    /// The sender whose messages failed; everyone only after several senders' failed.
    #[default]
    Sender,
    /// Everyone who sends to the target, as in a MAS gateway.
    Target,
}

/// When an agent that keeps failing is given a rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CircuitBreaker {
    /// Failures in a row that open the circuit. Default 5.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub failure_threshold: u32,
    /// Successes in a row that close it again. Default 2.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub success_threshold: u32,
    /// Seconds that it stays open before it is tried again. Default 60.
    #[serde(rename = "timeout_seconds", with = "seconds")]
    #[schemars(with = "f64", range(min = 0.001, max = 31_536_000.0))]
    pub timeout: Duration,
    /// Seconds after which a failure no longer counts. Default 300.
    #[serde(rename = "window_seconds", with = "seconds")]
    #[schemars(with = "f64", range(min = 0.001, max = 31_536_000.0))]
    pub window: Duration,
    /// Messages that are let through at once while it is tried. Default 1, so that an agent
    /// that just came back is not flooded.
    #[schemars(range(min = 1, max = 100_000))]
    pub half_open_max: u32,
    /// Whom an open circuit holds back. Default sender, so that one sender cannot cut an agent
    /// off for all.
    pub scope: CircuitScope,
    /// Senders with an open circuit that open it for everyone, under scope sender. Default 3.
    #[schemars(range(min = 1, max = 100_000))]
    pub senders_to_open: u32,
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        Self {
            failure_threshold: 5,
            success_threshold: 2,
            timeout: Duration::from_secs(60),
            window: Duration::from_secs(300),
            half_open_max: 1,
            scope: CircuitScope::Sender,
            senders_to_open: 3,
        }
    }
}

/// A copy of the audit log as JSON lines; the log itself is in the store and always on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AuditFile {
    /// File to append audit records to. Default none: the store keeps them anyway. Relative to
    /// this file's folder.
    #[schemars(with = "Option<String>", extend("format" = "path"))]
    pub file_path: Option<PathBuf>,
    /// Bytes after which a new file is begun. Default 10000000.
    #[schemars(range(min = 1, max = 1_099_511_627_776_u64))]
    pub max_bytes: u64,
    /// Old files that are kept. Default 5.
    #[schemars(range(min = 0, max = 10_000))]
    pub backup_count: u32,
}

impl Default for AuditFile {
    fn default() -> Self {
        Self { file_path: None, max_bytes: 10_000_000, backup_count: 5 }
    }
}
