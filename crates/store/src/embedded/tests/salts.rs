//! Salts go where their record goes, apart from it, and what was erased never comes back.

use std::fs;
use std::io::Write as _;

use super::housekeeping::copy_folder;
use super::*;
use crate::embedded::folder::{Folder, numbered};
use crate::{erase_salts, read_salt};

/// The salts of records 1 to `last`, as they are found.
fn found(folder: &Path, last: u64) -> Vec<Option<Salt>> {
    (1..=last).map(|seq| read_salt(folder, seq).unwrap()).collect()
}

/// The salts of records 1 to `last`, without those that were erased.
fn kept(last: u64, erased: &[u64]) -> Vec<Option<Salt>> {
    let keep = |seq: u64| (!erased.contains(&seq)).then(|| salt(u128::from(seq)));
    (1..=last).map(keep).collect()
}

/// Returns whether a salt stands in a file of the archive.
fn is_archived(folder: &Path, salt: Salt) -> bool {
    fs::read_dir(Folder::new(folder).audit()).unwrap().any(|file| {
        let bytes = fs::read(file.unwrap().path()).unwrap();
        bytes.windows(16).any(|window| window == salt.bytes())
    })
}

#[tokio::test]
async fn a_salt_is_found_in_log_and_archive_and_in_no_entry() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    commit(&store, 1..100).await;
    assert_eq!(found(folder.path(), 99), kept(99, &[]));
    assert!(!is_archived(folder.path(), salt(1)));
    checkpoint(&store);
    assert!(is_archived(folder.path(), salt(1)));
    assert!(!is_archived(folder.path(), salt(99)), "the last ones are still in the log");
    assert_eq!(found(folder.path(), 99), kept(99, &[]));
    assert_eq!(read_salt(folder.path(), 100).unwrap(), None);
    assert_eq!(verified(folder.path()), 99);
    let firsts = numbered(&Folder::new(folder.path()).audit(), "audit").unwrap();
    assert!(firsts.len() > 2);
    assert_eq!(numbered(&Folder::new(folder.path()).audit(), "salts").unwrap(), firsts);
}

#[tokio::test]
async fn a_record_without_a_commitment_has_no_salt() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for number in 1..100 {
        if number % 3 == 0 {
            let op = Op::record(format!("{{\"number\":{number}}}"));
            store.commit(Batch { ops: vec![op] }).await.unwrap();
        } else {
            commit(&store, number..number + 1).await;
        }
    }
    let none: Vec<u64> = (1..100).filter(|seq| seq % 3 == 0).collect();
    assert_eq!(found(folder.path(), 99), kept(99, &none));
    checkpoint(&store);
    assert_eq!(found(folder.path(), 99), kept(99, &none));
}

#[tokio::test]
async fn an_erased_salt_of_the_archive_is_gone_from_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    commit(&store, 1..100).await;
    checkpoint(&store);
    erase_salts(folder.path(), &[1, 17]).unwrap();
    erase_salts(folder.path(), &[17, 18]).unwrap();
    assert_eq!(found(folder.path(), 99), kept(99, &[1, 17, 18]));
    assert!(![1, 17, 18].into_iter().any(|number| is_archived(folder.path(), salt(number))));
    assert_eq!(verified(folder.path()), 99);
}

#[tokio::test]
async fn a_salt_erased_in_the_log_never_gets_to_the_archive() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    commit(&store, 1..100).await;
    erase_salts(folder.path(), &[5, 99]).unwrap();
    assert_eq!(found(folder.path(), 99), kept(99, &[5, 99]));
    checkpoint(&store);
    commit(&store, 100..200).await;
    checkpoint(&store);
    assert_eq!(found(folder.path(), 199), kept(199, &[5, 99]));
    assert!(!is_archived(folder.path(), salt(5)) && !is_archived(folder.path(), salt(99)));
    assert!(is_archived(folder.path(), salt(6)));
}

#[tokio::test]
async fn a_checkpoint_made_again_after_a_crash_brings_no_erased_salt_back() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    commit(&store, 1..100).await;
    let copy = tempfile::tempdir().unwrap();
    copy_folder(folder.path(), copy.path());
    checkpoint(&store);
    drop(store);
    erase_salts(folder.path(), &[3, 40]).unwrap();
    // The archive is on disk, but the crash came before the snapshot, and one file of salts was
    // not yet written.
    let audit = Folder::new(folder.path()).audit();
    let files = numbered(&audit, "salts").unwrap();
    fs::remove_file(audit.join(format!("{:020}.salts", files[1]))).unwrap();
    fs::remove_dir_all(Folder::new(copy.path()).audit()).unwrap();
    let into = Folder::new(copy.path()).audit();
    fs::create_dir(&into).unwrap();
    copy_folder(&audit, &into);
    let store = open(copy.path());
    checkpoint(&store);
    assert_eq!(found(copy.path(), 99), kept(99, &[3, 40]));
    assert!(!is_archived(copy.path(), salt(3)) && !is_archived(copy.path(), salt(40)));
    assert!(is_archived(copy.path(), salt(u128::from(files[1]))));
}

#[tokio::test]
async fn a_number_torn_at_the_end_of_the_list_is_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    commit(&store, 1..10).await;
    erase_salts(folder.path(), &[2]).unwrap();
    let list = Folder::new(folder.path()).audit().join("erased");
    let mut file = fs::OpenOptions::new().append(true).open(&list).unwrap();
    file.write_all(&[3, 0, 0]).unwrap();
    assert_eq!(found(folder.path(), 9), kept(9, &[2]));
    erase_salts(folder.path(), &[4]).unwrap();
    assert_eq!(found(folder.path(), 9), kept(9, &[2, 4]));
    assert_eq!(fs::metadata(list).unwrap().len(), 16);
}

#[tokio::test]
async fn salts_erased_while_checkpoints_are_made_stay_erased() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    commit(&store, 1..300).await;
    let erased: Vec<u64> = (1..300).step_by(7).collect();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for seq in &erased {
                erase_salts(folder.path(), &[*seq]).unwrap();
            }
        });
        checkpoint(&store);
    });
    assert_eq!(found(folder.path(), 299), kept(299, &erased));
    for seq in erased {
        assert!(!is_archived(folder.path(), salt(u128::from(seq))), "{seq}");
    }
}
