//! `palisade demo`: real agents, a real gate, every decision, and the log that proves it.
//!
//! Nothing is played: the gate is this program started with `serve` in a temporary folder, the
//! agents are clients over mTLS on loopback, and what is counted is read back from the audit log
//! after the gate has ended.

use std::process::ExitCode;
use std::time::Duration;

use indicatif::ProgressBar;

use crate::clock;
use crate::failure::EXIT_FAILED;
use crate::output::Output;

mod actor;
mod ledger;
mod scenes;
mod stage;
mod story;

use ledger::Verdict;
use stage::Stage;
use story::Step;

/// What `palisade demo` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Keep the folder with keys, configuration, store and the gate's log, and say where it is.
    #[arg(long)]
    keep: bool,
}

/// Plays the story, checks the log and prints both.
pub(crate) async fn run(args: Args, out: &Output) -> anyhow::Result<ExitCode> {
    let start = clock::instant();
    let progress = progress(out);
    let mut stage = Stage::build()?;
    let told = tell(&mut stage, &progress).await;
    progress.finish_and_clear();
    let verdict = told.map(|(steps, verdict)| (steps, verdict, start.elapsed()));
    if args.keep {
        let folder = stage.keep();
        out.note(&format!("kept: {}", folder.display()));
    }
    match verdict {
        Ok((steps, verdict, took)) => {
            print(&steps, &verdict, took, out)?;
            Ok(if verdict.ok() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_FAILED) })
        }
        Err(error) if out.json => {
            let message = format!("{error:#}");
            out.json(&serde_json::json!({
                "ok": false,
                "error": { "code": "demo_failed", "message": message },
            }))?;
            Ok(ExitCode::from(EXIT_FAILED))
        }
        Err(error) => Err(error.context("the demo could not be played to its end")),
    }
}

async fn tell(stage: &mut Stage, progress: &ProgressBar) -> anyhow::Result<(Vec<Step>, Verdict)> {
    progress.set_message("starting the gate");
    stage.open().await?;
    let mut steps = story::play(stage, progress).await?;
    progress.set_message("reading the audit log");
    stage.close().await?;
    let verdict = ledger::check(&stage.data_folder(), &stage.audit_key(), &mut steps);
    Ok((steps, verdict))
}

fn progress(out: &Output) -> ProgressBar {
    if !out.terminal {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

fn print(steps: &[Step], verdict: &Verdict, took: Duration, out: &Output) -> anyhow::Result<()> {
    if out.json {
        return Ok(out.json(&verdict.report(steps, took))?);
    }
    let rows: Vec<Vec<String>> = steps.iter().map(Step::row).collect();
    out.table(&["step", "who -> whom", "decision", "why, and what came of it"], &rows)?;
    for problem in &verdict.problems {
        out.line(&format!("NOT AS EXPECTED: {problem}"))?;
    }
    out.line(&verdict.summary(took))?;
    Ok(())
}
