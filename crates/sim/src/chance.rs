//! The random numbers of one actor, so that none depends on how often another draws.

use std::time::Duration;

use fastrand::Rng;

/// A source of random numbers that gives the same ones for the same seed.
#[derive(Debug, Clone)]
pub(crate) struct Chance(Rng);

impl Chance {
    /// Returns the source of an actor; each number of a run has its own.
    pub(crate) fn of(seed: u64, actor: u64) -> Self {
        // Neighbouring seeds must not give neighbouring sequences: draw the second from the first.
        let mut rng = Rng::with_seed(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(actor));
        Self(Rng::with_seed(rng.u64(..)))
    }

    /// Returns a source of its own for something that goes on beside this.
    pub(crate) fn another(&mut self) -> Self {
        Self(Rng::with_seed(self.0.u64(..)))
    }

    /// Returns true so many times in a hundred.
    pub(crate) fn percent(&mut self, percent: u32) -> bool {
        self.0.u32(0..100) < percent
    }

    /// Returns a number below a bound that is not 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0.usize(0..bound.max(1))
    }

    /// Returns a time up to a maximum, short ones more often.
    ///
    /// In whole milliseconds: the runtime's timers know no finer ones, and where it rounds depends
    /// on the moment at which it was made.
    pub(crate) fn delay(&mut self, max: Duration) -> Duration {
        let time = max.mul_f64(self.0.f64().powi(3));
        Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    }

    /// Returns a number that nobody in the run can foresee.
    pub(crate) fn number(&mut self) -> u128 {
        self.0.u128(..)
    }
}
