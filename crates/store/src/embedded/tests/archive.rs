//! The archive after a loss of power: what the log still has is written again, and nothing else
//! is ever cut.

use std::fs;

use audit::{ArchiveWriter, file_name};

use super::*;
use crate::embedded::checkpoint::{CheckpointError, Upto};
use crate::embedded::folder::{Folder, numbered};
use crate::embedded::read_audit;

/// Does something to the bytes of a file.
fn damage(path: &Path, how: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    how(&mut bytes);
    fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn a_hole_in_records_that_were_not_synced_is_filled_from_the_log() {
    let holes: [fn(&mut Vec<u8>); 6] = [
        |bytes| bytes[1_000..1_200].fill(0),
        |bytes| bytes[8..6_000].fill(0),
        |bytes| bytes.fill(0),
        |bytes| bytes[..8].fill(0),
        |bytes| bytes.truncate(1_001),
        |bytes| bytes.iter_mut().rev().take(40).for_each(|byte| *byte = 0),
    ];
    for hole in holes {
        // As a checkpoint does that loses power before its sync.
        let (folder, path) = twice(99).await;
        damage(&path, hole);
        assert_eq!(verified(folder.path()), 99);
        let store = open(folder.path());
        checkpoint(&store);
        assert_eq!(numbered(&Folder::new(folder.path()).log(), "seg").unwrap().len(), 1);
        assert_eq!(verified(folder.path()), 99);
        commit(&store, 100..150).await;
        store.close().unwrap();
        holds(&open(folder.path()), folder.path(), 1..150).await;
    }
}

#[tokio::test]
async fn what_only_the_archive_has_is_never_cut() {
    for is_at_the_end in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        commit(&store, 1..100).await;
        checkpoint(&store);
        commit(&store, 100..150).await;
        let audit = Folder::new(folder.path()).audit();
        let last = numbered(&audit, "audit").unwrap().pop().unwrap();
        let path = audit.join(file_name(last));
        damage(&path, |bytes| {
            let at = if is_at_the_end { bytes.len() - 3 } else { 100 };
            bytes[at] ^= 1;
        });
        let before = fs::read(&path).unwrap();
        let report = audit::verify(read_audit(folder.path(), 1), None);
        assert!(!report.ok);
        let place = report.problems[0].place.to_string();
        assert!(place.contains(&path.display().to_string()), "{place}");
        let upto: Upto = *store.shared.active.lock();
        let made = Checkpointer::new(Arc::clone(&store.shared)).checkpoint(upto);
        assert!(matches!(made, Err(CheckpointError::Archive(_))), "{made:?}");
        assert_eq!(fs::read(&path).unwrap(), before);
    }
}

/// A store with records in its log, and with a checkpoint that lost its power, in the archive.
async fn twice(count: u64) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    commit(&open(folder.path()), 1..=u128::from(count)).await;
    let path = Folder::new(folder.path()).audit().join(file_name(1));
    let mut writer = ArchiveWriter::open(&path).unwrap();
    for entry in read_audit(folder.path(), 1) {
        writer.append(&entry.unwrap()).unwrap();
    }
    writer.sync().unwrap();
    (folder, path)
}

/// Records that are more than a reader reads at once.
const MORE: u64 = 999;

#[tokio::test]
async fn records_that_are_cut_from_the_archive_while_it_is_read_are_read_from_the_log() {
    let (folder, path) = twice(MORE).await;
    let mut trail = read_audit(folder.path(), 1);
    let mut found: Vec<u64> = trail.by_ref().take(5).map(|e| e.unwrap().link.seq).collect();
    // As a start does with what a loss of power has left of the last records.
    damage(&path, |bytes| bytes.truncate(bytes.len() / 2));
    found.extend(trail.map(|entry| entry.unwrap().link.seq));
    assert_eq!(found, (1..=MORE).collect::<Vec<_>>());
}

#[tokio::test]
async fn records_that_are_cut_from_the_archive_and_nowhere_else_are_missed() {
    let (folder, path) = twice(MORE).await;
    let mut trail = read_audit(folder.path(), 1);
    assert_eq!(trail.by_ref().take(5).filter_map(Result::ok).count(), 5);
    damage(&path, |bytes| bytes.truncate(bytes.len() / 2));
    fs::remove_dir_all(Folder::new(folder.path()).log()).unwrap();
    fs::create_dir(Folder::new(folder.path()).log()).unwrap();
    let places: Vec<_> = trail.filter_map(Result::err).map(|damage| damage.path).collect();
    assert_eq!(places.first(), Some(&path));
}
