//! Rotation, starting again, torn lines and refusals of the file sink.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{FileSink, SinkError};
use crate::sample::log;
use crate::{Entry, LineReader, Unplaced, verify};

fn feed(sink: &mut FileSink, entries: &[Entry]) {
    for entry in entries {
        sink.write(entry).unwrap();
    }
    sink.flush().unwrap();
}

/// Returns the numbers in a file, or nothing if it is not there.
fn seqs(path: &Path) -> Option<Vec<u64>> {
    let reader = LineReader::open(path).ok()?;
    Some(reader.map(|entry| entry.unwrap().link.seq).collect())
}

fn backup(path: &Path, number: u32) -> PathBuf {
    PathBuf::from(format!("{}.{number}", path.display()))
}

/// The bytes of the longest line of the first nine.
fn line_bytes() -> u64 {
    log(1)[0].to_line().unwrap().len() as u64 + 1
}

/// The numbers in the file, in `.1`, `.2` and so on.
type Files = Vec<Option<Vec<u64>>>;

#[test]
fn files_shift_when_a_line_would_pass_the_limit() {
    // The decisions of the sample differ in length, so that lines do: the limit
    // below is for two lines of either kind, never for three.
    let two = 2 * line_bytes();
    let table: [(u64, u32, Files); 6] = [
        (0, 3, vec![Some((1..=7).collect()), None]),
        (1_000_000, 3, vec![Some((1..=7).collect()), None]),
        (two, 5, vec![Some(vec![7]), Some(vec![5, 6]), Some(vec![3, 4]), Some(vec![1, 2]), None]),
        (two, 2, vec![Some(vec![7]), Some(vec![5, 6]), Some(vec![3, 4]), None]),
        (two, 0, vec![Some(vec![7]), None]),
        (1, 2, vec![Some(vec![7]), Some(vec![6]), Some(vec![5]), None]),
    ];
    for (max_bytes, backup_count, expected) in table {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let mut sink = FileSink::open(&path, max_bytes, backup_count).unwrap();
        feed(&mut sink, &log(7));
        let found: Files = (0..expected.len())
            .map(|n| match u32::try_from(n).unwrap() {
                0 => seqs(&path),
                n => seqs(&backup(&path, n)),
            })
            .collect();
        assert_eq!(found, expected, "{max_bytes} {backup_count}");
        assert_eq!(sink.last_seq(), 7);
    }
}

#[test]
fn a_restart_between_any_two_entries_changes_nothing() {
    let entries = log(9);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    for known in 0..=entries.len() {
        let mut sink = FileSink::open(&path, 2 * line_bytes(), 9).unwrap();
        assert_eq!(sink.last_seq(), (known as u64).saturating_sub(1));
        feed(&mut sink, &entries[..known]);
    }
    let mut all = Vec::new();
    for number in (1..=9).rev() {
        all.extend(seqs(&backup(&path, number)).unwrap_or_default());
    }
    all.extend(seqs(&path).unwrap());
    assert_eq!(all, (1..=9).collect::<Vec<u64>>());
    let readers = (1..=4).rev().map(|number| LineReader::open(backup(&path, number)).unwrap());
    let lines = readers.chain([LineReader::open(&path).unwrap()]).flatten();
    assert!(verify(Unplaced(lines), None).ok);
}

#[test]
fn after_a_rotation_the_newest_backup_knows_where_to_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    feed(&mut FileSink::open(&path, 0, 3).unwrap(), &log(3));
    for number in [1, 2, 3] {
        fs::rename(
            if number == 1 { path.clone() } else { backup(&path, number - 1) },
            backup(&path, number),
        )
        .unwrap();
        let sink = FileSink::open(&path, 0, 3).unwrap();
        assert_eq!(sink.last_seq(), 3, "backup {number}");
        fs::remove_file(&path).unwrap();
    }
    assert_eq!(FileSink::open(&path, 0, 2).unwrap().last_seq(), 0, "beyond the count");
}

