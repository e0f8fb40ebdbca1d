//! `palisade cert`: what it makes, refuses and shows.

use std::os::unix::fs::PermissionsExt as _;

use crate::program::{json, run, said};

#[test]
fn an_authority_issues_what_a_gate_and_its_agents_need() {
    let folder = tempfile::tempdir().unwrap();
    let cert = |words: &str| {
        let args: Vec<&str> = ["cert"].into_iter().chain(words.split(' ')).collect();
        said(&run(folder.path(), &args))
    };
    assert_eq!(cert("ca --dir pki").0, 0);
    assert_eq!(cert("server --dir pki --dns gate.example --ip 127.0.0.1").0, 0);
    assert_eq!(cert("operator olga --dir pki").0, 0);
    let (code, text, _) = cert("agent alice bob --dir pki --seal");
    assert_eq!(code, 0);
    assert!(text.contains("spiffe://mas/agent/bob: pki/bob.pem pki/bob.key"), "{text}");
    assert_eq!(text.matches("sealing_key: ").count(), 2, "{text}");
    for secret in ["ca.key", "server.key", "olga.key", "alice.key", "bob.key", "bob.seal"] {
        let mode = folder.path().join("pki").join(secret).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{secret}");
    }
}

#[test]
fn a_certificate_is_shown_with_its_owner_and_what_the_gate_thinks_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let run = |words: &str| {
        let args: Vec<&str> = words.split(' ').collect();
        run(folder.path(), &args)
    };
    run("cert ca --dir .");
    run("cert agent alice --dir .");
    run("cert server --dir .");
    let alice = json(&run("--json cert show alice.pem"));
    assert_eq!(alice["principal"], "agent alice");
    assert_eq!(alice["spiffe_id"], "spiffe://mas/agent/alice");
    assert_eq!((&alice["accepted"], &alice["time"]), (&true.into(), &"valid".into()));
    let stranger = json(&run("--json cert show alice.pem --trust-domain other"));
    assert!(stranger.get("principal").is_none(), "{stranger}");
    let server = json(&run("--json cert show server.pem"));
    assert_eq!(server["refused_with"]["code"], "invalid_certificate");
    let names = ["DNS localhost", "IP 127.0.0.1", "URI spiffe://mas/gate/server"];
    assert_eq!(server["names"], serde_json::json!(names));
    let (code, text, _) = said(&run("cert show ca.pem"));
    assert_eq!(code, 0);
    assert!(text.contains("refused: "), "{text}");
}

#[test]
fn nothing_is_overwritten_unless_asked() {
    let folder = tempfile::tempdir().unwrap();
    let run = |words: &str| {
        let args: Vec<&str> = words.split(' ').collect();
        said(&run(folder.path(), &args))
    };
    assert_eq!(run("cert ca --dir .").0, 0);
    let before = std::fs::read(folder.path().join("ca.pem")).unwrap();
    let (code, text, _) = run("--json cert ca --dir .");
    assert_eq!(code, 1);
    assert!(text.contains(r#""code":"file_exists""#), "{text}");
    assert_eq!(std::fs::read(folder.path().join("ca.pem")).unwrap(), before);
    assert_eq!(run("cert ca --dir . --overwrite").0, 0);
    assert_ne!(std::fs::read(folder.path().join("ca.pem")).unwrap(), before);
}

#[test]
fn errors_say_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let run = |words: &str| {
        let args: Vec<&str> = words.split(' ').collect();
        said(&run(folder.path(), &args))
    };
    let (code, _, errors) = run("cert agent alice --dir nowhere");
    assert_eq!(code, 1);
    assert!(errors.contains("run `palisade cert ca --dir nowhere` first"), "{errors}");
    run("cert ca --dir .");
    let (code, _, errors) = run("cert agent al/ice --dir .");
    assert_eq!(code, 1);
    assert!(errors.contains("1 to 64 letters"), "{errors}");
    let (code, _, errors) = run("cert show ca.key");
    assert_eq!(code, 1);
    assert!(errors.contains("holds no certificate"), "{errors}");
    assert!(!errors.contains("PRIVATE"), "{errors}");
}
