//! What an export looks like, and what it does not let through.

use super::{ExportError, export_csv, export_json};
use crate::sample::{log, read};
use crate::{Damage, Fault, Filter, Found, Link, Outcome, Record, query, to_hex};

fn found(record: Record<'static>) -> Result<Found, Damage> {
    Ok(Found { link: Link { seq: 7, prev: [1; 32], hash: [2; 32] }, record })
}

fn record() -> Record<'static> {
    Record {
        timestamp: "2026-01-31T12:00:00.000000Z".into(),
        event_type: "message.send".into(),
        agent_id: "a".into(),
        request_id: "r".into(),
        outcome: Outcome::Refused,
        decision: "DLP_BLOCKED".into(),
        message_id: Some("m".into()),
        sender_id: Some("a".into()),
        target_id: Some("b,\"c\"".into()),
        latency_us: 5,
        violations: vec!["ssn".to_owned(), "email".to_owned()],
        ..Record::default()
    }
}

fn csv(record: Record<'static>) -> String {
    let mut out = Vec::new();
    assert_eq!(export_csv(&mut out, std::iter::once(found(record))).unwrap(), 1);
    String::from_utf8(out).unwrap()
}

#[test]
fn csv_has_its_columns_and_quotes() {
    let (prev, hash) = ("01".repeat(32), "02".repeat(32));
    let expected = format!(
        "seq,timestamp,event_type,decision,outcome,reason,message_id,sender_id,\
         sender_instance_id,target_id,message_type,correlation_id,latency_us,payload_commitment,\
         violations,policy_revision,prev_hash,hash\n\
         7,2026-01-31T12:00:00.000000Z,message.send,DLP_BLOCKED,refused,,m,a,,\"b,\"\"c\"\"\",,,5,,\
         ssn;email,,{prev},{hash}\n"
    );
    assert_eq!(csv(record()), expected);
}

#[test]
fn no_cell_is_a_formula_or_moves_the_terminal() {
    let table = [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("＝1", "'＝1"),
        ("a=1", "a=1"),
        ("\t=1", r"\u0009=1"),
        ("\r\n=1", r"\u000d\u000a=1"),
        ("\u{1b}[2J", r"\u001b[2J"),
        ("\u{202e}gpj.exe", r"\u202egpj.exe"),
    ];
    for (hostile, cell) in table {
        let text = csv(Record { target_id: Some(hostile.into()), ..record() });
        assert!(text.contains(&format!(",a,,{cell},,")), "{text}");
        assert_eq!(text.lines().count(), 2, "{text}");
        let listed = csv(Record { violations: vec![hostile.to_owned()], ..record() });
        assert!(listed.contains(&format!(",5,,{cell},,")), "{listed}");
    }
}

#[test]
fn json_is_an_indented_array() {
    let mut out = Vec::new();
    let records = [found(record()), found(Record::default())];
    assert_eq!(export_json(&mut out, records.into_iter()).unwrap(), 2);
    let (prev, hash) = ("01".repeat(32), "02".repeat(32));
    let link =
        format!("    \"seq\": 7,\n    \"hash\": \"{hash}\",\n    \"prev_hash\": \"{prev}\",\n");
    let expected = format!(
        r#"[
  {{
{link}    "timestamp": "2026-01-31T12:00:00.000000Z",
    "event_type": "message.send",
    "agent_id": "a",
    "request_id": "r",
    "sensitive_data_masked": false,
    "outcome": "refused",
    "decision": "DLP_BLOCKED",
    "message_id": "m",
    "sender_id": "a",
    "target_id": "b,\"c\"",
    "latency_us": 5,
    "violations": ["ssn","email"]
  }},
  {{
{link}    "timestamp": "",
    "event_type": "",
    "agent_id": "",
    "request_id": "",
    "sensitive_data_masked": false,
    "outcome": "success",
    "decision": "",
    "latency_us": 0
  }}
]
"#
    );
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn a_query_can_be_exported_both_ways() {
    let entries = log(4);
    let filter = Filter { sender: Some("b".to_owned()), ..Filter::default() };
    let mut json = Vec::new();
    assert_eq!(export_json(&mut json, query(read(&entries), &filter)).unwrap(), 2);
    let value: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(value[1]["seq"], 4);
    assert_eq!(value[1]["hash"], to_hex(&entries[3].link.hash));
    let mut table = Vec::new();
    assert_eq!(export_csv(&mut table, query(read(&entries), &filter)).unwrap(), 2);
    assert_eq!(String::from_utf8(table).unwrap().lines().count(), 3);
}

#[test]
fn an_empty_export_is_whole() {
    let mut out = Vec::new();
    assert_eq!(export_json(&mut out, std::iter::empty()).unwrap(), 0);
    assert_eq!(out, b"[]\n");
    out.clear();
    assert_eq!(export_csv(&mut out, std::iter::empty()).unwrap(), 0);
    assert!(out.starts_with(b"seq,timestamp,"));
}

#[test]
fn damage_stops_an_export_and_leaves_no_whole_array() {
    let damage = Damage { path: "x".into(), offset: 1, what: Fault::Broken { bytes: 1 } };
    let records = || [found(record()), Err(damage.clone()), found(record())].into_iter();
    let mut out = Vec::new();
    let error = export_json(&mut out, records()).unwrap_err();
    assert!(matches!(error, ExportError::Damaged(found) if found == damage));
    assert!(serde_json::from_slice::<serde_json::Value>(&out).is_err());
    assert!(matches!(export_csv(Vec::new(), records()), Err(ExportError::Damaged(_))));
}

#[test]
fn an_output_that_is_full_is_an_error() {
    let mut small = [0; 10];
    let records = || std::iter::once(found(record()));
    assert!(matches!(export_json(&mut small[..], records()), Err(ExportError::Io(_))));
    assert!(matches!(export_csv(&mut small[..], records()), Err(ExportError::Io(_))));
}

/// An output whose reader has gone.
struct Closed;

impl std::io::Write for Closed {
    fn write(&mut self, _bytes: &[u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_closed_pipe_is_still_known_as_one() {
    // More than the writer holds back, so that a record meets the end and not only the flush.
    let many = || (0..1_000).map(|_| found(record()));
    for end in [export_csv(Closed, many()), export_json(Closed, many())] {
        let ExportError::Io(cause) = end.unwrap_err() else { panic!("no error of the output") };
        assert_eq!(cause.kind(), std::io::ErrorKind::BrokenPipe);
    }
}
