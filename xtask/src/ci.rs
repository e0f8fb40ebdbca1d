//! Everything that has to be green before a change lands, in one order, with the time of each step.
//!
//! It installs nothing: `scripts/test.sh` prepares a machine and then calls it.

use std::env;
use std::io;
use std::iter;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

/// Runs the steps until one fails, and prints a table of them (or JSON) at the end.
///
/// # Errors
///
/// Fails when the machine is not prepared, or a program that a step needs can't be started.
pub(crate) fn run(root: &Path, is_json: bool) -> Result<ExitCode> {
    let venv =
        env::var_os(INTEROP_VENV).map_or_else(|| root.join("target/interop-venv"), PathBuf::from);
    // Told now and not by the last step, half an hour later.
    ensure!(
        venv.join("bin/python").exists(),
        "no Python environment for foreign clients in `{}`, `scripts/test.sh` makes one",
        venv.display()
    );
    let mut done = Vec::new();
    for step in STEPS {
        tell(&format!("\n== {}: {}", step.name, step.shown()));
        let outcome = step.run(root, &venv, is_json)?;
        let is_green = outcome.is_green;
        done.push(outcome);
        if !is_green {
            break;
        }
    }
    print_report(&done, is_json);
    let red = done.iter().find(|outcome| !outcome.is_green);
    Ok(match red {
        None => ExitCode::SUCCESS,
        Some(outcome) => {
            tell(&format!("ci: `{}` failed, run again: {}", outcome.name, outcome.command));
            ExitCode::FAILURE
        }
    })
}

/// One program to run, with what it sees in its environment besides ours.
#[derive(Debug)]
struct Step {
    name: &'static str,
    program: &'static str,
    arguments: &'static [&'static str],
    environment: &'static [(&'static str, &'static str)],
}

/// How a step went.
#[derive(Debug)]
struct Outcome {
    name: &'static str,
    command: String,
    is_green: bool,
    took: Duration,
}

