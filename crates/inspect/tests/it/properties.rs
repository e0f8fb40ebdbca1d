//! What holds for every text: agreement with another parser, and redaction that breaks nothing.

use inspect::{Document, Limits, Outcome};
use proptest::prelude::*;
use serde_json::Value;

use crate::support::{default_policy, policy};

/// Texts that are JSON, nearly JSON, or not at all.
fn texts() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("{".to_owned()),
        Just("}".to_owned()),
        Just("[".to_owned()),
        Just("]".to_owned()),
        Just(",".to_owned()),
        Just(":".to_owned()),
        Just(r#""a""#.to_owned()),
        Just(r#""\u00e9\n""#.to_owned()),
        Just(r#""\ud83d\ude00""#.to_owned()),
        Just(r#""\ud83d""#.to_owned()),
        Just("-".to_owned()),
        Just("1e9".to_owned()),
        Just("true".to_owned()),
        Just("null".to_owned()),
        Just(" ".to_owned()),
        "[0-9.eE+-]{1,6}",
        "\\PC{0,3}",
    ];
    prop_oneof![
        proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat()),
        values().prop_map(|value| value.to_string()),
        values().prop_map(|value| format!("{value:#}")),
        (values(), any::<proptest::sample::Index>(), "[{}\\[\\],:\"\\\\0-9a]").prop_map(
            |(value, at, piece)| {
                let mut chars: Vec<char> = value.to_string().chars().collect();
                let at = at.index(chars.len());
                chars.splice(at..=at, piece.chars());
                chars.into_iter().collect()
            }
        ),
    ]
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e9..1e9).prop_map(Value::from),
        (100_000_000..999_999_999).prop_map(|number| Value::from(f64::from(number))),
        "\\PC{0,12}".prop_map(Value::from),
        "[0-9]{3}-[0-9]{2}-[0-9]{4}".prop_map(Value::from),
        secrets().prop_map(Value::from),
        secrets().prop_map(|text| Value::from(format!("{text}password=hunter2222"))),
    ];
    let key =
        prop_oneof!["[a-z]{1,4}", Just("ssn".to_owned()), Just("phone".to_owned()), secrets()];
    leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::btree_map(key.clone(), inner, 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Secrets for keys; none of them masked gives the value another meaning than before.
fn secrets() -> impl Strategy<Value = String> {
    let secret = prop_oneof![
        Just("123-45-6789"),
        Just("4111 1111 1111 1111"),
        Just("jane@example.com"),
        Just("555-123-4567"),
        Just("AKIAIOSFODNN7EXAMPLE"),
        Just("MRN: 12345678"),
    ];
    let filler = "[ \\n\\t\"\\\\/é,;]{1,3}";
    proptest::collection::vec((filler, secret), 1..3).prop_map(|parts| {
        let mut text: String = parts.into_iter().flat_map(|(a, b)| [a, b.to_owned()]).collect();
        text.push(' ');
        text
    })
}

/// Says whether two values have the same form, keys and leaves apart.
fn same_form(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_form(a, b))
        }
        (Value::Object(a), Value::Object(b)) => a.len() == b.len(),
        (Value::Number(a), Value::Number(b)) => a == b,
        (Value::Number(_), b) => b.is_string(),
        (a, b) => std::mem::discriminant(a) == std::mem::discriminant(b),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None,
        ..ProptestConfig::default() })]

    #[test]
    fn accepts_what_serde_json_accepts_but_for_stricter_rules(text in texts()) {
        let ours = Document::parse(&text, &Limits::default());
        let theirs = serde_json::from_str::<Value>(&text);
        match (&ours, &theirs) {
            (Ok(_), _) if text.is_empty() => {}
            (Ok(doc), Ok(value)) => {
                prop_assert!(value.is_object());
                prop_assert_eq!(&serde_json::from_str::<Value>(doc.text()).unwrap(), value);
            }
            (Err(refused), Ok(value)) => match refused.code() {
                "payload_must_be_object" => prop_assert!(!value.is_object()),
                code => prop_assert_eq!(code, "duplicate_key"),
            },
            (Ok(_), Err(error)) => prop_assert!(false, "{} accepted: {}", text, error),
            (Err(_), Err(_)) => {}
        }
    }

    #[test]
    fn redacted_documents_parse_and_keep_form_and_no_secret(value in values()) {
        let dlp = redacting();
        let text = serde_json::json!({ "v": value }).to_string();
        let doc = Document::parse(&text, &Limits::default()).unwrap();
        let inspection = dlp.inspect(&doc, None);
        let Outcome::Redacted(out) = inspection.outcome else {
            prop_assert!(inspection.findings.is_empty());
            return Ok(());
        };
        let again = Document::parse(&out, &Limits::default()).unwrap();
        for secret in SECRETS {
            prop_assert!(!out.contains(secret), "{} in {}", secret, out);
        }
        let before: Value = serde_json::from_str(&text).unwrap();
        prop_assert!(same_form(&before, &serde_json::from_str(&out).unwrap()), "{} {}", text, out);
        prop_assert_eq!(dlp.inspect(&again, None).findings, []);
    }

    #[test]
    fn any_text_is_scanned_without_a_panic(text in "\\PC{0,200}") {
        for one in default_policy().scan_text(&text) {
            prop_assert!(one.start < one.end && one.end <= text.chars().count());
        }
    }
}

/// Parts of the secrets that no mask shows.
const SECRETS: [&str; 7] =
    ["123-45", "4111 1111", "jane@", "555-123", "hunter2222", "AKIA", "12345678"];

fn redacting() -> &'static inspect::Dlp {
    static DLP: std::sync::LazyLock<inspect::Dlp> = std::sync::LazyLock::new(|| {
        let kinds = [
            "email",
            "phone",
            "credit_card",
            "password",
            "mrn",
            "aws_key",
            "icd10",
            "cvv",
            "api_key",
            "health_insurance",
            "jwt",
            "private_key",
        ];
        let overrides: Value =
            kinds.iter().map(|kind| ((*kind).to_owned(), Value::from("redact"))).collect();
        policy(serde_json::json!({ "policy_overrides": overrides }))
    });
    &DLP
}
