//! Canonical bytes: their order, their cleanness, their limits, and the way back.

use std::borrow::Cow;
use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{BODY_BYTES_MAX, Outcome, Record};

fn full() -> Record<'static> {
    let some = |text| Some(Cow::Borrowed(text));
    Record {
        timestamp: "2026-01-31T12:00:00.000001Z".into(),
        event_type: "message.send".into(),
        user_id: some("user123"),
        agent_id: "helpdesk".into(),
        request_id: "req-456".into(),
        sensitive_data_masked: true,
        outcome: Outcome::Refused,
        decision: "DLP_BLOCKED".into(),
        reason: some("dlp_blocked"),
        decided_by: some("rule ssn"),
        message_id: some("m-1"),
        sender_id: some("helpdesk"),
        sender_instance_id: some("i-1"),
        target_id: some("router"),
        message_type: some("question"),
        correlation_id: some("c-1"),
        latency_us: 17,
        payload_commitment: some("ab"),
        violations: vec!["ssn".to_owned(), "email".to_owned()],
        policy_revision: some("0011223344556677"),
        peer: some("127.0.0.1:5000"),
        spiffe_id: some("spiffe://mas/agent/helpdesk"),
        detail: BTreeMap::from([("change".to_owned(), "allow a to reach b".to_owned())]),
    }
}

#[test]
fn a_full_record_is_written_in_its_order() {
    let expected = concat!(
        r#"{"timestamp":"2026-01-31T12:00:00.000001Z","event_type":"message.send","#,
        r#""user_id":"user123","agent_id":"helpdesk","request_id":"req-456","#,
        r#""sensitive_data_masked":true,"outcome":"refused","decision":"DLP_BLOCKED","#,
        r#""reason":"dlp_blocked","decided_by":"rule ssn","message_id":"m-1","#,
        r#""sender_id":"helpdesk","sender_instance_id":"i-1","target_id":"router","#,
        r#""message_type":"question","correlation_id":"c-1","latency_us":17,"#,
        r#""payload_commitment":"ab","violations":["ssn","email"],"#,
        r#""policy_revision":"0011223344556677","peer":"127.0.0.1:5000","#,
        r#""spiffe_id":"spiffe://mas/agent/helpdesk","detail":{"change":"allow a to reach b"}}"#,
    );
    let body = full().encode();
    assert_eq!(String::from_utf8(body.clone()).unwrap(), expected);
    assert_eq!(Record::decode(&body).unwrap(), full());
    assert_eq!(Record::decode(&body).unwrap().into_owned(), full());
    assert_eq!(serde_json::to_string(&full()).unwrap(), expected);
}

#[test]
fn absent_fields_are_left_out() {
    let expected = concat!(
        r#"{"timestamp":"","event_type":"","agent_id":"","request_id":"","#,
        r#""sensitive_data_masked":false,"outcome":"success","decision":"","latency_us":0}"#,
    );
    let body = Record::default().encode();
    assert_eq!(String::from_utf8(body.clone()).unwrap(), expected);
    assert_eq!(Record::decode(&body).unwrap(), Record::default());
}

