//! The audit log from outside: what it keeps, what it never keeps, and that a change shows.

use std::fs;
use std::path::Path;

use e2e::{Site, eventually};
use palisade_client::{Client, HandlerError};
use serde_json::{Value, json};

/// Texts that stand in payloads, reasons and state, and must stand nowhere else.
const CANARIES: [&str; 5] =
    ["canary-payload", "canary-password-9", "canary-reason", "canary-state", "canary-reply"];

fn site(audit: &Value) -> Site {
    Site::new(&json!({
        "agents": {
            "alice": { "allow": ["bob"] },
            "bob": { "allow": ["alice"] },
            "carol": {},
        },
        "gateway": { "audit": audit },
    }))
    .unwrap()
}

async fn ack(client: &Client) {
    client.messages().next().await.unwrap().ack().await.unwrap();
}

/// Makes a little of everything happen.
async fn converse(site: &Site) {
    let gate = site.start().await.unwrap();
    let alice = site.connect(&gate, "alice").await.unwrap();
    let bob = site.connect(&gate, "bob").await.unwrap();
    let carol = site.connect(&gate, "carol").await.unwrap();
    for number in 0..10 {
        let data = json!({ "text": CANARIES[0], "number": number });
        alice.send("bob", "note", &data).await.unwrap();
        ack(&bob).await;
    }
    alice.send("bob", "note", &json!({ "ssn": "536-22-8145" })).await.unwrap();
    ack(&bob).await;
    alice.send("bob", "note", &json!({ "password": CANARIES[1] })).await.unwrap_err();
    carol.send("bob", "note", &json!({ "text": CANARIES[0] })).await.unwrap_err();
    alice.send("bob", "note", &json!({ "text": CANARIES[0] })).await.unwrap();
    let refused = bob.messages().next().await.unwrap();
    refused.nack(HandlerError::fatal(CANARIES[2])).await.unwrap();
    carol.update_state([("k".to_owned(), CANARIES[3].to_owned())]).await.unwrap();
    let question = json!({ "q": CANARIES[0] });
    let asking = alice.request("bob", "ask", &question, PATIENCE);
    let answering = async {
        let incoming = bob.messages().next().await.unwrap();
        incoming.message.reply("answer", &json!({ "a": CANARIES[4] })).await.unwrap();
        incoming.ack().await.unwrap();
    };
    tokio::join!(asking, answering).0.unwrap();
    let operator = site.operator(&gate).await.unwrap();
    let list = palisade_client::admin::ListDeadLettersRequest::default();
    eventually("the refused message is a dead letter", || async {
        Ok((operator.dead_letters(list.clone()).await?.len() == 1).then_some(()))
    })
    .await
    .unwrap();
    for client in [alice, bob, carol] {
        client.close().await;
    }
    gate.stop().await.unwrap();
}

const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);

#[tokio::test]
async fn records_are_found_by_sender_target_decision_event_and_time() {
    let site = site(&json!({}));
    converse(&site).await;
    let count = async |filter: &[&str]| site.records(filter).await.unwrap().len();
    assert_eq!(count(&["--decision", "DLP_BLOCKED"]).await, 1);
    assert_eq!(count(&["--decision", "dlp_redacted"]).await, 1);
    assert_eq!(count(&["--decision", "AUTHZ_DENIED", "--sender", "carol"]).await, 1);
    assert_eq!(count(&["--decision", "AUTHZ_DENIED", "--sender", "alice"]).await, 0);
    assert_eq!(count(&["--event", "message.request"]).await, 1);
    assert_eq!(count(&["--event", "message.reply", "--target", "alice"]).await, 1);
    assert_eq!(count(&["--event", "dead_letter"]).await, 1);
    assert_eq!(count(&["--event", "state.update"]).await, 1);
    assert_eq!(count(&["--event", "session.open"]).await, 3);
    assert_eq!(count(&["--event", "session.close"]).await, 3);
    let sends = site.records(&["--event", "message.send"]).await.unwrap();
    assert_eq!(sends.len(), 14);
    let middle = sends[7]["timestamp"].as_str().unwrap();
    let late = count(&["--event", "message.send", "--since", middle]).await;
    let early = count(&["--event", "message.send", "--until", middle]).await;
    // The one at that very moment is in both.
    assert_eq!((late, early), (7, 8));
    assert_eq!(count(&["--since", "1h", "--event", "message.send"]).await, 14);
    assert_eq!(count(&["--until", "1h", "--event", "message.send"]).await, 0);
    check_fields(&sends[0]);
}

