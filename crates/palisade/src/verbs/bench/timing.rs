//! Times a small piece of work by doing it very often, and the spread of what came out.

use std::hint::black_box;
use std::time::Duration;

use serde::Serialize;

use crate::clock;

/// The middle and the ends of several figures.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

impl Spread {
    /// Takes the figures of all rounds; there is none of nothing.
    pub(super) fn of(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut figures: Vec<f64> = figures.into_iter().collect();
        figures.sort_by(f64::total_cmp);
        let (upper, lower) = (figures.len() / 2, figures.len().saturating_sub(1) / 2);
        let median = f64::midpoint(*figures.get(lower)?, *figures.get(upper)?);
        Some(Self { median, min: *figures.first()?, max: *figures.last()? })
    }

    /// Returns the spread for one of so many parts.
    pub(super) fn divided(self, parts: u32) -> Self {
        let part = |figure: f64| figure / f64::from(parts.max(1));
        Self { median: part(self.median), min: part(self.min), max: part(self.max) }
    }
}

/// Returns the nanoseconds that one turn of the work takes.
///
/// # Errors
/// Returns the first error of the work.
pub(super) fn time(mut work: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<Option<Spread>> {
    let mut turns = 1_u32;
    // Also warms up.
    while round(turns, &mut work)? < ROUND && turns < TURNS_MAX {
        turns = turns.saturating_mul(2);
    }
    let mut figures = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        figures.push(round(turns, &mut work)?.as_secs_f64() * 1e9 / f64::from(turns));
    }
    Ok(Spread::of(figures))
}

fn round(turns: u32, work: &mut impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<Duration> {
    let start = clock::instant();
    for _ in 0..turns {
        black_box(work()?);
    }
    Ok(start.elapsed())
}

/// Shows a spread as a cell of a table.
pub(super) fn cell(spread: Option<Spread>) -> String {
    spread.map_or_else(
        || "-".to_owned(),
        |Spread { median, min, max }| format!("{median:.0} ({min:.0} to {max:.0})"),
    )
}

const ROUNDS: usize = 15;
/// Long enough that reading the clock does not count.
const ROUND: Duration = Duration::from_millis(10);
/// LIMIT: turns of one round.
const TURNS_MAX: u32 = 1 << 24;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_has_the_middle_and_the_ends() {
        let spread = Spread::of([3.0, 1.0, 2.0]).unwrap();
        assert_eq!(spread, Spread { median: 2.0, min: 1.0, max: 3.0 });
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]).unwrap().median, 2.5);
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a piece of work of known length")]
    fn work_is_timed_by_the_turn_and_its_error_ends_it() {
        let slept = time(|| {
            std::thread::sleep(Duration::from_millis(1));
            Ok(())
        });
        let spread = slept.unwrap().unwrap();
        assert!(spread.min >= 1e6 && spread.min <= spread.median, "{spread:?}");
        assert!(time(|| anyhow::bail!("no")).is_err());
    }
}
