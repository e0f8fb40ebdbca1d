//! A line in, a line out: what is printed for good and for bad lines.

use std::io::BufReader;
use std::process::ExitCode;

use inspect::{Dlp, DlpSpec};

use super::*;

fn inspected(input: &str) -> (Vec<String>, ExitCode) {
    let dlp = Dlp::compile(&DlpSpec::default()).unwrap();
    let mut output = Vec::new();
    let code = run(&dlp, BufReader::with_capacity(16, input.as_bytes()), &mut output).unwrap();
    let text = String::from_utf8(output).unwrap();
    (text.lines().map(str::to_owned).collect(), code)
}

#[test]
fn text_is_answered_with_places_in_characters() {
    let (lines, code) = inspected("{\"text\":\"é 536-22-8145\"}\n{\"text\":\"hello\"}");
    assert_eq!(
        lines,
        [
            r#"{"findings":[{"type":"ssn","start":2,"end":13,"severity":"high"}],"action":"redact"}"#,
            r#"{"findings":[],"action":"allow"}"#,
        ]
    );
    assert_eq!(code, ExitCode::SUCCESS);
}

#[test]
fn data_is_answered_with_the_path() {
    let (lines, _) = inspected("{\"data\":{\"patient\":{\"ssn\":\"536-22-8145\"}}}\n");
    let answer: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(answer["action"], "redact");
    assert_eq!(answer["findings"][0]["path"], "patient.ssn");
    assert_eq!(answer["findings"][0]["type"], "ssn");
}

#[test]
fn bad_lines_are_answered_with_their_number_and_fail_the_run() {
    let cases = [
        ("nonsense", "invalid_json"),
        ("{\"text\":5}", "invalid_json"),
        ("{\"text\":\"a\",\"text\":\"b\"}", "invalid_json"),
        ("{}", "nothing_to_inspect"),
        ("{\"text\":\"a\",\"data\":{}}", "ambiguous"),
        ("{\"data\":[1]}", "payload_must_be_object"),
        ("{\"data\":{\"a\":1,\"a\":2}}", "duplicate_key"),
    ];
    for (bad, code) in cases {
        let (lines, exit) = inspected(&format!("{{\"text\":\"x\"}}\n{bad}\n{{\"text\":\"y\"}}\n"));
        assert_eq!(lines.len(), 3, "{bad}");
        let answer: serde_json::Value = serde_json::from_str(&lines[1]).unwrap();
        assert_eq!(answer["error"]["code"], code, "{bad}");
        assert_eq!(answer["error"]["line"], 2, "{bad}");
        assert_eq!(exit, ExitCode::from(EXIT_FAILED), "{bad}");
    }
}

#[test]
fn a_bad_line_is_not_repeated_in_its_error() {
    let (lines, _) = inspected("{\"text\":{\"password\":\"hunter2222\"}}");
    assert!(!lines[0].contains("hunter2222"), "{}", lines[0]);
}

#[test]
fn a_line_over_the_limit_is_skipped_and_the_next_is_read() {
    let long = "x".repeat(LINE_BYTES_MAX + 1);
    let (lines, _) = inspected(&format!("{{\"text\":\"{long}\"}}\n{{\"text\":\"y\"}}"));
    assert!(lines[0].contains("line_too_long"), "{}", lines[0]);
    assert_eq!(lines[1], r#"{"findings":[],"action":"allow"}"#);
}

#[test]
fn empty_lines_are_passed_over() {
    let (lines, code) = inspected("\n{\"text\":\"y\"}\n\n");
    assert_eq!(lines.len(), 1);
    assert_eq!(code, ExitCode::SUCCESS);
}
