//! Work grows with the length of a text and no faster, whatever the text is.

use std::hint::black_box;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde_json::json;

use crate::support::{default_policy, policy};

/// Four times the text may take this many times as long; a quadratic scan takes sixteen.
const GROWTH_MAX: u32 = 12;

/// Returns the time that this thread has worked, so that what else runs here does not count.
fn worked() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap()
}

fn fastest(dlp: &inspect::Dlp, text: &str) -> Duration {
    let once = || {
        let start = worked();
        black_box(dlp.scan_text(black_box(text)));
        worked() - start
    };
    (0..5).map(|_| once()).min().unwrap()
}

fn filled(piece: &str, bytes: usize) -> String {
    let text = piece.repeat(bytes / piece.len() + 1);
    text.chars().take(bytes).collect()
}

fn noise(alphabet: &str, bytes: usize) -> String {
    let letters: Vec<char> = alphabet.chars().collect();
    let mut seed = 7_u64;
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        letters[usize::try_from(seed >> 33).unwrap() % letters.len()]
    };
    (0..bytes).map(|_| next()).collect()
}

fn hostile(bytes: usize) -> Vec<(&'static str, String)> {
    vec![
        ("addresses", filled("a@a.", bytes)),
        ("whole addresses", filled("a@a.aa.1.1", bytes)),
        ("token heads", filled("eyJ-", bytes)),
        ("tokens", filled("eyJaaaa.eyJaaaa.", bytes)),
        ("dots", filled("a@a.a.a.a.a.a.a", bytes)),
        ("passwords", filled("password=", bytes)),
        ("words", filled("ssn social security policy number mrn icd dx ", bytes)),
        ("key heads", filled("-----BEGIN PRIVATE KEY-----", bytes)),
        (
            "base64",
            noise("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", bytes),
        ),
        ("digits", noise("0123456789-. ", bytes)),
        ("cards", filled("4111 1111 1111 1112 ", bytes)),
        ("plus", filled("+1 1 1 1 ", bytes)),
        ("random", noise("abc@.eyJ-_ =:\"'{}[]12345é日", bytes)),
    ]
}

#[test]
fn hostile_texts_take_time_in_proportion() {
    let dlp = default_policy();
    for ((name, short), (_, long)) in hostile(16_384).into_iter().zip(hostile(65_536)) {
        let (short, long) = (fastest(dlp, &short), fastest(dlp, &long));
        assert!(long < short * GROWTH_MAX, "{name}: {short:?}, then {long:?}");
    }
}

#[test]
fn an_operators_pattern_that_looks_far_stays_in_proportion() {
    let dlp = policy(json!({"merge_strategy": "replace", "rules": [
        {"id": "far", "type": "far", "pattern": "a(?:.*b)?|c.*d|c", "action": "alert"},
    ]}));
    for piece in ["a", "ac", "a b", "aaac "] {
        let texts = [filled(piece, 16_384), filled(piece, 65_536)];
        let [short, long] = texts.map(|text| fastest(&dlp, &text));
        assert!(long < short * GROWTH_MAX, "{piece}: {short:?}, then {long:?}");
    }
}

#[test]
fn the_rest_counts_as_found_when_looking_further_becomes_too_much() {
    let dlp = policy(json!({"merge_strategy": "replace", "rules": [
        {"id": "far", "type": "far", "pattern": "a[^b]*", "action": "alert"},
    ]}));
    let text = "a".to_owned() + &format!("{}b", "x".repeat(400)).repeat(3);
    assert_eq!(dlp.scan_text(&text).len(), 1);
    let many = format!("a{}b", "x".repeat(400)).repeat(100);
    let found = dlp.scan_text(&many);
    assert_eq!(found.last().unwrap().end, many.chars().count());
    assert!(found.len() < 100);
}
