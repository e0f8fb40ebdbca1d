//! Checkpoints: segments go and come back, envelopes move, nothing is lost.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::embedded::folder::{Folder, numbered};

fn segments(folder: &Path) -> Vec<u64> {
    numbered(&Folder::new(folder).log(), "seg").unwrap()
}

#[tokio::test]
async fn a_checkpoint_keeps_everything_and_lets_segments_go() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    commit(&store, 1..100).await;
    assert!(segments(folder.path()).len() > 3);
    checkpoint(&store);
    assert_eq!(segments(folder.path()).len(), 1);
    assert_eq!(verified(folder.path()), 99);
    commit(&store, 100..200).await;
    holds(&store, folder.path(), 1..200).await;
    checkpoint(&store);
    drop(store);
    let store = open(folder.path());
    holds(&store, folder.path(), 1..200).await;
    store.close().unwrap();
    holds(&open(folder.path()), folder.path(), 1..200).await;
    assert_eq!(verified(folder.path()), 199);
}

#[tokio::test]
async fn stale_frames_of_a_recycled_segment_are_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    commit(&store, 1..100).await;
    for leased in lease(&store, 200).await {
        settle(&store, leased.message.number(), Settlement::Acknowledged).await;
    }
    checkpoint(&store);
    // The next segments are the files of the first ones, full of their frames.
    for number in 100..140 {
        commit(&store, number..number + 1).await;
        if number % 5 == 0 {
            let copy = tempfile::tempdir().unwrap();
            copy_folder(folder.path(), copy.path());
            holds(&open(copy.path()), copy.path(), 100..number + 1).await;
        }
    }
}

#[tokio::test]
async fn files_of_moved_envelopes_are_joined_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let dead = || Settlement::Dead { reason: "r".to_owned() };
    for round in 0..6 {
        commit(&store, round * 50 + 1..round * 50 + 51).await;
        for leased in lease(&store, 100).await {
            let number = leased.message.number();
            let is_kept = number % 25 == 0;
            let how = if is_kept { dead() } else { Settlement::Acknowledged };
            settle(&store, number, how).await;
        }
        checkpoint(&store);
    }
    let bodies = Folder::new(folder.path()).bodies();
    assert!(numbered(&bodies, "body").unwrap().len() <= 2, "small files are joined");
    drop(store);
    let store = open(folder.path());
    for number in (25..=250).step_by(25) {
        let read = Read::DeadLetter(MessageId::from_random(number));
        let Some(Found::DeadLetter(letter)) = store.read(read).await.unwrap() else {
            panic!("letter {number} is lost")
        };
        assert_eq!(letter.envelope, Some(envelope(number)));
        let drop = Op::Drop { message: MessageId::from_random(number) };
        store.commit(Batch { ops: vec![drop] }).await.unwrap();
    }
    commit(&store, 1_001..1_040).await;
    for number in [275, 300] {
        let drop = Op::Drop { message: MessageId::from_random(number) };
        store.commit(Batch { ops: vec![drop] }).await.unwrap();
    }
    for leased in lease(&store, 100).await {
        settle(&store, leased.message.number(), Settlement::Acknowledged).await;
    }
    store.close().unwrap();
    commit_and_close(folder.path()).await;
    assert_eq!(numbered(&bodies, "body").unwrap(), Vec::<u64>::new());
    verified(folder.path());
}

/// Fills segments with messages that end, so that the close lets the older ones go.
async fn commit_and_close(folder: &Path) {
    let store = open(folder);
    commit(&store, 2_001..2_040).await;
    for leased in lease(&store, 100).await {
        settle(&store, leased.message.number(), Settlement::Acknowledged).await;
    }
    store.close().unwrap();
}

