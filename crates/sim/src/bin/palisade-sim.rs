//! Runs simulations and names the seed of the first that breaks a promise.

use std::process::ExitCode;

use clap::Parser;
use palisade_sim::{Outcome, run};
use serde_json::{Value, json};

/// Which seeds are run.
#[derive(Debug, Parser)]
#[command(name = "palisade-sim", about = "A seeded simulation of the gate and its agents")]
struct Cli {
    /// The seed of the first run; the same seed gives the same run
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many runs, each with the next seed
    #[arg(long, default_value_t = 1)]
    runs: u64,
    /// Prints everything that happens on standard error
    #[arg(long)]
    events: bool,
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool for the terminal")]
fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    let mut all = Totals::default();
    for seed in cli.seed..cli.seed.saturating_add(cli.runs) {
        let outcome = run(seed)?;
        all.add(&outcome);
        if cli.events {
            for event in &outcome.events {
                eprintln!("{event}");
            }
        }
        if !outcome.broken.is_empty() {
            for broken in &outcome.broken {
                eprintln!("{broken}");
            }
            eprintln!("run it again: palisade-sim --seed {seed} --events");
            println!("{}", all.json(false, seed));
            return Ok(ExitCode::FAILURE);
        }
    }
    println!("{}", all.json(true, cli.seed));
    Ok(ExitCode::SUCCESS)
}

#[derive(Debug, Default)]
struct Totals {
    runs: usize,
    accepted: usize,
    unknown: usize,
    repeats: usize,
    lost: usize,
    deliveries: usize,
    dead: usize,
    trace: u32,
}

impl Totals {
    fn add(&mut self, outcome: &Outcome) {
        self.runs += 1;
        self.accepted += outcome.figures.accepted;
        self.unknown += outcome.figures.unknown;
        self.repeats += outcome.figures.repeats;
        self.lost += outcome.figures.lost;
        self.deliveries += outcome.figures.deliveries;
        self.dead += outcome.figures.dead;
        self.trace = outcome.figures.trace;
    }

    fn json(&self, is_ok: bool, seed: u64) -> Value {
        json!({
            "ok": is_ok,
            "seed": seed,
            "runs": self.runs,
            "accepted": self.accepted,
            "unanswered": self.unknown,
            "repeats": self.repeats,
            "lost_requests": self.lost,
            "deliveries": self.deliveries,
            "dead_letters": self.dead,
            "last_trace": format!("{:08x}", self.trace),
        })
    }
}
