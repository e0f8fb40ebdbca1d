//! Losses of power at any operation of the disk: what was confirmed is there, nothing is half.
//!
//! `PALISADE_POWER_ROUNDS` says how often, `PALISADE_POWER_SEED` where to begin.

use std::path::Path;
use std::sync::Arc;

use audit::{Disk, RealDisk};
use store::{Embedded, OpenError};
use tempfile::TempDir;

use crate::fragile::Fragile;
use crate::ledger::{Ledger, options, work};
use crate::random::Random;

/// Losses of power that one store goes through.
const GENERATIONS: u64 = 5;

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

#[tokio::test]
async fn a_loss_of_power_at_any_moment_takes_nothing_that_was_confirmed() {
    let rounds = number("PALISADE_POWER_ROUNDS", 100);
    let from = number("PALISADE_POWER_SEED", 0);
    let (mut confirmed, mut starts) = (0, 0);
    for seed in from..from + rounds.div_ceil(GENERATIONS) {
        // So that a failure says how to see it again.
        println!("PALISADE_POWER_SEED={seed}");
        let (sent, cut_starts) = one_store(seed).await;
        confirmed += sent;
        starts += cut_starts;
    }
    println!(
        "{{\"power\":{{\"rounds\":{rounds},\"confirmed\":{confirmed},\
         \"starts_cut\":{starts},\"lost\":0}}}}"
    );
    assert!(confirmed as u64 > rounds, "only {confirmed} messages were confirmed");
    assert!(starts > 0 || rounds < 50, "no start was ever cut");
}

/// Takes a store through some losses of power; returns how many messages it confirmed and how
/// many starts were cut.
async fn one_store(seed: u64) -> (usize, usize) {
    let mut random = Random::new(seed);
    let (mut ledger, mut starts_cut) = (Ledger::default(), 0);
    let mut folder = tempfile::tempdir().unwrap();
    for _ in 0..GENERATIONS {
        let longest = [20, 200, 2_000][usize::try_from(random.below(3)).unwrap()];
        let left = random.below(longest) + 1;
        let removed = tempfile::tempdir().unwrap();
        let disk = Fragile::new(folder.path(), removed.path(), random.next(), left);
        let disk = Arc::new(disk);
        starts_cut += usize::from(!until_cut(folder.path(), &disk, &mut ledger, &mut random).await);
        let survivors = tempfile::tempdir().unwrap();
        disk.survivors(survivors.path());
        folder = survivors;
        check(&folder, &mut ledger, &mut random).await;
    }
    (ledger.confirmed(), starts_cut)
}

/// Opens the store and works until the power is cut; false if it was cut before it was open.
async fn until_cut(
    folder: &Path,
    disk: &Arc<Fragile>,
    ledger: &mut Ledger,
    random: &mut Random,
) -> bool {
    let store = match Embedded::open_on(folder, options(8 << 10), Arc::<Fragile>::clone(disk) as _)
    {
        Ok(store) => store,
        Err(OpenError::Io { .. }) if disk.is_cut() => return false,
        Err(other) => panic!("{other}"),
    };
    let first = ledger.next();
    let steps = random.below(60) + 1;
    let done = work(&store, random, (first, steps), |event| ledger.note(event)).await;
    assert!(done.is_ok() || disk.is_cut(), "{done:?}");
    // Sometimes the power fails while the store is being closed, sometimes while it is idle.
    if random.once_in(2) {
        assert!(store.close().is_ok() || disk.is_cut());
    }
    disk.cut();
    true
}

/// Opens what is left on a whole disk and compares.
async fn check(folder: &TempDir, ledger: &mut Ledger, random: &mut Random) {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let store = Embedded::open_on(folder.path(), options(8 << 10), disk);
    let store = store.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(ledger.check(&store, folder.path()).await, 0, "something confirmed is lost");
    if random.once_in(3) {
        store.close().unwrap();
        let log = std::fs::read_dir(folder.path().join("log")).unwrap();
        let names = log.map(|found| found.unwrap().file_name().into_string().unwrap());
        let segments: Vec<_> = names.filter(|name| name.ends_with(".seg")).collect();
        assert_eq!(segments.len(), 1, "no checkpoint could be made: {segments:?}");
    }
}
