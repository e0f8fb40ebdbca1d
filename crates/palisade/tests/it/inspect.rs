//! `palisade inspect dlp` as a filter between other programs.

use std::process::Stdio;

use crate::program::{command, run, run_with_input, said};

#[test]
fn every_line_is_answered_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let input =
        "{\"text\":\"mail grace@example.com\"}\nwhat\n{\"data\":{\"password\":\"hunter2222\"}}";
    let (code, text, _) = said(&run_with_input(folder.path(), &["inspect", "dlp"], input));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(code, 1);
    assert_eq!(lines.len(), 3, "{text}");
    assert!(lines[0].contains(r#""type":"email","start":5,"end":22"#), "{text}");
    assert!(lines[0].ends_with(r#""action":"alert"}"#), "{text}");
    assert!(lines[1].contains(r#""code":"invalid_json""#) && lines[1].contains(r#""line":2"#));
    assert!(lines[2].ends_with(r#""action":"block"}"#), "{text}");
    assert!(!text.contains("hunter"), "{text}");
}

#[test]
fn the_rules_of_a_configuration_are_used() {
    let folder = tempfile::tempdir().unwrap();
    let config = "\
server: { tls: { cert: a.pem, key: a.key, client_ca: ca.pem } }
gateway:
  dlp: { policy_overrides: { email: block } }
";
    std::fs::write(folder.path().join("palisade.yaml"), config).unwrap();
    let args = ["inspect", "dlp", "--config", "palisade.yaml"];
    let (code, text, _) = said(&run_with_input(folder.path(), &args, "{\"text\":\"a@b.example\"}"));
    assert_eq!(code, 0);
    assert!(text.trim().ends_with(r#""action":"block"}"#), "{text}");
}

#[test]
fn a_configuration_that_is_not_there_is_a_usage_error() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &["inspect", "dlp", "--config", "no.yaml", "--json"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(crate::program::json(&output)["error"]["code"], "config_missing");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let line = "{\"text\":\"nothing to see\"}\n";
    std::fs::write(folder.path().join("lines"), line.repeat(50_000)).unwrap();
    let lines = std::fs::File::open(folder.path().join("lines")).unwrap();
    let mut command = command(folder.path(), &["inspect", "dlp"]);
    command.stdin(lines).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(said(&output).0, 0);
    assert_eq!(said(&output).2, "");
}
