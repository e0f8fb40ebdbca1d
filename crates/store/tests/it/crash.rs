//! A process that ends while it works: nothing that it was told is lost.
//!
//! The process is this test binary, started again with the name of one test and a folder. It
//! ends at a step of the disk, before or after it, or is killed at some moment.
//! `PALISADE_CRASH_ROUNDS` says how often; the figures are one line of JSON, which the suite
//! `faults` takes into its report.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use audit::{Disk, RealDisk};
use store::Embedded;

use crate::ledger::{Event, Ledger, options, work};
use crate::points::{End, Steps};
use crate::random::Random;

const FOLDER: &str = "PALISADE_CRASH_TEST_FOLDER";
const FIRST: &str = "PALISADE_CRASH_TEST_FIRST";
const STEP: &str = "PALISADE_CRASH_TEST_STEP";
const CHILD: &str = "crash::each_step_that_a_crash_can_hit_is_taken";

/// Crashes after which a new store is begun, so that looking at it stays quick.
const ROUNDS_PER_STORE: usize = 12;
/// Rounds in which each step must have been hit: ten times as many as there are steps.
const ROUNDS_FOR_ALL: usize = 500;
/// Lines after which a process is killed that has not come to its step.
const LINES_MAX: usize = 4_000;

fn open(folder: &Path, disk: Arc<dyn Disk>) -> Arc<Embedded> {
    Embedded::open_on(folder, options(16 << 10), disk).unwrap_or_else(|error| panic!("{error}"))
}

/// Takes all steps: works, makes checkpoints, ends, and starts again.
async fn steps() -> BTreeMap<String, u64> {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(Steps::default());
    for first in [1, 10_001] {
        let store = open(folder.path(), Arc::<Steps>::clone(&disk) as _);
        work(&store, &mut Random::new(5), (first, 80), drop).await.unwrap();
        store.close().unwrap();
    }
    disk.counts()
}

/// Also the process that crashes: then it works until it does.
#[tokio::test]
async fn each_step_that_a_crash_can_hit_is_taken() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return crash(Path::new(&folder)).await;
    }
    let steps = steps().await;
    for wanted in [
        // The log: a spare is filled and becomes a segment, frames go into it.
        "write filling",
        "sync filling",
        "rename filling",
        "write spare",
        "sync spare",
        "rename spare",
        "sync names in log",
        "write seg",
        "sync seg",
        // A checkpoint: records, envelopes, the snapshot; then what is old goes.
        "open audit",
        "write audit",
        "sync audit",
        "sync names in audit",
        "write body",
        "sync body",
        "sync names in bodies",
        "truncate draft",
        "write draft",
        "sync draft",
        "rename draft",
        "sync names in snapshot",
        "rename seg",
        "remove body",
        "remove snap",
    ] {
        assert!(steps.contains_key(wanted), "`{wanted}` is not among {steps:?}");
    }
}

/// Works until the step that was chosen, or until it is killed.
async fn crash(folder: &Path) {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let disk: Arc<dyn Disk> = match std::env::var(STEP) {
        Err(_) => Arc::new(RealDisk),
        Ok(step) => {
            let mut parts = step.splitn(3, ' ');
            let (time, is_done) = (parts.next().unwrap(), parts.next().unwrap() == "after");
            let (time, step) = (time.parse().unwrap(), parts.next().unwrap().to_owned());
            Arc::new(Steps::until(End { step, time, is_done }))
        }
    };
    let first = number(FIRST).unwrap();
    let mut random = Random::new(first);
    let store = open(folder, disk);
    let mut out = std::io::stdout();
    let told = |event: Event| writeln!(out, "\n{}", event.line()).unwrap();
    let done = work(&store, &mut random, (first, u64::MAX), told).await;
    panic!("the store ended by itself: {done:?}");
}

/// How a process ends.
#[derive(Debug, Clone)]
enum Death {
    At(End),
    /// Killed after so many lines.
    Killed(usize),
}

