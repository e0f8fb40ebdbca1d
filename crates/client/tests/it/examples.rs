//! The examples, run as programs.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use crate::gate::{Gate, Heard};

/// Finds an example beside this test; `cargo test` builds both.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().and_then(Path::parent).unwrap().join("examples").join(name);
    assert!(path.exists(), "{} is not built: test the whole package", path.display());
    path
}

fn command(gate: &Gate, name: &str, agent: &str) -> Command {
    let options = gate.site.options(agent);
    let mut command = Command::new(example(name));
    command.env("PALISADE_ADDR", options.addr).env("PALISADE_CA", options.ca);
    command.arg("--cert").arg(options.cert).arg("--key").arg(options.key);
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

#[tokio::test]
async fn one_example_asks_and_another_answers() {
    let mut gate = Gate::start().await;
    let _echo = command(&gate, "echo", "bob").spawn().unwrap();
    gate.hears_hello().await;
    let asked = command(&gate, "ask", "alice").args(["bob", "how many?"]).output().await.unwrap();
    assert!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
    assert_eq!(String::from_utf8_lossy(&asked.stdout).trim(), r#"{"question":"how many?"}"#);
}

#[tokio::test]
async fn an_example_keeps_count_in_its_state() {
    let mut gate = Gate::start().await;
    for expected in ["run 1 of bob", "run 2 of bob"] {
        let counted = command(&gate, "state", "bob").output().await.unwrap();
        assert!(counted.status.success(), "{}", String::from_utf8_lossy(&counted.stderr));
        assert_eq!(String::from_utf8_lossy(&counted.stdout).trim(), expected);
        gate.hears(|heard| *heard == Heard::HalfClosed("bob".to_owned())).await;
    }
}
