//! What a collector hears of a gate and of agents in processes of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use e2e::{Gate, Program, Site, Started, eventually};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use palisade_client::{Client, Outgoing};
use prost::Message as _;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::collector::Collector;

#[path = "../../../crates/telemetry/tests/it/collector.rs"]
#[expect(dead_code, reason = "it speaks TLS too, which the tests beside it try")]
mod collector;

const STAGES: [&str; 8] = [
    "authenticate",
    "validate",
    "authorize",
    "rate_limit",
    "circuit",
    "inspect",
    "commit",
    "report",
];

/// Returns the settings of a gate with two agents.
fn agents(telemetry: &serde_json::Value) -> serde_json::Value {
    json!({
        "agents": { "alice": { "allow": ["bob"] }, "bob": { "allow": ["alice"] } },
        "gateway": {
            "rate_limit": { "per_minute": 1_000_000, "per_hour": 1_000_000 },
            "telemetry": telemetry,
        },
    })
}

/// A gate and agents that export to one collector.
struct Scene {
    site: Site,
    gate: Gate,
    url: String,
    collector: Collector,
}

impl Scene {
    async fn open(statuses: &[u16]) -> Self {
        let (collector, url) = Collector::start(statuses).await;
        let site = Site::new(&agents(&json!({
            "enabled": true,
            "otlp_endpoint": url,
            "service_name": "gate",
            "headers": { "x-token": "canary-header" },
        })));
        let site = site.unwrap();
        let gate = site.start().await.unwrap();
        Self { site, gate, url, collector }
    }

    /// Prepares a verb as an agent that exports under its own name.
    fn program(&self, agent: &str, line: &[&str]) -> Program {
        let line = [line, &["--as", agent, "--dir", ".", "--json"]].concat();
        Program::new(self.site.folder(), &line)
            .unwrap()
            .env("PALISADE_ADDR", &self.gate.addr().to_string())
            .env("GATEWAY_TELEMETRY__SERVICE_NAME", agent)
    }

    async fn run(&self, agent: &str, line: &[&str]) -> e2e::Run {
        self.program(agent, &[line, &["--telemetry", "palisade.yaml"]].concat())
            .run()
            .await
            .unwrap()
    }

    /// Starts `listen` and waits until it has a session.
    async fn listen(&self, agent: &str, line: &[&str]) -> Started {
        // Without a file: the environment alone turns it on.
        let listening = self
            .program(agent, &[&["listen", "--count", "1"][..], line].concat())
            .env("GATEWAY_TELEMETRY__ENABLED", "true")
            .env("GATEWAY_TELEMETRY__OTLP_ENDPOINT", &self.url)
            .start()
            .unwrap();
        let show = ["agents", "show", agent, "--dir", ".", "--json"];
        eventually(&format!("{agent} listens"), || async {
            let addr = self.gate.addr().to_string();
            let shown = Program::new(self.site.folder(), &show)?.env("PALISADE_ADDR", &addr);
            Ok((shown.run().await?.ok()?.json()?["status"] == "ACTIVE").then_some(()))
        })
        .await
        .unwrap();
        listening
    }

    /// Ends the gate and returns what the collector has, and the gate's log.
    async fn end(self) -> (Heard, String) {
        self.gate.terminate().unwrap();
        let log = self.site.path("gate.log");
        assert!(self.gate.ended().await.unwrap().success());
        (Heard::of(&self.collector), std::fs::read_to_string(log).unwrap())
    }
}

/// What the collector got.
#[derive(Default)]
struct Heard {
    /// Each span with the service that it is of.
    spans: Vec<(String, Span)>,
    /// The names of metrics.
    metrics: BTreeSet<String>,
    bytes: Vec<u8>,
}

