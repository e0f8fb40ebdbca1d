//! The command line as scripts use it: what it prints, its exit codes, and that verbs fit together.

use std::fs;

use anyhow::Result;
use e2e::{Gate, Program, Run, Site, Started, eventually};
use serde_json::{Value, json};

/// A site, its gate, and a shell in the site's folder.
struct Shell {
    site: Site,
    gate: Gate,
}

impl Shell {
    async fn open(site: Site) -> Self {
        let gate = site.start().await.unwrap();
        Self { site, gate }
    }

    fn program(&self, line: &[&str]) -> Program {
        let addr = self.gate.addr().to_string();
        let program = Program::new(self.site.folder(), line).unwrap();
        program.env("PALISADE_ADDR", &addr)
    }

    /// Runs a verb that connects.
    async fn run(&self, line: &[&str]) -> Run {
        self.program(&[line, &["--dir", ".", "--json"]].concat()).run().await.unwrap()
    }

    /// Runs a verb that connects and must end well with one JSON value.
    async fn ok(&self, line: &[&str]) -> Value {
        self.run(line).await.ok().unwrap().json().unwrap()
    }

    /// Starts a verb that connects and goes on.
    fn start(&self, line: &[&str]) -> Started {
        self.program(&[line, &["--dir", ".", "--json"]].concat()).start().unwrap()
    }

    /// Waits until an agent has a session.
    async fn wait_active(&self, agent: &str) {
        eventually(&format!("{agent} listens"), || async {
            let shown = self.ok(&["agents", "show", agent]).await;
            Ok((shown["status"] == "ACTIVE").then_some(()))
        })
        .await
        .unwrap();
    }
}

