//! `gateway.telemetry`: for a server with its whole configuration, for an agent alone.

use std::path::Path;
use std::time::Duration;

use server::config::{Environment, load_telemetry};

use super::{Folder, with};

const SECTION: &str = "{ enabled: true, otlp_endpoint: 'https://otel.example.org/x', \
    service_name: gate, service_namespace: agents, environment: prod, sample_ratio: 0.25, \
    metrics_export_interval_ms: 5000, headers: { authorization: hunter2 } }";

fn environment(variables: &[(&str, &str)]) -> Environment {
    variables.iter().copied().collect()
}

#[test]
fn each_key_reaches_the_exporter_and_the_secret_no_text() {
    let folder = with(&format!("gateway: {{ telemetry: {SECTION} }}\n"));
    let config = folder.load(&[]).unwrap();
    let settings = config.gateway.telemetry.as_ref().unwrap();
    assert_eq!(settings.endpoint.to_string(), "https://otel.example.org/x");
    assert_eq!(settings.service_name, "gate");
    assert_eq!(settings.service_namespace, "agents");
    assert_eq!(settings.environment, "prod");
    assert!((settings.sample_ratio - 0.25).abs() < f64::EPSILON);
    assert_eq!(settings.metrics_interval, Some(Duration::from_secs(5)));
    let told = format!("{config:?}{}", serde_json::to_string(&config.summary()).unwrap());
    assert!(told.contains("authorization") && !told.contains("hunter2"), "{told}");
    assert_eq!(config.summary().telemetry.unwrap(), "https://otel.example.org/x");

    let without = [("GATEWAY_TELEMETRY__EXPORT_METRICS", "false")];
    assert_eq!(folder.load(&without).unwrap().gateway.telemetry.unwrap().metrics_interval, None);
    let off = [("GATEWAY_TELEMETRY__ENABLED", "false")];
    assert!(folder.load(&off).unwrap().gateway.telemetry.is_none());
}

#[test]
fn an_agent_reads_the_section_and_passes_over_the_rest() {
    let files = [
        Folder::with("palisade.yaml", format!("gateway: {{ telemetry: {SECTION} }}\nx: y\n")),
        // The sections of a MAS gateway may stand at the top.
        Folder::with("mas.yaml", format!("telemetry: {SECTION}\ndlp: what\n")),
    ];
    for folder in files {
        let variables = [
            ("GATEWAY_TELEMETRY__SERVICE_NAME", "alice"),
            // Somebody else's concern here.
            ("GATEWAY_RATE_LIMIT__PER_MINUTE", "many"),
            ("PALISADE_NONSENSE", "1"),
        ];
        let settings = load_telemetry(Some(&folder.file), &environment(&variables));
        let settings = settings.unwrap().unwrap();
        assert_eq!(settings.service_name, "alice");
        assert_eq!(settings.service_namespace, "agents");
    }
}

#[test]
fn an_agent_needs_no_file() {
    assert!(load_telemetry(None, &environment(&[])).unwrap().is_none());
    let variables = [
        ("GATEWAY_TELEMETRY__ENABLED", "true"),
        ("PALISADE_GATEWAY__TELEMETRY__OTLP_ENDPOINT", "http://localhost:4318"),
    ];
    let settings = load_telemetry(None, &environment(&variables)).unwrap().unwrap();
    assert_eq!(settings.endpoint.to_string(), "http://localhost:4318");
}

#[test]
fn what_is_wrong_is_said_with_its_place_and_without_its_value() {
    let cases: [(&[(&str, &str)], &str); 3] = [
        (
            &[("GATEWAY_TELEMETRY__ENABLED", "hunter2")],
            "GATEWAY_TELEMETRY__ENABLED: gateway.telemetry.enabled: must be true or false",
        ),
        (
            &[("GATEWAY_TELEMETRY__ENABLED", "true")],
            "gateway.telemetry.enabled: needs gateway.telemetry.otlp_endpoint",
        ),
        (
            &[
                ("GATEWAY_TELEMETRY__ENABLED", "true"),
                ("GATEWAY_TELEMETRY__OTLP_ENDPOINT", "http://a:hunter2@b"),
            ],
            "GATEWAY_TELEMETRY__OTLP_ENDPOINT: gateway.telemetry.otlp_endpoint: must not hold",
        ),
    ];
    for (variables, expected) in cases {
        let errors = load_telemetry(None, &environment(variables)).unwrap_err();
        let text = errors[0].to_string();
        assert!(text.contains(expected) && !text.contains("hunter2"), "{text}");
    }
    let missing = load_telemetry(Some(Path::new("/nowhere/p.yaml")), &environment(&[]));
    assert_eq!(missing.unwrap_err()[0].code.as_str(), "config_missing");
}
