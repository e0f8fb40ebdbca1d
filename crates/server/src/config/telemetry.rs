//! `gateway.telemetry`: what the keys come to, and reading them alone for processes that are no
//! server.
//!
//! No value is repeated in an error: headers are secrets, and a URL may hold one.

use std::path::Path;

use ::telemetry::{Endpoint, Headers, Settings, SettingsError};

use super::environment::Environment;
use super::error::{ConfigError, ConfigErrorCode, Report};
use super::keys::Keys;
use super::sections::TelemetryKeys;
use super::tree::{Node, Origin, Value};
use super::{find, fit, is_gateway_file, resolve as whole, tree};

/// Makes the settings of the export; nothing while it is off.
pub(super) fn resolve(
    keys: &TelemetryKeys,
    mut report: impl FnMut(&str, String),
) -> Option<Settings> {
    if !keys.enabled {
        return None;
    }
    let endpoint = match keys.otlp_endpoint.as_deref().map(Endpoint::parse) {
        Some(Ok(endpoint)) => Some(endpoint),
        Some(Err(error)) => {
            report("gateway.telemetry.otlp_endpoint", error.to_string());
            None
        }
        None => {
            let message = "needs gateway.telemetry.otlp_endpoint, such as http://localhost:4318";
            report("gateway.telemetry.enabled", message.to_owned());
            None
        }
    };
    let pairs = keys.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let headers = Headers::parse(pairs).map_err(|error| {
        let place = match &error {
            SettingsError::Header { name, .. } => fit::below(HEADERS, name),
            SettingsError::Endpoint(_) => HEADERS.to_owned(),
        };
        report(&place, error.to_string());
    });
    Some(Settings {
        endpoint: endpoint?,
        headers: headers.ok()?,
        sample_ratio: keys.sample_ratio,
        metrics_interval: keys.export_metrics.then_some(keys.metrics_export_interval),
        service_name: keys.service_name.clone(),
        service_namespace: keys.service_namespace.clone(),
        environment: keys.environment.clone(),
        instance: String::new(),
        version: env!("CARGO_PKG_VERSION"),
    })
}

/// Reads `gateway.telemetry` alone, for an agent: from a file if one is named, and from the
/// environment. Other sections of the file are passed over.
///
/// # Errors
/// Returns every problem of these keys.
pub fn load_telemetry(
    path: Option<&Path>,
    environment: &Environment,
) -> Result<Option<Settings>, Vec<ConfigError>> {
    let keys = Keys::new();
    let file = path.unwrap_or_else(|| Path::new("environment"));
    let mut report = Report::new(file);
    let mut root = match path {
        None => Node { at: Origin::File { line: 1, column: 1 }, value: Value::Null },
        Some(path) => {
            let text = find::read(path).map_err(|error| vec![error])?;
            let mut root = tree::parse(&text, path).map_err(|error| vec![error])?;
            if is_gateway_file(path, environment) {
                whole::lift_gateway(&keys, &mut root, &mut report);
            }
            root
        }
    };
    keep(&mut root, &SECTION);
    environment.only(&SECTION).overlay(&keys, &mut root, &mut report);
    let value = fit::fit(&keys, &root, &mut report);
    if !report.is_empty() {
        return Err(report.into_errors());
    }
    let file: super::sections::File = serde_json::from_value(value).map_err(|error| {
        vec![ConfigError::about(ConfigErrorCode::Value, file, error.to_string())]
    })?;
    let settings = resolve(&file.gateway.telemetry, |path, message| {
        let steps: Vec<&str> = path.split('.').collect();
        report.add(ConfigErrorCode::Value, &root.at(&steps).at, path, message);
    });
    if report.is_empty() { Ok(settings) } else { Err(report.into_errors()) }
}

/// Takes everything out of the tree that is not on this way.
fn keep(node: &mut Node, way: &[&str]) {
    let (Some((first, rest)), Value::Map(entries)) = (way.split_first(), &mut node.value) else {
        return;
    };
    entries.retain(|(key, _)| key.name == *first);
    for (_, below) in entries {
        keep(below, rest);
    }
}

const SECTION: [&str; 2] = ["gateway", "telemetry"];
const HEADERS: &str = "gateway.telemetry.headers";
