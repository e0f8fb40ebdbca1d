//! Keys that do not go together, and what comes out when all do.

use std::collections::BTreeMap;
use std::time::Duration;

use server::config::{ConfigErrorCode as Code, RateLimit, TlsSource, find};

use super::{Folder, TLS, with};

#[test]
fn rules_that_make_no_sense_are_reported_at_their_entry() {
    let cases = [
        ("agents:\n  a: { allow: [a, \"b*\"] }\n", (4, 19, "agents.a.allow[1]")),
        ("agents:\n  a: { roles: [r] }\n", (4, 16, "agents.a.roles[0]")),
        (
            "roles:\n  r: { permissions: [\"send:*\", \"sned:b\"] }\n",
            (4, 32, "roles.r.permissions[1]"),
        ),
        (
            "gateway:\n  dlp:\n    rules:\n      - { id: a, type: t, pattern: 'x(', \
             action: block }\n",
            (6, 36, "gateway.dlp.rules[0].pattern"),
        ),
        (
            "gateway: { dlp: { disable_defaults: [email, emial] } }\n",
            (3, 45, "gateway.dlp.disable_defaults[1]"),
        ),
        (
            "gateway: { dlp: { policy_overrides: { sn: block } } }\n",
            (3, 43, "gateway.dlp.policy_overrides.sn"),
        ),
    ];
    for (text, (line, column, path)) in cases {
        let errors = with(text).load(&[]).unwrap_err();
        let [error] = errors.as_slice() else { panic!("{errors:?}") };
        assert_eq!((error.line, error.column, &*error.path), (Some(line), Some(column), path));
        assert_eq!(error.code, Code::Value);
    }
}

#[test]
fn what_cannot_sign_or_cosign_is_refused_at_its_key() {
    let log = "log+3c534a2f+AUsK23yvzarqCoslRuGz2pgl43FpeNmkqvbn/q/js0JE";
    let key = "witness/83104928+7454b450+BBO+fSqyDZqaXds8nw8x+jl39UUOPlqZwn3FIz5Nocdy";
    let witness = |url: &str, key: &str| format!("{{ url: \"{url}\", key: \"{key}\" }}");
    let signing = "signing_key: a.key";
    for (text, path) in [
        ("signing_key: data/a.key".to_owned(), "audit.signing_key"),
        (format!("witnesses: [{}]", witness("http://a", key)), "audit.witnesses"),
        (
            format!("{signing}, witnesses: [{}]", witness("https://a", key)),
            "audit.witnesses[0].url",
        ),
        (format!("{signing}, witnesses: [{}]", witness("a:1", key)), "audit.witnesses[0].url"),
        (format!("{signing}, witnesses: [{}]", witness("http://a", log)), "audit.witnesses[0].key"),
        (
            format!("{signing}, witnesses: [{0}, {0}]", witness("http://a", key)),
            "audit.witnesses[1].key",
        ),
        (format!("{signing}, checkpoint_seconds: 0"), "audit.checkpoint_seconds"),
    ] {
        let errors = with(&format!("audit: {{ {text} }}\n")).load(&[]).unwrap_err();
        let paths: Vec<_> = errors.iter().map(|error| &*error.path).collect();
        assert_eq!(paths, [path], "{text}");
    }
    let whole = format!("audit: {{ {signing}, witnesses: [{}] }}\n", witness("http://a:1", key));
    let config = with(&whole).load(&[]).unwrap();
    assert_eq!(config.audit.witnesses[0].key.to_string(), key);
    assert!(config.audit.signing_key.unwrap().is_absolute());
}

#[test]
fn the_second_of_two_dlp_rules_with_one_id_is_in_the_way() {
    let rule = "{ id: a, type: t, pattern: x+, action: block }";
    let text = format!("gateway:\n  dlp:\n    rules:\n      - {rule}\n      - {rule}\n");
    let errors = with(&text).load(&[]).unwrap_err();
    assert_eq!((errors[0].line, &*errors[0].path), (Some(7), "gateway.dlp.rules[1].id"));
}

