//! Which traces are kept: what the caller decided, or else a share by the trace's id.
//!
//! The decision is made before any other work for a span.

use crate::context::Place;

/// Decides which traces are kept; a decision that was made elsewhere stands.
#[derive(Debug, Clone, Copy)]
pub struct Sampler {
    /// Traces whose id's lowest 63 bits are below this are kept.
    below: u64,
}

impl Sampler {
    /// Keeps this share of the traces that begin here, from 0 to 1.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to 0 to 1, so the product is 0 to 2^63, which a u64 holds"
    )]
    pub fn new(ratio: f64) -> Self {
        Self { below: (ratio.clamp(0.0, 1.0) * TWO_TO_63) as u64 }
    }

    /// Returns the place of a span that follows `parent`, or begins a trace.
    ///
    /// `random` makes the ids: the trace's where it begins here, and the span's.
    #[must_use]
    pub fn place(self, parent: Option<Place>, random: impl Fn() -> u128) -> Place {
        let span = low(random());
        match parent {
            Some(parent) => parent.child(span),
            None => {
                let trace = random();
                Place::root(trace, span, self.keeps(trace))
            }
        }
    }

    /// Returns whether a trace that begins here is kept: every process with the same share decides
    /// alike.
    const fn keeps(self, trace: u128) -> bool {
        low(trace) >> 1 < self.below
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
const fn low(number: u128) -> u64 {
    number as u64
}

const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;

#[cfg(test)]
mod tests {
    use super::*;

    /// Trace ids that are spread evenly (Weyl's sequence).
    fn kept(ratio: f64) -> usize {
        let sampler = Sampler::new(ratio);
        let spread = |n: u128| n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let kept = (1..=10_000).filter(|n| sampler.place(None, || spread(*n)).is_sampled());
        kept.count()
    }

    #[test]
    fn a_share_of_the_traces_is_kept() {
        assert_eq!(kept(0.0), 0);
        assert_eq!(kept(1.0), 10_000);
        let quarter = kept(0.25);
        assert!((2_400..=2_600).contains(&quarter), "{quarter}");
    }

    #[test]
    fn the_callers_decision_stands() {
        for sampled in [true, false] {
            let parent = Place::root(5, 6, sampled);
            for ratio in [0.0, 1.0] {
                let place = Sampler::new(ratio).place(Some(parent), || 9);
                assert_eq!(place, parent.child(9));
            }
        }
    }
}