#[tokio::test]
async fn a_message_is_sent_heard_and_asked_after() {
    let shell = Shell::open(Site::of_two().unwrap()).await;
    let sent = shell.ok(&["send", "--as", "alice", "bob", "note", r#"{"n":1}"#]).await;
    let id = sent["message_id"].as_str().unwrap();
    let status = shell.ok(&["status", "--as", "alice", id]).await;
    assert_eq!((&status["state"], &status["attempts"]), (&json!("queued"), &json!(0)));
    let heard = shell.ok(&["listen", "--as", "bob", "--count", "1"]).await;
    assert_eq!(heard["message_id"], id);
    assert_eq!((&heard["sender_id"], &heard["message_type"]), (&json!("alice"), &json!("note")));
    assert_eq!((&heard["data"], &heard["expects_reply"]), (&json!({ "n": 1 }), &json!(false)));
    assert_eq!(shell.ok(&["status", "--as", "alice", id]).await["state"], "acknowledged");
    // Nobody else is told, and for scripts that is a failure.
    assert_eq!(shell.run(&["status", "--as", "bob", id]).await.code, 1);
    let listener = shell.start(&["listen", "--as", "bob"]);
    shell.wait_active("bob").await;
    let sent = shell.ok(&["send", "--as", "alice", "bob", "note", "--wait-ack", "20s"]).await;
    assert_eq!(sent["state"], "acknowledged");
    drop(listener);
    let line = ["send", "--as", "alice", "bob", "note", "-", "--dir", "."];
    let piped = shell.program(&line).input(r#"{"from":"a pipe"}"#).run().await.unwrap();
    assert_eq!(piped.ok().unwrap().stdout.trim().len(), 32);
    let heard = shell.ok(&["listen", "--as", "bob", "--count", "1"]).await;
    assert_eq!(heard["data"], json!({ "from": "a pipe" }));
    shell.gate.stop().await.unwrap();
}

#[tokio::test]
async fn a_question_is_answered() {
    let shell = Shell::open(Site::of_two().unwrap()).await;
    let mut listener = shell.start(&["listen", "--as", "bob", "--reply", r#"{"a":42}"#]);
    shell.wait_active("bob").await;
    let reply = shell.ok(&["request", "--as", "alice", "bob", "ask", r#"{"q":"6*7"}"#]).await;
    assert_eq!((&reply["data"], &reply["sender_id"]), (&json!({ "a": 42 }), &json!("bob")));
    assert_eq!(listener.json().await.unwrap()["expects_reply"], true);
    listener.kill().await.unwrap();
    let late = ["request", "--as", "alice", "bob", "ask", "--timeout", "200ms"];
    let run = shell.run(&late).await.ended(1).unwrap();
    assert_eq!(run.json().unwrap()["error"]["code"], "timeout");
    shell.gate.stop().await.unwrap();
}

#[tokio::test]
async fn a_refusal_is_told_with_code_decision_and_reason() {
    let site = Site::new(&json!({
        "agents": {
            "alice": { "allow": ["bob"], "limits": { "per_minute": 1, "per_hour": 10 } },
            "bob": { "allow": ["alice"] },
        },
    }))
    .unwrap();
    let shell = Shell::open(site).await;
    let send = async |sender: &str, target: &str, data: &str| -> Value {
        let run = shell.run(&["send", "--as", sender, target, "note", data]).await;
        run.ended(1).unwrap().json().unwrap()["error"].clone()
    };
    let error = send("alice", "carol", "{}").await;
    assert_eq!(
        (&error["code"], &error["decision"]),
        (&json!("not_authorized"), &json!("AUTHZ_DENIED"))
    );
    assert!(!error["reason"].as_str().unwrap().is_empty());
    let error = send("bob", "alice", r#"{"password":"correct horse"}"#).await;
    assert_eq!(
        (&error["code"], &error["decision"]),
        (&json!("dlp_blocked"), &json!("DLP_BLOCKED"))
    );
    shell.ok(&["send", "--as", "alice", "bob", "note"]).await;
    let error = send("alice", "bob", "{}").await;
    assert_eq!(
        (&error["code"], &error["decision"]),
        (&json!("rate_limited"), &json!("RATE_LIMITED"))
    );
    assert!(error["retry_after_ms"].as_u64().unwrap() > 1_000, "{error}");
    // For people: one line on standard error.
    let line = ["send", "--as", "alice", "--dir", ".", "bob", "note"];
    let run = shell.program(&line).run().await.unwrap().ended(1).unwrap();
    assert!(run.stderr.starts_with("error: refused: rate_limited (RATE_LIMITED)"), "{run:?}");
    assert_eq!((run.stdout.as_str(), run.stderr.lines().count()), ("", 1), "{run:?}");
    shell.gate.stop().await.unwrap();
}

#[tokio::test]
async fn an_operator_changes_rules_that_hold_at_once_and_after_a_restart() {
    let site = Site::new(&json!({
        "agents": { "alice": {}, "bob": { "capabilities": ["qa"] }, "carol": {} },
        "gateway": { "features": { "rbac": true } },
    }))
    .unwrap();
    let mut shell = Shell::open(site).await;
    let send = ["send", "--as", "alice", "bob", "note"];
    assert_eq!(shell.run(&send).await.code, 1);
    let changed = shell.ok(&["agents", "allow", "alice", "bob", "carol"]).await;
    assert_eq!(changed["changed"], true);
    shell.ok(&send).await;
    shell.gate = shell.gate.crash(&shell.site).await.unwrap();
    shell.ok(&send).await;
    assert_eq!(shell.ok(&["agents", "show", "alice"]).await["allow"], json!(["bob", "carol"]));
    shell.ok(&["agents", "block", "alice", "bob"]).await;
    assert_eq!(shell.run(&send).await.code, 1);
    shell.ok(&["agents", "unblock", "alice", "bob"]).await;
    shell.ok(&["agents", "disallow", "alice", "bob"]).await;
    assert_eq!(shell.run(&send).await.code, 1);
    shell.ok(&["agents", "role", "create", "writer", "send:b*"]).await;
    shell.ok(&["agents", "role", "assign", "alice", "writer"]).await;
    shell.ok(&send).await;
    shell.ok(&["agents", "role", "revoke", "writer", "send:b*"]).await;
    assert_eq!(shell.run(&send).await.code, 1);
    shell.ok(&["agents", "role", "grant", "writer", "send:bob"]).await;
    shell.ok(&send).await;
    shell.ok(&["agents", "role", "delete", "writer"]).await;
    assert_eq!(shell.run(&send).await.code, 1);
    shell.ok(&["agents", "allow", "alice", "*"]).await;
    shell.ok(&["agents", "limit", "alice", "--per-minute", "1", "--per-hour", "10"]).await;
    assert_eq!(shell.run(&send).await.json().unwrap()["error"]["code"], "rate_limited");
    shell.ok(&["agents", "limit", "alice", "--clear"]).await;
    shell.ok(&send).await;
    let list = shell.ok(&["agents", "list"]).await;
    assert_eq!(list["agents"].as_array().unwrap().len(), 3);
    assert_eq!(list["agents"][1]["queued"], 5);
    assert_eq!(shell.run(&["agents", "show", "nobody"]).await.code, 1);
    // An agent's certificate does not do.
    let run = shell.run(&["agents", "list", "--as", "alice"]).await.ended(1).unwrap();
    assert_eq!(run.json().unwrap()["error"]["code"], "wrong_principal");
    shell.gate.stop().await.unwrap();
    let changes = shell.site.records(&["--event", "policy.changed"]).await.unwrap();
    assert_eq!(changes.len(), 10);
    assert!(changes.iter().all(|record| record["user_id"] == "operator"), "{changes:?}");
    assert!(changes[0]["detail"].to_string().contains("alice"), "{}", changes[0]);
}

#[tokio::test]
async fn dead_letters_are_listed_shown_replayed_and_dropped() {
    let shell = Shell::open(Site::of_two().unwrap()).await;
    let mut ids = Vec::new();
    for number in 0..3 {
        let data = json!({ "number": number }).to_string();
        let sent = shell.ok(&["send", "--as", "alice", "bob", "note", &data]).await;
        ids.push(sent["message_id"].as_str().unwrap().to_owned());
    }
    let listen = ["listen", "--as", "bob", "--count", "3", "--nack", "final"];
    shell.run(&listen).await.ok().unwrap();
    let list = async || shell.run(&["dlq", "list"]).await.ok().unwrap().json_lines().unwrap();
    let letters = list().await;
    let listed: Vec<&str> = letters.iter().filter_map(|one| one["message_id"].as_str()).collect();
    assert_eq!(listed, ids);
    assert!(letters.iter().all(|one| one.get("envelope").is_none()), "{letters:?}");
    let shown = shell.ok(&["dlq", "show", &ids[1]]).await;
    assert_eq!(shown["envelope"]["data"], json!({ "number": 1 }));
    assert_eq!((&shown["attempts"], &shown["target_id"]), (&json!(1), &json!("bob")));
    shell.ok(&["dlq", "replay", &ids[1]]).await;
    let heard = shell.ok(&["listen", "--as", "bob", "--count", "1"]).await;
    assert_eq!(heard["message_id"], ids[1].as_str());
    shell.ok(&["dlq", "drop", &ids[0]]).await;
    let letters = list().await;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0]["message_id"], ids[2].as_str());
    let run = shell.run(&["dlq", "show", &ids[0]]).await.ended(1).unwrap();
    assert_eq!(run.json().unwrap()["error"]["code"], "not_found");
    shell.gate.stop().await.unwrap();
}

#[tokio::test]
async fn certificates_of_the_command_line_make_a_working_gate() {
    let site = Site::of_two().unwrap();
    let made = async |line: &str| -> Value {
        let words: Vec<&str> = ["--json", "cert"].into_iter().chain(line.split(' ')).collect();
        let run = site.run(&words).await.unwrap().ok().unwrap();
        run.json_lines().unwrap().pop().unwrap()
    };
    made("ca --dir pki --name Test").await;
    made("server --dir pki --dns localhost --ip 127.0.0.1").await;
    made("operator operator --dir pki").await;
    let bob = made("agent alice bob --dir pki --seal").await;
    assert_eq!(bob["spiffe_id"], "spiffe://mas/agent/bob");
    let config = json!({
        "server": {
            "listen": "127.0.0.1:0",
            "tls": { "cert": "pki/server.pem", "key": "pki/server.key", "client_ca": "pki/ca.pem" },
        },
        "agents": {
            "alice": { "allow": ["bob"] },
            "bob": { "sealing_key": bob["sealing_key"] },
        },
        "gateway": { "dlp": { "policy_overrides": { "ssn": "encrypt" } } },
    });
    site.write("palisade.yaml", config.to_string().as_bytes()).unwrap();
    let checked = site.run(&["--json", "config", "check"]).await.unwrap().ok().unwrap();
    let summary = checked.json().unwrap();
    assert_eq!((&summary["ok"], &summary["agents"]), (&json!(true), &json!(2)), "{summary}");
    let gate = site.start().await.unwrap();
    let addr = gate.addr().to_string();
    let run = async |line: &[&str]| -> Value {
        let line = [line, &["--addr", &addr, "--dir", "pki", "--json"]].concat();
        site.run(&line).await.unwrap().ok().unwrap().json().unwrap()
    };
    run(&["send", "--as", "alice", "bob", "note", r#"{"ssn":"536-22-8145","n":1}"#]).await;
    // Encrypted on its way and at rest; only bob's key opens it.
    let heard = run(&["listen", "--as", "bob", "--count", "1"]).await;
    assert_eq!(heard["data"], json!({ "ssn": "536-22-8145", "n": 1 }));
    assert_eq!(heard["unopened"], json!([]));
    gate.stop().await.unwrap();
    let records = site.records(&["--decision", "DLP_ENCRYPTED"]).await.unwrap();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0]["sensitive_data_masked"], true);
    for file in walk(&site.path("data")) {
        let bytes = fs::read(&file).unwrap();
        let found = bytes.windows(11).any(|window| window == b"536-22-8145");
        assert!(!found, "the number stands in {}", file.display());
    }
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(walk(&path)) } else { files.push(path) }
    }
    files
}

#[tokio::test]
async fn dev_makes_a_gate_that_the_other_verbs_find() {
    let folder = tempfile::tempdir().unwrap();
    let run = async |line: &[&str]| Program::new(folder.path(), line)?.run().await;
    let mut ids = Vec::new();
    for _start in 0..2 {
        let line = ["dev", "--listen", "127.0.0.1:0", "--json"];
        let mut dev = Program::new(folder.path(), &line).unwrap().start().unwrap();
        let said = dev.json().await.unwrap();
        let addr = said["listening"].as_str().unwrap();
        let send = ["send", "--addr", addr, "--as", "alice", "bob", "note", "--json"];
        ids.push(run(&send).await.unwrap().ok().unwrap().json().unwrap()["message_id"].clone());
        let agents = run(&["agents", "--addr", addr, "list", "--json"]).await.unwrap();
        assert_eq!(agents.ok().unwrap().json().unwrap()["agents"].as_array().unwrap().len(), 3);
        dev.terminate().unwrap();
        assert!(dev.ended().await.unwrap().success());
    }
    // The second start found what the first had made; the audit verbs find it too.
    let found: Result<Vec<Value>> =
        run(&["audit", "query", "--event", "message.send", "--json"]).await.unwrap().json_lines();
    let found: Vec<Value> =
        found.unwrap().into_iter().map(|record| record["message_id"].clone()).collect();
    assert_eq!(found, ids);
    run(&["audit", "verify"]).await.unwrap().ok().unwrap();
}

#[tokio::test]
async fn inspection_answers_line_by_line_with_places_in_characters() {
    let site = Site::of_two().unwrap();
    let lines = [
        json!({ "text": "é: mail grace.hopper@example.com" }).to_string(),
        json!({ "data": { "password": "correct horse" } }).to_string(),
        json!({ "text": "nothing here" }).to_string(),
        "no json".to_owned(),
    ];
    let program = Program::new(site.folder(), &["inspect", "dlp"]).unwrap();
    let run = program.input(lines.join("\n")).run().await.unwrap().ended(1).unwrap();
    let answers = run.json_lines().unwrap();
    assert_eq!(answers.len(), 4);
    assert_eq!(answers[0]["action"], "alert");
    let finding = &answers[0]["findings"][0];
    assert_eq!((&finding["type"], &finding["severity"]), (&json!("email"), &json!("low")));
    assert_eq!((&finding["start"], &finding["end"]), (&json!(8), &json!(32)));
    assert_eq!(answers[1]["action"], "block");
    assert_eq!(answers[2], json!({ "findings": [], "action": "allow" }));
    assert_eq!(answers[3]["error"]["line"], 4);
}

#[tokio::test]
async fn a_command_line_that_makes_no_sense_is_a_usage_error() {
    let folder = tempfile::tempdir().unwrap();
    for line in [
        &["no-such-verb"][..],
        &["send"],
        &["send", "--as", "alice", "bob", "note", "--dir", "no-such-folder"],
        &["serve", "--config", "missing.yaml"],
        &["agents", "limit", "alice"],
        &["audit", "export", "--format", "xml"],
        &["bench", "pipeline", "--sessions", "0"],
        &["config", "check", "missing.yaml"],
    ] {
        let run = Program::new(folder.path(), line).unwrap().run().await.unwrap();
        let run = run.ended(2).unwrap();
        assert!(run.stdout.is_empty() && !run.stderr.is_empty(), "{run:?}");
        let line = [&["--json"], line].concat();
        let run = Program::new(folder.path(), &line).unwrap().run().await.unwrap();
        let error = run.ended(2).unwrap().json().unwrap()["error"].clone();
        assert!(error["code"].is_string() && error["message"].is_string(), "{error}");
    }
    let run = Program::new(folder.path(), &["--version"]).unwrap().run().await.unwrap();
    assert!(run.ok().unwrap().stdout.starts_with("palisade "));
    let run = Program::new(folder.path(), &["config", "schema"]).unwrap().run().await.unwrap();
    let schema = run.ok().unwrap().json().unwrap();
    assert!(schema["properties"]["gateway"].is_object(), "{schema}");
    // A gate that is not there is a failure, not a usage error.
    let site = Site::of_two().unwrap();
    let line = ["send", "--addr", "127.0.0.1:1", "--dir", ".", "--as", "alice", "bob", "note"];
    let run = site.run(&line).await.unwrap().ended(1).unwrap();
    assert!(run.stderr.contains("127.0.0.1:1"), "{run:?}");
}

#[tokio::test]
async fn the_demo_sees_all_eight_decisions_on_real_messages() {
    let folder = tempfile::tempdir().unwrap();
    let run = Program::new(folder.path(), &["demo", "--json"]).unwrap().run().await.unwrap();
    let report = run.ok().unwrap().json().unwrap();
    assert_eq!(report["ok"], true, "{report}");
    for decision in [
        "ALLOWED",
        "ALERT",
        "DLP_REDACTED",
        "DLP_ENCRYPTED",
        "DLP_BLOCKED",
        "RATE_LIMITED",
        "CIRCUIT_OPEN",
        "AUTHZ_DENIED",
    ] {
        assert!(report["decisions"][decision].as_u64() >= Some(1), "{decision}: {report}");
    }
    assert!(report["delivered"].as_u64() >= Some(1), "{report}");
    assert!(report["audit"]["entries"].as_u64() >= Some(8), "{report}");
    assert_eq!(report["audit"]["verified"], true, "{report}");
}

#[tokio::test]
async fn the_bench_prints_the_figures_of_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let line = ["bench", "pipeline", "--json", "--seconds", "1", "--sessions", "1,4"];
    let run = Program::new(folder.path(), &line).unwrap().run().await.unwrap();
    let report = run.ok().unwrap().json().unwrap();
    assert_eq!(report["workload"]["payload_bytes"], 256, "{report}");
    let runs = report["runs"].as_array().unwrap();
    for (run, sessions) in runs.iter().zip([1, 4]) {
        assert_eq!(run["sessions"], sessions);
        for figure in ["messages_per_s", "server_cpu_us_per_message", "server_peak_rss_bytes"] {
            assert!(run[figure].as_f64() > Some(0.0), "{figure}: {run}");
        }
        for times in ["send_ms", "delivery_ms"] {
            assert!(run[times]["p99"].as_f64() >= run[times]["p50"].as_f64(), "{times}: {run}");
            assert!(run[times]["p50"].as_f64() > Some(0.0), "{times}: {run}");
        }
        // Nothing of what was accepted is lost.
        assert_eq!(run["undelivered"], 0, "{run}");
    }
    assert_eq!(runs.len(), 2);
}
