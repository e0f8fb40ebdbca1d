//! Damaged files: a torn end is cut, everything else is refused with its place.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use gate::ports::MessageState;

use crate::embedded::OpenError;
use crate::embedded::change::BodyFile;
use crate::embedded::folder::Folder;
use crate::embedded::frame::HEAD_BYTES;
use crate::embedded::segment::{At, FRAMES_FROM, Frame, Segment};

/// Three messages in the first segment, the store ended without a checkpoint.
async fn three() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    commit(&open(folder.path()), 1..4).await;
    folder
}

/// Takes the mark away that an orderly end has left, as if there had been a crash.
fn unmark(path: &Path) {
    let mark = frames(path).pop().unwrap();
    assert!(mark.is_mark());
    overwrite(path, mark.offset, &[0; HEAD_BYTES]);
}

fn first_segment(folder: &TempDir) -> PathBuf {
    Folder::new(folder.path()).segment(1)
}

fn frames(path: &Path) -> Vec<Frame> {
    let segment = Segment::open(path, 1).unwrap();
    let (mut frames, mut offset) = (Vec::new(), FRAMES_FROM);
    while let At::Frame(frame) = segment.frame_at(offset).unwrap() {
        offset = frame.next();
        frames.push(frame);
    }
    frames
}

fn overwrite(path: &Path, offset: u64, bytes: &[u8]) {
    fs::OpenOptions::new().write(true).open(path).unwrap().write_all_at(bytes, offset).unwrap();
}

fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for found in fs::read_dir(folder).unwrap() {
        let path = found.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else if !path.ends_with("lock") {
            let bytes = fs::read(&path).unwrap();
            all.push((path, bytes));
        }
    }
    all.sort();
    all
}

#[tokio::test]
async fn a_last_frame_torn_at_any_byte_is_cut_and_the_log_goes_on() {
    let folder = three().await;
    let path = first_segment(&folder);
    unmark(&path);
    let whole = fs::read(&path).unwrap();
    let last = frames(&path).pop().unwrap();
    // The padding is zeros anyway.
    let end = last.body_at() + u64::from(last.head.len);
    for cut in last.offset..end {
        let mut torn = whole.clone();
        torn[usize::try_from(cut).unwrap()..].fill(0);
        fs::write(&path, torn).unwrap();
        let store = open(folder.path());
        assert_eq!(depth(&store).await, 2, "torn at {cut}");
        commit(&store, 9..10).await;
        drop(store);
        let store = open(folder.path());
        holds(&store, folder.path(), [1, 2, 9].into_iter()).await;
        assert_eq!(verified(folder.path()), 3);
    }
}

/// Flips bytes of a frame and checks that each is refused with its place and changes nothing.
fn flips_are_refused(folder: &TempDir, frame: &Frame) {
    let path = first_segment(folder);
    let len = HEAD_BYTES as u64 + u64::from(frame.head.len);
    for at in (frame.offset..frame.offset + len).step_by(11) {
        let whole = fs::read(&path).unwrap();
        overwrite(&path, at, &[whole[usize::try_from(at).unwrap()] ^ 0x10]);
        let before = files(folder.path());
        match Embedded::open(folder.path(), options()) {
            Err(OpenError::Corrupt { file, offset, .. }) => {
                assert_eq!((file, offset), (path.clone(), frame.offset), "flipped at {at}");
            }
            other => panic!("flipped at {at}: {other:?}"),
        }
        assert_eq!(files(folder.path()), before, "the refused start changed something");
        let report = audit::verify(crate::read_audit(folder.path(), 1), None);
        assert!(!report.ok, "the audit log hides the damage at {at}");
        fs::write(&path, whole).unwrap();
    }
}

#[tokio::test]
async fn a_flipped_byte_before_the_last_frame_is_refused_with_its_place() {
    let folder = three().await;
    let path = first_segment(&folder);
    unmark(&path);
    let second = frames(&path).swap_remove(1);
    flips_are_refused(&folder, &second);
}