impl Heard {
    fn of(collector: &Collector) -> Self {
        let mut heard = Self::default();
        for posted in collector.posted() {
            heard.bytes.extend(&posted.body);
            if posted.head.starts_with("post /base/v1/metrics ") {
                let export = ExportMetricsServiceRequest::decode(posted.body.as_slice()).unwrap();
                let scopes = export.resource_metrics.into_iter().flat_map(|one| one.scope_metrics);
                let metrics = scopes.flat_map(|scope| scope.metrics);
                heard.metrics.extend(metrics.map(|metric| metric.name));
                continue;
            }
            assert!(posted.head.starts_with("post /base/v1/traces "), "{}", posted.head);
            let export = ExportTraceServiceRequest::decode(posted.body.as_slice()).unwrap();
            for resource in export.resource_spans {
                let service = text(&resource.resource.unwrap().attributes, "service.name");
                for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                    heard.spans.push((service.clone(), span));
                }
            }
        }
        heard
    }

    fn find(&self, service: &str, name: &str) -> &Span {
        let found = self.spans.iter().find(|(of, span)| of == service && span.name == name);
        let names: Vec<_> = self.spans.iter().map(|(of, span)| (of, &span.name)).collect();
        &found.unwrap_or_else(|| panic!("no `{name}` of {service} in {names:?}")).1
    }

    fn holds(&self, text: &str) -> bool {
        self.bytes.windows(text.len()).any(|part| part == text.as_bytes())
    }
}

fn text(pairs: &[KeyValue], key: &str) -> String {
    let found = pairs.iter().find(|pair| pair.key == key);
    match found.and_then(|pair| pair.value.clone()) {
        Some(AnyValue { value: Some(Any::StringValue(text)) }) => text,
        other => panic!("{key}: {other:?}"),
    }
}

#[tokio::test]
async fn one_trace_spans_sender_gate_and_receiver() {
    let scene = Scene::open(&[]).await;
    let bob = scene.listen("bob", &[]).await;
    let payload = r#"{"n":"canary-payload"}"#;
    let sent = scene.run("alice", &["send", "bob", "note", payload]).await.ok().unwrap();
    let id = sent.json().unwrap()["message_id"].as_str().unwrap().to_owned();
    assert!(bob.ended().await.unwrap().success());
    let (heard, log) = scene.end().await;

    let send = heard.find("alice", "send bob");
    let run = heard.find("gate", "message.send bob");
    let process = heard.find("bob", "process bob");
    let (deliver, settle) = (heard.find("gate", "deliver bob"), heard.find("gate", "settle bob"));
    assert!(send.parent_span_id.is_empty());
    assert_eq!(run.parent_span_id, send.span_id);
    for below in [process, deliver, settle] {
        assert_eq!((&below.parent_span_id, &below.trace_id), (&run.span_id, &run.trace_id));
    }
    assert_eq!(settle.links[0].span_id, deliver.span_id);
    assert_eq!(send.trace_id, run.trace_id);
    // Producer, server, consumer.
    assert_eq!((send.kind, run.kind, process.kind), (4, 2, 5));
    for span in [send, run, process, deliver, settle] {
        assert_eq!(text(&span.attributes, "messaging.message.id"), id);
        assert_eq!(text(&span.attributes, "messaging.destination.name"), "bob");
        assert_eq!(text(&span.attributes, "messaging.system"), "palisade");
        assert!(span.end_time_unix_nano >= span.start_time_unix_nano);
    }
    // Both sides name an instance alike.
    let client = |span: &Span| text(&span.attributes, "messaging.client.id");
    assert!(client(send).starts_with("alice/") && client(process).starts_with("bob/"));
    assert_eq!(client(run), client(send));
    for receiving in [deliver, settle] {
        assert_eq!(client(receiving), client(process));
    }
    assert_eq!(text(&run.attributes, "palisade.decision"), "ALLOWED");
    assert_eq!(text(&settle.attributes, "palisade.outcome"), "acknowledged");

    // The stages, one behind the other, within the run.
    let mut at = run.start_time_unix_nano;
    for name in STAGES {
        let of_run =
            |(_, span): &&(String, Span)| span.name == name && span.parent_span_id == run.span_id;
        let stages: Vec<_> = heard.spans.iter().filter(of_run).collect();
        let [(_, stage)] = stages.as_slice() else { panic!("{name}: {stages:?}") };
        assert_eq!(stage.start_time_unix_nano, at, "{name}");
        at = stage.end_time_unix_nano;
    }
    assert_eq!(at, run.end_time_unix_nano);

    // All ids of spans are different.
    let ids: BTreeSet<_> = heard.spans.iter().map(|(_, span)| &span.span_id).collect();
    assert_eq!(ids.len(), heard.spans.len());
    // Agents count by the names that OpenTelemetry has for messaging.
    for name in ["messaging.client.sent.messages", "messaging.process.duration"] {
        assert!(heard.metrics.contains(name), "no {name} in {:?}", heard.metrics);
    }

    for secret in ["canary-payload", "canary-header"] {
        assert!(!heard.holds(secret), "{secret} reached the collector");
        assert!(!log.contains(secret), "{secret} reached the log");
    }
    let trace: String = run.trace_id.iter().map(|byte| format!("{byte:02x}")).collect();
    let span: String = run.span_id.iter().map(|byte| format!("{byte:02x}")).collect();
    // Its decision, its hand-over and its end are on lines of the log that name the trace.
    for what in ["accepted", "delivered", "acknowledged"] {
        let is_it = |line: &str| [&trace, &span, &id, what].iter().all(|part| line.contains(*part));
        assert!(log.lines().any(is_it), "no `{what}` of {trace} in {log}");
    }
}

