//! Environment variables override single keys, and nothing else.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use server::config::{self, Environment, RateLimit, TlsSource};

use super::with;

#[test]
fn a_variable_leaves_the_neighbours_of_its_key_alone() {
    let folder = with("gateway: { rate_limit: { per_minute: 7, per_hour: 70 } }\n");
    let names = [
        "PALISADE_GATEWAY__RATE_LIMIT__PER_MINUTE",
        "GATEWAY_RATE_LIMIT__PER_MINUTE",
        "GATEWAY_RATE_LIMIT_PER_MINUTE",
        "gateway_rate_limit__per_minute",
    ];
    for name in names {
        let config = folder.load(&[(name, "3")]).unwrap();
        assert_eq!(config.gateway.rate_limit, RateLimit { per_minute: 3, per_hour: 70 }, "{name}");
    }
    let unset = with("").load(&[("GATEWAY_RATE_LIMIT__PER_HOUR", "3")]).unwrap();
    assert_eq!(unset.gateway.rate_limit, RateLimit { per_minute: 100, per_hour: 3 });
}

#[test]
fn every_key_of_the_gateway_has_one_name_with_single_underscores() {
    let schema = config::schema();
    let mut names = std::collections::BTreeSet::new();
    let sections = schema["$defs"]["GatewayKeys"]["properties"].as_object().unwrap();
    for (section, reference) in sections {
        let pointer = reference["$ref"].as_str().unwrap().trim_start_matches('#').to_owned();
        for key in schema.pointer(&pointer).unwrap()["properties"].as_object().unwrap().keys() {
            assert!(names.insert(format!("{section}_{key}")), "{section}_{key} is there twice");
        }
    }
    assert!(names.len() > 25);
}

#[test]
fn values_are_texts_where_a_text_is_wanted_and_yaml_elsewhere() {
    let folder = with("agents: { desk-1: { roles: [] }, b: {} }\n");
    let config = folder
        .load(&[
            ("PALISADE_SERVER__LISTEN", "[::1]:0"),
            ("PALISADE_SERVER__TLS__CERT", "/etc/pki/a #1.pem"),
            ("PALISADE_STORAGE__PATH", "010"),
            ("PALISADE_DELIVERY__OFFLINE", "refuse"),
            ("PALISADE_AGENTS__DESK_1__ALLOW", "[b, \"*\"]"),
            ("PALISADE_AGENTS__DESK_1__LIMITS__PER_HOUR", "9"),
            ("GATEWAY_DLP__DISABLE_DEFAULTS", "[email, phone]"),
            ("GATEWAY_DLP__POLICY_OVERRIDES__SSN", "block"),
            ("GATEWAY_DLP_POLICY_OVERRIDES", "{ icd10: redact }"),
            ("GATEWAY_CIRCUIT_BREAKER__TIMEOUT_SECONDS", "1.5"),
            ("GATEWAY_AUDIT__FILE_PATH", ""),
        ])
        .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>())
        .unwrap();
    assert_eq!(config.server.listen.to_string(), "[::1]:0");
    let TlsSource::Files(files) = &config.server.tls.source else { panic!("no files") };
    assert_eq!(files.cert.to_str(), Some("/etc/pki/a #1.pem"));
    assert_eq!(config.storage.path, folder.folder.path().join("010"));
    assert_eq!(config.agents["desk-1"].allow.len(), 2);
    assert_eq!(config.rate_limit("desk-1").per_hour, 9);
    assert_eq!(config.gateway.dlp.disable_defaults, ["email", "phone"]);
    assert_eq!(config.gateway.dlp.policy_overrides.len(), 2);
    assert_eq!(config.gateway.circuit_breaker.timeout.as_millis(), 1_500);
    assert_eq!(config.gateway.audit.file_path, None);
}