#[test]
fn sizes_that_contradict_each_other_are_refused_where_one_of_them_is_written() {
    let cases = [
        ("validation: { payload_bytes_max: 4194305 }\n", "validation.payload_bytes_max"),
        ("delivery: { envelope_bytes_max: 4194305 }\n", "delivery.envelope_bytes_max"),
        ("delivery: { in_flight_bytes_max: 4194303 }\n", "delivery.in_flight_bytes_max"),
        ("delivery: { queue_bytes_max: 4194303 }\n", "delivery.queue_bytes_max"),
        ("delivery: { retry_backoff_ms: 60001 }\n", "delivery.retry_backoff_ms"),
        ("delivery: { retry_backoff_max_ms: 999 }\n", "delivery.retry_backoff_max_ms"),
        ("validation: { state_bytes_max: 65535 }\n", "validation.state_bytes_max"),
        ("storage: { bytes_max: 67108863 }\n", "storage.bytes_max"),
    ];
    for (text, path) in cases {
        let errors = with(text).load(&[]).unwrap_err();
        assert!(errors.iter().any(|error| &*error.path == path), "{text}: {errors:?}");
        assert!(errors.iter().all(|error| error.line == Some(3)), "{text}: {errors:?}");
    }
    let equal =
        "validation: { payload_bytes_max: 4194304 }\ndelivery: { retry_backoff_ms: 60000 }\n";
    assert!(with(equal).load(&[]).is_ok());
}

#[test]
fn one_spiffe_id_is_never_an_agent_and_an_operator() {
    let spiffe = |keys: &str| {
        let text = format!("{TLS}  spiffe: {{ {keys} }}\n");
        let errors = Folder::with("palisade.yaml", text).load(&[]);
        errors
            .map_err(|errors| errors.iter().map(|error| error.path.to_string()).collect::<Vec<_>>())
    };
    for keys in [
        "operator_path: \"/agent/{o}\"",
        "agent_path: \"/{a}/x\", operator_path: \"/operator/{o}\"",
        "operator_path: \"/{o}/alice\"",
    ] {
        assert_eq!(spiffe(keys).unwrap_err(), ["server.spiffe.operator_path"], "{keys}");
    }
    assert_eq!(spiffe("trust_domain: MAS").unwrap_err(), ["server.spiffe.trust_domain"]);
    assert_eq!(spiffe("agent_path: /agent").unwrap_err(), ["server.spiffe.agent_path"]);
    let config = spiffe("trust_domain: example.org, agent_path: \"/ns/{a}/prod\"").unwrap();
    let id = config.server.agent_ids.format("alice").unwrap();
    assert_eq!(id.as_str(), "spiffe://example.org/ns/alice/prod");
}

#[test]
fn trust_domains_and_the_agents_of_them_go_together() {
    let load = |domains: &str, agents: &str| {
        let text =
            format!("{TLS}  spiffe: {{ federated: {{ {domains} }} }}\nagents: {{ {agents} }}\n");
        let errors = Folder::with("palisade.yaml", text).load(&[]);
        errors
            .map_err(|errors| errors.iter().map(|error| error.path.to_string()).collect::<Vec<_>>())
    };
    let other = "other.org: other.pem";
    let config = load(other, "p: { spiffe_id: 'spiffe://other.org/x' }").unwrap();
    assert!(config.server.federated["other.org"].is_absolute());
    assert_eq!(config.agents["p"].spiffe_id.as_ref().unwrap().as_str(), "spiffe://other.org/x");
    let named = "a: { spiffe_id: 'spiffe://mas/agent/b' }, b: { spiffe_id: 'spiffe://mas/b' }";
    load("", named).unwrap();
    for (domains, agents, place) in [
        ("mas: ca.pem", "", "server.spiffe.federated.mas"),
        ("spiffe://x: ca.pem", "", "server.spiffe.federated.spiffe://x"),
        ("x: ''", "", "server.spiffe.federated.x"),
        ("", "p: { spiffe_id: 'spiffe://other.org/x' }", "agents.p.spiffe_id"),
        (other, "p: { spiffe_id: 'spiffe://other.org' }", "agents.p.spiffe_id"),
        (other, "p: { spiffe_id: 'other.org/x' }", "agents.p.spiffe_id"),
        ("", "p: { spiffe_id: 'spiffe://mas/operator/boss' }", "agents.p.spiffe_id"),
        ("", "p: { spiffe_id: 'spiffe://mas/agent/q' }, q: {}", "agents.p.spiffe_id"),
        (
            other,
            "p: { spiffe_id: 'spiffe://other.org/x' }, q: { spiffe_id: 'spiffe://other.org/x' }",
            "agents.q.spiffe_id",
        ),
    ] {
        assert_eq!(load(domains, agents).unwrap_err(), [place], "{domains} {agents}");
    }
}

