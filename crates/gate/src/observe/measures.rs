//! The numbers of a gate: counters and histograms, read as a whole.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::{Counters, Histogram, HistogramView, LATENCY_NANOS, Marks, SIZES, Stage};
use crate::types::Decision;

/// The live numbers; each thread counts in one of a few copies, so that two that work at once do
/// not take the same memory from each other.
#[derive(Debug, Default)]
pub(crate) struct Measures {
    shards: [Shard; SHARDS],
}

/// LIMIT: copies.
const SHARDS: usize = 4;

// LIMIT: names told apart: event types, refusal codes, kinds of findings, reasons of dead letters.
const EVENTS_MAX: usize = 48;
const CODES_MAX: usize = 128;
const KINDS_MAX: usize = 128;
const REASONS_MAX: usize = 16;

/// One copy, on cache lines of its own.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Shard {
    /// By decision, in the order of `Decision::ALL`.
    runs: [Counters<EVENTS_MAX>; Decision::ALL.len()],
    refusals: Counters<CODES_MAX>,
    findings: Counters<KINDS_MAX>,
    stages: [Histogram; Stage::ALL.len()],
    run: Histogram,
    payloads: Histogram,
    answers: Histogram,
    dead_letters: Counters<REASONS_MAX>,
    delivered: AtomicU64,
    delivered_bytes: AtomicU64,
    redelivered: AtomicU64,
    acknowledged: AtomicU64,
    retried: AtomicU64,
    expired: AtomicU64,
}

impl Default for Shard {
    fn default() -> Self {
        Self {
            runs: Default::default(),
            refusals: Counters::default(),
            findings: Counters::default(),
            stages: std::array::from_fn(|_| Histogram::new(LATENCY_NANOS)),
            run: Histogram::new(LATENCY_NANOS),
            payloads: Histogram::new(SIZES),
            answers: Histogram::new(LATENCY_NANOS),
            dead_letters: Counters::default(),
            delivered: AtomicU64::new(0),
            delivered_bytes: AtomicU64::new(0),
            redelivered: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
            retried: AtomicU64::new(0),
            expired: AtomicU64::new(0),
        }
    }
}

impl Measures {
    /// Returns the copy of this thread.
    pub(crate) fn mine(&self) -> &Shard {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static MINE: Cell<usize> = Cell::new(THREADS.fetch_add(1, Ordering::Relaxed));
        }
        let [first, ..] = &self.shards;
        // A thread that ends has no place any more.
        let mine = MINE.try_with(Cell::get).unwrap_or_default();
        self.shards.get(mine % SHARDS).unwrap_or(first)
    }

    /// Returns how many calls ended with each decision; decisions without any are absent.
    pub(crate) fn decisions(&self) -> BTreeMap<&'static str, u64> {
        let mut sums = BTreeMap::new();
        for shard in &self.shards {
            for (decision, runs) in Decision::ALL.into_iter().zip(&shard.runs) {
                let count: u64 = runs.read().values().sum();
                if count > 0 {
                    *sums.entry(decision.as_str()).or_default() += count;
                }
            }
        }
        sums
    }

    /// Reads all numbers.
    pub(crate) fn read(&self) -> Reading {
        let mut reading = Reading::default();
        for shard in &self.shards {
            shard.add_to(&mut reading);
        }
        reading
    }
}

impl Shard {
    /// Counts a finished run.
    pub(crate) fn finished(&self, event: &'static str, decision: Decision, marks: &Marks) {
        if let Some(runs) = self.runs.get(decision as usize) {
            runs.count(event);
        }
        let mut total = std::time::Duration::ZERO;
        for (stage, began, ended) in marks.spans() {
            total = ended;
            if let Some(histogram) = self.stages.get(stage.index()) {
                histogram.count_time(ended.saturating_sub(began));
            }
        }
        self.run.count_time(total);
    }

    /// Counts a refusal by its code.
    pub(crate) fn refused(&self, code: &'static str) {
        self.refusals.count(code);
    }

    /// Counts what inspection found, by kind.
    pub(crate) fn found(&self, kinds: &[String]) {
        for kind in kinds {
            self.findings.count(kind);
        }
    }

    /// Counts the payload of a message that came in.
    pub(crate) fn payload(&self, bytes: usize) {
        self.payloads.count(bytes as u64);
    }

    /// Counts a message that is handed to a session.
    pub(crate) fn delivered(&self, bytes: usize, is_again: bool) {
        self.delivered.fetch_add(1, Ordering::Relaxed);
        self.delivered_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.redelivered.fetch_add(u64::from(is_again), Ordering::Relaxed);
    }

    /// Counts an acknowledgement that is durable.
    pub(crate) fn acknowledged(&self, took: std::time::Duration) {
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
        self.answers.count_time(took);
    }

    /// Counts a delivery that was refused and is tried again.
    pub(crate) fn retried(&self, took: std::time::Duration) {
        self.retried.fetch_add(1, Ordering::Relaxed);
        self.answers.count_time(took);
    }

