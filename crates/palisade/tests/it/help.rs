//! The texts that users and scripts know: the help of every verb.

use crate::program::{run, said};

#[test]
fn the_help_of_every_verb_is_as_reviewed() {
    let folder = tempfile::tempdir().unwrap();
    for words in VERBS {
        let mut args: Vec<&str> = words.split_whitespace().collect();
        args.push("--help");
        let (code, text, errors) = said(&run(folder.path(), &args));
        assert_eq!((code, errors.as_str()), (0, ""), "{words}");
        let name = if words.is_empty() { "palisade".to_owned() } else { words.replace(' ', "_") };
        insta::assert_snapshot!(name, text);
    }
}

#[test]
fn the_version_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    let (code, text, _) = said(&run(folder.path(), &["--version"]));
    assert_eq!((code, text.as_str()), (0, "palisade 0.1.0\n"));
}

#[test]
fn a_wrong_command_line_exits_with_2() {
    let folder = tempfile::tempdir().unwrap();
    for args in [&["fly"][..], &["serve", "--port", "1"], &["audit"], &[]] {
        let (code, text, errors) = said(&run(folder.path(), args));
        assert_eq!((code, text.as_str()), (2, ""), "{args:?}");
        assert!(errors.contains("Usage: palisade"), "{args:?}: {errors}");
    }
    let output = run(folder.path(), &["--json", "fly"]);
    assert_eq!(output.status.code(), Some(2));
    let error = crate::program::json(&output);
    assert_eq!(error["error"]["code"], "usage");
}

#[test]
fn a_completion_script_knows_the_verbs() {
    let folder = tempfile::tempdir().unwrap();
    let (code, text, _) = said(&run(folder.path(), &["completions", "bash"]));
    assert_eq!(code, 0);
    assert!(text.contains("complete -F _palisade"), "{text}");
}

#[test]
fn a_log_filter_that_is_none_is_a_usage_error() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = crate::program::command(folder.path(), &["completions", "bash"]);
    let (code, _, errors) = said(&command.env("PALISADE_LOG", "=loud=").output().unwrap());
    assert_eq!(code, 2);
    assert!(errors.starts_with("error: PALISADE_LOG is no log filter"), "{errors}");
}

const VERBS: [&str; 41] = [
    "",
    "demo",
    "dev",
    "serve",
    "send",
    "request",
    "listen",
    "status",
    "top",
    "trace",
    "agents",
    "dlq",
    "audit",
    "audit tail",
    "audit query",
    "audit verify",
    "audit export",
    "audit match",
    "audit erase",
    "config",
    "config check",
    "config schema",
    "inspect",
    "inspect dlp",
    "cert",
    "cert ca",
    "cert server",
    "cert agent",
    "cert operator",
    "cert show",
    "bench",
    "bench pipeline",
    "bench compare",
    "bench compare nats",
    "bench compare mas",
    "bench stages",
    "bench inspect",
    "bench policy",
    "bench scale",
    "completions",
    "agents role",
];
