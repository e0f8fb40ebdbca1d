//! Full disks and failed syncs, wherever they happen.
//!
//! `PALISADE_FAULT_ROUNDS` says how often each is tried.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use audit::{Disk, RealDisk};
use gate::ports::StoreError;
use store::{Condition, Embedded, FatalHook, OpenError, Options};

use crate::fragile::{Fragile, Room};
use crate::ledger::{Ledger, options, work};
use crate::random::Random;

fn rounds(default: u64) -> u64 {
    std::env::var("PALISADE_FAULT_ROUNDS").map_or(default, |text| text.parse().unwrap())
}

/// Opens what is left on a whole disk and compares.
async fn check(folder: &Path, ledger: &mut Ledger) {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let store = Embedded::open_on(folder, options(8 << 10), disk);
    let lost = ledger.check(&store.unwrap_or_else(|error| panic!("{error}")), folder).await;
    assert_eq!(lost, 0, "something confirmed is lost");
}

/// Waits until a store takes batches again, while nobody sends any.
async fn until_taking(store: &Embedded) {
    let mut condition = store.condition();
    let taking = condition.wait_for(|condition| *condition == Condition::Taking);
    drop(tokio::time::timeout(Duration::from_secs(20), taking).await.expect("it goes on").unwrap());
}

#[tokio::test]
async fn a_full_disk_refuses_and_the_store_goes_on_by_itself_when_there_is_room() {
    let mut refused = 0;
    for seed in 0..rounds(6) {
        println!("seed {seed}");
        let (folder, removed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (mut random, mut ledger) = (Random::new(seed), Ledger::default());
        let disk = Arc::new(Fragile::new(folder.path(), removed.path(), seed, u64::MAX));
        let opened = Embedded::open_on(folder.path(), options(8 << 10), Arc::clone(&disk) as _);
        let store = opened.unwrap();
        for _ in 0..3 {
            let steps = random.below(30);
            let first = ledger.next();
            work(&store, &mut random, (first, steps), |e| ledger.note(e)).await.unwrap();
            // Some file systems need room also for what is written over something.
            disk.set_room(if random.once_in(2) { Room::None } else { Room::NoGrowth });
            let first = ledger.next();
            match work(&store, &mut random, (first, 60), |e| ledger.note(e)).await {
                Ok(()) | Err(StoreError::Unreachable(_)) => {}
                Err(other) => panic!("{other}"),
            }
            refused += u64::from(*store.condition().borrow() == Condition::Full);
            disk.set_room(Room::Plenty);
            until_taking(&store).await;
        }
        let first = ledger.next();
        work(&store, &mut random, (first, 30), |e| ledger.note(e)).await.unwrap();
        if random.once_in(2) {
            store.close().unwrap();
        }
        drop(store);
        let left = tempfile::tempdir().unwrap();
        disk.cut();
        disk.survivors(left.path());
        check(left.path(), &mut ledger).await;
    }
    assert!(refused > 0, "the disk was never full");
}

#[tokio::test]
async fn a_failed_sync_anywhere_ends_the_store_and_loses_nothing_that_was_confirmed() {
    let mut confirmed = 0;
    for round in 0..rounds(40) {
        println!("round {round}");
        let (folder, removed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (mut random, mut ledger) = (Random::new(round), Ledger::default());
        let disk = Arc::new(Fragile::new(folder.path(), removed.path(), round, u64::MAX));
        // The first few are those of the start.
        disk.fail_sync_after(if round < 12 { round } else { random.below(400) });
        let told = Arc::new(AtomicU64::new(0));
        let hook = Arc::clone(&told);
        let on_fatal = FatalHook::new(move |_| {
            hook.fetch_add(1, Ordering::SeqCst);
        });
        let options = Options { on_fatal, ..options(8 << 10) };
        match Embedded::open_on(folder.path(), options, Arc::clone(&disk) as _) {
            Ok(store) => {
                let failed = work(&store, &mut random, (1, 2_000), |e| ledger.note(e)).await;
                assert!(matches!(failed, Err(StoreError::Unreachable(_))), "{failed:?}");
                assert!(store.close().is_err());
                assert!(matches!(*store.condition().borrow(), Condition::Failed(_)));
            }
            Err(OpenError::Io { .. }) => {}
            Err(other) => panic!("{other}"),
        }
        assert_eq!(told.load(Ordering::SeqCst), 1, "the end is told once");
        disk.cut();
        let left = tempfile::tempdir().unwrap();
        disk.survivors(left.path());
        check(left.path(), &mut ledger).await;
        confirmed += ledger.confirmed();
    }
    assert!(confirmed > 100, "only {confirmed} messages were confirmed");
}
