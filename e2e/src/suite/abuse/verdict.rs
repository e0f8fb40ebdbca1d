//! Whether an attack did harm: what its attacker got, what the gate spent, what others noticed.

use anyhow::{Result, ensure};

use super::attacks::Attack;
use super::ground::MEMORY_BYTES_MAX;
use super::measure::Measured;

/// How much slower the slowest hundredth of honest messages may be, beyond the noise.
const RATIO_MAX: f64 = 1.10;
/// Where windows without an attack differ by more than this, a tenth cannot be told from noise.
const NOISE_MAX: f64 = 1.10;
/// What the short form asks instead: a few hundred messages cannot tell a tenth from noise.
pub(super) const SHORT_P99_US_MAX: u64 = 1_000_000;

/// Checks what the attacker got, and what the gate spent.
pub(super) fn judge(attack: &Attack, measured: &Measured) -> Result<()> {
    let got = &measured.got;
    ensure!(
        attack.gets.iter().any(|name| got.count(name) > 0),
        "the attacker got {:?} and none of {:?}",
        got.counts,
        attack.gets
    );
    if let Some(at_most) = attack.at_most {
        let seconds = measured.seconds.ceil();
        let most = f64::from(at_most.per_second).mul_add(seconds, f64::from(at_most.at_once));
        #[expect(clippy::cast_precision_loss, reason = "what can be counted in minutes")]
        let count = got.count(at_most.count) as f64;
        ensure!(count <= most, "the attacker got {count} {} in {seconds} s", at_most.count);
    }
    ensure!(
        measured.memory_bytes_max <= MEMORY_BYTES_MAX,
        "the gate had {} MiB in memory",
        measured.memory_bytes_max >> 20
    );
    Ok(())
}

/// What the honest agents noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Noticed {
    Nothing,
    /// They had to wait longer than they may.
    Waits,
    /// The machine differs from itself by too much to tell.
    Unknown,
}

impl Noticed {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "held",
            Self::Waits => "exceeded",
            Self::Unknown => "not measurable",
        }
    }

    /// Judges one try: noise neither excuses what exceeds it by far nor proves what it hides.
    pub(super) fn of(measured: &Measured, is_short: bool) -> Self {
        let noise = measured.noise;
        if is_short {
            return if measured.with_us < SHORT_P99_US_MAX { Self::Nothing } else { Self::Waits };
        }
        if measured.ratio >= RATIO_MAX * noise {
            Self::Waits
        } else if noise > NOISE_MAX {
            Self::Unknown
        } else {
            Self::Nothing
        }
    }

    /// Returns what several tries say together: a machine that does other things too makes
    /// single ones worthless, so one that held stands, and harm is what every one of them shows.
    pub(super) fn together(tries: impl Iterator<Item = Self>) -> Self {
        let tries: Vec<Self> = tries.collect();
        if tries.contains(&Self::Nothing) {
            Self::Nothing
        } else if tries.contains(&Self::Unknown) || tries.is_empty() {
            Self::Unknown
        } else {
            Self::Waits
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(ratio: f64, noise: f64) -> Measured {
        Measured { ratio, noise, ..Measured::default() }
    }

    #[test]
    fn a_noisy_machine_excuses_nothing_and_proves_nothing() {
        let noticed = |ratio, noise| Noticed::of(&measured(ratio, noise), false);
        assert_eq!(noticed(1.09, 1.06), Noticed::Nothing);
        assert_eq!(noticed(1.25, 1.06), Noticed::Waits);
        assert_eq!(noticed(1.25, 1.28), Noticed::Unknown);
        assert_eq!(noticed(1.02, 1.28), Noticed::Unknown);
        assert_eq!(noticed(9.0, 1.28), Noticed::Waits);
    }

    #[test]
    fn of_several_tries_one_that_held_stands_and_harm_is_what_all_of_them_show() {
        use Noticed::{Nothing, Unknown, Waits};
        let together = |tries: &[Noticed]| Noticed::together(tries.iter().copied());
        assert_eq!(together(&[Waits, Unknown, Nothing]), Nothing);
        assert_eq!(together(&[Unknown, Waits, Unknown]), Unknown);
        assert_eq!(together(&[Waits, Waits, Waits]), Waits);
    }

    #[test]
    fn an_attacker_must_get_what_the_gate_does_to_it_and_no_more_than_its_rate() {
        let flood = Attack::named("handshake_flood").unwrap();
        let judged = |counts: &[(&str, u64)]| {
            let mut measured = Measured { seconds: 10.0, ..measured(1.0, 1.0) };
            let counts = counts.iter().map(|(name, count)| ((*name).to_owned(), *count));
            measured.got.counts = counts.collect();
            judge(flood, &measured).is_ok()
        };
        // What it counts itself is none of the gate's doing.
        assert!(!judged(&[("connections", 100), ("pieces", 1)]));
        assert!(judged(&[("connections", 100), ("refused_connections", 1)]));
        assert!(!judged(&[("connections", 10_000), ("refused_connections", 1)]));
    }
}