/// Checks that a record has what the seeds ask for.
fn check_fields(record: &Value) {
    for field in [
        "timestamp",
        "event_type",
        "agent_id",
        "request_id",
        "sensitive_data_masked",
        "outcome",
        "decision",
        "message_id",
        "sender_id",
        "sender_instance_id",
        "target_id",
        "message_type",
        "latency_us",
        "payload_commitment",
        "policy_revision",
        "peer",
        "spiffe_id",
        "seq",
        "hash",
        "prev_hash",
    ] {
        assert!(!record[field].is_null(), "no {field} in {record}");
    }
    assert_eq!(record["spiffe_id"], "spiffe://mas/agent/alice");
}

#[tokio::test]
async fn nothing_that_was_said_stands_in_log_record_or_export() {
    let site = site(&json!({ "file_path": "audit.jsonl" }));
    converse(&site).await;
    let everything = site.records(&[]).await.unwrap();
    let copy = fs::read_to_string(site.path("audit.jsonl")).unwrap();
    let log = fs::read_to_string(site.path("gate.log")).unwrap();
    site.audit(&["export", "--format", "csv", "--out", "e.csv"]).await.unwrap().ok().unwrap();
    let export = fs::read_to_string(site.path("e.csv")).unwrap();
    assert!(everything.len() > 25 && log.lines().count() > 25, "{log}");
    let records = Value::Array(everything).to_string();
    for (name, text) in [("records", records), ("copy", copy), ("log", log), ("export", export)] {
        for canary in CANARIES.iter().chain(&["536-22-8145", "PRIVATE KEY"]) {
            assert!(!text.contains(canary), "`{canary}` stands in the {name}");
        }
    }
}

