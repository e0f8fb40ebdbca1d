//! What a suite found: its cases, and the figures that were measured on the way.

use std::error::Error as StdError;
use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Error;
use serde_json::{Map, Value, json};

use super::Effort;
use crate::program::excerpt;

/// The report of one run of a suite.
#[derive(Debug)]
pub struct Report {
    suite: &'static str,
    effort: Effort,
    started: Instant,
    took: Option<Duration>,
    cases: Vec<Case>,
    /// The cases that could not be tried on this machine, which is known.
    skipped: Vec<String>,
    figures: Map<String, Value>,
}

#[derive(Debug)]
struct Case {
    name: String,
    ended: Instant,
    failure: Option<String>,
}

/// Says that a case cannot be tried here, and that whoever runs it knows: what is missing.
#[derive(Debug)]
pub struct Skipped(pub &'static str);

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "skipped: {}", self.0)
    }
}

impl std::error::Error for Skipped {}

impl Report {
    /// Opens the report of a suite.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "how long it takes is part of the report")]
    pub fn new(suite: &'static str, effort: Effort) -> Self {
        Self {
            suite,
            effort,
            started: Instant::now(),
            took: None,
            cases: Vec::new(),
            skipped: Vec::new(),
            figures: Map::new(),
        }
    }

    /// Notes how a case ended, and tells it to who is watching. One that failed for being
    /// [`Skipped`] is none that failed.
    pub fn case(&mut self, name: &str, outcome: Result<(), Error>) {
        match outcome {
            Ok(()) => self.note(name, None),
            Err(error) if error.chain().any(<dyn StdError>::is::<Skipped>) => {
                self.skip(name, &error);
            }
            Err(error) => self.failed(name, &error),
        }
    }

    /// Notes a case that failed.
    pub fn failed(&mut self, name: &str, error: &Error) {
        self.note(name, Some(excerpt(&format!("{error:#}"))));
    }

    #[expect(clippy::print_stderr, reason = "whoever waits for a long suite sees how far it is")]
    fn skip(&mut self, name: &str, why: &Error) {
        eprintln!("{}: {why:#}: {name}", self.suite);
        self.skipped.push(name.to_owned());
    }

    /// Notes a figure; the name says its unit, such as `recovery_ms_max`.
    pub fn figure(&mut self, name: &str, value: impl Into<Value>) {
        self.figures.insert(name.to_owned(), value.into());
    }

    /// Adds to a figure that counts; it begins at nothing. So a figure is told as far as it came,
    /// also where the case behind it fails.
    pub fn add(&mut self, name: &str, more: u64) {
        let before = self.figures.get(name).and_then(Value::as_u64).unwrap_or_default();
        self.figure(name, before.saturating_add(more));
    }

    /// Tells whether there were cases, and all of them held; in the long form also whether none
    /// was skipped: its figures stand for all.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        let is_whole = self.effort.is_short || self.skipped.is_empty();
        let held = self.cases.iter().all(|case| case.failure.is_none());
        is_whole && held && !self.cases.is_empty()
    }

    /// Returns the name of the suite.
    #[must_use]
    pub const fn suite(&self) -> &'static str {
        self.suite
    }

    /// Notes that the suite has come to its end.
    pub fn close(&mut self) {
        self.took = Some(self.started.elapsed());
    }

    /// Returns how long the suite took, in seconds; until it is closed, how long it takes so far.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.took.unwrap_or_else(|| self.started.elapsed()).as_secs_f64()
    }

    /// Returns the report as one JSON object.
    #[must_use]
    pub fn json(&self) -> Value {
        let failures: Map<String, Value> = self
            .cases
            .iter()
            .filter_map(|case| Some((case.name.clone(), case.failure.clone()?.into())))
            .collect();
        let names: Vec<&str> = self.cases.iter().map(|case| case.name.as_str()).collect();
        json!({
            "suite": self.suite,
            "ok": self.is_ok(),
            "seconds": self.seconds(),
            "cases": names,
            "skipped": self.skipped,
            "failures": failures,
            "figures": self.figures,
        })
    }

    #[expect(clippy::disallowed_methods, reason = "how long it takes is part of the report")]
    #[expect(clippy::print_stderr, reason = "whoever waits for a long suite sees how far it is")]
    fn note(&mut self, name: &str, failure: Option<String>) {
        let ended = Instant::now();
        let began = self.cases.last().map_or(self.started, |case| case.ended);
        let took = ended.duration_since(began).as_secs_f64();
        let suite = self.suite;
        match &failure {
            None => eprintln!("{suite}: ok     {took:>7.1} s  {name}"),
            Some(why) => eprintln!("{suite}: FAILED {took:>7.1} s  {name}: {why}"),
        }
        self.cases.push(Case { name: name.to_owned(), ended, failure });
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    const SHORT: Effort = Effort { is_short: true, rounds: None };
    const LONG: Effort = Effort { is_short: false, rounds: None };

    #[test]
    fn a_report_is_ok_only_when_all_of_at_least_one_case_held() {
        let mut report = Report::new("faults", SHORT);
        assert!(!report.is_ok());
        report.case("first", Ok(()));
        assert!(report.is_ok());
        report.case("second", Err(anyhow!("lost").context("round 3")));
        assert!(!report.is_ok());
        let json = report.json();
        assert_eq!(json.pointer("/failures/second"), Some(&json!("round 3: lost")));
        assert_eq!(json.pointer("/cases"), Some(&json!(["first", "second"])));
    }

    #[test]
    fn what_is_skipped_is_named_and_the_long_form_is_not_ok_without_it() {
        for (effort, is_ok) in [(SHORT, true), (LONG, false)] {
            let mut report = Report::new("faults", effort);
            report.case("first", Ok(()));
            report.case("second", Err(anyhow!(Skipped("no disk")).context("round 1")));
            assert_eq!(report.is_ok(), is_ok);
            let json = report.json();
            assert_eq!(json.pointer("/skipped"), Some(&json!(["second"])));
            assert_eq!(json.pointer("/cases"), Some(&json!(["first"])));
            assert_eq!(json.pointer("/failures"), Some(&json!({})));
        }
    }

    #[test]
    fn a_closed_report_grows_no_older() {
        let mut report = Report::new("faults", SHORT);
        report.close();
        let seconds = report.seconds();
        while report.started.elapsed().as_secs_f64() <= seconds {}
        assert!((report.seconds() - seconds).abs() < f64::EPSILON);
    }

    #[test]
    fn a_figure_that_counts_begins_at_nothing_and_grows() {
        let mut report = Report::new("faults", SHORT);
        report.add("flips_silent", 0);
        report.add("flips_tried", 1);
        report.add("flips_tried", 2);
        assert_eq!(
            report.json().pointer("/figures"),
            Some(&json!({
                "flips_silent": 0,
                "flips_tried": 3,
            }))
        );
    }
}
