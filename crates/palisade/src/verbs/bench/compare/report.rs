//! What a comparison says: ratios by number of sessions, and the samples behind them.

use std::process::ExitCode;

use anyhow::Context as _;
use serde::Serialize;
use serde_json::{Value, json};

use super::LoadArgs;
use super::board::Sample;
use super::ratio::Ratios;
use crate::failure::EXIT_FAILED;
use crate::output::Output;
use crate::verbs::bench::timing::Spread;
use crate::verbs::bench::{cores, load};

/// All samples of one number of sessions, by side.
#[derive(Debug)]
pub(super) struct Runs {
    pub(super) sessions: u32,
    pub(super) sides: Vec<(&'static str, Vec<Sample>)>,
}

impl Runs {
    fn of(&self, name: &str) -> &[Sample] {
        let side = self.sides.iter().find(|(side, _)| *side == name);
        side.map_or(&[], |(_, samples)| samples.as_slice())
    }

    /// Compares two sides round by round.
    pub(super) fn ratios(&self, ours: &str, theirs: &str) -> Ratios {
        Ratios::of(self.of(ours), self.of(theirs))
    }

    fn ok(&self) -> bool {
        self.sides.iter().flat_map(|(_, samples)| samples).all(|sample| sample.undelivered == 0)
    }
}

/// Makes the ratios of one number of sessions.
pub(super) type RatiosOf<'a> = &'a dyn Fn(&Runs) -> Value;

/// Prints what came out; the exit code says whether nothing was lost.
pub(super) fn finish(
    name: &str,
    load: &LoadArgs,
    (runs, ratios): (&[Runs], RatiosOf<'_>),
    more: Value,
    out: &Output,
) -> anyhow::Result<ExitCode> {
    let ok = runs.iter().all(Runs::ok);
    if out.json {
        out.json(&report(name, load, (runs, ratios), more)?)?;
    } else {
        print(runs, ratios, out)?;
    }
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::from(EXIT_FAILED) })
}

/// The ratios that stand at the top are those of 16 sessions, or of the first number that was
/// measured.
fn report(
    name: &str,
    load: &LoadArgs,
    (runs, ratios): (&[Runs], RatiosOf<'_>),
    more: Value,
) -> anyhow::Result<Value> {
    let head = runs.iter().find(|runs| runs.sessions == HEAD_SESSIONS).or_else(|| runs.first());
    let mut report = ratios(head.context("nothing was measured")?);
    let samples: Vec<Value> = runs.iter().map(samples).collect();
    let fields = json!({
        "ok": runs.iter().all(Runs::ok),
        "bench": format!("compare {name}"),
        "rounds": load.rounds,
        "ratio": "ours / theirs, of CPU time and of elapsed time per message; \
                  below 1: ours is less",
        "workload": {
            "payload_bytes": load::PAYLOAD_BYTES,
            "in_flight_per_session": load.in_flight,
            "seconds": load.seconds,
        },
        "machine": { "cores": cores() },
        "by_sessions": runs.iter().map(ratios).collect::<Vec<_>>(),
        "samples": samples,
    });
    for fields in [fields, more] {
        if let (Value::Object(report), Value::Object(fields)) = (&mut report, fields) {
            report.extend(fields);
        }
    }
    Ok(report)
}

fn samples(runs: &Runs) -> Value {
    #[derive(Serialize)]
    struct Side<'a> {
        name: &'a str,
        samples: &'a [Sample],
    }
    let sides: Vec<Side<'_>> =
        runs.sides.iter().map(|(name, samples)| Side { name, samples }).collect();
    json!({ "sessions": runs.sessions, "sides": sides })
}

fn print(runs: &[Runs], ratios: &dyn Fn(&Runs) -> Value, out: &Output) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    for runs in runs {
        for (name, samples) in &runs.sides {
            let cpu = Spread::of(samples.iter().filter_map(|sample| sample.cpu_us));
            let time = Spread::of(samples.iter().map(|sample| sample.time_us));
            let lost: u64 = samples.iter().map(|sample| sample.undelivered).sum();
            let rate = time.map_or_else(String::new, |time| format!("{:.0}", 1e6 / time.median));
            rows.push(vec![
                runs.sessions.to_string(),
                (*name).to_owned(),
                shown(cpu),
                rate,
                lost.to_string(),
            ]);
        }
    }
    out.table(&["sessions", "server", "CPU us/message", "messages/s", "lost"], &rows)?;
    out.line("ours / theirs, median (min to max); below 1: ours is less")?;
    for runs in runs {
        for (name, ratio) in flat(&ratios(runs)) {
            out.line(&format!("  {} sessions, {name}: {ratio}", runs.sessions))?;
        }
    }
    Ok(())
}

/// Finds the spreads in a report, with the names that lead to them.
fn flat(value: &Value) -> Vec<(String, String)> {
    let Some(fields) = value.as_object() else { return Vec::new() };
    let number = |name| fields.get(name).and_then(Value::as_f64);
    if let (Some(median), Some(min), Some(max)) = (number("median"), number("min"), number("max")) {
        return vec![(String::new(), shown(Some(Spread { median, min, max })))];
    }
    let below = fields.iter().flat_map(|(name, value)| {
        flat(value).into_iter().map(move |(rest, text)| (format!("{name} {rest}"), text))
    });
    below.map(|(name, text)| (name.trim_end().to_owned(), text)).collect()
}

fn shown(spread: Option<Spread>) -> String {
    spread.map_or_else(
        || "-".to_owned(),
        |Spread { median, min, max }| format!("{median:.2} ({min:.2} to {max:.2})"),
    )
}

/// Whose ratios stand at the top of the report.
const HEAD_SESSIONS: u32 = 16;
