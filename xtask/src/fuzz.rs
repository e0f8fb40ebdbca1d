//! Builds the fuzz targets with coverage, and runs each for a while on its corpus.
//!
//! It uses libFuzzer as `cargo fuzz` does, but needs neither that tool nor a nightly compiler:
//! there is no address sanitizer then, which safe code can do without.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, ensure};
use clap::Args;

/// Which targets are run, and for how long.
#[derive(Debug, Clone, Args)]
pub(crate) struct Asked {
    /// Which targets; all of them if none is named
    targets: Vec<String>,
    /// Seconds for each target; with 0 only its corpus is run
    #[arg(long, default_value_t = 600)]
    seconds: u32,
    /// Keeps what was found to cover more in the target's corpus
    #[arg(long)]
    keep: bool,
}

/// Runs the targets, one after the other, until one finds something.
///
/// # Errors
///
/// Fails when a target is not known, or a program that it needs can't be started.
pub(crate) fn run(root: &Path, asked: &Asked) -> Result<ExitCode> {
    let folder = root.join("fuzz");
    let known = targets(&folder)?;
    let wanted = if asked.targets.is_empty() { &known } else { &asked.targets };
    for target in wanted {
        ensure!(known.contains(target), "no target `{target}`, there are: {}", known.join(", "));
    }
    let host = host()?;
    let build = root.join("target/fuzz");
    let mut cargo = Command::new("cargo");
    cargo.current_dir(&folder).env("RUSTFLAGS", COVERAGE.join(" "));
    cargo.args(["build", "--release", "--bins", "--target", &host, "--target-dir"]);
    cargo.arg(&build);
    if !cargo.status().context("cargo did not start")?.success() {
        return Ok(ExitCode::FAILURE);
    }
    for target in wanted {
        let binary = build.join(&host).join("release").join(target);
        if !fuzz(&folder, &build, &binary, target, asked)? {
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::print_stderr, reason = "a tool for the terminal")]
fn fuzz(folder: &Path, build: &Path, binary: &Path, target: &str, asked: &Asked) -> Result<bool> {
    let corpus = folder.join("corpus").join(target);
    let found = build.join("found").join(target);
    fs::create_dir_all(&found)?;
    let mut run = Command::new(binary);
    run.arg(format!("-artifact_prefix={}/crash-{target}-", build.display()));
    run.args(["-timeout=25", "-rss_limit_mb=4096", "-max_len=16384", "-print_final_stats=1"]);
    if asked.seconds == 0 {
        run.arg("-runs=0");
    } else {
        run.arg(format!("-max_total_time={}", asked.seconds));
    }
    // The first folder is where new inputs go.
    if !asked.keep {
        run.arg(&found);
    }
    run.arg(&corpus).current_dir(folder);
    let output = run.output().with_context(|| format!("`{}` did not start", binary.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        let figure = |name: &str| said.lines().rev().find_map(|line| line.strip_prefix(name));
        let runs = figure("stat::number_of_executed_units:").unwrap_or("?").trim();
        eprintln!("fuzz {target}: ok, {runs} runs in {} s and the corpus", asked.seconds);
    } else {
        eprintln!("{said}\nfuzz {target}: FAILED; the input is named above, run it again by");
        eprintln!("{} FILE", binary.display());
    }
    Ok(output.status.success())
}

fn targets(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder.join("targets"))? {
        let path: PathBuf = entry?.path();
        names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
    }
    names.sort();
    Ok(names)
}

/// Returns the machine that the compiler builds for; naming it keeps the flags off build scripts.
fn host() -> Result<String> {
    let said = Command::new("rustc").arg("-vV").output().context("rustc did not start")?;
    let said = String::from_utf8(said.stdout)?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc does not name its host")?.to_owned())
}

/// The coverage that libFuzzer follows; see the LLVM document `SanitizerCoverage`.
const COVERAGE: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "--cfg=fuzzing",
];
