//! What a gate says to what it cannot use, and that it goes on serving.
//!
//! Bad messages are in `interop/test_errors.py`, bad certificates in `identity`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use e2e::{Run, Site, unix_now};
use identity::{DevCa, Overwrite, Validity};
use serde_json::{Value, json};

/// Has the gate of a site refuse to start; returns the code and the sentence.
async fn refuses(site: &Site, exit: i32) -> (String, String) {
    let run = site.run(&["--json", "serve", "--config", "palisade.yaml"]).await.unwrap();
    let error = run.ended(exit).unwrap().json().unwrap()["error"].clone();
    let text = |key: &str| error[key].as_str().unwrap().to_owned();
    (text("code"), text("message"))
}

const HEAD: &str = "server: { tls: { cert: server.pem, key: server.key, client_ca: ca.pem } }\n";

#[tokio::test]
async fn a_bad_configuration_is_refused_with_its_place() {
    let site = Site::of_two().unwrap();
    for (text, code, says) in [
        (
            "gateway: { rate_limit: { per_minut: 3 } }\n",
            "config_unknown_key",
            "palisade.yaml:2:26: gateway.rate_limit.per_minut: unknown key; did you mean per_min",
        ),
        (
            "delivery: { max_in_flight: many }\n",
            "config_value",
            "palisade.yaml:2:28: delivery.max_in_flight: ",
        ),
        ("agents: { a: {}, a: {} }\n", "config_duplicate_key", "palisade.yaml:2:18: "),
        ("agents: [\n", "config_syntax", "palisade.yaml:"),
        ("storage: { engine: redis }\n", "config_value", "palisade.yaml:2:20: storage.engine: "),
        (
            "gateway: { dlp: { rules: [ { id: r, type: t, pattern: '(', action: block } ] } }\n",
            "config_value",
            "palisade.yaml:2:",
        ),
    ] {
        site.write("palisade.yaml", format!("{HEAD}{text}").as_bytes()).unwrap();
        let (found, message) = refuses(&site, 2).await;
        assert_eq!(found, code, "{message}");
        assert!(message.contains(says), "{message}");
        // For people the same, as one line on standard error.
        let run = site.run(&["serve", "--config", "palisade.yaml"]).await.unwrap();
        let Run { stdout, stderr, .. } = run.ended(2).unwrap();
        assert_eq!(stdout, "");
        assert!(stderr.starts_with("error: ") && stderr.contains(says), "{stderr}");
    }
    site.write("palisade.yaml", b"server: {}\n").unwrap();
    assert_eq!(refuses(&site, 2).await.0, "config_missing_key");
    fs::remove_file(site.path("palisade.yaml")).unwrap();
    let (code, message) = refuses(&site, 2).await;
    assert_eq!(code, "config_missing", "{message}");
    // Nothing starts without one, and the advice names what makes one.
    let run = site.run(&["serve"]).await.unwrap().ended(2).unwrap();
    assert!(run.stderr.contains("palisade dev"), "{run:?}");
}

#[tokio::test]
async fn an_unusable_key_or_certificate_is_refused_by_its_name() {
    let site = Site::of_two().unwrap();
    let read = |name: &str| fs::read(site.path(name)).unwrap();
    let good = ["server.key", "server.pem", "ca.pem"].map(|name| (name, read(name)));
    let ca = DevCa::load(site.folder()).unwrap();
    let expired = Validity { not_before_unix: unix_now() - 1000, not_after_unix: unix_now() - 10 };
    let issued = ca.issue_server(&["localhost".to_owned()], None, expired).unwrap();
    issued.save(site.folder(), "old", Overwrite::Refuse).unwrap();
    let other_key = read("alice.key");
    let leaf = read("alice.pem");
    for (files, code, named) in [
        (vec![("server.key", None)], "tls_file_missing", "server.key"),
        (vec![("server.pem", None)], "tls_file_missing", "server.pem"),
        (vec![("ca.pem", None)], "tls_file_missing", "ca.pem"),
        (vec![("server.key", Some(other_key))], "tls_key_mismatch", "server.key"),
        (vec![("server.key", Some(b"nothing".to_vec()))], "tls_key_absent", "server.key"),
        (vec![("server.pem", Some(Vec::new()))], "tls_certificate_absent", "server.pem"),
        (
            vec![("server.key", Some(read("old.key"))), ("server.pem", Some(read("old.pem")))],
            "tls_certificate_expired",
            "server.pem",
        ),
        (vec![("ca.pem", Some(leaf))], "tls_ca_unusable", "ca.pem"),
        (vec![("ca.pem", Some(Vec::new()))], "tls_ca_empty", "ca.pem"),
    ] {
        for (name, content) in files {
            match content {
                Some(bytes) => site.write(name, &bytes).unwrap(),
                None => fs::remove_file(site.path(name)).unwrap(),
            }
        }
        let (found, message) = refuses(&site, 2).await;
        assert_eq!(found, code, "{message}");
        assert!(message.contains(named), "{message}");
        assert!(!message.contains("PRIVATE KEY-----"), "{message}");
        for (name, bytes) in &good {
            let _previous = fs::remove_file(site.path(name));
            site.write(name, bytes).unwrap();
            fs::set_permissions(site.path(name), fs::Permissions::from_mode(0o600)).unwrap();
        }
    }
    fs::set_permissions(site.path("server.key"), fs::Permissions::from_mode(0o644)).unwrap();
    let (code, message) = refuses(&site, 2).await;
    assert_eq!(code, "tls_key_world_readable", "{message}");
    assert!(message.contains("server.key") && message.contains("chmod 600"), "{message}");
    fs::set_permissions(site.path("server.key"), fs::Permissions::from_mode(0o600)).unwrap();
    site.start().await.unwrap().stop().await.unwrap();
}