#[tokio::test]
async fn the_audit_log_is_read_in_pages_from_memory_archive_and_log_alike() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    commit(&store, 1..60).await;
    checkpoint(&store);
    commit(&store, 60..90).await;
    drop(store);
    let store = open(folder.path());
    commit(&store, 90..95).await;
    for from in [1, 2, 40, 59, 60, 61, 88, 90, 94, 95] {
        let scan = gate::ports::Scan::Records { from };
        let found = store.scan(scan, 7).await.unwrap();
        let seqs: Vec<_> = found
            .into_iter()
            .map(|found| {
                let Found::Record(entry) = found else { panic!("{found:?}") };
                entry.link.seq
            })
            .collect();
        assert_eq!(seqs, (from..95).take(7).collect::<Vec<_>>());
        let trail = crate::read_audit(folder.path(), from).map(|entry| entry.unwrap().link.seq);
        assert_eq!(trail.collect::<Vec<_>>(), (from..95).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn who_follows_the_log_from_disk_reads_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    commit(&open(folder.path()), 1..200).await;
    // What was there before the start is in memory no more.
    let store = open(folder.path());
    checkpoint(&store);
    let mut next = 1;
    while next < 230 {
        let scan = gate::ports::Scan::Records { from: next };
        let found = store.scan(scan, 20).await.unwrap();
        for one in &found {
            let Found::Record(entry) = one else { panic!("{one:?}") };
            assert_eq!(entry.link.seq, next);
            next += 1;
        }
        let kept = store.shared.trails.take(next);
        assert!(kept.is_some() || next >= 200, "{next}");
        kept.into_iter().for_each(|kept| store.shared.trails.keep(kept));
        if next == 101 {
            // The log moves on beneath the reading.
            commit(&store, 200..230).await;
            checkpoint(&store);
        }
    }
    assert_eq!(next, 230);
}

#[tokio::test]
async fn the_audit_log_can_be_read_while_the_server_writes_and_checkpoints() {
    let folder = tempfile::tempdir().unwrap();
    let small = Options { checkpoint_bytes: 8 << 10, ..options() };
    let store = Embedded::open(folder.path(), small).unwrap();
    let mut last = 0;
    for round in 0..30 {
        commit(&store, round * 20 + 1..round * 20 + 21).await;
        let entries = verified(folder.path());
        assert!(entries >= u64::try_from(round * 20 + 20).unwrap() && entries > last);
        last = entries;
    }
}

#[tokio::test]
async fn a_snapshot_left_by_a_crash_before_its_segments_went_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    commit(&store, 1..60).await;
    drop(store);
    let copy = tempfile::tempdir().unwrap();
    copy_folder(folder.path(), copy.path());
    open(folder.path()).close().unwrap();
    // The snapshot of the later moment beside the segments of the earlier one.
    let (from, to) = (Folder::new(folder.path()), Folder::new(copy.path()));
    copy_folder(&from.snapshots(), &to.snapshots());
    copy_folder(&from.bodies(), &to.bodies());
    let store = open(copy.path());
    commit(&store, 60..90).await;
    checkpoint(&store);
    holds(&store, copy.path(), 1..90).await;
    assert_eq!(verified(copy.path()), 89);
}

#[tokio::test]
async fn files_are_only_for_their_owner() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("data");
    let store = open(&root);
    commit(&store, 1..60).await;
    checkpoint(&store);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&root), 0o700);
    for part in fs::read_dir(&root).unwrap() {
        let part = part.unwrap().path();
        if part.is_file() {
            assert_eq!(mode(&part), 0o600, "{}", part.display());
            continue;
        }
        assert_eq!(mode(&part), 0o700, "{}", part.display());
        for file in fs::read_dir(&part).unwrap() {
            let file = file.unwrap().path();
            assert_eq!(mode(&file), 0o600, "{}", file.display());
        }
    }
}

/// Copies what a crash of a store at rest would leave.
pub(super) fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for found in fs::read_dir(from).unwrap() {
        let path = found.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &target);
        } else if let Err(error) = fs::copy(&path, &target) {
            // A running store gives its spare segments other names; no batch is in them yet.
            assert_eq!(error.kind(), ErrorKind::NotFound, "{}", path.display());
        }
    }
}