#[tokio::test]
async fn a_call_by_itself_has_the_attributes_of_one_and_what_is_published_has_none() {
    let scene = Scene::open(&[]).await;
    let bob = scene.listen("bob", &[]).await;
    scene.run("alice", &["send", "bob", "note"]).await.ok().unwrap();
    assert!(bob.ended().await.unwrap().success());
    let missing = Program::new(
        scene.site.folder(),
        &["dlq", "show", "00000000000000000000000000000000", "--dir", ".", "--json"],
    );
    let missing = missing.unwrap().env("PALISADE_ADDR", &scene.gate.addr().to_string());
    missing.run().await.unwrap().ended(1).unwrap();
    let (heard, _log) = scene.end().await;
    for (name, method, status) in [
        ("admin.list_agents", "ListAgents", "OK"),
        ("admin.show_dead_letter", "ShowDeadLetter", "NOT_FOUND"),
    ] {
        let call = &heard.find("gate", name).attributes;
        let method = format!("palisade.admin.v1.AdminService/{method}");
        assert_eq!(text(call, "rpc.system.name"), "grpc");
        assert_eq!(text(call, "rpc.method"), method);
        assert_eq!(text(call, "rpc.response.status_code"), status);
    }
    for (service, name) in [("alice", "send bob"), ("gate", "message.send bob")] {
        let published = &heard.find(service, name).attributes;
        assert!(published.iter().all(|pair| !pair.key.starts_with("rpc.")), "{published:?}");
    }
}

#[tokio::test]
async fn a_request_and_its_reply_are_one_trace() {
    let scene = Scene::open(&[]).await;
    let bob = scene.listen("bob", &["--echo"]).await;
    scene.run("alice", &["request", "bob", "ask", "{}"]).await.ok().unwrap();
    assert!(bob.ended().await.unwrap().success());
    let (heard, _log) = scene.end().await;
    let request = heard.find("alice", "request bob");
    let process = heard.find("bob", "process bob");
    let reply = heard.find("bob", "reply");
    assert_eq!(reply.parent_span_id, process.span_id);
    let answered = heard
        .spans
        .iter()
        .find(|(of, span)| of == "gate" && span.parent_span_id == reply.span_id)
        .unwrap();
    assert!(answered.1.name.starts_with("message.reply"), "{answered:?}");
    for span in [process, reply, &answered.1] {
        assert_eq!(span.trace_id, request.trace_id);
    }
}

#[tokio::test]
async fn what_is_refused_is_told_without_what_was_said() {
    let scene = Scene::open(&[]).await;
    let secret = "123-45-6789";
    for line in [["send", secret, "note", "{}"], ["send", "bob", secret, "{}"]] {
        scene.run("alice", &line).await.ended(1).unwrap();
    }
    let (heard, _log) = scene.end().await;
    assert!(!heard.holds(secret), "the collector has a secret");
    let refused: Vec<_> = heard
        .spans
        .iter()
        .filter(|(of, span)| of == "gate" && span.name == "message.send")
        .map(|(_, span)| span)
        .collect();
    assert_eq!(refused.len(), 2, "names of spans hold no text of a refused caller");
    for span in refused {
        assert_eq!(span.status.as_ref().unwrap().code, 2);
        assert!(!text(&span.attributes, "error.type").is_empty());
        let stage = text(&span.attributes, "palisade.refused_at");
        let failed = heard
            .spans
            .iter()
            .find(|(_, child)| child.parent_span_id == span.span_id && child.name == stage);
        assert_eq!(failed.unwrap().1.status.as_ref().unwrap().code, 2);
    }
}

