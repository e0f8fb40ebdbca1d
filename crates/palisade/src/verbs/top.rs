//! `palisade top`: the running gate in a terminal, as it is now.
//!
//! It only looks. One record in the audit log stands for all the time it runs.

mod feed;
mod json;
mod state;
mod terminal;
#[cfg(test)]
mod tests;
pub(crate) mod units;
mod view;

use std::process::ExitCode;
use std::time::Duration;

use palisade_client::admin::OverviewRequest;

use crate::connect::{self, Connect, duration};
use crate::failure::Failure;
use crate::output::Output;
use state::State;

/// What `palisade top` takes.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Keys: q ends, tab goes to the next panel, up and down scroll, enter shows \
    one panel alone, s sorts, p pauses, ? helps.\nNO_COLOR switches colours off."
)]
pub(crate) struct Args {
    /// The time between two pictures, 100ms to 60s.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = interval)]
    interval: Duration,
    /// Print one picture as text, and end.
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    connect: Connect,
}

/// Shows pictures until the user ends it; prints them for programs and pipes.
pub(crate) async fn run(args: Args, out: &Output) -> anyhow::Result<ExitCode> {
    connect::conclude(Box::pin(top(args, out)).await, out)
}

async fn top(args: Args, out: &Output) -> anyhow::Result<ExitCode> {
    if args.once || out.json {
        return print(&args, out).await;
    }
    if !out.terminal || !std::io::IsTerminal::is_terminal(&std::io::stdin()) {
        let what = "`palisade top` needs a terminal: print one picture with `--once`, or a line \
                    of JSON for each with `--json`";
        return Err(Failure::usage("no_terminal", what).into());
    }
    Box::pin(terminal::run(&args)).await?;
    Ok(ExitCode::SUCCESS)
}

/// Prints one picture, or one line for each.
async fn print(args: &Args, out: &Output) -> anyhow::Result<ExitCode> {
    let operator = args.connect.operator().await?;
    let mut pictures = operator.overview(request(args)).await?;
    // The first picture is about all the time since the start; rates are of the second.
    pictures.next().await?;
    loop {
        let picture = pictures.next().await?;
        if out.json {
            out.json(&json::object(&picture))?;
        } else {
            let mut state = State::new(args.connect.addr());
            state.show(picture);
            out.line(&view::plain(&state))?;
        }
        if args.once {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

fn request(args: &Args) -> OverviewRequest {
    let interval_ms = u32::try_from(args.interval.as_millis()).unwrap_or(u32::MAX);
    OverviewRequest { interval_ms, rows_max: ROWS_MAX }
}

fn interval(text: &str) -> Result<Duration, String> {
    let range = Duration::from_millis(100)..=Duration::from_secs(60);
    let time = duration(text)?;
    if range.contains(&time) { Ok(time) } else { Err("an interval is 100ms to 60s".to_owned()) }
}

/// LIMIT: rows of each list that are asked for.
const ROWS_MAX: u32 = 200;
