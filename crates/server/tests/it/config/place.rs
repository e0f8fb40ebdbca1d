//! Every problem is named with its file, line and column, its key, and what to do.

use server::config::{ConfigErrorCode as Code, TlsSource};

use super::{Folder, TLS, with};

#[test]
fn each_bad_value_of_the_gateway_and_each_unknown_key_is_reported_where_it_stands() {
    let cases = [
        (
            "gateway:\n  rate_limit: { per_minut: 3 }\n",
            "palisade.yaml:4:17: gateway.rate_limit.per_minut: unknown key; did you mean \
             per_minute?",
        ),
        (
            "per_minute: 3\n",
            "palisade.yaml:3:1: per_minute: unknown key; did you mean \
             gateway.rate_limit.per_minute?",
        ),
        (
            "rate_limit: {}\n",
            "palisade.yaml:3:1: rate_limit: unknown key; did you mean gateway.rate_limit?",
        ),
        ("frobnicate: 3\n", "palisade.yaml:3:1: frobnicate: unknown key"),
        (
            "gateway: { rate_limit: { per_hour: -1 } }\n",
            "palisade.yaml:3:36: gateway.rate_limit.per_hour: must be from 0 to 1000000000000",
        ),
        (
            "gateway: { circuit_breaker: { failure_threshold: 0 } }\n",
            "palisade.yaml:3:50: gateway.circuit_breaker.failure_threshold: must be from 1 to \
             1000000",
        ),
        (
            "gateway: { circuit_breaker: { timeout_seconds: 0 } }\n",
            "palisade.yaml:3:48: gateway.circuit_breaker.timeout_seconds: must be from 0.001 to \
             31536000",
        ),
        (
            "gateway: { features: { dlp: perhaps } }\n",
            "palisade.yaml:3:29: gateway.features.dlp: must be true or false, not a text",
        ),
    ];
    check(&cases);
}

#[test]
fn each_bad_value_of_telemetry_is_reported_where_it_stands() {
    let cases = [
        (
            "gateway: { telemetry: { enabled: true } }\n",
            "palisade.yaml:3:34: gateway.telemetry.enabled: needs \
             gateway.telemetry.otlp_endpoint, such as http://localhost:4318",
        ),
        (
            "gateway: { telemetry: { enabled: true, otlp_endpoint: 'grpc://me:pw@host' } }\n",
            "palisade.yaml:3:55: gateway.telemetry.otlp_endpoint: must begin with http:// or \
             https://; write it as http://localhost:4318",
        ),
        (
            "gateway: { telemetry: { enabled: true, otlp_endpoint: 'http://h', headers: { host: \
             x } } }\n",
            "palisade.yaml:3:84: gateway.telemetry.headers.host: `host` is set by the exporter \
             itself",
        ),
        (
            "gateway: { telemetry: { sample_ratio: 1.5 } }\n",
            "palisade.yaml:3:39: gateway.telemetry.sample_ratio: must be from 0 to 1",
        ),
        (
            "gateway: { telemetry: { metrics_export_interval_ms: 10 } }\n",
            "palisade.yaml:3:53: gateway.telemetry.metrics_export_interval_ms: must be from 1000 \
             to 86400000",
        ),
    ];
    check(&cases);
}

#[test]
fn each_bad_value_of_the_other_sections_is_reported_where_it_stands() {
    let cases = [
        (
            "delivery:\n  max_in_flight: 1.5\n",
            "palisade.yaml:4:18: delivery.max_in_flight: must be a whole number, not a number with \
             a fraction",
        ),
        (
            "delivery:\n  max_in_flight:\n",
            "palisade.yaml:4:16: delivery.max_in_flight: has no value; write a whole number or \
             remove the key",
        ),
        (
            "delivery: { offline: quue }\n",
            "palisade.yaml:3:22: delivery.offline: must be one of queue, refuse; did you mean \
             queue?",
        ),
        (
            "delivery: 7\n",
            "palisade.yaml:3:11: delivery: must be a mapping of keys, not a whole number",
        ),
        (
            "storage: { engine: redis }\n",
            "palisade.yaml:3:20: storage.engine: a Redis store is not available in this version; \
             use engine embedded",
        ),
        ("storage: { path: \"\" }\n", "palisade.yaml:3:18: storage.path: must not be empty"),
        (
            "agents:\n  a b: {}\n",
            "palisade.yaml:4:3: agents.a b: a name has 1 to 64 letters, digits, `_` or `-`",
        ),
        (
            "agents: { a: { allow: b } }\n",
            "palisade.yaml:3:23: agents.a.allow: must be a list, not a text",
        ),
        (
            "operators: [root, r o]\n",
            "palisade.yaml:3:19: operators[1]: a name has 1 to 64 letters, digits, `_` or `-`",
        ),
        (
            "agents: { a: { sealing_key: short } }\n",
            "palisade.yaml:3:29: agents.a.sealing_key: is no X25519 public key in base64url; copy \
             what `palisade cert agent --seal` printed",
        ),
    ];
    check(&cases);
}