    /// Counts a message that becomes a dead letter.
    pub(crate) fn died(&self, code: &'static str) {
        self.dead_letters.count(code);
    }

    /// Counts messages that nobody took in their time.
    pub(crate) fn expired(&self, count: usize) {
        self.expired.fetch_add(count as u64, Ordering::Relaxed);
    }

    fn add_to(&self, sums: &mut Reading) {
        for (decision, runs) in Decision::ALL.into_iter().zip(&self.runs) {
            for (event, count) in runs.read() {
                *sums.runs.entry((event, decision.as_str())).or_default() += count;
            }
        }
        self.refusals.add_to(&mut sums.refusals);
        self.findings.add_to(&mut sums.findings);
        for (sum, stage) in sums.stages.iter_mut().zip(&self.stages) {
            sum.add(&stage.read());
        }
        sums.run.add(&self.run.read());
        sums.payloads.add(&self.payloads.read());
        sums.answers.add(&self.answers.read());
        self.dead_letters.add_to(&mut sums.dead_letters);
        for (sum, counter) in [
            (&mut sums.delivered, &self.delivered),
            (&mut sums.delivered_bytes, &self.delivered_bytes),
            (&mut sums.redelivered, &self.redelivered),
            (&mut sums.acknowledged, &self.acknowledged),
            (&mut sums.retried, &self.retried),
            (&mut sums.expired, &self.expired),
        ] {
            *sum += counter.load(Ordering::Relaxed);
        }
    }
}

/// The numbers of a gate at one moment: what has happened since its start, and what is now.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    /// Finished runs, by event type and decision.
    pub runs: BTreeMap<(String, &'static str), u64>,
    /// Refusals by code.
    pub refusals: BTreeMap<String, u64>,
    /// What inspection found, by kind.
    pub findings: BTreeMap<String, u64>,
    /// The time that each stage took, in nanoseconds, in the order of [`Stage::ALL`].
    pub stages: [HistogramView; Stage::ALL.len()],
    /// The time that whole runs took, in nanoseconds.
    pub run: HistogramView,
    /// Sizes of payloads that came in, in bytes.
    pub payloads: HistogramView,
    /// The time from a hand-over to its receiver's answer, in nanoseconds.
    pub answers: HistogramView,
    /// Messages that became dead letters, by the code of the reason.
    pub dead_letters: BTreeMap<String, u64>,
    /// Hand-overs to sessions.
    pub delivered: u64,
    /// Bytes of their envelopes.
    pub delivered_bytes: u64,
    /// Hand-overs that were not a message's first.
    pub redelivered: u64,
    /// Acknowledgements.
    pub acknowledged: u64,
    /// Refused hand-overs that are tried again.
    pub retried: u64,
    /// Messages that nobody took in their time.
    pub expired: u64,
    /// What is at this moment.
    pub levels: Levels,
}

/// What is at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Levels {
    /// Registered agents.
    pub agents: usize,
    /// Agents with a session.
    pub agents_connected: usize,
    /// Sessions.
    pub sessions: usize,
    /// Messages that sessions hold unanswered.
    pub in_flight: usize,
    /// Bytes of their envelopes.
    pub in_flight_bytes: usize,
    /// Circuits that let nothing through.
    pub circuits_open: usize,
    /// Circuits that let probes through.
    pub circuits_half_open: usize,
    /// The name of the rules in force.
    pub policy_revision: String,
    /// Whether nothing new is taken.
    pub is_draining: bool,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn run(measures: &Measures, decision: Decision) {
        let mut marks = Marks::begin(Duration::ZERO);
        for (micros, stage) in (1..).zip(Stage::ALL) {
            marks.mark(stage, Duration::from_micros(micros));
        }
        measures.mine().finished("message.send", decision, &marks);
    }

    #[test]
    fn what_threads_count_in_copies_is_read_as_one() {
        let measures = Measures::default();
        std::thread::scope(|scope| {
            for _ in 0..2 * SHARDS {
                scope.spawn(|| {
                    run(&measures, Decision::Allowed);
                    measures.mine().delivered(100, true);
                    measures.mine().refused("denied");
                    measures.mine().died("refused");
                });
            }
        });
        run(&measures, Decision::Alert);
        let reading = measures.read();
        let runs = &reading.runs;
        assert_eq!(runs[&("message.send".to_owned(), "ALLOWED")], 8);
        assert_eq!(runs[&("message.send".to_owned(), "ALERT")], 1);
        assert_eq!(measures.decisions(), [("ALERT", 1), ("ALLOWED", 8)].into());
        assert_eq!((reading.refusals["denied"], reading.dead_letters["refused"]), (8, 8));
        assert_eq!((reading.delivered, reading.delivered_bytes, reading.redelivered), (8, 800, 8));
        for stage in &reading.stages {
            assert_eq!((stage.count(), stage.sum), (9, 9_000));
        }
        assert_eq!((reading.run.count(), reading.run.sum), (9, 72_000));
    }
}
