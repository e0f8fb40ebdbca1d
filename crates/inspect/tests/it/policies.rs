//! How an operator's rules, overrides and disabled types change what is found.

use inspect::{Action, Dlp, DlpSpec, Outcome, RuleError, Severity};
use serde_json::{Value, json};

use crate::support::{document, policy};

fn kinds(dlp: &Dlp, text: &str) -> Vec<(String, Action, Severity)> {
    let found = dlp.scan_text(text).into_iter();
    found.map(|one| (one.kind.to_string(), one.action, one.severity)).collect()
}

fn refused(spec: Value) -> RuleError {
    let spec: DlpSpec = serde_json::from_value(spec).unwrap();
    Dlp::compile(&spec).unwrap_err()
}

fn rule(id: &str, kind: &str, pattern: &str, action: &str) -> Value {
    json!({"id": id, "type": kind, "pattern": pattern, "action": action})
}

#[test]
fn rules_merge_as_the_strategy_says() {
    let text = "CUST-42 123-45-6789";
    let cust = rule("cust", "customer", "CUST-[0-9]+", "block");
    let append = policy(json!({"rules": [cust]}));
    let replace = policy(json!({"merge_strategy": "replace", "rules": [cust]}));
    let customer = ("customer".to_owned(), Action::Block, Severity::Medium);
    let ssn = ("ssn".to_owned(), Action::Redact, Severity::High);
    assert_eq!(kinds(&append, text), [customer.clone(), ssn]);
    assert_eq!(kinds(&replace, text), [customer]);
    let nothing = policy(json!({"merge_strategy": "replace"}));
    assert_eq!(
        nothing.inspect(&document(r#"{"ssn":"123-45-6789"}"#), None).outcome,
        Outcome::Clean
    );
}

#[test]
fn a_disabled_type_is_not_found_by_pattern_or_key() {
    let dlp = policy(json!({"disable_defaults": ["ssn", "password"]}));
    let doc = document(r#"{"ssn":123456789,"t":"123-45-6789","password":"hunter2222"}"#);
    assert_eq!(dlp.inspect(&doc, None).outcome, Outcome::Clean);
}

#[test]
fn a_rule_of_a_built_in_type_adds_a_pattern_and_sets_the_policy() {
    let mut own = rule("plain", "ssn", "S[0-9]{9}", "block");
    own["severity"] = json!("critical");
    let dlp = policy(json!({"rules": [own]}));
    let expected = ("ssn".to_owned(), Action::Block, Severity::Critical);
    assert_eq!(kinds(&dlp, "123-45-6789"), std::slice::from_ref(&expected));
    assert_eq!(kinds(&dlp, "S123456789"), [expected]);
}

#[test]
fn overrides_come_last() {
    let dlp = policy(json!({
        "rules": [rule("a", "address", "[0-9]+ Main St", "redact")],
        "policy_overrides": {"address": "block", "ssn": "alert"},
    }));
    let doc = document(r#"{"t":"123-45-6789"}"#);
    assert_eq!(dlp.inspect(&doc, None).outcome, Outcome::Alerted);
    assert_eq!(dlp.inspect(&document(r#"{"t":"1 Main St"}"#), None).outcome, Outcome::Blocked);
}

#[test]
fn rules_see_keys_numbers_and_floats_and_stay_within_a_field() {
    let dlp = policy(json!({"merge_strategy": "replace", "rules": [
        rule("pi", "pi", r"3\.?14[0-9]*", "redact"),
        rule("far", "far", r"(?s)begin.*end", "block"),
        rule("not", "not", r"x[^y]+y", "block"),
        rule("all", "all", r"^secret$", "redact"),
        rule("esc", "esc", r"q.q", "redact"),
    ]}));
    let out = |json: &str| dlp.inspect(&document(json), None).outcome;
    assert_eq!(out(r#"{"v":-3.14159}"#), Outcome::Redacted(r#"{"v":"-[REDACTED PI]"}"#.to_owned()));
    let whole = Outcome::Redacted(r#"{"v":["[REDACTED PI]","[REDACTED PI]"]}"#.to_owned());
    assert_eq!(out(r#"{"v":[3.140e2,31400e-2]}"#), whole);
    assert_eq!(out(r#"{"begin":"end","a":"begin","b":"end"}"#), Outcome::Clean);
    assert_eq!(out(r#"{"a":"begin \n end"}"#), Outcome::Blocked);
    assert_eq!(out(r#"{"x":"y","z":["x","y"]}"#), Outcome::Clean);
    let whole = Outcome::Redacted(r#"{"a":"[REDACTED ALL]","b":"secrets"}"#.to_owned());
    assert_eq!(out(r#"{"a":"secret","b":"secrets"}"#), whole);
    let quote = Outcome::Redacted(r#"{"a":"[REDACTED ESC]"}"#.to_owned());
    assert_eq!(out(r#"{"a":"q\"q"}"#), quote);
    let key = Outcome::Redacted(r#"{"[REDACTED ALL]":0}"#.to_owned());
    assert_eq!(out(r#"{"secret":0}"#), key);
}

#[test]
fn case_and_switch_of_a_rule_are_respected() {
    let mut own = rule("a", "x", "topsecret", "block");
    own["case_insensitive"] = json!(true);
    assert_eq!(kinds(&policy(json!({"rules": [own]})), "TopSecret").len(), 1);
    own["enabled"] = json!(false);
    assert_eq!(kinds(&policy(json!({"rules": [own]})), "TopSecret"), []);
}

#[test]
fn few_digits_of_an_own_pattern_are_not_shown_by_the_mask() {
    let dlp = policy(json!({"rules": [rule("a", "ssn", "pin [0-9]{4}", "redact")]}));
    let Outcome::Redacted(text) = dlp.inspect(&document(r#"{"t":"pin 1234"}"#), None).outcome
    else {
        panic!()
    };
    assert_eq!(text, r#"{"t":"[REDACTED SSN]"}"#);
}

#[test]
fn policies_that_cannot_work_are_refused_with_their_place() {
    let one =
        |id: &str, kind: &str, pattern: &str| json!({"rules": [rule(id, kind, pattern, "alert")]});
    let table = [
        (one("a", "x", "(unclosed"), "dlp rule `a`: `pattern` cannot be read at byte 0"),
        (one("a", "x", "ab[z-a]"), "dlp rule `a`: `pattern` cannot be read at byte 3"),
        (one("a", "x", r"(?=look)"), "dlp rule `a`: `pattern` cannot be read"),
        (one("a", "x", "b*"), "dlp rule `a`: `pattern` matches the empty text"),
        (one("a", "x", r"[^\s\S]"), "dlp rule `a`: `pattern` can never match"),
        (one("a", "x", r"(?:\w{900}){900}"), "dlp rule `a`: `pattern` is too large"),
        (one("a", "x", ""), "dlp rule `a`: `pattern` must have 1 to 4096 characters"),
        (one("", "x", "a"), "dlp rule ``: `id` must have 1 to 128 characters"),
        (one("a", "b c", "a"), "dlp rule `a`: `type` must have 1 to 128 characters, letters"),
        (
            json!({"rules": [rule("a", "x", "a", "alert"), rule("a", "y", "b", "alert")]}),
            "dlp rule `a` is there twice",
        ),
        (
            json!({"disable_defaults": ["snn"]}),
            "dlp `disable_defaults` names the unknown type `snn`: known are ssn, email, phone",
        ),
        (
            json!({"policy_overrides": {"emial": "block"}}),
            "dlp `policy_overrides` names the unknown type `emial`: known are address, api_key",
        ),
    ];
    for (spec, expected) in table {
        let message = refused(spec).to_string();
        assert!(message.starts_with(expected), "{message}");
    }
    let many: Vec<Value> = (0..1_001).map(|n| rule(&n.to_string(), "x", "a", "alert")).collect();
    assert_eq!(refused(json!({"rules": many})), RuleError::TooMany { count: 1_001, max: 1_000 });
}

#[test]
fn a_specification_survives_its_own_text() {
    let spec: DlpSpec = serde_json::from_value(json!({
        "merge_strategy": "replace", "disable_defaults": ["ssn"],
        "policy_overrides": {"email": "encrypt"}, "rules": [rule("a", "x", "a", "redact")],
    }))
    .unwrap();
    let text = serde_json::to_string(&spec).unwrap();
    assert_eq!(serde_json::from_str::<DlpSpec>(&text).unwrap(), spec);
    assert!(serde_json::from_str::<DlpSpec>(r#"{"rule":[]}"#).is_err());
    assert!(serde_json::from_str::<DlpSpec>(r#"{"rules":[{"id":"a"}]}"#).is_err());
}
