//! Random numbers from a seed, so that a run can be had again.

use std::env;
use std::time::{SystemTime, UNIX_EPOCH};

/// A stream of random numbers (`SplitMix64`, Steele and others 2014): plenty for choosing moments.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// Takes this seed.
    #[must_use]
    pub const fn from_seed(seed: u64) -> Self {
        Self(seed)
    }

    /// Takes the seed that `PALISADE_SEED` names, else one from the clock.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the clock is only a seed")]
    pub fn thrown() -> Self {
        let named = env::var("PALISADE_SEED").ok().and_then(|seed| seed.parse().ok());
        let clock = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(named.unwrap_or_else(|| u64::from(clock().subsec_nanos())))
    }

    /// Returns the seed that would give the numbers from here on.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.0
    }

    /// Returns a number from nothing up to below a bound.
    pub const fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        match mixed.checked_rem(bound) {
            Some(number) => number,
            None => 0,
        }
    }
}
