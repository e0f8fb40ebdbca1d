//! What all suites took together: the short forms have a time that they must keep to.

use serde_json::{Value, json};

use super::{Effort, Report, Suite};

/// The closing report of a run of all suites.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Together {
    is_ok: bool,
    seconds: f64,
    /// What the suites of crashes and of abuse took; nothing in forms that have no bound.
    bounded: Option<f64>,
}

impl Together {
    /// Sums up the reports of suites.
    #[must_use]
    pub fn of(effort: Effort, reports: &[Report]) -> Self {
        let taken: Vec<_> = reports.iter().map(|it| (it.suite(), it.seconds())).collect();
        Self::summed(effort, reports.iter().all(Report::is_ok), &taken)
    }

    fn summed(effort: Effort, is_ok: bool, taken: &[(&str, f64)]) -> Self {
        let of = |suites: &[Suite]| {
            let is_among = |name: &str| suites.iter().any(|suite| suite.name() == name);
            taken.iter().filter(|(name, _)| is_among(name)).map(|(_, seconds)| seconds).sum::<f64>()
        };
        let bounded = (effort.is_short && effort.rounds.is_none())
            .then(|| of(&[Suite::Faults, Suite::Abuse]));
        let is_in_time = bounded.is_none_or(|seconds| seconds <= SECONDS_MAX);
        let seconds = taken.iter().map(|(_, seconds)| seconds).sum();
        Self { is_ok: is_ok && is_in_time, seconds, bounded }
    }

    /// Tells whether all suites held, and were in time.
    #[must_use]
    pub const fn is_ok(&self) -> bool {
        self.is_ok
    }

    /// Returns it as one JSON object.
    #[must_use]
    pub fn json(&self) -> Value {
        let mut json = json!({ "suite": "all", "ok": self.is_ok, "seconds": self.seconds });
        if let (Some(seconds), Some(json)) = (self.bounded, json.as_object_mut()) {
            json.insert("crash_and_abuse_seconds".to_owned(), seconds.into());
            json.insert("crash_and_abuse_seconds_max".to_owned(), SECONDS_MAX.into());
        }
        json
    }
}

/// What the short forms of `faults` and `abuse` may take on two cores: eight minutes.
const SECONDS_MAX: f64 = 480.0;

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Effort = Effort { is_short: true, rounds: None };

    #[test]
    fn the_short_forms_of_crashes_and_abuse_have_eight_minutes() {
        for (abuse, is_ok) in [(279.0, true), (281.0, false)] {
            let taken = [("faults", 200.0), ("identity", 900.0), ("abuse", abuse)];
            let together = Together::summed(SHORT, true, &taken);
            assert_eq!(together.is_ok(), is_ok, "{abuse}");
            assert_eq!(together.json()["crash_and_abuse_seconds"], 200.0 + abuse);
            let long = Together::summed(Effort { is_short: false, ..SHORT }, true, &taken);
            assert!(long.is_ok() && long.bounded.is_none());
        }
        assert!(!Together::summed(SHORT, false, &[("faults", 1.0)]).is_ok());
    }
}
