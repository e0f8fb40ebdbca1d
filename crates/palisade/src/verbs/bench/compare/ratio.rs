//! Ratios of what two servers cost in the same round, with their spread.
//!
//! A ratio is ours divided by theirs, of a cost: below 1 means that we cost less. That holds for
//! the ratio of throughput too, which is of the time that passes for each message.

use serde::Serialize;

use super::super::timing::Spread;
use super::board::Sample;

/// What one of our paths costs beside a peer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Ratios {
    /// Server CPU time per message, ours divided by theirs.
    pub(super) cpu_ratio: Option<Spread>,
    /// Time per message, ours divided by theirs: 0.5 is twice their throughput.
    pub(super) throughput_ratio: Option<Spread>,
}

impl Ratios {
    /// Compares two sides round by round.
    pub(super) fn of(ours: &[Sample], theirs: &[Sample]) -> Self {
        let pairs = || ours.iter().zip(theirs);
        let cpu = pairs().filter_map(|(a, b)| Some(ratio(a.cpu_us?, b.cpu_us?)));
        Self {
            cpu_ratio: Spread::of(cpu),
            throughput_ratio: Spread::of(pairs().map(|(a, b)| ratio(a.time_us, b.time_us))),
        }
    }
}

fn ratio(ours: f64, theirs: f64) -> f64 {
    if theirs > 0.0 { ours / theirs } else { f64::INFINITY }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(cpu_us: f64, time_us: f64) -> Sample {
        Sample { messages: 1, cpu_us: Some(cpu_us), time_us, undelivered: 0, accepted: 1 }
    }

    #[test]
    fn whoever_costs_less_is_below_one_in_both_ratios() {
        let ours = [sample(10.0, 20.0), sample(10.0, 20.0), sample(30.0, 20.0)];
        let theirs = [sample(20.0, 80.0), sample(40.0, 40.0), sample(20.0, 40.0)];
        let ratios = Ratios::of(&ours, &theirs);
        assert_eq!(ratios.cpu_ratio.unwrap(), Spread { median: 0.5, min: 0.25, max: 1.5 });
        let throughput = ratios.throughput_ratio.unwrap();
        assert_eq!(throughput, Spread { median: 0.5, min: 0.25, max: 0.5 });
    }

    #[test]
    fn a_process_that_is_not_known_has_no_ratio_of_cpu() {
        let unknown = [Sample { cpu_us: None, ..sample(0.0, 1.0) }];
        let ratios = Ratios::of(&[sample(1.0, 1.0)], &unknown);
        assert_eq!(ratios.cpu_ratio, None);
        assert_eq!(ratios.throughput_ratio.unwrap().median, 1.0);
    }
}