#[tokio::test]
async fn the_copy_in_a_file_is_complete_rotated_and_verifies() {
    let site = site(&json!({ "file_path": "audit.jsonl", "max_bytes": 8192, "backup_count": 50 }));
    converse(&site).await;
    let mut files: Vec<String> = fs::read_dir(site.folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("audit.jsonl."))
        .collect();
    assert!(files.len() > 1, "{files:?}");
    // Oldest first: the highest number.
    files.sort_by_key(|name| {
        std::cmp::Reverse(name.rsplit('.').next().unwrap().parse::<u32>().unwrap())
    });
    files.push("audit.jsonl".to_owned());
    let mut copied: Vec<Value> = Vec::new();
    for name in &files {
        let text = fs::read_to_string(site.path(name)).unwrap();
        assert!(text.len() <= 8192, "{name} has {} bytes", text.len());
        copied.extend(text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
        let run = site.run(&["--json", "audit", "verify", "--file", name]).await.unwrap();
        assert_eq!(run.ok().unwrap().json().unwrap()["ok"], true, "{name}");
    }
    assert_eq!(copied, site.records(&[]).await.unwrap());
    let mode = |name| {
        use std::os::unix::fs::PermissionsExt as _;
        fs::metadata(site.path(name)).unwrap().permissions().mode() & 0o077
    };
    assert_eq!(mode("audit.jsonl"), 0, "others may read the copy");
}

/// Changes one letter of a value in the middle of a file of lines.
fn forge(path: &Path) {
    let text = fs::read_to_string(path).unwrap();
    let forged = text.replacen("\"decision\":\"DLP_BLOCKED\"", "\"decision\":\"ALLOWED_ALL\"", 1);
    assert_ne!(text, forged);
    fs::write(path, forged).unwrap();
}

#[tokio::test]
async fn a_forged_record_and_a_missing_one_are_found() {
    let site = site(&json!({ "file_path": "audit.jsonl" }));
    converse(&site).await;
    let whole = fs::read_to_string(site.path("audit.jsonl")).unwrap();
    let verify = async || site.run(&["--json", "audit", "verify", "--file", "audit.jsonl"]).await;
    let report = verify().await.unwrap().ok().unwrap().json().unwrap();
    let (seq, head) = (report["last_seq"].to_string(), report["head"].as_str().unwrap().to_owned());
    forge(&site.path("audit.jsonl"));
    let report = verify().await.unwrap().ended(1).unwrap().json().unwrap();
    assert_eq!(report["ok"], false);
    assert!(report["problem_count"].as_u64().unwrap() >= 1, "{report}");
    let mut lines: Vec<&str> = whole.lines().collect();
    lines.remove(lines.len() / 2);
    site.write("audit.jsonl", (lines.join("\n") + "\n").as_bytes()).unwrap();
    assert_eq!(verify().await.unwrap().ended(1).unwrap().json().unwrap()["ok"], false);
    // A log that was cut at its end is whole in itself; the head that was noted shows it.
    let mut lines: Vec<&str> = whole.lines().collect();
    lines.pop();
    site.write("audit.jsonl", (lines.join("\n") + "\n").as_bytes()).unwrap();
    assert_eq!(verify().await.unwrap().ok().unwrap().json().unwrap()["ok"], true);
    let against = ["verify", "--file", "audit.jsonl", "--expect-seq", &seq, "--expect-head", &head];
    let run = site.run(&[&["--json", "audit"], &against[..]].concat()).await.unwrap();
    assert_eq!(run.ended(1).unwrap().json().unwrap()["ok"], false);
    // The store's own log ends with the same head.
    let own = ["verify", "--expect-seq", &seq, "--expect-head", &head];
    assert_eq!(site.audit(&own).await.unwrap().ok().unwrap().json().unwrap()["ok"], true);
}

#[tokio::test]
async fn exports_hold_every_record_as_csv_and_as_json() {
    let site = site(&json!({}));
    converse(&site).await;
    let records = site.records(&[]).await.unwrap();
    site.audit(&["export", "--format", "csv", "--out", "all.csv"]).await.unwrap().ok().unwrap();
    let csv = fs::read_to_string(site.path("all.csv")).unwrap();
    assert_eq!(csv.lines().count(), records.len() + 1);
    let header = csv.lines().next().unwrap();
    for column in ["timestamp", "decision", "sender_id", "target_id", "payload_commitment"] {
        assert!(header.split(',').any(|name| name == column), "{header}");
    }
    let run = site.audit(&["export", "--format", "json"]).await.unwrap().ok().unwrap();
    assert_eq!(run.json().unwrap().as_array().unwrap().len(), records.len());
    let filtered = ["export", "--format", "json", "--decision", "DLP_BLOCKED"];
    let run = site.audit(&filtered).await.unwrap().ok().unwrap();
    assert_eq!(run.json().unwrap().as_array().unwrap().len(), 1);
    // An export does not write over another.
    let again = ["export", "--format", "csv", "--out", "all.csv"];
    let run = site.audit(&again).await.unwrap().ended(1).unwrap();
    assert_eq!(run.json().unwrap()["error"]["code"], "file_exists");
}

#[tokio::test]
async fn a_payload_can_be_checked_until_its_salt_is_erased() {
    let site = site(&json!({}));
    let gate = site.start().await.unwrap();
    let alice = site.connect(&gate, "alice").await.unwrap();
    let payloads = [json!({ "pin": 1234 }), json!({ "pin": 5678 })];
    for (file, payload) in ["1.json", "2.json"].into_iter().zip(&payloads) {
        alice.send("bob", "note", payload).await.unwrap();
        fs::write(site.path(file), format!("{payload}\n")).unwrap();
    }
    let sends = site.records(&["--event", "message.send"]).await.unwrap();
    let [first, second] = [0, 1].map(|n: usize| sends[n]["seq"].to_string());
    let verdict = async |seq: &str, file: &str| {
        let code = |verdict: &str| i32::from(verdict != "matches");
        let run = site.audit(&["match", seq, "--payload", file]).await.unwrap();
        let verdict = run.json().unwrap()["verdict"].as_str().unwrap().to_owned();
        run.ended(code(&verdict)).unwrap();
        verdict
    };
    assert_eq!(verdict(&first, "1.json").await, "matches");
    assert_eq!(verdict(&first, "2.json").await, "differs");
    let run = site.audit(&["erase", &first]).await.unwrap().ok().unwrap();
    assert_eq!(run.json().unwrap()["erased"].to_string(), format!("[{first}]"));
    assert_eq!(verdict(&first, "1.json").await, "erased");
    assert_eq!(verdict(&second, "2.json").await, "matches");
    let message = sends[1]["message_id"].as_str().unwrap();
    site.audit(&["erase", "--message", message]).await.unwrap().ok().unwrap();
    assert_eq!(verdict(&second, "2.json").await, "erased");
    site.audit(&["verify"]).await.unwrap().ok().unwrap();
    for (number, code) in [("1", "no_commitment"), ("99999", "record_missing")] {
        let run = site.audit(&["erase", number]).await.unwrap().ended(1).unwrap();
        assert_eq!(run.json().unwrap()["error"]["code"], code);
    }
    alice.close().await;
    gate.stop().await.unwrap();
    let gate = site.start().await.unwrap();
    assert_eq!(verdict(&first, "1.json").await, "erased");
    gate.stop().await.unwrap();
}

#[tokio::test]
async fn the_log_can_be_followed_while_the_gate_runs() {
    let site = site(&json!({}));
    let gate = site.start().await.unwrap();
    let follow = ["--json", "audit", "--data", "data", "tail", "-f", "-n", "1"];
    let mut tail = e2e::Program::new(site.folder(), &follow).unwrap().start().unwrap();
    let alice = site.connect(&gate, "alice").await.unwrap();
    let id = alice.send("bob", "note", &json!({})).await.unwrap();
    loop {
        let record = tail.json().await.unwrap();
        if record["message_id"] == id.as_str() {
            assert_eq!(record["decision"], "ALLOWED");
            break;
        }
    }
    tail.kill().await.unwrap();
    gate.stop().await.unwrap();
}