#[test]
fn a_full_file_becomes_rules_limits_and_paths() {
    let text = "\
gateway: { rate_limit: { per_minute: 7 }, features: { rbac: yes },
  audit: { file_path: logs/audit.jsonl } }
agents:
  no: { allow: [010, 'yes'], block: [no], roles: [r], limits: { per_hour: 0 },
    metadata: { a: [1, 2.5, null, x] } }
  '010': {}
  yes: {}
roles:
  r: { permissions: [send:b-*] }
delivery: { reclaim_idle_ms: 1_500 }
storage: { path: /var/lib/palisade }
";
    let folder = with(text);
    let config = folder.load(&[]).unwrap();
    let book = config.rule_book();
    assert!(book.rbac);
    let rules = &book.agents["no"];
    assert_eq!(rules.allow.iter().collect::<Vec<_>>(), ["010", "yes"]);
    assert_eq!(rules.block.iter().collect::<Vec<_>>(), ["no"]);
    assert_eq!(book.roles["r"].permissions.iter().collect::<Vec<_>>(), ["send:b-*"]);
    assert_eq!(config.rate_limit("no"), RateLimit { per_minute: 7, per_hour: 0 });
    assert_eq!(config.rate_limit("yes"), RateLimit { per_minute: 7, per_hour: 1_000 });
    let metadata = serde_json::json!([1, 2.5, null, "x"]);
    assert_eq!(config.agents["no"].metadata["a"], metadata);
    assert_eq!(config.delivery.reclaim_idle, Duration::from_millis(1_500));
    let home = folder.folder.path();
    let TlsSource::Files(files) = &config.server.tls.source else { panic!("no files") };
    assert_eq!(files.key, home.join("s.key"));
    assert_eq!(config.gateway.audit.file_path, Some(home.join("logs/audit.jsonl")));
    assert_eq!(config.storage.path.to_str(), Some("/var/lib/palisade"));
    let summary = config.summary();
    assert_eq!((summary.agents, summary.roles, summary.dlp_rules), (3, 1, 0));
    let revision = policy::Policy::compile(&book).revision().to_owned();
    assert_eq!(summary.policy_revision, revision);
}