#[test]
fn a_torn_line_is_cut_at_every_length_and_written_again() {
    let entries = log(3);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    feed(&mut FileSink::open(&path, 0, 0).unwrap(), &entries);
    let whole = fs::read(&path).unwrap();
    let last = entries[2].to_line().unwrap().len() + 1;
    for torn in 1..=last {
        fs::write(&path, &whole[..whole.len() - torn]).unwrap();
        let mut sink = FileSink::open(&path, 0, 0).unwrap();
        assert_eq!(sink.last_seq(), 2, "{torn}");
        feed(&mut sink, &entries);
        assert_eq!(fs::read(&path).unwrap(), whole, "{torn}");
    }
    fs::write(&path, &whole[..50]).unwrap();
    assert_eq!(FileSink::open(&path, 0, 0).unwrap().last_seq(), 0, "no whole line at all");
    assert_eq!(fs::metadata(&path).unwrap().len(), 0);
}

#[test]
fn a_file_that_is_not_ours_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let long = vec![b'x'; super::TAIL_BYTES + 1];
    for (content, offset) in [(&b"hello\nworld\n"[..], 6), (b"{}\n", 0), (b"\n", 0), (&long, 1)] {
        fs::write(&path, content).unwrap();
        let error = FileSink::open(&path, 0, 0).unwrap_err();
        assert!(
            matches!(error, SinkError::NotOurs { offset: found, .. } if found == offset),
            "{error}"
        );
        assert_eq!(fs::read(&path).unwrap(), content);
    }
}

#[test]
fn a_body_that_is_no_line_is_refused_and_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let mut sink = FileSink::open(folder.path().join("x"), 0, 0).unwrap();
    let mut entry = log(1).remove(0);
    entry.body = b"{\"a\":\n1}".as_slice().into();
    assert!(matches!(sink.write(&entry), Err(SinkError::Entry { seq: 1, .. })));
    assert_eq!(sink.last_seq(), 0);
}

#[test]
fn a_rotation_that_fails_takes_nothing_and_is_tried_again() {
    let entries = log(2);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let mut sink = FileSink::open(&path, 1, 1).unwrap();
    sink.write(&entries[0]).unwrap();
    fs::create_dir(backup(&path, 1)).unwrap();
    assert!(matches!(sink.write(&entries[1]), Err(SinkError::Io { verb: "rename", .. })));
    assert_eq!(sink.last_seq(), 1);
    fs::remove_dir(backup(&path, 1)).unwrap();
    feed(&mut sink, &entries);
    assert_eq!((seqs(&path), seqs(&backup(&path, 1))), (Some(vec![2]), Some(vec![1])));
}

#[test]
fn a_failed_write_loses_nothing_and_is_tried_again() {
    let entries = log(2);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let mut sink = FileSink::open(&path, 0, 0).unwrap();
    feed(&mut sink, &entries[..1]);
    let writable = std::mem::replace(&mut sink.file, fs::File::open(&path).unwrap());
    sink.write(&entries[1]).unwrap();
    assert!(matches!(sink.flush(), Err(SinkError::Io { verb: "write", .. })));
    assert_eq!(seqs(&path), Some(vec![1]));
    sink.file = writable;
    sink.flush().unwrap();
    assert_eq!(seqs(&path), Some(vec![1, 2]));
}

#[test]
fn new_files_are_for_their_owner_only_and_old_ones_keep_their_mode() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    feed(&mut FileSink::open(&path, 1, 1).unwrap(), &log(2));
    assert_eq!((mode(&path), mode(&backup(&path, 1))), (0o600, 0o600));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    FileSink::open(&path, 1, 1).unwrap();
    assert_eq!(mode(&path), 0o640);
}

#[test]
fn an_appended_half_line_of_another_program_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    feed(&mut FileSink::open(&path, 0, 0).unwrap(), &log(2));
    OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"seq\":3,\"ha").unwrap();
    assert_eq!(FileSink::open(&path, 0, 0).unwrap().last_seq(), 2);
    assert_eq!(seqs(&path), Some(vec![1, 2]));
}
