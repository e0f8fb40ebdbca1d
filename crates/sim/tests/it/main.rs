//! Many seeds, and that a seed is a run.

use palisade_sim::run;

#[test]
fn no_seed_breaks_a_promise() {
    let runs = std::env::var("PALISADE_SIM_RUNS").ok().and_then(|runs| runs.parse().ok());
    let (mut delivered, mut repeats, mut lost) = (0, 0, 0);
    for seed in 1..=runs.unwrap_or(60) {
        let outcome = run(seed).unwrap_or_else(|error| panic!("seed {seed}: {error:#}"));
        assert!(outcome.broken.is_empty(), "palisade-sim --seed {seed}: {:#?}", outcome.broken);
        delivered += outcome.figures.delivered;
        repeats += outcome.figures.repeats;
        lost += outcome.figures.lost;
    }
    assert!(delivered > 0, "nothing was ever delivered");
    assert!(repeats > 0 && lost > 0, "no key was ever repeated, or no request lost");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in [1, 3, 14, 159] {
        let (first, second) = (run(seed).unwrap(), run(seed).unwrap());
        for (one, other) in first.events.iter().zip(&second.events) {
            assert_eq!(one, other, "seed {seed}");
        }
        assert_eq!(first.figures, second.figures, "seed {seed}");
    }
}
