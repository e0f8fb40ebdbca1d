//! What goes on instead of a document, and that nothing else changes.

use inspect::{Action, Dlp, Document, Limits, Outcome};
use serde_json::json;

use crate::support::{Broken, Counting, default_policy, document, inspected, policy};

fn redacting() -> Dlp {
    policy(json!({"policy_overrides": {
        "email": "redact", "phone": "redact", "credit_card": "redact", "password": "redact",
        "mrn": "redact", "aws_key": "redact", "private_key": "redact", "cvv": "redact",
    }}))
}

fn redacted(dlp: &Dlp, json: &str) -> String {
    let outcome = dlp.inspect(&document(json), None).outcome;
    let Outcome::Redacted(text) = outcome else { panic!("{outcome:?} for {json}") };
    text
}

#[test]
fn only_the_secret_changes() {
    let table = [
        (r#"{"t": "ssn 123-45-6789"}"#, r#"{"t": "ssn XXX-XX-6789"}"#),
        (
            r#"{ "a" :1.0,"t":"\u00e9\n123-45-6789\/" }"#,
            r#"{ "a" :1.0,"t":"\u00e9\nXXX-XX-6789\/" }"#,
        ),
        (r#"{"t":"\u0031\u0032\u0033-45-6789!"}"#, r#"{"t":"XXX-XX-6789!"}"#),
        (r#"{"t":"１２３-４５-６７８９"}"#, r#"{"t":"XXX-XX-6789"}"#),
        (r#"{"ssn":123456789,"n":1}"#, r#"{"ssn":"XXX-XX-6789","n":1}"#),
        (
            r#"{"t":"a 123-45-6789 b 987-65-4321 c 234-56-7890"}"#,
            r#"{"t":"a XXX-XX-6789 b 987-65-4321 c XXX-XX-7890"}"#,
        ),
        (r#"{"ssn":[-536228145.0 ,5.36228145e8]}"#, r#"{"ssn":["XXX-XX-8145" ,"XXX-XX-8145"]}"#),
        (r#"{"123-45-6789":"x"}"#, r#"{"XXX-XX-6789":"x"}"#),
        (r#"{"ssn 123-45-6789":1}"#, r#"{"ssn XXX-XX-6789":1}"#),
        (r#"{"t":"a@b.example 123-45-6789"}"#, r#"{"t":"a@b.example XXX-XX-6789"}"#),
    ];
    for (json, expected) in table {
        assert_eq!(redacted(default_policy(), json), expected);
    }
}

#[test]
fn each_type_has_its_mask() {
    let dlp = redacting();
    let table = [
        ("jane@example.com", "j***@example.com"),
        ("call 555-123-4567", "call (XXX) XXX-4567"),
        ("4111 1111 1111 1111", "**** **** **** 1111"),
        ("password=hunter2222", "password=[REDACTED PASSWORD]"),
        ("MRN: 12345678", "MRN: [REDACTED MRN]"),
        ("AKIAIOSFODNN7EXAMPLE", "[REDACTED AWS_KEY]"),
        ("CVV 123", "CVV [REDACTED CVV]"),
    ];
    for (text, expected) in table {
        let json = format!("{{\"t\":\"{text}\"}}");
        let out = redacted(&dlp, &json);
        assert_eq!(out, format!("{{\"t\":\"{expected}\"}}"));
        let again = dlp.inspect(&document(&out), None);
        assert!(again.findings.is_empty(), "{out}: {:?}", again.findings);
    }
    let pem = r#"{"t":"-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----\n"}"#;
    assert_eq!(redacted(&dlp, pem), r#"{"t":"[REDACTED PRIVATE_KEY]\n"}"#);
}

#[test]
fn a_mask_over_several_types_shows_nothing_of_either() {
    let out = redacted(&redacting(), r#"{"t":"a@123-45-6789.com"}"#);
    assert!(!out.contains("6789"), "{out}");
}

#[test]
fn a_bare_phone_number_is_not_spoilt_by_a_shorter_match() {
    let out = redacted(&redacting(), r#"{"phone":"4155552671"}"#);
    assert_eq!(out, r#"{"phone":"(XXX) XXX-2671"}"#);
}

#[test]
fn renamed_keys_stay_unique() {
    let json = r#"{"123-45-6789":1,"XXX-XX-6789":2,"124-45-6789":3,"o":{"125-45-6789":4}}"#;
    let out = redacted(default_policy(), json);
    let expected = r#"{"XXX-XX-6789#2":1,"XXX-XX-6789":2,"XXX-XX-6789#3":3,"o":{"XXX-XX-6789":4}}"#;
    assert_eq!(out, expected);
    assert!(Document::parse(&out, &Limits::default()).is_ok());
}

#[test]
fn sealed_values_replace_whole_values() {
    let dlp = policy(json!({"policy_overrides": {"email": "encrypt"}}));
    let json = r#"{"a":"write to jane@example.com\n","s":"123-45-6789","n":1.0}"#;
    let sealed = dlp.inspect(&document(json), Some(&Counting));
    let expected = r#"{"a":"palisade:sealed:v1:26","s":"XXX-XX-6789","n":1.0}"#;
    assert_eq!(sealed.outcome, Outcome::Encrypted(expected.to_owned()));
    let both = r#"{"a":"jane@example.com 123-45-6789"}"#;
    let sealed = dlp.inspect(&document(both), Some(&Counting));
    assert_eq!(sealed.outcome, Outcome::Encrypted(r#"{"a":"palisade:sealed:v1:28"}"#.to_owned()));
    assert!(matches!(&sealed.findings[..], [a, b] if a.action == Action::Encrypt
        && b.action == Action::Redact));
}

#[test]
fn sealed_numbers_become_strings() {
    let dlp = policy(json!({"policy_overrides": {"ssn": "encrypt"}}));
    let sealed = dlp.inspect(&document(r#"{"ssn":123456789}"#), Some(&Counting));
    assert_eq!(sealed.outcome, Outcome::Encrypted(r#"{"ssn":"palisade:sealed:v1:9"}"#.to_owned()));
}

#[test]
fn what_cannot_be_sealed_is_blocked() {
    let dlp = policy(json!({"policy_overrides": {"email": "encrypt"}}));
    let doc = document(r#"{"a":"jane@example.com"}"#);
    for sealer in [None, Some(&Broken as &dyn inspect::Seal)] {
        let blocked = dlp.inspect(&doc, sealer);
        assert_eq!(blocked.outcome, Outcome::Blocked);
        assert_eq!(blocked.findings.len(), 1);
    }
}

#[test]
fn the_strictest_finding_decides() {
    let table = [
        (r#"{"t":"hello"}"#, Outcome::Clean),
        (r#"{"t":"jane@example.com"}"#, Outcome::Alerted),
        (r#"{"t":"jane@example.com AKIAIOSFODNN7EXAMPLE 123-45-6789"}"#, Outcome::Blocked),
    ];
    for (json, outcome) in table {
        assert_eq!(inspected(json).outcome, outcome, "{json}");
    }
}

#[test]
fn findings_say_where_and_not_what() {
    let inspection = inspected(r#"{"p":[{"ssn":"is \u00e9 123-45-6789"}]}"#);
    let [finding] = &inspection.findings[..] else { panic!("{inspection:?}") };
    assert_eq!((finding.path.as_str(), finding.start, finding.end), ("p[0].ssn", 5, 16));
    assert!(!format!("{inspection:?}").contains("6789"));
}

#[test]
fn more_findings_than_are_listed_are_all_masked() {
    let many = vec!["\"123-45-6789\""; 3_000].join(",");
    let inspection = inspected(&format!("{{\"t\":[{many}],\"e\":\"a@b.example\"}}"));
    assert_eq!(inspection.findings.len(), inspect::FINDINGS_MAX);
    let Outcome::Redacted(text) = inspection.outcome else { panic!() };
    assert!(!text.contains("123-45"));
}

#[test]
fn a_text_that_masks_make_too_long_is_blocked() {
    let name = "x".repeat(100);
    let dlp = policy(json!({"merge_strategy": "replace", "rules": [
        {"id": "a", "type": name, "pattern": "a", "action": "redact"},
    ]}));
    let few = format!("{{\"t\":\"{}\"}}", "a ".repeat(10_000));
    assert!(matches!(dlp.inspect(&document(&few), None).outcome, Outcome::Redacted(_)));
    let many = format!("{{\"t\":\"{}\"}}", "a ".repeat(100_000));
    assert_eq!(dlp.inspect(&document(&many), None).outcome, Outcome::Blocked);
}
