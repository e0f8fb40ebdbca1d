//! `palisade audit` over a sink's file: what is printed, found, exported, and noticed.

use std::path::Path;

use audit::{Chain, Entry, Outcome, Record};
use serde_json::Value;

use crate::program::{json, run, said};

/// Writes a log of four messages.
fn log(folder: &Path) {
    let mut chain = Chain::default();
    let mut text = Vec::new();
    let messages = [
        ("alice", "bob", "ALLOWED", Outcome::Success),
        ("alice", "carol", "DLP_BLOCKED", Outcome::Refused),
        ("bob", "alice", "ALLOWED", Outcome::Success),
        ("eve", "bob", "AUTHZ_DENIED", Outcome::Refused),
    ];
    for (minute, (sender, target, decision, outcome)) in messages.into_iter().enumerate() {
        let record = Record {
            timestamp: format!("2026-01-31T12:0{minute}:00.000000Z").into(),
            event_type: "message.send".into(),
            agent_id: sender.into(),
            sender_id: Some(sender.into()),
            target_id: Some(target.into()),
            message_type: Some("=note\u{1b}[31m".into()),
            decision: decision.into(),
            outcome,
            ..Record::default()
        };
        let body = record.encode();
        let link = chain.append(&body);
        text.extend(Entry { link, body: body.into() }.to_line().unwrap());
        text.push(b'\n');
    }
    std::fs::write(folder.join("audit.jsonl"), text).unwrap();
}

fn audit(folder: &Path, words: &str) -> (i32, String, String) {
    let args: Vec<&str> = words.split(' ').chain(["--file", "audit.jsonl"]).collect();
    said(&run(folder, &args))
}

fn senders(text: &str) -> Vec<String> {
    let sender = |line| serde_json::from_str::<Value>(line).unwrap()["sender_id"].to_string();
    text.lines().map(sender).collect()
}

#[test]
fn a_query_picks_by_who_what_and_when() {
    let folder = tempfile::tempdir().unwrap();
    log(folder.path());
    let cases = [
        ("--sender alice", 2),
        ("--target bob", 2),
        ("--agent bob", 3),
        ("--decision allowed", 2),
        ("--decision DLP_BLOCKED --sender alice", 1),
        ("--since 2026-01-31T12:01:00Z --until 2026-01-31T12:02:00Z", 2),
        ("--since 1h", 0),
        ("--limit 3", 3),
        ("--event message.reply", 0),
    ];
    for (select, count) in cases {
        let (code, text, _) = audit(folder.path(), &format!("audit --json query {select}"));
        assert_eq!((code, text.lines().count()), (0, count), "{select}: {text}");
    }
    let (code, _, errors) = audit(folder.path(), "audit query --since yesterday");
    assert_eq!(code, 2);
    assert!(errors.contains("`yesterday` is not a moment"), "{errors}");
}

#[test]
fn the_table_for_people_keeps_control_characters_away() {
    let folder = tempfile::tempdir().unwrap();
    log(folder.path());
    let (code, text, _) = audit(folder.path(), "audit query --sender eve");
    assert_eq!(code, 0);
    assert!(text.contains("AUTHZ_DENIED") && text.contains("eve"), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
}

#[test]
fn the_tail_is_the_newest_records() {
    let folder = tempfile::tempdir().unwrap();
    log(folder.path());
    let (_, text, _) = audit(folder.path(), "audit --json tail -n 2");
    assert_eq!(senders(&text), ["\"bob\"", "\"eve\""]);
    let (_, text, _) = audit(folder.path(), "audit tail -n 1");
    assert!(text.contains("eve -> bob AUTHZ_DENIED"), "{text}");
}

#[test]
fn a_whole_log_verifies_and_a_changed_one_does_not() {
    let folder = tempfile::tempdir().unwrap();
    log(folder.path());
    let (code, text, _) = audit(folder.path(), "audit verify");
    assert_eq!(code, 0, "{text}");
    assert!(text.starts_with("ok: 4 entries, 1 to 4, head "), "{text}");
    let head = text.trim().rsplit(' ').next().unwrap().to_owned();
    let expect = |seq: u32| format!("audit verify --expect-seq {seq} --expect-head {head}");
    assert_eq!(audit(folder.path(), &expect(4)).0, 0);
    assert_eq!(audit(folder.path(), &expect(5)).0, 1);
    let path = folder.path().join("audit.jsonl");
    let changed = std::fs::read_to_string(&path).unwrap().replacen("ALLOWED", "ALLOWEd", 1);
    std::fs::write(&path, changed).unwrap();
    let args = ["audit", "--json", "verify", "--file", "audit.jsonl"];
    let output = run(folder.path(), &args);
    assert_eq!(output.status.code(), Some(1));
    let report = json(&output);
    assert_eq!((&report["ok"], &report["problems"][0]["seq"]), (&false.into(), &1.into()));
}

#[test]
fn exports_are_whole_files_that_do_not_run_in_a_spreadsheet() {
    let folder = tempfile::tempdir().unwrap();
    log(folder.path());
    let (code, text, _) = audit(folder.path(), "audit export --format csv --out log.csv");
    assert_eq!((code, text.as_str()), (0, "4 records in log.csv\n"));
    let csv = std::fs::read_to_string(folder.path().join("log.csv")).unwrap();
    assert_eq!(csv.lines().count(), 5, "{csv}");
    assert!(csv.contains("'=note"), "{csv}");
    let (code, _, errors) = audit(folder.path(), "audit export --format csv --out log.csv");
    assert_eq!(code, 1);
    assert!(errors.contains("exists already"), "{errors}");
    let (code, text, _) = audit(folder.path(), "audit export --format json --decision ALLOWED");
    assert_eq!(code, 0);
    let records: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(records.len(), 2);
}

#[test]
fn a_log_that_is_not_there_is_a_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    let (code, _, errors) = audit(folder.path(), "audit verify");
    assert_eq!(code, 1);
    assert!(errors.starts_with("error: cannot read `audit.jsonl`"), "{errors}");
    let (code, _, errors) = said(&run(folder.path(), &["audit", "verify", "--data", "data"]));
    assert_eq!(code, 1);
    assert!(errors.contains("give one with --data"), "{errors}");
    let (code, _, errors) = said(&run(folder.path(), &["audit", "verify"]));
    assert_eq!(code, 2);
    assert!(errors.contains("palisade dev"), "{errors}");
}
