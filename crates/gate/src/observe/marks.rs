//! When each stage of a run ended.

use std::time::Duration;

/// A stage of the pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Does the credential hold, and is the caller registered?
    Authenticate,
    /// Is the request well formed and in its place?
    Validate,
    /// Does a rule allow it?
    Authorize,
    /// Has the caller budget left?
    RateLimit,
    /// Does the target keep failing?
    Circuit,
    /// May the content pass, and in which form?
    Inspect,
    /// Are delivery and record durable, together?
    Commit,
    /// What do counters and log say?
    Report,
}

impl Stage {
    /// All stages, in their order.
    pub const ALL: [Self; 8] = [
        Self::Authenticate,
        Self::Validate,
        Self::Authorize,
        Self::RateLimit,
        Self::Circuit,
        Self::Inspect,
        Self::Commit,
        Self::Report,
    ];

    /// Returns the name that labels and answers carry.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authenticate => "authenticate",
            Self::Validate => "validate",
            Self::Authorize => "authorize",
            Self::RateLimit => "rate_limit",
            Self::Circuit => "circuit",
            Self::Inspect => "inspect",
            Self::Commit => "commit",
            Self::Report => "report",
        }
    }

    /// Returns the place in the order, from 0.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// When a run began and each of its stages ended, by the monotonic clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marks {
    began: Duration,
    /// Nanoseconds since the beginning; [`UNREACHED`] where a stage did not run.
    ends: [u64; Stage::ALL.len()],
}

const UNREACHED: u64 = u64::MAX;

impl Marks {
    /// Starts a run at this reading of the monotonic clock.
    #[must_use]
    pub const fn begin(now: Duration) -> Self {
        Self { began: now, ends: [UNREACHED; Stage::ALL.len()] }
    }

    /// Notes that a stage has ended.
    pub fn mark(&mut self, stage: Stage, now: Duration) {
        let nanos = u64::try_from(now.saturating_sub(self.began).as_nanos());
        if let Some(end) = self.ends.get_mut(stage.index()) {
            *end = nanos.unwrap_or(UNREACHED - 1);
        }
    }

    /// Returns the first stage that has not ended, which is the one under way.
    #[must_use]
    pub fn under_way(&self) -> Option<Stage> {
        Stage::ALL.into_iter().find(|stage| self.end(*stage).is_none())
    }

    /// Returns when a stage ended, from the beginning of the run; nothing if it did not run.
    #[must_use]
    pub fn end(&self, stage: Stage) -> Option<Duration> {
        let nanos = self.ends.get(stage.index()).copied().filter(|end| *end != UNREACHED);
        nanos.map(Duration::from_nanos)
    }

    /// Returns the stages that ran with when each began and ended, from the beginning of the run.
    pub fn spans(&self) -> impl Iterator<Item = (Stage, Duration, Duration)> + use<> {
        let (marks, mut began) = (*self, Duration::ZERO);
        Stage::ALL.into_iter().filter_map(move |stage| {
            let end = marks.end(stage)?;
            Some((stage, std::mem::replace(&mut began, end), end))
        })
    }

    /// Returns how long the run took up to the last mark.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.spans().last().map_or(Duration::ZERO, |(_, _, end)| end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_lasts_from_the_end_of_the_one_before_that_ran() {
        let at = Duration::from_micros;
        let mut marks = Marks::begin(at(100));
        assert_eq!(marks.under_way(), Some(Stage::Authenticate));
        marks.mark(Stage::Authenticate, at(101));
        marks.mark(Stage::Validate, at(104));
        assert_eq!(marks.under_way(), Some(Stage::Authorize));
        marks.mark(Stage::Commit, at(150));
        let spans: Vec<_> = marks.spans().collect();
        assert_eq!(
            spans,
            [
                (Stage::Authenticate, at(0), at(1)),
                (Stage::Validate, at(1), at(4)),
                (Stage::Commit, at(4), at(50)),
            ]
        );
        assert_eq!((marks.total(), marks.end(Stage::Inspect)), (at(50), None));
    }

    #[test]
    fn a_clock_that_stands_still_marks_a_stage_that_took_no_time() {
        let mut marks = Marks::begin(Duration::ZERO);
        marks.mark(Stage::Authenticate, Duration::ZERO);
        assert_eq!(marks.end(Stage::Authenticate), Some(Duration::ZERO));
    }
}