impl Step {
    const fn cargo(name: &'static str, arguments: &'static [&'static str]) -> Self {
        Self { name, program: "cargo", arguments, environment: &[] }
    }

    const fn with(self, environment: &'static [(&'static str, &'static str)]) -> Self {
        Self { environment, ..self }
    }

    fn shown(&self) -> String {
        let environment = self.environment.iter().map(|(name, value)| format!("{name}='{value}'"));
        let words = iter::once(&self.program).chain(self.arguments).map(ToString::to_string);
        environment.chain(words).collect::<Vec<_>>().join(" ")
    }

    #[expect(clippy::disallowed_methods, reason = "the time of a step is what is measured")]
    fn run(&self, root: &Path, venv: &Path, is_json: bool) -> Result<Outcome> {
        let mut command = Command::new(self.program);
        command.args(self.arguments).current_dir(root);
        command.envs(self.environment.iter().copied());
        command.env(INTEROP_VENV, venv);
        if is_json {
            command.stdout(Stdio::from(io::stderr()));
        }
        let start = Instant::now();
        let status =
            command.status().with_context(|| format!("`{}` did not start", self.program))?;
        Ok(Outcome {
            name: self.name,
            command: self.shown(),
            is_green: status.success(),
            took: start.elapsed(),
        })
    }
}

#[expect(clippy::print_stdout, reason = "a tool for the terminal")]
fn print_report(done: &[Outcome], is_json: bool) {
    if is_json {
        println!("{}", report(done));
    } else {
        println!("\n{}", table(done));
    }
}

#[expect(clippy::print_stderr, reason = "a tool for the terminal")]
fn tell(line: &str) {
    eprintln!("{line}");
}

fn table(done: &[Outcome]) -> String {
    let mut table = row("step", "result", "seconds");
    for step in STEPS {
        let outcome = done.iter().find(|outcome| outcome.name == step.name);
        table.push_str(&match outcome {
            None => row(step.name, "not run", ""),
            Some(Outcome { is_green: true, took, .. }) => row(step.name, "ok", &seconds(*took)),
            Some(Outcome { took, .. }) => row(step.name, "FAILED", &seconds(*took)),
        });
    }
    table
}

fn row(step: &str, result: &str, took: &str) -> String {
    format!("{step:<12} {result:<8} {took:>8}\n")
}

fn report(done: &[Outcome]) -> Value {
    let steps: Vec<Value> = done
        .iter()
        .map(|it| json!({ "name": it.name, "ok": it.is_green, "seconds": it.took.as_secs_f64() }))
        .collect();
    let is_ok = done.len() == STEPS.len() && done.iter().all(|it| it.is_green);
    json!({ "ok": is_ok, "steps": steps })
}

fn seconds(took: Duration) -> String {
    format!("{:.1}", took.as_secs_f64())
}

/// Names the Python environment that the tests with foreign clients use.
const INTEROP_VENV: &str = "PALISADE_INTEROP_VENV";

/// The cheap steps come first, those that need the whole product last.
///
/// Each step that builds selects the whole workspace: another selection would unify features
/// differently and compile half of the dependencies once more. The integration tests, one binary
/// named `it` in each crate, come last: those of `e2e` start the release binary and clients of
/// others.
const STEPS: &[Step] = &[
    Step::cargo("fmt", &["fmt", "--all", "--check"]),
    Step::cargo("tidy", &["xtask", "tidy"]),
    Step::cargo("clippy", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]),
    Step::cargo("deny", &["deny", "check", "bans", "licenses", "sources"]),
    Step::cargo("unit tests", &["test", "--workspace", "--lib", "--bins"]),
    Step::cargo("doc tests", &["test", "--workspace", "--doc"]),
    Step::cargo("docs", &["doc", "--workspace", "--no-deps"])
        .with(&[("RUSTDOCFLAGS", "-D warnings")]),
    Step::cargo("examples", &["build", "--workspace", "--examples"]),
    Step::cargo("binary", &["build", "--release", "-p", "palisade"]),
    Step::cargo("instructions", &["xtask", "instructions"]),
    Step::cargo("integration", &["test", "--workspace", "--test", "it"]),
    Step::cargo("suites", &["xtask", "suite", "all", "--short"]),
    Step::cargo("fuzz", &["xtask", "fuzz", "--seconds", "5"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes(green: usize, red: usize) -> Vec<Outcome> {
        STEPS
            .iter()
            .zip(0..green + red)
            .map(|(step, at)| Outcome {
                name: step.name,
                command: step.shown(),
                is_green: at < green,
                took: Duration::from_millis(1500),
            })
            .collect()
    }

    #[test]
    fn the_report_is_ok_only_when_every_step_ran_and_is_green() {
        for (green, red, is_ok) in
            [(STEPS.len(), 0, true), (STEPS.len() - 1, 1, false), (STEPS.len() - 1, 0, false)]
        {
            let report = report(&outcomes(green, red));
            assert_eq!(report.get("ok"), Some(&Value::Bool(is_ok)), "{green} {red}");
        }
    }

    #[test]
    fn the_table_names_the_red_step_and_those_that_did_not_run() {
        let table = table(&outcomes(1, 1));
        assert_eq!(table.matches("ok").count(), 1, "{table}");
        assert_eq!(table.matches("FAILED").count(), 1, "{table}");
        assert_eq!(table.matches("not run").count(), STEPS.len() - 2, "{table}");
        assert!(table.contains("1.5"), "{table}");
    }

    #[test]
    fn a_step_is_shown_as_a_shell_would_take_it() {
        let docs = STEPS.iter().find(|step| step.name == "docs").expect("step");
        assert_eq!(docs.shown(), "RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps");
    }

    #[test]
    fn a_program_that_fails_is_red_and_one_that_is_missing_is_an_error() {
        let step = |program| Step { name: "x", program, arguments: &[], environment: &[] };
        let root = Path::new(".");
        assert!(step("true").run(root, root, true).expect("started").is_green);
        assert!(!step("false").run(root, root, true).expect("started").is_green);
        let error = step("palisade-no-such-program").run(root, root, true).expect_err("missing");
        assert!(error.to_string().contains("palisade-no-such-program"), "{error}");
    }
}