#[tokio::test]
async fn a_flipped_byte_of_the_last_frame_is_refused_after_an_orderly_end() {
    let folder = three().await;
    let last = frames(&first_segment(&folder)).swap_remove(2);
    flips_are_refused(&folder, &last);
    open(folder.path()).close().unwrap();
    flips_are_refused(&folder, &last);
}

#[tokio::test]
async fn the_last_frame_is_marked_as_whole_when_nothing_comes_for_a_while() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    commit(&store, 1..4).await;
    let path = first_segment(&folder);
    for _ in 0..3_000 {
        if frames(&path).last().unwrap().is_mark() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let (all, copy) = (frames(&path), tempfile::tempdir().unwrap());
    assert!(all[3].is_mark() && all.len() == 4, "{all:?}");
    // As a crash would leave it.
    housekeeping::copy_folder(folder.path(), copy.path());
    flips_are_refused(&copy, &all[2]);
    commit(&store, 4..6).await;
    holds(&store, folder.path(), 1..6).await;
}

#[tokio::test]
async fn a_lost_frame_that_was_never_synced_is_cut_with_what_follows() {
    let folder = tempfile::tempdir().unwrap();
    let relaxed = Options { durability: crate::Durability::Relaxed, ..options() };
    commit(&Embedded::open(folder.path(), relaxed).unwrap(), 1..4).await;
    let path = first_segment(&folder);
    unmark(&path);
    let second = frames(&path).swap_remove(1);
    overwrite(&path, second.body_at(), &[0; 64]);
    let store = open(folder.path());
    commit(&store, 9..10).await;
    drop(store);
    let store = open(folder.path());
    holds(&store, folder.path(), [1, 9].into_iter()).await;
}

