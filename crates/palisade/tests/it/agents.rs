//! An agent and an operator in the shell, against a gate that runs.

use std::io::{BufRead as _, BufReader};
use std::process::{ExitStatus, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::program::{Running, command, json as value, run, run_with_input, said};

/// A development gate and the folder in which its users work.
struct Place {
    folder: TempDir,
    gate: Running,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let gate = Running::start(folder.path(), &["dev", "--listen", "127.0.0.1:0"]);
        Self { folder, gate }
    }

    fn args<'a>(&'a self, args: &[&'a str]) -> Vec<&'a str> {
        [args, &["--addr", &self.gate.addr, "--json"]].concat()
    }

    /// Runs a verb to its end; returns whether it succeeded and its JSON.
    fn json(&self, args: &[&str]) -> (i32, Value) {
        let output = run(self.folder.path(), &self.args(args));
        (output.status.code().unwrap(), value(&output))
    }

    /// Runs a verb that prints JSON lines.
    fn lines(&self, args: &[&str]) -> Vec<Value> {
        let (code, text, errors) = said(&run(self.folder.path(), &self.args(args)));
        assert_eq!(code, 0, "{errors}");
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn send(&self, data: &str) -> String {
        let (code, sent) = self.json(&["send", "--as", "alice", "bob", "note", data]);
        assert_eq!(code, 0, "{sent}");
        sent["message_id"].as_str().unwrap().to_owned()
    }

    fn state(&self, id: &str) -> Value {
        self.json(&["status", "--as", "alice", id]).1["state"].clone()
    }
}

#[test]
fn messages_wait_for_their_listener_in_order() {
    let place = Place::new();
    let ids = [place.send(r#"{"n":1}"#), place.send(r#"{"n":2}"#)];
    assert_eq!(place.state(&ids[0]), "queued");
    // Whoever only sends as bob takes nothing away from who listens as bob.
    assert_eq!(place.json(&["send", "--as", "bob", "alice", "note"]).0, 0);
    let heard = place.lines(&["listen", "--as", "bob", "--count", "2"]);
    let heard: Vec<_> = heard.iter().map(|one| (&one["message_id"], &one["data"])).collect();
    let expected = [(json!(ids[0]), json!({ "n": 1 })), (json!(ids[1]), json!({ "n": 2 }))];
    assert_eq!(heard, expected.iter().map(|(id, data)| (id, data)).collect::<Vec<_>>());
    assert_eq!(place.json(&["status", "--as", "alice", &ids[1]]).1["attempts"], 1);
    assert_eq!(place.state(&ids[1]), "acknowledged");
    let (code, unknown) = place.json(&["status", "--as", "carol", &ids[1]]);
    assert_eq!((code, &unknown["state"]), (1, &json!("unknown")));
}

#[test]
fn a_request_is_answered_by_a_listener() {
    let place = Place::new();
    let args = place.args(&["listen", "--as", "bob", "--echo"]);
    let mut listening = command(place.folder.path(), &args);
    let mut listening = listening.stdout(Stdio::piped()).spawn().unwrap();
    let ask = ["request", "--as", "alice", "bob", "ask", r#"{"q":1}"#, "--timeout", "20s"];
    let (code, reply) = place.json(&ask);
    assert_eq!((code, &reply["data"], &reply["sender_id"]), (0, &json!({ "q": 1 }), &json!("bob")));
    let mut line = String::new();
    BufReader::new(listening.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["expects_reply"], true);
    let pid = rustix::process::Pid::from_raw(i32::try_from(listening.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert!(listening.wait().as_ref().is_ok_and(ExitStatus::success));
    let late = ["request", "--as", "alice", "bob", "ask", "{}", "--timeout", "100ms"];
    let (code, error) = place.json(&late);
    assert_eq!((code, &error["error"]["code"]), (1, &json!("timeout")));
}

#[test]
fn a_dead_letter_is_shown_replayed_and_dropped() {
    let place = Place::new();
    let id = place.send(r#"{"n":1}"#);
    place.lines(&["listen", "--as", "bob", "--count", "1", "--nack", "final"]);
    assert_eq!(place.state(&id), "dead_lettered");
    let letters = place.lines(&["dlq", "list", "--target", "bob"]);
    assert_eq!((letters.len(), &letters[0]["message_id"]), (1, &json!(id)));
    assert!(place.lines(&["dlq", "list", "--target", "alice"]).is_empty());
    let (_, shown) = place.json(&["dlq", "show", &id]);
    assert_eq!(shown["envelope"]["data"], json!({ "n": 1 }));
    assert_eq!(place.json(&["dlq", "replay", &id]).0, 0);
    assert_eq!(place.lines(&["listen", "--as", "bob", "--count", "1"])[0]["message_id"], id);
    let (code, gone) = place.json(&["dlq", "replay", &id]);
    assert_eq!((code, &gone["error"]["code"]), (1, &json!("not_found")));
    let id = place.send("{}");
    place.lines(&["listen", "--as", "bob", "--count", "1", "--nack", "final"]);
    assert_eq!(place.json(&["dlq", "drop", &id]).0, 0);
    assert!(place.lines(&["dlq", "list"]).is_empty());
}

#[test]
fn an_operator_changes_rules_and_limits_while_the_gate_runs() {
    let place = Place::new();
    let to_carol = ["send", "--as", "alice", "carol", "note", "{}"];
    let (code, refused) = place.json(&to_carol);
    assert_eq!(code, 1);
    assert_eq!(refused["error"]["code"], "not_authorized");
    assert_eq!(refused["error"]["decision"], "AUTHZ_DENIED");
    let changed = |args: &[&str]| place.json(args).1["changed"].clone();
    assert_eq!(changed(&["agents", "allow", "alice", "carol"]), true);
    assert_eq!(changed(&["agents", "allow", "alice", "carol"]), false);
    assert_eq!(place.json(&to_carol).0, 0);
    assert_eq!(changed(&["agents", "block", "alice", "carol"]), true);
    assert_eq!(place.json(&to_carol).0, 1);
    assert_eq!(changed(&["agents", "unblock", "alice", "carol"]), true);
    assert_eq!(changed(&["agents", "role", "create", "helper", "send:*"]), true);
    assert_eq!(changed(&["agents", "role", "assign", "alice", "helper"]), true);
    let limit = ["agents", "limit", "alice", "--per-minute", "1", "--per-hour", "5"];
    assert_eq!(place.json(&limit).0, 0);
    let (_, alice) = place.json(&["agents", "show", "alice"]);
    assert_eq!(alice["allow"], json!(["bob", "carol"]));
    assert_eq!(alice["roles"], json!(["helper"]));
    assert_eq!(alice["limits"], json!({ "per_minute": 1, "per_hour": 5 }));
    let (_, limited) = place.json(&to_carol);
    assert_eq!(limited["error"]["code"], "rate_limited");
    assert!(limited["error"]["retry_after_ms"].as_u64().unwrap() > 0, "{limited}");
    assert_eq!(place.json(&["agents", "limit", "alice", "--clear"]).0, 0);
    assert_eq!(place.json(&to_carol).0, 0);
    let (code, not_operator) = place.json(&["agents", "list", "--as", "alice"]);
    assert_eq!((code, &not_operator["error"]["code"]), (1, &json!("wrong_principal")));
    assert_eq!(place.json(&["agents", "show", "nobody"]).0, 1);
}

#[test]
fn waiting_for_the_acknowledgement_tells_whether_it_came() {
    let place = Place::new();
    let wait = ["send", "--as", "alice", "bob", "note", "{}", "--wait-ack", "200ms"];
    let (code, waited) = place.json(&wait);
    assert_eq!((code, &waited["state"]), (1, &json!("queued")));
    let args = place.args(&["listen", "--as", "bob", "--count", "2"]);
    let mut listening = command(place.folder.path(), &args);
    let mut listening = listening.stdout(Stdio::null()).spawn().unwrap();
    let wait = ["send", "--as", "alice", "bob", "note", "{}", "--wait-ack", "20"];
    let (code, waited) = place.json(&wait);
    assert_eq!((code, &waited["state"]), (0, &json!("acknowledged")));
    assert!(listening.wait().as_ref().is_ok_and(ExitStatus::success));
}

#[test]
fn payloads_come_from_standard_input_too_and_bad_ones_are_told_apart() {
    let place = Place::new();
    let stdin = place.args(&["send", "--as", "alice", "bob", "note", "-"]);
    let output = run_with_input(place.folder.path(), &stdin, r#"{"from":"stdin"}"#);
    assert!(output.status.success());
    let heard = place.lines(&["listen", "--as", "bob", "--count", "1"]);
    assert_eq!(heard[0]["data"], json!({ "from": "stdin" }));
    for (data, exit, code) in [
        ("[1]", 2, "invalid_argument"),
        (r#"{"a":NaN}"#, 1, "invalid_json"),
        (r#"{"a":1"#, 1, "invalid_json"),
    ] {
        let (exited, error) = place.json(&["send", "--as", "alice", "bob", "note", data]);
        assert_eq!((exited, &error["error"]["code"]), (exit, &json!(code)), "{data}");
    }
    let (exited, error) = place.json(&["send", "--as", "nobody", "bob", "note"]);
    assert_eq!((exited, &error["error"]["code"]), (2, &json!("cert_missing")));
    let nowhere = ["send", "--as", "alice", "bob", "note", "--addr", "127.0.0.1:1", "--json"];
    let error = value(&run(place.folder.path(), &nowhere));
    assert_eq!(error["error"]["code"], "no_connection");
}
