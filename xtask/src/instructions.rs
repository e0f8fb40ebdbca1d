//! Counts the instructions of a message's way, and compares them with what is checked in.
//!
//! Time on a shared machine tells nothing small; the number of instructions does, and is nearly
//! the same everywhere: `palisade bench stages --count` repeats its work with a clock and ids that
//! repeat too, on one thread, under valgrind, which shows every machine as the same kind of
//! processor. What starting up costs goes out by counting a short and a long run.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, ensure};
use clap::Args;

/// What is done with the counts.
#[derive(Debug, Clone, Args)]
pub(crate) struct Asked {
    /// Writes the counts down as those to compare with
    #[arg(long)]
    write: bool,
}

/// Counts each stage and compares; fails if one has grown by more than a twentieth.
///
/// # Errors
///
/// Fails when valgrind or the binary can't be started, or the figures can't be read.
#[expect(clippy::print_stderr, reason = "a tool for the terminal")]
pub(crate) fn run(root: &Path, asked: &Asked) -> Result<ExitCode> {
    if !can_compare() {
        eprintln!("instructions: not counted, the figures are of x86-64 with AVX2");
        return Ok(ExitCode::SUCCESS);
    }
    let mut build = Command::new("cargo");
    build.args(["build", "--release", "-p", "palisade"]).current_dir(root);
    if !build.stdout(Stdio::null()).status().context("cargo did not start")?.success() {
        return Ok(ExitCode::FAILURE);
    }
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), Into::into);
    let mut counts = BTreeMap::new();
    for (stage, turns) in STAGES {
        let (few, many) = (*turns, turns * 11);
        let difference = count(&target, stage, many)?.saturating_sub(count(&target, stage, few)?);
        counts.insert((*stage).to_owned(), difference / u64::from(many - few));
    }
    let file = root.join(FILE);
    if asked.write {
        fs::write(&file, serde_json::to_string_pretty(&counts)? + "\n")?;
        return Ok(ExitCode::SUCCESS);
    }
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {FILE}"))?;
    let expected: BTreeMap<String, u64> = serde_json::from_str(&text)?;
    let mut is_green = true;
    for (stage, count) in &counts {
        let expected = expected.get(stage).with_context(|| format!("{FILE} has no `{stage}`"))?;
        let (verdict, text) = judge(*count, *expected);
        eprintln!("instructions {stage:<12} {count:>9} a turn, {expected:>9} expected: {text}");
        is_green &= verdict;
    }
    Ok(if is_green { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Tells whether a count may stand, and what to do.
fn judge(count: u64, expected: u64) -> (bool, &'static str) {
    if count.saturating_mul(20) > expected.saturating_mul(21) {
        (false, "GROWN by more than 5 %; if it has to be, `cargo xtask instructions --write`")
    } else if count.saturating_mul(20) < expected.saturating_mul(19) {
        (true, "less by more than 5 %: keep it so with `cargo xtask instructions --write`")
    } else {
        (true, "ok")
    }
}

/// Runs one stage so often and returns how many instructions the whole process took.
fn count(target: &Path, stage: &str, turns: u32) -> Result<u64> {
    let mut run = Command::new("valgrind");
    run.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    run.arg(target.join("release/palisade"));
    run.args(["bench", "stages", "--only", stage, "--count", &turns.to_string()]);
    let output = run.output().context("valgrind did not start, scripts/test.sh installs it")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`{stage}` failed under valgrind: {said}");
    collected(&said).with_context(|| format!("valgrind gave no count of `{stage}`: {said}"))
}

/// Finds the count in what callgrind says at its end.
fn collected(said: &str) -> Option<u64> {
    let line = said.lines().rev().find_map(|line| line.split_once("Collected :"))?;
    line.1.trim().parse().ok()
}

/// Some libraries have other code for processors with wide vectors and choose when they run.
fn can_compare() -> bool {
    let features = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    cfg!(all(target_os = "linux", target_arch = "x86_64"))
        && features.split_whitespace().any(|feature| feature == "avx2")
}

/// Where the counts are kept.
const FILE: &str = "xtask/instructions.json";

/// The stages of `palisade bench stages` that do the same each time, and how often they are done
/// in the short run; the long one does it eleven times as often.
const STAGES: &[(&str, u32)] = &[
    ("parse", 100),
    ("inspect", 100),
    ("authorize", 100),
    ("commitment", 100),
    ("record", 100),
    ("chain", 100),
    ("way", 50),
    ("native", 3),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_twentieth_more_may_stand_and_anything_above_may_not() {
        for (count, expected, stands, says) in [
            (100, 100, true, "ok"),
            (105, 100, true, "ok"),
            (106, 100, false, "GROWN"),
            (95, 100, true, "ok"),
            (94, 100, true, "less"),
        ] {
            let (verdict, text) = judge(count, expected);
            assert_eq!(verdict, stands, "{count}");
            assert!(text.starts_with(says), "{count}: {text}");
        }
    }

    #[test]
    fn the_count_is_found_in_what_callgrind_says() {
        let said = "==7== Events    : Ir\n==7== Collected : 298141928\n==7==\n";
        assert_eq!(collected(said), Some(298_141_928));
        assert_eq!(collected("==7== nothing"), None);
    }
}