/// A sender, and a receiver that takes what comes as long as the set lives.
async fn pair(site: &Site, gate: &Gate) -> (Client, JoinSet<()>) {
    let bob = site.connect(gate, "bob").await.unwrap();
    let mut listening = JoinSet::new();
    listening.spawn(async move {
        drop(bob.listen(|_message| async { Ok(()) }).await);
    });
    (site.connect(gate, "alice").await.unwrap(), listening)
}

#[tokio::test]
async fn a_dead_collector_holds_up_neither_messages_nor_the_end() {
    // It takes connections and never answers.
    let scene = Scene::open(&[0; 10_000]).await;
    let other = Site::new(&agents(&json!({}))).unwrap();
    let untold = other.start().await.unwrap();
    let (alice, _bob) = pair(&scene.site, &scene.gate).await;
    let (beside, _beside) = pair(&other, &untold).await;
    // Each message gives three spans' sources or more, so the exporter's queue of 2048 is full.
    for _ in 0..10 {
        let many = (0..100).map(|_| Outgoing::json("bob", "note", "{}"));
        for sent in alice.send_all(many).await.unwrap() {
            sent.unwrap();
        }
    }
    // In turns, so that whatever else the machine does meets both.
    let mut times = [Vec::new(), Vec::new()];
    for n in 0..200 {
        for (client, times) in [&alice, &beside].into_iter().zip(&mut times) {
            let begun = Instant::now();
            client.send("bob", "note", &json!({ "n": n })).await.unwrap();
            times.push(begun.elapsed());
        }
    }
    let [dead, none] = times.map(|mut times| {
        times.sort();
        times[times.len() / 2]
    });
    assert!(dead < none * 2 + Duration::from_millis(1), "{dead:?} beside {none:?}");
    alice.close().await;
    let ending = Instant::now();
    scene.end().await;
    // The end waits for the collector, for 5 s at most.
    assert!(ending.elapsed().as_secs() < 15, "{:?}", ending.elapsed());
}

#[tokio::test]
async fn a_trace_that_its_sender_does_not_keep_is_kept_nowhere() {
    let scene = Scene::open(&[]).await;
    let bob = scene.listen("bob", &[]).await;
    let program = scene.program("alice", &["send", "bob", "note", "--telemetry", "palisade.yaml"]);
    program.env("GATEWAY_TELEMETRY__SAMPLE_RATIO", "0").run().await.unwrap().ok().unwrap();
    assert!(bob.ended().await.unwrap().success());
    let (heard, _log) = scene.end().await;
    let of_message = |span: &Span| span.name.ends_with(" bob");
    let kept: BTreeMap<_, _> = heard
        .spans
        .iter()
        .filter(|(_, span)| of_message(span))
        .map(|(of, span)| (of, &span.name))
        .collect();
    assert_eq!(kept, BTreeMap::new());
}

#[tokio::test]
async fn a_listener_without_settings_exports_nothing() {
    let scene = Scene::open(&[]).await;
    scene.program("alice", &["send", "bob", "note"]).run().await.unwrap().ok().unwrap();
    let (heard, _log) = scene.end().await;
    assert!(heard.spans.iter().all(|(of, _)| of == "gate"));
    // The gate began the trace by itself.
    assert!(heard.find("gate", "message.send bob").parent_span_id.is_empty());
    assert!(heard.metrics.len() > 10, "{:?}", heard.metrics);
    assert!(heard.metrics.iter().all(|name| name.starts_with("palisade_")));
}

#[tokio::test]
async fn a_verb_says_what_is_wrong_with_its_telemetry() {
    let site = Site::of_two().unwrap();
    let run = Program::new(site.folder(), &["send", "bob", "note", "--as", "alice", "--dir", "."])
        .unwrap()
        .env("GATEWAY_TELEMETRY__ENABLED", "true")
        .run()
        .await
        .unwrap()
        .ended(2)
        .unwrap();
    assert!(run.stderr.contains("gateway.telemetry.otlp_endpoint"), "{run:?}");
}
