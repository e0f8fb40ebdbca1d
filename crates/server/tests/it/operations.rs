//! Metrics and health as the machines that watch a server see them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::raw::{Raw, call, closed, data, end, frame};
use crate::site::{Engine, Plan, Site, within};

pub(crate) const LISTEN: &str = "  operations: { listen: '127.0.0.1:0' }\n";

async fn watched() -> (Site, SocketAddr) {
    let engine = Engine::Embedded;
    let site = Site::open(Plan { engine, server: LISTEN, ..Plan::default() }).await;
    let address = site.running.operations().unwrap();
    (site, address)
}

/// Asks once; returns the status line's code, the head and the body.
pub(crate) async fn ask(address: SocketAddr, request: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let text = format!("{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within("an answer", stream.read_to_string(&mut answer)).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_owned(), body.to_owned())
}

/// Returns the samples of the text format: name with labels to value.
pub(crate) fn samples(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let pair = |line: &str| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), value.parse().unwrap())
    };
    lines.map(pair).collect()
}

/// Returns name and kind of each metric of the text format.
fn families(text: &str) -> BTreeMap<String, String> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let pair = |line: &str| line.split_once(' ').map(|(n, k)| (n.to_owned(), k.to_owned()));
    types.filter_map(pair).collect()
}

fn document(path: &str) -> String {
    let path = format!("{}/../../{path}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|cause| panic!("{path}: {cause}"))
}

/// Returns what names a metric of ours in an expression.
fn named(expression: &str) -> BTreeSet<String> {
    let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("palisade_")).map(str::to_owned).collect()
}

#[tokio::test]
async fn metrics_say_what_passed_the_gate() {
    let (site, address) = watched().await;
    let (a, b) = (site.connect("a").await.unwrap(), site.connect("b").await.unwrap());
    a.send("b", "note", &json!({ "ssn": "536-22-1234" })).await.unwrap();
    a.send("a", "note", &json!({})).await.unwrap_err();
    let (status, head, text) = ask(address, "GET /metrics").await;
    assert_eq!(status, 200);
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    let samples = samples(&text);
    let of = |name: &str| *samples.get(name).unwrap_or_else(|| panic!("no {name} in {text}"));
    assert_eq!(of("palisade_runs_total{event=\"message.send\",decision=\"DLP_REDACTED\"}"), 1.0);
    assert_eq!(of("palisade_runs_total{event=\"message.send\",decision=\"AUTHZ_DENIED\"}"), 1.0);
    assert_eq!(of("palisade_refusals_total{code=\"not_authorized\"}"), 1.0);
    assert_eq!(of("palisade_findings_total{kind=\"ssn\"}"), 1.0);
    assert_eq!(of("palisade_sessions"), 2.0);
    assert_eq!(of("palisade_ready"), 1.0);
    assert!(of("palisade_connections") >= 2.0);
    assert!(of("palisade_handshakes_total") >= 2.0);
    assert!(of("palisade_audit_records") >= 5.0);
    assert!(of("palisade_store_group_batches_count") >= 5.0);
    assert!(of("palisade_stage_duration_seconds_sum{stage=\"commit\"}") > 0.0);
    let buckets = of("palisade_run_duration_seconds_bucket{le=\"+Inf\"}");
    assert_eq!(buckets, of("palisade_run_duration_seconds_count"));
    // No agent is named anywhere, and nothing of a payload.
    assert!(!text.contains("536-22") && !text.contains("=\"a\"") && !text.contains("note"));
    drop((a, b));
}