/// Lets a process work on a store until it ends; returns whether it came to its step.
fn until_dead(folder: &Path, death: &Death, ledger: &mut Ledger) -> bool {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", CHILD, "--nocapture"]).stdout(Stdio::piped()).stderr(Stdio::null());
    command.env(FOLDER, folder).env(FIRST, ledger.next().to_string());
    let lines_max = match death {
        Death::Killed(lines) => *lines,
        Death::At(End { step, time, is_done }) => {
            let when = if *is_done { "after" } else { "before" };
            command.env(STEP, format!("{time} {when} {step}"));
            LINES_MAX
        }
    };
    let mut child = command.spawn().unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    let mut is_killed = false;
    for (index, line) in out.lines().enumerate() {
        if let Some(event) = Event::parse(&line.unwrap()) {
            ledger.note(event);
        }
        if index == lines_max {
            is_killed = true;
            child.kill().unwrap();
        }
    }
    assert!(!child.wait().unwrap().success(), "the process ended by itself");
    !is_killed
}

/// What the rounds have shown.
#[derive(Debug, Default)]
struct Figures {
    hit: BTreeMap<String, u64>,
    killed: u64,
    confirmed: usize,
    /// Messages that were confirmed and are gone, or whose confirmed end is.
    lost: u64,
    recovery: Duration,
}

impl Figures {
    fn tell(&self, rounds: usize, steps: usize) {
        println!(
            "{{\"store_crashes\":{{\"rounds\":{rounds},\"steps\":{steps},\"steps_hit\":{},\
             \"killed\":{},\"confirmed\":{},\"lost\":{},\"recovery_ms_max\":{}}}}}",
            self.hit.len(),
            self.killed,
            self.confirmed,
            self.lost,
            self.recovery.as_millis(),
        );
    }
}

#[tokio::test]
async fn a_process_that_ends_at_any_step_loses_nothing_that_was_confirmed() {
    let steps: Vec<(String, u64)> = steps().await.into_iter().collect();
    let rounds = std::env::var("PALISADE_CRASH_ROUNDS");
    let rounds = rounds.map_or(steps.len() + steps.len() / 4, |text| text.parse().unwrap());
    let mut random = Random::new(rounds as u64);
    let mut figures = Figures::default();
    let (mut folder, mut ledger) = (tempfile::tempdir().unwrap(), Ledger::default());
    let mut chosen = steps.iter().cycle();
    let mut done = 0;
    while done < rounds && figures.lost == 0 {
        if done % ROUNDS_PER_STORE == ROUNDS_PER_STORE - 1 {
            figures.confirmed += ledger.confirmed();
            (folder, ledger) = (tempfile::tempdir().unwrap(), Ledger::default());
        }
        let death = if done % 5 == 4 {
            Death::Killed(usize::try_from(random.below(1_500)).unwrap())
        } else {
            let (step, count) = chosen.next().unwrap();
            let time = random.below((count / 2).clamp(1, 12)) + 1;
            Death::At(End { step: step.clone(), time, is_done: random.once_in(2) })
        };
        println!("round {done}: {death:?}");
        let is_hit = until_dead(folder.path(), &death, &mut ledger);
        match death {
            Death::At(End { step, .. }) if is_hit => *figures.hit.entry(step).or_default() += 1,
            Death::At(_) | Death::Killed(_) => figures.killed += 1,
        }
        look(folder.path(), &mut ledger, &mut figures, random.once_in(4)).await;
        done += 1;
    }
    figures.confirmed += ledger.confirmed();
    figures.tell(done, steps.len());
    assert_eq!(figures.lost, 0, "something confirmed is lost, see above");
    assert!(figures.confirmed > rounds * 10, "{figures:?}");
    let enough =
        if rounds < ROUNDS_FOR_ALL { rounds.min(steps.len()) / 2 + 1 } else { steps.len() };
    assert!(figures.hit.len() >= enough, "few steps were hit: {:?} of {steps:?}", figures.hit);
}

/// Opens what a crash has left, compares, and ends it in one way or the other.
#[expect(clippy::disallowed_methods, reason = "how long a start takes is a figure")]
async fn look(folder: &Path, ledger: &mut Ledger, figures: &mut Figures, is_orderly: bool) {
    let begun = Instant::now();
    let store = open(folder, Arc::new(RealDisk));
    figures.recovery = figures.recovery.max(begun.elapsed());
    figures.lost += ledger.check(&store, folder).await;
    if is_orderly {
        store.close().unwrap();
    }
}