#[test]
fn hostile_text_stays_one_clean_line() {
    let table = [
        ("a\nb\r\tc\0", r"a\u000ab\u000d\u0009c\u0000"),
        ("\u{1b}[31mred\u{7}", r"\u001b[31mred\u0007"),
        ("\u{7f}\u{80}\u{85}\u{9b}\u{9f}", r"\u007f\u0080\u0085\u009b\u009f"),
        ("\u{2028}\u{2029}", r"\u2028\u2029"),
        ("\u{202a}\u{202e}\u{2066}\u{2069}\u{200f}", r"\u202a\u202e\u2066\u2069\u200f"),
        (r#"","decision":"ALLOWED"#, r#"\",\"decision\":\"ALLOWED"#),
        (r"\u0041", r"\\u0041"),
        ("é日😀\u{a0}", "é日😀\u{a0}"),
    ];
    for (hostile, written) in table {
        let record = Record { agent_id: hostile.into(), ..Record::default() };
        let body = record.encode();
        let text = std::str::from_utf8(&body).unwrap();
        assert!(text.contains(&format!(r#""agent_id":"{written}""#)), "{text}");
        assert_eq!(Record::decode(&body).unwrap().agent_id, hostile);
    }
}

#[test]
fn what_is_too_long_is_cut_and_says_so() {
    let long = "é".repeat(2_000);
    let record = Record {
        agent_id: long.as_str().into(),
        violations: vec!["ssn".to_owned(); 1_000],
        detail: (0..40).map(|n| (format!("{n:03}"), long.clone())).collect(),
        ..Record::default()
    };
    let body = record.encode();
    let back = Record::decode(&body).unwrap();
    assert_eq!(back.agent_id, format!("{}…", "é".repeat(1_022)));
    assert_eq!(back.violations.len(), 101);
    assert_eq!(back.violations[100], "… 900 more");
    assert_eq!(back.detail.len(), 33);
    assert_eq!(back.detail["…"], "8 more");
}

#[test]
fn the_worst_record_is_within_the_limit() {
    let worst = "\0".repeat(5_000);
    let some = || Some(Cow::Borrowed(worst.as_str()));
    let record = Record {
        timestamp: worst.as_str().into(),
        event_type: worst.as_str().into(),
        user_id: some(),
        agent_id: worst.as_str().into(),
        request_id: worst.as_str().into(),
        decision: worst.as_str().into(),
        reason: some(),
        decided_by: some(),
        message_id: some(),
        sender_id: some(),
        sender_instance_id: some(),
        target_id: some(),
        message_type: some(),
        correlation_id: some(),
        latency_us: u64::MAX,
        payload_commitment: some(),
        violations: vec![worst.clone(); 1_000],
        policy_revision: some(),
        peer: some(),
        spiffe_id: some(),
        detail: (0..1_000).map(|n| (format!("{n:04}{worst}"), worst.clone())).collect(),
        ..Record::default()
    };
    let bytes = record.encode().len();
    assert!(bytes > BODY_BYTES_MAX / 2 && bytes <= BODY_BYTES_MAX, "{bytes}");
}

#[test]
fn what_is_not_a_record_is_refused_with_its_column() {
    for (body, column) in [
        ("", 0),
        ("[]", 0),
        (" {}", 0),
        ("{\"timestamp\":1}", 14),
        ("{}", 2),
        ("{\"latency_us\":-1}", 16),
    ] {
        assert!(Record::decode(body.as_bytes()).is_err(), "{body}");
        assert_eq!(Record::decode(body.as_bytes()).unwrap_err().column(), column, "{body}");
    }
    let mut body = full().encode();
    body.splice(1..1, *b"\"from_a_later_version\":1,");
    assert_eq!(Record::decode(&body).unwrap(), full());
}

proptest! {
    #[test]
    fn what_was_encoded_decodes_to_the_same(
        texts in prop::collection::vec(any::<String>(), 8),
        optional in prop::collection::vec(prop::option::of(any::<String>()), 4),
        violations in prop::collection::vec(any::<String>(), 0..5),
        detail in prop::collection::btree_map(any::<String>(), any::<String>(), 0..4),
        latency_us in any::<u64>(),
        sensitive_data_masked in any::<bool>(),
        outcome in prop::sample::select(vec![Outcome::Success, Outcome::Refused, Outcome::Error]),
    ) {
        let text = |n: usize| Cow::Borrowed(texts[n].as_str());
        let maybe = |n: usize| optional[n].as_deref().map(Cow::Borrowed);
        let record = Record {
            timestamp: text(0),
            event_type: text(1),
            agent_id: text(2),
            request_id: text(3),
            decision: text(4),
            user_id: maybe(0),
            reason: maybe(1),
            sender_id: maybe(2),
            target_id: maybe(3),
            sensitive_data_masked,
            outcome,
            violations,
            latency_us,
            detail,
            ..Record::default()
        };
        let body = record.encode();
        prop_assert!(std::str::from_utf8(&body).unwrap().chars().all(|c| !c.is_control()));
        prop_assert_eq!(Record::decode(&body).unwrap(), record);
    }

    #[test]
    fn decoding_anything_never_panics(body in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(record) = Record::decode(&body) {
            prop_assert!(record.encode().len() <= BODY_BYTES_MAX);
        }
    }
}
