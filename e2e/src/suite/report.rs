//! What a suite found: its cases, and the figures that were measured on the way.

use std::time::Instant;

use anyhow::Error;
use serde_json::{Map, Value, json};

/// The report of one run of a suite.
#[derive(Debug)]
pub struct Report {
    suite: &'static str,
    started: Instant,
    cases: Vec<Case>,
    figures: Map<String, Value>,
}

#[derive(Debug)]
struct Case {
    name: String,
    ended: Instant,
    failure: Option<String>,
}

impl Report {
    /// Opens the report of a suite.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "how long it takes is part of the report")]
    pub fn new(suite: &'static str) -> Self {
        Self { suite, started: Instant::now(), cases: Vec::new(), figures: Map::new() }
    }

    /// Notes how a case ended, and tells it to who is watching.
    pub fn case(&mut self, name: &str, outcome: Result<(), Error>) {
        match outcome {
            Ok(()) => self.note(name, None),
            Err(error) => self.failed(name, &error),
        }
    }

    /// Notes a case that failed.
    pub fn failed(&mut self, name: &str, error: &Error) {
        self.note(name, Some(format!("{error:#}")));
    }

    /// Notes a figure; the name says its unit, such as `recovery_ms_max`.
    pub fn figure(&mut self, name: &str, value: impl Into<Value>) {
        self.figures.insert(name.to_owned(), value.into());
    }

    /// Tells whether there were cases, and all of them held.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        !self.cases.is_empty() && self.cases.iter().all(|case| case.failure.is_none())
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
            "seconds": self.started.elapsed().as_secs_f64(),
            "cases": names,
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

    #[test]
    fn a_report_is_ok_only_when_all_of_at_least_one_case_held() {
        let mut report = Report::new("faults");
        assert!(!report.is_ok());
        report.case("first", Ok(()));
        assert!(report.is_ok());
        report.case("second", Err(anyhow!("lost").context("round 3")));
        assert!(!report.is_ok());
        let json = report.json();
        assert_eq!(json.pointer("/failures/second"), Some(&json!("round 3: lost")));
        assert_eq!(json.pointer("/cases"), Some(&json!(["first", "second"])));
    }
}
