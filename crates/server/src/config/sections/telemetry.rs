//! `gateway.telemetry`: export of traces and metrics; and `gateway.redis`, which is read only.
//!
//! Both may hold secrets, so neither has a `Debug`.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::units::milliseconds;

/// The section `gateway.telemetry` as it is written.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in super::super) struct TelemetryKeys {
    /// Whether traces and metrics are exported. Default false; true needs `otlp_endpoint`.
    pub(in super::super) enabled: bool,
    /// Name of the service in what is exported. Default mas-framework, as in a MAS gateway.
    pub(in super::super) service_name: String,
    /// Namespace of the service in what is exported. Default mas.
    pub(in super::super) service_namespace: String,
    /// Environment in what is exported. Default dev.
    pub(in super::super) environment: String,
    /// URL of the collector's OTLP over HTTP, such as `http://localhost:4318`; with `https://` it
    /// must speak TLS 1.3. Default none.
    pub(in super::super) otlp_endpoint: Option<String>,
    /// Share of traces that is kept, from 0 to 1, of those that begin here: what a caller decided
    /// stands. Default 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub(in super::super) sample_ratio: f64,
    /// Whether metrics are exported too. Default true.
    pub(in super::super) export_metrics: bool,
    /// Milliseconds between two exports of metrics. Default 60000.
    #[serde(rename = "metrics_export_interval_ms", with = "milliseconds")]
    #[schemars(with = "u64", range(min = 1_000, max = 86_400_000))]
    pub(in super::super) metrics_export_interval: Duration,
    /// Headers for the collector, such as a token. Default none.
    pub(in super::super) headers: BTreeMap<String, String>,
}

impl Default for TelemetryKeys {
    fn default() -> Self {
        Self {
            enabled: false,
            service_name: "mas-framework".to_owned(),
            service_namespace: "mas".to_owned(),
            environment: "dev".to_owned(),
            otlp_endpoint: None,
            sample_ratio: 1.0,
            export_metrics: true,
            metrics_export_interval: Duration::from_secs(60),
            headers: BTreeMap::new(),
        }
    }
}

/// The section `gateway.redis` as it is written.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in super::super) struct RedisKeys {
    /// Read and ignored: the embedded store is used. Default none.
    pub(in super::super) url: Option<String>,
    /// Read and ignored: the embedded store is used. Default none.
    #[schemars(range(min = 0.0, max = 86_400.0))]
    pub(in super::super) socket_timeout: Option<f64>,
}
