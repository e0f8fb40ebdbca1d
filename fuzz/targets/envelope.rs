//! Payloads: what is accepted is one JSON object to another parser too, and within the limits.
#![no_main]

use inspect::{Document, Limits};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|text: &str| {
    let limits = Limits { depth_max: 32, members_max: 1_024, ..Limits::default() };
    let parsed = Document::parse(text, &limits);
    // Another parser stops at a depth of 128 and at numbers beyond its range.
    let other = serde_json::from_str::<Value>(text);
    match (parsed, other) {
        (Ok(document), Ok(value)) => {
            assert!(value.is_object() || text.is_empty());
            assert_eq!(serde_json::from_str::<Value>(document.text()).ok(), Some(value));
        }
        (Ok(document), Err(error)) => {
            let is_range = error.to_string().starts_with("number out of range");
            assert!(text.is_empty() || is_range, "{error}: {:?}", document.text());
        }
        (Err(error), _) => assert!(!error.to_string().is_empty()),
    }
});