#[test]
fn a_variable_that_names_no_key_is_refused_with_a_suggestion() {
    let folder = with("agents: { a: {} }\n");
    let cases = [
        (
            "PALISADE_DELIVERY__MAX_INFLIGHT",
            "environment variable PALISADE_DELIVERY__MAX_INFLIGHT: names no key; did you mean \
             PALISADE_DELIVERY__MAX_IN_FLIGHT?",
        ),
        (
            "PALISADE_DELIVERY_MAX_IN_FLIGHT",
            "environment variable PALISADE_DELIVERY_MAX_IN_FLIGHT: names no key; did you mean \
             PALISADE_DELIVERY__MAX_IN_FLIGHT?",
        ),
        (
            "GATEWAY_RATE_LIMIT__PER_MINUT",
            "environment variable GATEWAY_RATE_LIMIT__PER_MINUT: names no key; did you mean \
             GATEWAY_RATE_LIMIT__PER_MINUTE?",
        ),
        (
            "PALISADE_CONFG",
            "environment variable PALISADE_CONFG: names no key; did you mean PALISADE_CONFIG?",
        ),
        (
            "PALISADE_DELIVERY",
            "environment variable PALISADE_DELIVERY: delivery: is a section; set its keys one by \
             one, two underscores apart",
        ),
        (
            "PALISADE_AGENTS__EVE__ALLOW",
            "environment variable PALISADE_AGENTS__EVE__ALLOW: agents.eve: is not in the file; a \
             variable changes entries of the file only",
        ),
        (
            "GATEWAY_RATE_LIMIT",
            "environment variable GATEWAY_RATE_LIMIT: gateway.rate_limit: is a section; set its \
             keys one by one, two underscores apart",
        ),
    ];
    for (name, expected) in cases {
        assert_eq!(folder.errors(&[(name, "1")]), [expected]);
    }
    let reserved = ["PALISADE_ADDR", "PALISADE_LOG", "GATEWAY_CONFIG_FILE", "OTHER_PALISADE_X"];
    assert!(folder.load(&reserved.map(|name| (name, "x"))).is_ok());
}

#[test]
fn bad_values_of_variables_are_named_by_variable_and_key() {
    let folder = with("");
    let cases = [
        ("many", "must be a whole number, not a text"),
        ("0", "must be from 1 to 100000"),
        ("", "has no value; write a whole number or remove the key"),
    ];
    for (value, message) in cases {
        let name = "PALISADE_DELIVERY__MAX_IN_FLIGHT";
        let expected = format!("environment variable {name}: delivery.max_in_flight: {message}");
        assert_eq!(folder.errors(&[(name, value)]), [expected]);
    }
    let bytes = OsString::from_vec(vec![0xff]);
    let environment: Environment = [("PALISADE_STORAGE__PATH", bytes)].into_iter().collect();
    let errors = config::load(&folder.file, &environment).unwrap_err();
    assert_eq!(errors[0].variable.as_deref(), Some("PALISADE_STORAGE__PATH"));
    let long = format!("[{}]", "a, ".repeat(30_000));
    assert!(folder.errors(&[("GATEWAY_DLP__DISABLE_DEFAULTS", &long)])[0].contains("65536 bytes"));
}

#[test]
fn two_variables_for_one_key_are_refused() {
    let errors = with("").errors(&[
        ("PALISADE_GATEWAY__RATE_LIMIT__PER_HOUR", "1"),
        ("GATEWAY_RATE_LIMIT_PER_HOUR", "2"),
    ]);
    let expected = "environment variable PALISADE_GATEWAY__RATE_LIMIT__PER_HOUR: \
                    gateway.rate_limit.per_hour: is also set by GATEWAY_RATE_LIMIT_PER_HOUR; \
                    remove one of them";
    assert_eq!(errors, [expected]);
}

#[test]
fn required_keys_may_come_from_the_environment() {
    let folder = super::Folder::with("palisade.yaml", "");
    let names = ["CERT", "KEY", "CLIENT_CA"].map(|key| format!("PALISADE_SERVER__TLS__{key}"));
    let pairs: Vec<_> = names.iter().map(|name| (name.as_str(), "f.pem")).collect();
    assert!(folder.load(&pairs).is_ok());
    assert_eq!(folder.load(&pairs[1..]).unwrap_err().len(), 1);
}

#[test]
fn values_of_the_environment_are_not_in_its_debug_form() {
    let environment: Environment =
        [("GATEWAY_REDIS__URL", "redis://:secret@h")].into_iter().collect();
    assert_eq!(format!("{environment:?}"), "{\"GATEWAY_REDIS__URL\"}");
}