#[tokio::test]
async fn a_missing_segment_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    commit(&open(folder.path()), 1..60).await;
    let names = Folder::new(folder.path());
    assert!(names.segment(3).exists(), "the test needs three segments");
    fs::remove_file(names.segment(2)).unwrap();
    let refused = Embedded::open(folder.path(), options());
    assert!(matches!(refused, Err(OpenError::Corrupt { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_damaged_snapshot_is_refused() {
    let folder = three().await;
    open(folder.path()).close().unwrap();
    let snapshots: Vec<_> = files(&Folder::new(folder.path()).snapshots());
    let [(path, bytes)] = snapshots.as_slice() else { panic!("{snapshots:?}") };
    for at in (0..bytes.len()).step_by(13) {
        overwrite(path, at as u64, &[bytes[at] ^ 1]);
        let refused = Embedded::open(folder.path(), options());
        match refused {
            Err(
                OpenError::Corrupt { file, .. }
                | OpenError::Newer { file, .. }
                | OpenError::Older { file, .. },
            ) => assert_eq!(&file, path),
            other => panic!("flipped at {at}: {other:?}"),
        }
        fs::write(path, bytes).unwrap();
    }
    holds(&open(folder.path()), folder.path(), 1..4).await;
}

#[tokio::test]
async fn a_damaged_snapshot_is_named_where_an_older_one_is_of_no_use() {
    let folder = three().await;
    open(folder.path()).close().unwrap();
    let snapshots = Folder::new(folder.path()).snapshots();
    let [(older, bytes)] = files(&snapshots).try_into().unwrap();
    let store = open(folder.path());
    commit(&store, 4..60).await;
    store.close().unwrap();
    let [(newer, whole)] = files(&snapshots).try_into().unwrap();
    // As a crash leaves it behind: the log does not go back to it any more.
    fs::write(&older, bytes).unwrap();
    overwrite(&newer, 40, &[whole[40] ^ 1]);
    match Embedded::open(folder.path(), options()) {
        Err(OpenError::Corrupt { file, .. }) => assert_eq!(file, newer),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_later_format_is_refused_as_such() {
    let folder = three().await;
    let path = first_segment(&folder);
    overwrite(&path, 8, &[9]);
    match Embedded::open(folder.path(), options()) {
        Err(OpenError::Newer { file, version: 9, .. }) => assert_eq!(file, path),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_earlier_format_is_refused_by_its_version() {
    let folder = three().await;
    let path = first_segment(&folder);
    overwrite(&path, 8, &[1]);
    let refused = Embedded::open(folder.path(), options()).unwrap_err();
    assert_eq!(refused.code(), "store_older");
    let text = refused.to_string();
    assert!(text.contains("has format version 1, this program reads version 2 only"), "{text}");
}

#[tokio::test]
async fn a_message_whose_envelope_is_damaged_holds_up_no_other() {
    let folder = three().await;
    let store = open(folder.path());
    let path = first_segment(&folder);
    let first = frames(&path).swap_remove(0);
    overwrite(&path, first.body_at() + 20, b"?");
    let leased: Vec<_> = lease(&store, 1).await.iter().map(|l| l.message.number()).collect();
    assert_eq!(leased, [2]);
    let leased: Vec<_> = lease(&store, 9).await.iter().map(|l| l.message.number()).collect();
    assert_eq!(leased, [3], "the damaged message was leased, or held up the third");
    match store.read(Read::Message(MessageId::from_random(1))).await.unwrap() {
        Some(Found::Message(view)) => {
            assert_eq!((view.state, view.attempts), (MessageState::Queued, 0));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(depth(&store).await, 3);
    settle(&store, 2, Settlement::Acknowledged).await;
    let expire = Op::Expire { message: MessageId::from_random(1), at: moment(1_000) };
    store.commit(Batch { ops: vec![expire] }).await.unwrap();
    assert_eq!(depth(&store).await, 1);
}

#[tokio::test]
async fn a_damaged_file_of_moved_envelopes_holds_up_no_checkpoint() {
    let folder = three().await;
    open(folder.path()).close().unwrap();
    let store = open(folder.path());
    commit(&store, 4..60).await;
    for leased in lease(&store, 90).await {
        let number = leased.message.number();
        let dead = Settlement::Dead { reason: "r".to_owned() };
        settle(&store, number, if number < 9 { dead } else { Settlement::Acknowledged }).await;
    }
    checkpoint(&store);
    let body = |number| store.shared.state.lock().body(MessageId::from_random(number)).unwrap();
    let (damaged, path) = (body(2), store.shared.folder.body_file(1));
    assert_eq!(damaged.file, BodyFile::Moved(1));
    overwrite(&path, damaged.offset, b"?");
    commit(&store, 60..90).await;
    checkpoint(&store);
    commit(&store, 90..120).await;
    // Now there are two small files, which are joined.
    checkpoint(&store);
    assert_eq!(body(2), damaged);
    assert_ne!(body(3).file, damaged.file);
    drop(store);
    let store = open(folder.path());
    for number in 1..9 {
        let read = store.read(Read::DeadLetter(MessageId::from_random(number))).await;
        match read {
            Err(StoreError::Corrupt(place)) => {
                assert_eq!(number, 2);
                assert!(place.contains(path.to_str().unwrap()), "{place}");
            }
            Ok(Some(Found::DeadLetter(letter))) => {
                assert_eq!(letter.envelope, Some(envelope(number)));
            }
            other => panic!("{number}: {other:?}"),
        }
    }
    verified(folder.path());
}

#[test]
fn a_folder_that_cannot_be_used_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "x").unwrap();
    let refused = Embedded::open(&file, options());
    assert!(matches!(refused, Err(OpenError::NotAFolder { .. })), "{refused:?}");
    let refused = Embedded::open(&file.join("below"), options());
    assert!(matches!(refused, Err(OpenError::Io { .. })), "{refused:?}");
    let store = open(folder.path());
    match Embedded::open(folder.path(), options()) {
        Err(OpenError::Locked { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
        other => panic!("{other:?}"),
    }
    drop(store);
    drop(open(folder.path()));
}

#[tokio::test]
async fn a_reader_of_records_reports_a_broken_head_of_a_segment_once() {
    let folder = three().await;
    overwrite(&first_segment(&folder), 0, b"x");
    let found: Vec<_> = crate::embedded::read_audit(folder.path(), 1).take(10).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    let damage = found.into_iter().next().unwrap().unwrap_err();
    assert_eq!((damage.path, damage.offset), (first_segment(&folder), 0));
}