#[tokio::test]
async fn connections_that_are_cut_are_counted_by_reason() {
    let limits = "first_settings_timeout_ms: 1000, idle_frames_per_second: 100, \
                  refusals_per_second: 1, penalty_ms: 0";
    let site = Site::open(Plan { limits, server: LISTEN, ..Plan::default() }).await;
    let address = site.running.operations().unwrap();
    let cuts = async || {
        let (_, _, text) = ask(address, "GET /metrics").await;
        let is_cut = |name: &String| name.starts_with("palisade_connections_cut_total{");
        samples(&text).into_iter().filter(|(name, _)| is_cut(name)).collect::<Vec<_>>()
    };
    let expected = |silent: f64, idle: f64, refusals: f64| {
        let named = |(reason, count)| {
            (format!("palisade_connections_cut_total{{reason=\"{reason}\"}}"), count)
        };
        let all = [
            ("deliveries_unread", 0.0),
            ("no_settings", silent),
            ("too_many_cancels", 0.0),
            ("too_many_idle_frames", idle),
            ("too_many_refusals", refusals),
        ];
        all.map(named).to_vec()
    };
    assert_eq!(cuts().await, expected(0.0, 0.0, 0.0));
    closed(&mut site.tls("a").await.unwrap()).await;
    site.recorded("no_settings").await;
    assert_eq!(cuts().await, expected(1.0, 0.0, 0.0));
    let refused = |number: u32| [call(number, "Reply", &[]), data(number, b""), end(number)];
    let refused: Vec<u8> = (0..40).flat_map(|number| refused(2 * number + 1).concat()).collect();
    let pings = frame(6, 0, 0, &[7; 8]).repeat(2_000);
    for flood in [&pings, &pings, &refused] {
        let mut raw = Raw::open(&site, "b").await;
        drop(raw.stream.write_all(flood).await);
        closed(&mut raw.stream).await;
    }
    site.recorded("too_many_refusals").await;
    assert_eq!(cuts().await, expected(1.0, 2.0, 1.0));
    // Who leaves as he should is not counted.
    site.connect("a").await.unwrap().close().await;
    assert_eq!(cuts().await, expected(1.0, 2.0, 1.0));
}

