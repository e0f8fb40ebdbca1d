//! Runs a suite of the crate `e2e` against the release binary.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, ensure};
use clap::{Args, ValueEnum};
use serde_json::Value;

/// Which suite is run, and for how long.
#[derive(Debug, Clone, Args)]
pub(crate) struct Asked {
    /// Which suite
    #[arg(value_enum)]
    name: Name,
    /// Runs the short form, as the test command does
    #[arg(long)]
    short: bool,
    /// Rounds of the cases that come in rounds
    #[arg(long)]
    rounds: Option<u32>,
    /// Prints nothing but the report on standard output; it is always JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    All,
    Faults,
    Audit,
    Identity,
    Abuse,
}

/// Builds what a suite needs, and runs it.
///
/// # Errors
///
/// Fails when a program that it needs can't be started.
pub(crate) fn run(root: &Path, asked: &Asked) -> Result<ExitCode> {
    let mut builds = vec![
        // As the test command builds it: another selection would unify features differently.
        cargo(root, &["build", "--workspace", "--bin", "suite"]),
    ];
    if std::env::var_os("PALISADE_BIN").is_none() {
        builds.insert(0, cargo(root, &["build", "--release", "-p", "palisade"]));
    }
    for mut build in builds {
        build.stdout(Stdio::null());
        if !build.status().context("cargo did not start")?.success() {
            return Ok(ExitCode::FAILURE);
        }
    }
    let needs_store = matches!(asked.name, Name::All | Name::Faults);
    let store_tests = if needs_store { Some(store_tests(root)?) } else { None };
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), Into::into);
    let mut suite = Command::new(target.join("debug/suite"));
    suite.current_dir(root);
    if let Some(store_tests) = store_tests {
        suite.env(STORE_TESTS, store_tests);
    }
    if asked.name != Name::All {
        suite.arg(asked.name.to_possible_value().context("no name")?.get_name());
    }
    if asked.short {
        suite.arg("--short");
    }
    if let Some(rounds) = asked.rounds {
        suite.args(["--rounds", &rounds.to_string()]);
    }
    let status = suite.status().context("the suite did not start")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Builds the integration tests of the store, which end it at each step on disk; returns where they
/// are.
fn store_tests(root: &Path) -> Result<PathBuf> {
    // As the test command builds them, for the same reason as above.
    let mut build = cargo(root, &["test", "--workspace", "--test", "it", "--no-run"]);
    build.arg("--message-format=json-render-diagnostics").stderr(Stdio::inherit());
    let output = build.output().context("cargo did not start")?;
    ensure!(output.status.success(), "the integration tests do not build");
    let messages = String::from_utf8(output.stdout)?;
    executable(&messages, STORE).context("cargo names no integration tests of the store")
}

/// Returns the program that cargo says it has built from the tests `it` of a package.
fn executable(messages: &str, manifest: &str) -> Option<PathBuf> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut built = messages.filter(|message| {
        let text = |pointer| message.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        text("/reason") == "compiler-artifact"
            && text("/target/name") == "it"
            && text("/manifest_path").ends_with(manifest)
    });
    built.find_map(|message| Some(message.get("executable")?.as_str()?.into()))
}

fn cargo(root: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.args(arguments).current_dir(root);
    command
}

/// By which the suite is told where the tests of the store are.
const STORE_TESTS: &str = "PALISADE_STORE_TESTS";
const STORE: &str = "crates/store/Cargo.toml";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tests_of_the_store_are_found_among_what_cargo_says() {
        let artifact = |manifest: &str, target: &str, executable: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","manifest_path":"/r/{manifest}","target":{{"name":"{target}"}},"executable":{executable}}}"#
            )
        };
        let messages = [
            artifact("crates/gate/Cargo.toml", "it", r#""/t/it-1""#),
            artifact(STORE, "store", "null"),
            "no JSON".to_owned(),
            artifact(STORE, "it", r#""/t/it-2""#),
        ];
        assert_eq!(executable(&messages.join("\n"), STORE), Some("/t/it-2".into()));
        assert_eq!(executable(&messages[..2].join("\n"), STORE), None);
    }
}