#[tokio::test]
async fn a_port_in_use_is_told_with_the_address() {
    let site = Site::of_two().unwrap();
    let gate = site.start().await.unwrap();
    let addr = gate.addr().to_string();
    let agents = json!({ "alice": { "allow": ["bob"] }, "bob": { "allow": ["alice"] } });
    let other = Site::new(&json!({ "agents": agents, "server": { "listen": addr } })).unwrap();
    let (code, message) = refuses(&other, 1).await;
    assert_eq!(code, "listen_failed", "{message}");
    assert!(message.contains(&addr) && message.contains("server.listen"), "{message}");
    site.connect(&gate, "alice").await.unwrap();
    gate.stop().await.unwrap();
}

#[tokio::test]
async fn a_folder_that_cannot_hold_a_store_is_told_by_its_path() {
    // A file where a folder should be, one above it, and a place that nobody may write to.
    for (path, named) in [
        ("palisade.yaml", "palisade.yaml"),
        ("palisade.yaml/data", "palisade.yaml/data"),
        ("/proc/palisade", "/proc/palisade"),
    ] {
        let site = Site::new(&json!({ "storage": { "path": path } })).unwrap();
        let (code, message) = refuses(&site, 1).await;
        assert!(code.starts_with("store_"), "{code}: {message}");
        assert!(message.contains(named), "{message}");
    }
}

#[tokio::test]
async fn a_store_is_open_in_one_gate_at_a_time() {
    let site = Site::of_two().unwrap();
    let gate = site.start().await.unwrap();
    let (code, message) = refuses(&site, 1).await;
    assert_eq!(code, "store_locked", "{message}");
    assert!(message.contains("data"), "{message}");
    site.connect(&gate, "alice").await.unwrap();
    gate.stop().await.unwrap();
}

/// Finds the segment of the log with the most in it, and the place where its content ends.
fn fullest_segment(log: &Path) -> (PathBuf, usize) {
    let end = |path: &PathBuf| {
        let bytes = fs::read(path).unwrap();
        bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
    };
    let files = fs::read_dir(log).unwrap().map(|entry| entry.unwrap().path());
    let segments = files.filter(|path| path.extension().is_some_and(|end| end == "seg"));
    segments.map(|path| (path.clone(), end(&path))).max_by_key(|(_, end)| *end).unwrap()
}

fn flip(file: &Path, at: usize) {
    let mut bytes = fs::read(file).unwrap();
    bytes[at] ^= 0x20;
    fs::write(file, bytes).unwrap();
}

#[tokio::test]
async fn a_damaged_store_is_refused_with_its_place_and_loses_nothing() {
    let site = Site::of_two().unwrap();
    let gate = site.start().await.unwrap();
    let alice = site.connect(&gate, "alice").await.unwrap();
    let mut sent = Vec::new();
    for number in 0..40 {
        sent.push(alice.send("bob", "note", &json!({ "number": number })).await.unwrap());
    }
    drop(alice);
    gate.kill().await.unwrap();
    let (segment, end) = fullest_segment(&site.path("data/log"));
    flip(&segment, end / 2);
    let before = fs::read(&segment).unwrap();
    let (code, message) = refuses(&site, 1).await;
    assert_eq!(code, "store_corrupt", "{message}");
    let name = segment.file_name().unwrap().to_str().unwrap();
    assert!(message.contains(name), "{message}");
    let at = message.split("at byte ").nth(1).and_then(|rest| rest.split(':').next()).unwrap();
    let at: usize = at.parse().unwrap();
    assert!((1..=end / 2).contains(&at), "{message}");
    assert_eq!(fs::read(&segment).unwrap(), before, "the damaged file was changed");
    // An auditor sees it too.
    let run = site.audit(&["verify"]).await.unwrap().ended(1).unwrap();
    assert_eq!(run.json().unwrap()["ok"], false, "{run:?}");
    // Mended from a copy, nothing is missing.
    flip(&segment, end / 2);
    let gate = site.start().await.unwrap();
    let bob = site.connect(&gate, "bob").await.unwrap();
    let mut messages = bob.messages();
    for id in &sent {
        let incoming = messages.next().await.unwrap();
        assert_eq!(incoming.message.message_id, *id);
        incoming.ack().await.unwrap();
    }
    gate.stop().await.unwrap();
}

#[tokio::test]
async fn bad_messages_cost_nobody_else_anything() {
    let site = Site::of_two().unwrap();
    let gate = site.start().await.unwrap();
    let alice = site.connect(&gate, "alice").await.unwrap();
    let bob = site.connect(&gate, "bob").await.unwrap();
    let kept = alice.send("bob", "note", &json!({ "kept": true })).await.unwrap();
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    for text in [deep.as_str(), "{\"a\":NaN}", "{\"a\":1,\"a\":2}", "{\"a\":\"\\ud800\"}"] {
        // The client refuses some of it by itself.
        alice.send_json("bob", "note", text.to_owned()).await.unwrap_err();
    }
    alice.send("nobody", "note", &json!({})).await.unwrap_err();
    let incoming = bob.messages().next().await.unwrap();
    assert_eq!(incoming.message.message_id, kept);
    incoming.ack().await.unwrap();
    gate.stop().await.unwrap();
    let records: Vec<Value> = site.records(&["--sender", "alice"]).await.unwrap();
    let denied = records.iter().filter(|record| record["decision"] == "AUTHZ_DENIED").count();
    assert_eq!(denied, 1);
}