#[tokio::test]
async fn openmetrics_is_given_to_those_who_ask_for_it() {
    let (_site, address) = watched().await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = "GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
                   accept: application/openmetrics-text;version=1.0.0,*/*;q=0.1\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within("an answer", stream.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.contains("application/openmetrics-text; version=1.0.0"), "{answer}");
    assert!(answer.ends_with("# EOF\n") && answer.contains("# TYPE palisade_runs counter\n"));
}

#[tokio::test]
async fn health_says_ready_and_then_why_not() {
    let (site, address) = watched().await;
    let (status, _, body) = ask(address, "GET /livez").await;
    assert_eq!((status, body.as_str()), (200, "{\"live\":true}\n"));
    let (status, _, body) = ask(address, "GET /readyz").await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, body), (200, json!({ "ready": true, "reasons": [] })));
    let (status, _, _) = ask(address, "POST /readyz").await;
    assert_eq!(status, 405);
    let (status, _, _) = ask(address, "GET /other").await;
    assert_eq!(status, 404);
    // A session keeps the end from being at once.
    let _a = site.connect("a").await.unwrap();
    let mut asking = TcpStream::connect(address).await.unwrap();
    let stop = site.running.stop();
    let look = async {
        tokio::task::yield_now().await;
        let text = "GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n";
        asking.write_all(text.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let mut piece = [0; 1024];
        while !answer.contains("reasons") {
            let count = within("an answer", asking.read(&mut piece)).await.unwrap();
            assert!(count > 0, "closed after {answer}");
            answer.push_str(std::str::from_utf8(&piece[..count]).unwrap());
        }
        answer
    };
    let ((), answer) = tokio::join!(stop, look);
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("\"draining\""), "{answer}");
    assert!(TcpStream::connect(address).await.is_err(), "it still listens");
}

#[tokio::test]
async fn who_says_nothing_is_sent_away_and_large_heads_are_refused() {
    let (_site, address) = watched().await;
    let mut silent = TcpStream::connect(address).await.unwrap();
    silent.write_all(b"GET /metrics HTTP/1.1\r\n").await.unwrap();
    let begun = tokio::time::Instant::now();
    let mut rest = Vec::new();
    drop(within("the end of a silent one", silent.read_to_end(&mut rest)).await);
    assert!(begun.elapsed() > Duration::from_secs(3) && !rest.starts_with(b"HTTP/1.1 200"));
    let mut large = TcpStream::connect(address).await.unwrap();
    let head = format!("GET /metrics HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(64 << 10));
    drop(large.write_all(head.as_bytes()).await);
    let mut rest = Vec::new();
    drop(within("the end of a large one", large.read_to_end(&mut rest)).await);
    assert!(!rest.starts_with(b"HTTP/1.1 200"));
}

#[tokio::test]
async fn it_is_off_unless_configured() {
    let site = Site::open(Plan::default()).await;
    assert_eq!(site.running.operations(), None);
}

#[tokio::test]
async fn every_metric_is_documented_and_every_documented_metric_exists() {
    let (_site, address) = watched().await;
    let (_, _, text) = ask(address, "GET /metrics").await;
    let exposed = families(&text);
    let table = document("docs/metrics.md");
    let row = |line: &str| {
        let mut cells = line.strip_prefix("| `palisade_")?.split('|');
        let name = cells.next()?.trim().trim_end_matches('`');
        Some((format!("palisade_{name}"), cells.next()?.trim().to_owned()))
    };
    let documented: BTreeMap<String, String> = table.lines().filter_map(row).collect();
    assert_eq!(documented, exposed);
}

#[tokio::test]
async fn dashboard_and_alerts_ask_for_metrics_that_exist() {
    let (_site, address) = watched().await;
    let (_, _, text) = ask(address, "GET /metrics").await;
    let mut known = BTreeSet::new();
    for (name, kind) in families(&text) {
        if kind == "histogram" {
            known.extend(["_bucket", "_sum", "_count"].map(|end| format!("{name}{end}")));
        } else {
            known.insert(name);
        }
    }
    let dashboard: Value = serde_json::from_str(&document("deploy/grafana/palisade.json")).unwrap();
    let mut ids = BTreeSet::new();
    let (mut asked, mut shown) = (0, BTreeSet::new());
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: the id is not its own");
        assert!(panel["type"].is_string() && panel["gridPos"]["w"].as_u64() <= Some(24), "{title}");
        for target in panel["targets"].as_array().unwrap() {
            let names = named(target["expr"].as_str().unwrap());
            assert!(!names.is_empty() && names.is_subset(&known), "{title}: {names:?}");
            shown.extend(names.into_iter().map(|name| (name, title)));
            asked += 1;
        }
    }
    assert!(asked >= 12 && dashboard["schemaVersion"].is_u64(), "{asked}");
    // What ends by itself, and whom the server sends away, each stand in a panel of their own.
    for (name, title) in [
        ("palisade_certificate_remaining_seconds", "Time until the certificate ends"),
        ("palisade_certificate_lifetime_seconds", "What is left of the certificate's lifetime"),
        ("palisade_connections_cut_total", "Connections cut by reason"),
    ] {
        assert!(shown.contains(&(name.to_owned(), title)), "no panel shows {name}");
    }
    let rules: Value = serde_saphyr::from_str(&document("deploy/prometheus/alerts.yaml")).unwrap();
    let mut alerts = BTreeSet::new();
    for rule in rules["groups"].as_array().unwrap().iter().flat_map(|g| g["rules"].as_array()) {
        for rule in rule {
            let name = rule["alert"].as_str().unwrap();
            assert!(alerts.insert(name), "{name} stands twice");
            let expression = rule["expr"].as_str().unwrap();
            let names = named(expression);
            // Whether a gate can be reached is Prometheus' own metric.
            let is_own = expression.starts_with("up{");
            assert!((is_own || !names.is_empty()) && names.is_subset(&known), "{name}: {names:?}");
            assert!(rule["annotations"]["summary"].is_string(), "{name} says nothing");
            assert!(rule["labels"]["severity"].is_string(), "{name} has no severity");
        }
    }
    assert!(alerts.len() >= 8, "{alerts:?}");
}

#[tokio::test]
async fn the_alert_of_a_certificate_comes_when_renewal_is_overdue() {
    const HOUR: u64 = 3_600;
    const DAY: u64 = 24 * HOUR;
    let site = Site::open(Plan::default()).await;
    // Lifetime, what is left of it, and how Prometheus says that if it is an alert.
    let cases = [
        (365 * DAY, 8 * DAY, None),
        (365 * DAY, 6 * DAY, Some("6d 0h 0m 0s")),
        (90 * DAY, 30 * DAY, None),
        (14 * DAY, 6 * DAY, None),
        (14 * DAY, 2 * DAY, Some("2d 0h 0m 0s")),
        // Renewers began with a third of it left, at the latest.
        (HOUR, 1_000, None),
        (HOUR, 600, Some("10m 0s")),
    ];
    let (mut series, mut alerts) = (Vec::new(), Vec::new());
    for (number, (lifetime, remaining, said)) in cases.into_iter().enumerate() {
        for (name, seconds) in [("lifetime", lifetime), ("remaining", remaining)] {
            let name = format!("palisade_certificate_{name}_seconds{{instance=\"{number}\"}}");
            series.push(json!({ "series": name, "values": format!("{seconds}x5") }));
        }
        alerts.extend(said.map(|said| {
            json!({
                "exp_labels": { "severity": "warning", "instance": number.to_string() },
                "exp_annotations": {
                    "summary": format!("The certificate of the gate {number} ends in {said}"),
                    "description": "What renews it should have done so; see docs/operations.md.",
                },
            })
        }));
    }
    let rules = format!("{}/../../deploy/prometheus/alerts.yaml", env!("CARGO_MANIFEST_DIR"));
    let asked =
        json!({ "alertname": "PalisadeCertificateEnds", "eval_time": "5m", "exp_alerts": alerts });
    let test = json!({ "interval": "1m", "input_series": series, "alert_rule_test": [asked] });
    let file = site.folder().join("certificates.yaml");
    let text = json!({ "rule_files": [rules], "tests": [test] }).to_string();
    std::fs::write(&file, text).unwrap();
    promtool(&["test", "rules", file.to_str().unwrap()], "");
}

#[tokio::test]
async fn each_alert_comes_when_it_should_and_only_then() {
    let file = "deploy/prometheus/alerts_test.yaml";
    let rules: Value = serde_saphyr::from_str(&document("deploy/prometheus/alerts.yaml")).unwrap();
    let groups = rules["groups"].as_array().unwrap().iter();
    let rules = groups.flat_map(|group| group["rules"].as_array().unwrap());
    let alerts: BTreeSet<_> = rules.map(|rule| rule["alert"].as_str().unwrap()).collect();
    let cases: Value = serde_saphyr::from_str(&document(file)).unwrap();
    let cases = cases["tests"].as_array().unwrap().iter();
    let (mut fires, mut does_not) = (BTreeSet::new(), BTreeSet::new());
    for asked in cases.flat_map(|case| case["alert_rule_test"].as_array().unwrap()) {
        let alert = asked["alertname"].as_str().unwrap();
        let is_fired = !asked["exp_alerts"].as_array().unwrap().is_empty();
        if is_fired {
            fires.insert(alert)
        } else {
            does_not.insert(alert)
        };
    }
    assert_eq!((&fires, &does_not), (&alerts, &alerts), "an alert without both cases");
    let path = format!("{}/../../{file}", env!("CARGO_MANIFEST_DIR"));
    promtool(&["test", "rules", &path], "");
}

/// Runs Prometheus' own checker on an input; it must be content. `scripts/test.sh` fetches it.
fn promtool(arguments: &[&str], input: &str) {
    let fetched = format!("{}/../../target/promtool/usr/bin/promtool", env!("CARGO_MANIFEST_DIR"));
    let program = if Path::new(&fetched).exists() { fetched } else { "promtool".to_owned() };
    let mut command = Command::new(&program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("no promtool: run scripts/test.sh once");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(output.status.success(), "{arguments:?}: {said:?}");
}

#[tokio::test]
async fn prometheus_reads_the_metrics_and_loads_rules_and_dashboard() {
    let (site, address) = watched().await;
    let a = site.connect("a").await.unwrap();
    a.send("b", "note", &json!({ "ssn": "536-22-1234" })).await.unwrap();
    a.send("a", "note", &json!({})).await.unwrap_err();
    let (_, _, text) = ask(address, "GET /metrics").await;
    promtool(&["check", "metrics"], &text);
    let root = format!("{}/../..", env!("CARGO_MANIFEST_DIR"));
    promtool(&["check", "rules", &format!("{root}/deploy/prometheus/alerts.yaml")], "");
    // It knows no dashboards, so each expression of one is checked as a rule.
    let dashboard: Value = serde_json::from_str(&document("deploy/grafana/palisade.json")).unwrap();
    let targets = dashboard["panels"].as_array().unwrap().iter();
    let targets = targets.flat_map(|panel| panel["targets"].as_array().unwrap());
    let rules: Vec<Value> = targets
        .enumerate()
        .map(|(number, target)| {
            let expression = target["expr"].as_str().unwrap();
            let expression =
                expression.replace("$__rate_interval", "5m").replace("$instance", ".*");
            json!({ "record": format!("panel:{number}"), "expr": expression })
        })
        .collect();
    let file = site.folder().join("dashboard.yaml");
    let group = json!({ "groups": [{ "name": "dashboard", "rules": rules }] });
    std::fs::write(&file, group.to_string()).unwrap();
    promtool(&["check", "rules", file.to_str().unwrap()], "");
}