#[test]
fn what_works_but_is_perhaps_not_meant_is_a_warning() {
    let text = "\
agents: { a: { allow: [ghost], roles: [r] } }
roles: { r: {} }
gateway:
  features: { dlp: false }
  dlp: { disable_defaults: [email] }
  redis: { url: redis://localhost }
";
    let warnings = with(text).load(&[]).unwrap().warnings;
    for part in
        ["`ghost`", "agents.a.roles", "gateway.dlp: has no effect", "gateway.redis: ignored"]
    {
        assert!(warnings.iter().any(|warning| warning.contains(part)), "{part}: {warnings:?}");
    }
    assert_eq!(
        with("").load(&[]).unwrap().warnings,
        ["agents: none is listed, so none can connect"]
    );
}

#[test]
fn a_mas_file_may_have_the_sections_of_the_gateway_at_its_top() {
    let text = format!("rate_limit: {{ per_minute: 5 }}\nfeatures: {{ rbac: true }}\n{TLS}");
    let config = Folder::with("mas.yaml", &text).load(&[]).unwrap();
    assert_eq!((config.gateway.rate_limit.per_minute, config.gateway.features.rbac), (5, true));

    let below = format!("gateway: {{ rate_limit: {{ per_hour: 5 }} }}\n{TLS}");
    let config = Folder::with("mas.yaml", &below).load(&[]).unwrap();
    assert_eq!(config.gateway.rate_limit, RateLimit { per_minute: 100, per_hour: 5 });

    let twice = format!("rate_limit: {{}}\ngateway: {{ rate_limit: {{}} }}\n{TLS}");
    let expected =
        "mas.yaml:1:1: rate_limit: is also there as gateway.rate_limit; remove one of them";
    assert_eq!(Folder::with("mas.yaml", twice).errors(&[]), [expected]);

    let folder = Folder::with("gateway.yaml", &text);
    let named = folder.file.display().to_string();
    assert!(folder.load(&[("GATEWAY_CONFIG_FILE", named.as_str())]).is_ok());
    assert_eq!(folder.load(&[]).unwrap_err().len(), 2);
}

#[test]
fn the_file_is_found_in_the_promised_order() {
    let folder = Folder::with("mas.yaml", TLS);
    let home = folder.folder.path();
    let environment = |pairs: &[(&str, &str)]| {
        pairs.iter().copied().collect::<BTreeMap<_, _>>().into_iter().collect()
    };
    assert_eq!(find(None, home, &environment(&[])).unwrap(), home.join("mas.yaml"));
    std::fs::write(home.join("palisade.yaml"), TLS).unwrap();
    assert_eq!(find(None, home, &environment(&[])).unwrap(), home.join("palisade.yaml"));

    let other = home.join("other.yaml");
    std::fs::write(&other, TLS).unwrap();
    let name = other.to_str().unwrap();
    for variable in ["PALISADE_CONFIG", "GATEWAY_CONFIG_FILE", "palisade_config"] {
        assert_eq!(find(None, home, &environment(&[(variable, name)])).unwrap(), other);
    }
    let mas = home.join("mas.yaml");
    let named = environment(&[("PALISADE_CONFIG", name)]);
    assert_eq!(find(Some(&mas), home, &named).unwrap(), mas);

    let missing = find(None, home, &environment(&[("PALISADE_CONFIG", "gone.yaml")])).unwrap_err();
    assert_eq!(missing.code, Code::Missing);
    assert_eq!(missing.to_string(), "gone.yaml: there is no such file; PALISADE_CONFIG names it");
    let empty = tempfile::tempdir().unwrap();
    let nothing = find(None, empty.path(), &environment(&[])).unwrap_err();
    assert!(nothing.message.contains("palisade dev"), "{nothing}");
}

#[test]
fn the_fingerprint_is_of_what_is_set_and_not_of_how_it_is_written() {
    let of = |text: &str, environment: &[(&str, &str)]| {
        with(text).load(environment).unwrap().fingerprint
    };
    let one = of("delivery: { max_in_flight: 5, max_attempts: 3 }\n", &[]);
    assert_eq!(one.len(), 64);
    let same = "# in another order\ndelivery:\n  max_attempts: 3\n  max_in_flight: 5\n";
    assert_eq!(of(same, &[]), one);
    assert_eq!(
        of("delivery: { max_attempts: 3 }\n", &[("PALISADE_DELIVERY__MAX_IN_FLIGHT", "5")]),
        one
    );
    assert_ne!(of(same, &[("PALISADE_DELIVERY__MAX_IN_FLIGHT", "6")]), one);
    assert_ne!(of("", &[]), one);
}