fn check(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(with(text).errors(&[]), [*expected], "{text}");
    }
}

#[test]
fn what_is_required_is_named_key_by_key() {
    let missing = "is required; `palisade dev` makes a configuration with certificates, \
                   `palisade cert` makes certificates";
    for text in ["", "# nothing\n", "server:\n", "server: { tls: }\n"] {
        let folder = Folder::with("palisade.yaml", text);
        let errors = folder.load(&[]).unwrap_err();
        let found: Vec<_> = errors.iter().map(|error| (&*error.path, &*error.message)).collect();
        let expected = ["server.tls.cert", "server.tls.key", "server.tls.client_ca"];
        assert_eq!(found, expected.map(|path| (path, missing)), "{text:?}");
        assert!(errors.iter().all(|error| error.code == Code::MissingKey && error.line.is_some()));
    }
    assert_eq!(
        with("gateway: { dlp: { rules: [{ id: a, type: t, pattern: x }] } }\n").errors(&[]),
        ["palisade.yaml:3:27: gateway.dlp.rules[0].action: is required"]
    );
}

#[test]
fn problems_of_single_keys_are_reported_together() {
    let text = "gateway: { rate_limit: { per_hour: x, per_minut: 1 }, dlp: { rules: 1 } }\n\
                agents: { \"\": {} }\nstorage: { durability: fsynk }\n";
    let folder = with(text);
    let errors = folder.load(&[("PALISADE_DELIVERY__MAX_ATTEMPTS", "0")]).unwrap_err();
    let places: Vec<_> =
        errors.iter().map(|error| (error.line, error.column, &*error.path)).collect();
    let expected = [
        (Some(3), Some(36), "gateway.rate_limit.per_hour"),
        (Some(3), Some(39), "gateway.rate_limit.per_minut"),
        (Some(3), Some(69), "gateway.dlp.rules"),
        (Some(4), Some(11), "agents."),
        (Some(5), Some(24), "storage.durability"),
        (None, None, "delivery.max_attempts"),
    ];
    for place in expected {
        assert!(places.contains(&place), "{place:?} is not in {places:?}");
    }
    assert_eq!(places.len(), expected.len());
}

#[test]
fn the_listen_address_is_an_address_and_a_port() {
    for bad in ["localhost:1", "127.0.0.1", "127.0.0.1:99999", ":50051", "7"] {
        let text =
            format!("server:\n  listen: \"{bad}\"\n  tls: {{ cert: a, key: b, client_ca: c }}\n");
        let errors = Folder::with("palisade.yaml", text).errors(&[]);
        let expected = "palisade.yaml:2:11: server.listen: must be an IP address and a port, such \
                        as 127.0.0.1:50051 or [::1]:50051";
        assert_eq!(errors, [expected], "{bad}");
    }
    for good in ["127.0.0.1:0", "\"[::1]:50051\"", "0.0.0.0:443"] {
        let text =
            format!("server:\n  listen: {good}\n  tls: {{ cert: a, key: b, client_ca: c }}\n");
        let config = Folder::with("palisade.yaml", text).load(&[]).unwrap();
        assert_eq!(config.server.listen.to_string(), good.trim_matches('"'));
    }
}

