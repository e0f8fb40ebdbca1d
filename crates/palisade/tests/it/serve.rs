//! `palisade serve` and `palisade dev`: starting, ending, and every reason not to start.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc;
use std::time::Duration;

use crate::program::{Running, command, json, run, said};

/// Makes a folder that a gate can start in.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for words in ["cert ca --dir .", "cert server --dir .", "cert agent alice --dir ."] {
        let args: Vec<&str> = words.split(' ').collect();
        assert_eq!(run(folder.path(), &args).status.code(), Some(0), "{words}");
    }
    write_config(folder.path(), "127.0.0.1:0", "data");
    folder
}

fn write_config(folder: &Path, listen: &str, data: &str) {
    let text = format!(
        "server:\n  listen: {listen}\n  tls: {{ cert: server.pem, key: server.key, client_ca: \
         ca.pem }}\nagents:\n  alice: {{ allow: [alice] }}\nstorage: {{ path: {data} }}\n"
    );
    std::fs::write(folder.join("palisade.yaml"), text).unwrap();
}

/// Runs `serve`, which must not start, and returns exit code and error code.
fn refusal(folder: &Path) -> (i32, String) {
    let output = run(folder, &["serve", "--json", "--config", "palisade.yaml"]);
    let (code, error) = (output.status.code().unwrap(), json(&output));
    let message = error["error"]["message"].as_str().unwrap();
    assert!(!message.is_empty() && !message.contains("BEGIN"), "{message}");
    (code, error["error"]["code"].as_str().unwrap().to_owned())
}

#[test]
fn a_gate_says_where_it_listens_and_ends_cleanly_when_told() {
    let folder = folder();
    for _ in 0..2 {
        let gate = Running::start(folder.path(), &["serve", "--config", "palisade.yaml"]);
        assert!(gate.addr.starts_with("127.0.0.1:"), "{}", gate.addr);
        assert_eq!(gate.stop(), 0);
    }
}

#[test]
fn the_configuration_in_the_folder_and_the_environment_are_found() {
    let folder = folder();
    write_config(folder.path(), "not-an-address", "data");
    let mut command = command(folder.path(), &["config", "check", "--json"]);
    let output = command.env("PALISADE_SERVER__LISTEN", "127.0.0.1:0").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{:?}", said(&output));
    assert_eq!(refusal(folder.path()), (2, "config_value".to_owned()));
}

#[test]
fn files_that_are_not_usable_are_configuration_errors() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = folder();
    let key = folder.path().join("server.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(refusal(folder.path()), (2, "tls_key_world_readable".to_owned()));
    std::fs::copy(folder.path().join("alice.key"), &key).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(refusal(folder.path()), (2, "tls_key_mismatch".to_owned()));
    std::fs::remove_file(&key).unwrap();
    assert_eq!(refusal(folder.path()), (2, "tls_file_missing".to_owned()));
    std::fs::write(folder.path().join("palisade.yaml"), "server: {").unwrap();
    assert_eq!(refusal(folder.path()), (2, "config_syntax".to_owned()));
}

#[test]
fn a_port_in_use_is_its_own_error() {
    let folder = folder();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    write_config(folder.path(), &taken.local_addr().unwrap().to_string(), "data");
    assert_eq!(refusal(folder.path()), (1, "listen_failed".to_owned()));
}

#[test]
fn a_store_that_cannot_be_opened_is_its_own_error() {
    let folder = folder();
    std::fs::write(folder.path().join("file"), "").unwrap();
    for data in ["file", "/proc/palisade"] {
        write_config(folder.path(), "127.0.0.1:0", data);
        let (exit, code) = refusal(folder.path());
        assert_eq!(exit, 1, "{data}");
        assert!(code.starts_with("store_"), "{data}: {code}");
    }
}

#[test]
fn records_are_followed_as_they_come() {
    let folder = folder();
    let gate = Running::start(folder.path(), &["serve", "--config", "palisade.yaml"]);
    let tail = ["audit", "tail", "--json", "-f", "-n", "0"];
    let mut tail = command(folder.path(), &tail).stdout(Stdio::piped()).spawn().unwrap();
    let stdout = BufReader::new(tail.stdout.take().unwrap());
    let (found, followed) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        let lines = stdout.lines().map_while(Result::ok);
        let sent = lines.into_iter().find(|line| line.contains("message.send"));
        // Nobody listens any more if the test has given up.
        let _given_up = found.send(sent);
    });
    let mut sent = false;
    for _ in 0..20 {
        // Again, as nothing says when the tail has read what was there before.
        let send = ["send", "--dir", ".", "--as", "alice", "--addr", &gate.addr, "alice", "note"];
        assert_eq!(said(&run(folder.path(), &[&send[..], &["{}"]].concat())).0, 0);
        if let Ok(line) = followed.recv_timeout(Duration::from_secs(1)) {
            sent = line.is_some_and(|line| line.contains("ALLOWED"));
            break;
        }
    }
    tail.kill().unwrap();
    tail.wait().unwrap();
    reader.join().unwrap();
    assert!(sent);
    assert_eq!(gate.stop(), 0);
}

#[test]
fn a_development_gate_starts_twice_from_the_same_folder() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["dev", "--listen", "127.0.0.1:0"];
    let first = Running::start(folder.path(), &args);
    let made = folder.path().join(".palisade");
    for file in ["ca.pem", "alice.pem", "bob.seal", "carol.key", "operator.pem", ".gitignore"] {
        assert!(made.join(file).exists(), "{file}");
    }
    let ca = std::fs::read(made.join("ca.pem")).unwrap();
    let addr = first.addr.clone();
    let send = ["send", "--as", "alice", "--addr", &addr, "bob", "note", "{\"text\":\"hi\"}"];
    let (code, _, errors) = said(&run(folder.path(), &send));
    assert_eq!((code, errors.as_str()), (0, ""));
    let denied = ["send", "--as", "carol", "--addr", &addr, "bob", "note", "{}"];
    assert_eq!(said(&run(folder.path(), &denied)).0, 1);
    // While the gate runs, from the same folder, without being told where the log is.
    let output = run(folder.path(), &["audit", "query", "--json", "--event", "message.send"]);
    let (code, text, _) = said(&output);
    assert_eq!((code, text.lines().count()), (0, 2), "{text}");
    assert_eq!(first.stop(), 0);
    let second = Running::start(folder.path(), &args);
    assert_eq!(second.stop(), 0);
    assert_eq!(std::fs::read(made.join("ca.pem")).unwrap(), ca);
}
