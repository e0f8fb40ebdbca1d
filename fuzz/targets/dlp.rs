//! Data-loss prevention: what comes out is a payload of the same shape.
#![no_main]

use std::sync::LazyLock;

use inspect::{Dlp, DlpSpec, Document, Limits, Outcome};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

static DLP: LazyLock<Dlp> = LazyLock::new(|| Dlp::compile(&DlpSpec::default()).expect("default"));

fuzz_target!(|text: &str| {
    let length = text.chars().count();
    for finding in DLP.scan_text(text) {
        assert!(finding.start < finding.end && finding.end <= length, "{finding:?}");
    }
    let limits = Limits::default();
    let Ok(document) = Document::parse(text, &limits) else { return };
    let inspection = DLP.inspect(&document, None);
    let (Outcome::Redacted(payload) | Outcome::Encrypted(payload)) = inspection.outcome else {
        return;
    };
    assert!(!inspection.findings.is_empty());
    let roomy = Limits { bytes_max: usize::MAX, members_max: usize::MAX, ..limits };
    let again = Document::parse(&payload, &roomy).expect("what was rewritten is a payload");
    if let (Ok(before), Ok(after)) = (
        serde_json::from_str::<Value>(document.text()),
        serde_json::from_str::<Value>(again.text()),
    ) {
        assert_eq!(places(&before), places(&after), "members were lost or added");
    }
});

/// Counts the members and items of a value, at all depths.
fn places(value: &Value) -> usize {
    match value {
        Value::Object(members) => members.values().map(places).sum::<usize>() + members.len(),
        Value::Array(items) => items.iter().map(places).sum::<usize>() + items.len(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}
