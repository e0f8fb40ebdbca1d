//! The engine by itself, ended at every step that it takes on disk: write, sync, rename, remove.
//!
//! The steps are inside the engine, so its own tests end it there, without network and gate. This
//! starts them and takes their figures.

use std::env;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;

use crate::suite::Effort;
use crate::{Report, Skipped};

/// Runs the engine's test of crashes, which fails if anything is lost.
pub(super) async fn run(effort: Effort, report: &mut Report) -> Result<()> {
    let Some(tests) = env::var_os(TESTS) else {
        bail!(Skipped("the tests of the store were not named, as `cargo xtask suite` does"));
    };
    let mut command = Command::new(tests);
    command.args(["--exact", TEST, "--nocapture"]).stdin(Stdio::null()).kill_on_drop(true);
    let rounds = effort.rounds(SHORT_ROUNDS, 500);
    command.env("PALISADE_CRASH_ROUNDS", rounds.to_string());
    let run = timeout(PATIENCE + ROUND_PATIENCE * rounds, command.output());
    let output = run.await.context("the tests of the store did not end")??;
    let text = String::from_utf8(output.stdout)?;
    let figures = figures(&text);
    for (name, figure) in figures.iter().filter_map(Value::as_object).flatten() {
        report.figure(&format!("failpoint_{name}"), figure.clone());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {errors}", text.lines().last().unwrap_or_default());
    let figures = figures.with_context(|| format!("the test told no figures: {text}"))?;
    ensure!(figures["rounds"] == rounds && figures["lost"] == 0, "{figures}");
    Ok(())
}

/// Finds the figures in what the test printed.
fn figures(text: &str) -> Option<Value> {
    let line = text.lines().find_map(|line| line.find(FIGURES).and_then(|at| line.get(at..)))?;
    Some(serde_json::from_str::<Value>(line).ok()?["store_crashes"].clone())
}

/// Names the program with the integration tests of the store.
const TESTS: &str = "PALISADE_STORE_TESTS";
const TEST: &str = "crash::a_process_that_ends_at_any_step_loses_nothing_that_was_confirmed";
const FIGURES: &str = "{\"store_crashes\":";
const SHORT_ROUNDS: u32 = 20;
/// LIMIT: longer than a start of the tests takes, and longer than a round, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const ROUND_PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_are_found_behind_what_the_test_says_besides() {
        let text = "round 1: x\ntest a ... {\"store_crashes\":{\"rounds\":3,\"lost\":1}}\nfailed";
        assert_eq!(figures(text).unwrap()["lost"], 1);
        assert!(figures("round 1: x").is_none());
    }
}
