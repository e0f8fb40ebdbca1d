//! Which texts are payloads.

use inspect::{Document, Invalid, Limits};

fn code(text: &str) -> &'static str {
    match Document::parse(text, &Limits::default()) {
        Ok(_) => "ok",
        Err(invalid) => invalid.code(),
    }
}

#[test]
fn payloads_are_judged_as_listed() {
    let table = [
        ("", "ok"),
        ("{}", "ok"),
        (" \t\r\n{ } \n", "ok"),
        (r#"{"a":[1,-0.0,1.0,1e-7,true,false,null,"x",{}],"b":{"a":1}}"#, "ok"),
        (r#"{"a":"\"\\\/\b\f\n\r\t\u0000\ud83d\ude00é"}"#, "ok"),
        (r#"{"a":1e308,"b":-1E+2,"c":0.1e5}"#, "ok"),
        ("   ", "invalid_json"),
        ("\u{feff}{}", "invalid_json"),
        (r#"{"a":NaN}"#, "invalid_json"),
        (r#"{"a":Infinity}"#, "invalid_json"),
        (r#"{"a":-Infinity}"#, "invalid_json"),
        (r#"{"a":1e400}"#, "invalid_json"),
        (r#"{"a":-1e400}"#, "invalid_json"),
        (r#"{"a":01}"#, "invalid_json"),
        (r#"{"a":1.}"#, "invalid_json"),
        (r#"{"a":.5}"#, "invalid_json"),
        (r#"{"a":+1}"#, "invalid_json"),
        (r#"{"a":1e}"#, "invalid_json"),
        (r#"{"a":1,}"#, "invalid_json"),
        (r#"{"a":[1,]}"#, "invalid_json"),
        (r#"{"a" 1}"#, "invalid_json"),
        (r#"{a:1}"#, "invalid_json"),
        (r#"{'a':1}"#, "invalid_json"),
        (r#"{"a":1}}"#, "invalid_json"),
        (r#"{"a":1} {}"#, "invalid_json"),
        (r#"{"a":[1}"#, "invalid_json"),
        (r#"{"a":{"b":1]}"#, "invalid_json"),
        (r#"{"a":"x"#, "invalid_json"),
        (r#"{"a":"\x"}"#, "invalid_json"),
        (r#"{"a":"\u12g4"}"#, "invalid_json"),
        (r#"{"a":"\u+123"}"#, "invalid_json"),
        (r#"{"a":tru}"#, "invalid_json"),
        ("{\"a\":\"line\nbreak\"}", "invalid_json"),
        ("{\"a\":1}\u{a0}", "invalid_json"),
        ("{", "invalid_json"),
        ("[1]", "payload_must_be_object"),
        ("\"x\"", "payload_must_be_object"),
        ("null", "payload_must_be_object"),
        (r#"{"a":1,"a":2}"#, "duplicate_key"),
        (r#"{"a":{"b":1,"\u0062":2}}"#, "duplicate_key"),
        (r#"{"\u0062x":1,"c":0,"bx":2}"#, "duplicate_key"),
        (r#"{"abc":1,"xyz":0,"abc":2}"#, "duplicate_key"),
        (r#"{"":1,"b":0,"":2}"#, "duplicate_key"),
        (r#"{"abcd":1,"axyd":0,"d":2,"a":3,"e":4}"#, "ok"),
        (r#"{"a":[{"é":1,"\u00e9":2}]}"#, "duplicate_key"),
        (r#"{"a":"\ud800"}"#, "lone_surrogate"),
        (r#"{"a":"\udc00"}"#, "lone_surrogate"),
        (r#"{"a":"\ud800\ud800"}"#, "lone_surrogate"),
        (r#"{"\ud800x":1}"#, "lone_surrogate"),
    ];
    for (text, expected) in table {
        assert_eq!(code(text), expected, "{text:?}");
    }
}

#[test]
fn accepted_text_is_kept_as_it_arrived() {
    let text = r#"{"a" : 1.0, "b":[ -0.0, 123456789012345678901234567890 ],"c":"\u0000\/"}"#;
    let doc = Document::parse(&format!("\n {text}\t"), &Limits::default()).unwrap();
    assert_eq!(doc.text(), text);
    assert_eq!(Document::parse("", &Limits::default()).unwrap().text(), "{}");
}

#[test]
fn each_limit_holds_at_its_border() {
    let limits = Limits { bytes_max: 60, depth_max: 3, members_max: 5, number_len_max: 4 };
    let parse = |text: &str| Document::parse(text, &limits).map(|_| ()).map_err(|e| e.code());
    assert_eq!(parse(r#"{"a":[[1]]}"#), Ok(()));
    assert_eq!(parse(r#"{"a":[[[1]]]}"#), Err("payload_too_deep"));
    assert_eq!(parse(r#"{"a":[1,2,3,4]}"#), Ok(()));
    assert_eq!(parse(r#"{"a":[1,2,3,4,5]}"#), Err("too_many_members"));
    assert_eq!(parse(r#"{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6}"#), Err("too_many_members"));
    assert_eq!(parse(r#"{"a":-123}"#), Ok(()));
    assert_eq!(parse(r#"{"a":-1234}"#), Err("number_too_long"));
    assert_eq!(parse(&format!("{{\"a\":\"{}\"}}", "x".repeat(52))), Ok(()));
    assert_eq!(parse(&format!("{{\"a\":\"{}\"}}", "x".repeat(53))), Err("payload_too_large"));
}

#[test]
fn a_hundred_thousand_brackets_are_refused_at_the_limit() {
    let limits = Limits::default();
    for open in ["[", "{\"a\":"] {
        let text = open.repeat(100_000);
        let refused = Document::parse(&text, &limits).unwrap_err();
        assert_eq!(refused, Invalid::TooDeep { offset: 64 * open.len(), max: 64 });
    }
}

#[test]
fn duplicates_are_found_among_many_and_among_long_keys() {
    let mut members: Vec<String> = (0..1_000).map(|n| format!("\"k{n}\":{n}")).collect();
    assert_eq!(code(&format!("{{{}}}", members.join(","))), "ok");
    members.push("\"k\\u0035\":0".to_owned());
    assert_eq!(code(&format!("{{{}}}", members.join(","))), "duplicate_key");
    let long = "x".repeat(10_000);
    assert_eq!(code(&format!("{{\"{long}\":1,\"{long}y\":2}}")), "ok");
    assert_eq!(code(&format!("{{\"a\":0,\"{long}\":1,\"{long}\":2}}")), "duplicate_key");
    assert_eq!(code(&format!("{{\"{long}\":1,\"a\":0,\"a\":2}}")), "duplicate_key");
}

#[test]
fn errors_name_the_place_and_never_the_payload() {
    let refused = |text: &str| Document::parse(text, &Limits::default()).unwrap_err();
    let offset = 2 + r#"{"hunter2":1,"#.len();
    let duplicate = refused("  {\"hunter2\":1,\"hunter2\":2}");
    assert_eq!(duplicate, Invalid::DuplicateKey { offset });
    for text in [r#"{"hunter2":1,"hunter2":2}"#, r#"{"a":"hunter2\q"}"#, r#"{"a":hunter2}"#] {
        let refused = refused(text);
        assert!(!format!("{refused} {refused:?}").contains("hunter"), "{refused}");
    }
    let doc = Document::parse(r#"{"a":"hunter2"}"#, &Limits::default()).unwrap();
    assert!(!format!("{doc:?}").contains("hunter"));
}