#[test]
fn errors_are_data_for_programs_too() {
    let errors = with("gatway: {}\n").load(&[]).unwrap_err();
    let json = serde_json::to_value(&errors[0]).unwrap();
    assert_eq!(json["code"], "config_unknown_key");
    assert_eq!((&json["line"], &json["column"]), (&3.into(), &1.into()));
    assert_eq!((&json["path"], &json["suggestion"]), (&"gatway".into(), &"gateway".into()));
    assert_eq!(json["code"], errors[0].code.as_str());
}

#[test]
fn values_never_reach_an_error() {
    let secret = "hunter2-hunter2";
    let texts = [
        format!("gateway: {{ redis: {{ url: [{secret}] }} }}\n"),
        format!("gateway: {{ features: {{ dlp: {secret} }} }}\n"),
        format!("gateway: {{ telemetry: {{ headers: {secret} }} }}\n"),
        format!("storage: {{ durability: {secret} }}\n"),
        format!("agents: {{ a: {{ sealing_key: {secret} }} }}\n"),
        format!("{TLS}listen: {secret}\n"),
    ];
    for text in texts {
        let errors = with(&text).errors(&[]);
        assert!(!errors.is_empty() && !errors.concat().contains(secret), "{errors:?}");
    }
    let variable = [("GATEWAY_TELEMETRY__HEADERS", "{ a: [hunter2-hunter2 }")];
    let errors = with("").errors(&variable);
    assert!(!errors.is_empty() && !errors.concat().contains(secret), "{errors:?}");
}

#[test]
fn the_workload_api_stands_in_place_of_the_files_and_not_beside_them() {
    let load = |text: &str| Folder::with("palisade.yaml", text).errors(&[]);
    let alone = "server: { tls: { workload_api: 'unix:///run/spire/agent.sock' } }\n";
    let config = Folder::with("palisade.yaml", alone).load(&[]).unwrap();
    let TlsSource::WorkloadApi(endpoint) = &config.server.tls.source else { panic!("files") };
    assert_eq!(endpoint.path().to_str(), Some("/run/spire/agent.sock"));
    let beside = |key: &str, gives: &str| {
        format!(
            "{key}: stands beside server.tls.workload_api, which gives {gives}; remove one of both"
        )
    };
    let text = "server: { tls: { workload_api: 'unix:///a', cert: a, key: b, client_ca: c,\
                \x20crl: d }, spiffe: { federated: { other.org: o.pem } } }\n";
    let found = load(text);
    for (key, gives) in [
        ("server.tls.cert", "the certificate"),
        ("server.tls.key", "the key"),
        ("server.tls.client_ca", "the authorities"),
        ("server.tls.crl", "the revocation lists"),
        ("server.spiffe.federated", "the authorities of other trust domains"),
    ] {
        let expected = beside(key, gives);
        assert!(found.iter().any(|error| error.ends_with(&expected)), "{expected}: {found:?}");
    }
    assert_eq!(found.len(), 5);
    for (value, says) in [("/run/agent.sock", "is no Unix socket"), ("unix://h/a", "names a host")]
    {
        let found = load(&format!("server: {{ tls: {{ workload_api: '{value}' }} }}\n"));
        assert!(matches!(&*found, [one] if one.contains(says)), "{found:?}");
    }
    // An agent of another domain need not be known from the file.
    let text = "server: { tls: { workload_api: 'unix:///a' } }\n\
                agents: { a: { spiffe_id: 'spiffe://other.org/a' } }\n";
    Folder::with("palisade.yaml", text).load(&[]).unwrap();
}

#[test]
fn the_address_of_operations_is_an_address_and_a_port_or_nothing() {
    let load = |listen: &str| {
        let tls = "tls: { cert: a, key: b, client_ca: c }";
        let text = format!("server:\n  operations: {{ listen: {listen} }}\n  {tls}\n");
        Folder::with("palisade.yaml", text)
    };
    let errors = load("nonsense").errors(&[]);
    let [error] = errors.as_slice() else { panic!("{errors:?}") };
    assert!(error.contains("server.operations.listen: must be an IP address"), "{error}");
    for (text, expected) in [("null", None), ("127.0.0.1:9464", Some(9464))] {
        let operations = load(text).load(&[]).unwrap().server.operations;
        assert_eq!(operations.map(|address| address.port()), expected);
    }
}
