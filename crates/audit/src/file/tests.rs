//! The archive on a disk: every flipped byte is found, torn tails are cut, nothing else is.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tempfile::TempDir;

use super::{ArchiveError, ArchiveReader, ArchiveWriter, Fault, file_name};
use crate::sample::{log, read, resealed};
use crate::{BODY_BYTES_MAX, Chain, Damage, Entry, Place, Spot, Unplaced, What, verify};

/// Returns a folder and, in it, an archive with these entries.
fn archive(entries: &[Entry]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(file_name(1));
    write(&path, entries);
    (folder, path)
}

fn write(path: &Path, entries: &[Entry]) {
    let mut writer = ArchiveWriter::open(path).unwrap();
    for entry in entries {
        writer.append(entry).unwrap();
    }
    writer.sync().unwrap();
    assert_eq!(writer.bytes(), fs::metadata(path).unwrap().len());
}

fn all(path: &Path) -> Vec<Result<Entry, Damage>> {
    ArchiveReader::open(path).unwrap().collect()
}

fn sound(path: &Path) -> Vec<Entry> {
    all(path).into_iter().map(Result::unwrap).collect()
}

fn frame_bytes(entry: &Entry) -> usize {
    80 + entry.body.len()
}

#[test]
fn what_was_written_is_read() {
    let entries = log(50);
    let (_folder, path) = archive(&entries);
    assert_eq!(sound(&path), entries);
    assert!(verify(ArchiveReader::open(&path).unwrap(), None).ok);
}

#[test]
fn the_bytes_are_those_of_the_documentation() {
    let body = Bytes::from_static(b"{\"a\":1}");
    let entry = Entry { link: Chain::genesis().append(&body), body };
    let (_folder, path) = archive(std::slice::from_ref(&entry));
    let mut covered = 1_u64.to_le_bytes().to_vec();
    covered.extend_from_slice(&[0; 32]);
    covered.extend_from_slice(&entry.link.hash);
    covered.extend_from_slice(b"{\"a\":1}");
    let mut expected = b"PALAUDT\x02".to_vec();
    expected.extend_from_slice(&79_u32.to_le_bytes());
    expected.extend_from_slice(&crc32fast::hash(&covered).to_le_bytes());
    expected.extend_from_slice(&covered);
    assert_eq!(fs::read(path).unwrap(), expected);
}

#[test]
fn every_flipped_byte_is_found_at_its_place() {
    let entries = log(200);
    let (_folder, path) = archive(&entries);
    let sound = fs::read(&path).unwrap();
    let longest = entries.iter().map(frame_bytes).max().unwrap();
    // One byte of every other frame at a time, so that each flip has sound neighbours.
    for (place, parity) in (0..longest).flat_map(|place| [(place, 0), (place, 1)]) {
        let mut bytes = sound.clone();
        let (mut begin, mut flipped) = (8, Vec::new());
        for (n, entry) in entries.iter().enumerate() {
            if n % 2 == parity && place < frame_bytes(entry) {
                bytes[begin + place] ^= 0xff;
                flipped.push(begin as u64);
            }
            begin += frame_bytes(entry);
        }
        fs::write(&path, bytes).unwrap();
        let (read, damage): (Vec<_>, Vec<_>) = all(&path).into_iter().partition(Result::is_ok);
        let damage: Vec<u64> = damage.into_iter().map(|found| found.unwrap_err().offset).collect();
        assert_eq!(damage, flipped, "byte {place} of the frames");
        assert_eq!(read.len() + flipped.len(), entries.len());
    }
    for place in 0..8 {
        let mut bytes = sound.clone();
        bytes[place] ^= 0xff;
        fs::write(&path, bytes).unwrap();
        let what =
            if place < 7 { Fault::NotAnArchive } else { Fault::OtherVersion { version: 253 } };
        assert_eq!(first_damage(&path).what, what);
    }
}

/// Returns the first damage.
fn first_damage(path: &Path) -> Damage {
    ArchiveReader::open(path).unwrap().find_map(Result::err).expect("damage is found")
}

#[test]
fn damage_in_the_middle_costs_only_its_entry() {
    let entries = log(5);
    let (_folder, path) = archive(&entries);
    let mut bytes = fs::read(&path).unwrap();
    let third = 8 + frame_bytes(&entries[0]) + frame_bytes(&entries[1]);
    bytes[third + 100] ^= 1;
    fs::write(&path, bytes).unwrap();
    let found = all(&path);
    let damage = found[2].clone().unwrap_err();
    assert_eq!(damage.offset, third as u64);
    assert_eq!(damage.what, Fault::Broken { bytes: frame_bytes(&entries[2]) as u64 });
    assert_eq!(found[3].as_ref().unwrap(), &entries[3]);
    assert_eq!(found.len(), 5);
    let report = verify(Unplaced(found.into_iter()), None);
    assert_eq!(report.problem_count, 2);
    let spot = Spot { path: path.clone().into(), offset: third as u64 };
    assert_eq!(report.problems[0].place, Place::Byte(spot));
    assert_eq!(report.problems[1].what, What::Missing { from: 3, to: 3 });
    let error = ArchiveWriter::open(&path).unwrap_err();
    assert!(matches!(error, ArchiveError::Damaged(found) if found == damage), "never repaired");
}

#[test]
fn frames_that_are_cut_out_doubled_or_moved_are_found() {
    let entries = log(4);
    let (_folder, path) = archive(&entries);
    let bytes = fs::read(&path).unwrap();
    let mut frames = Vec::new();
    let mut rest = &bytes[8..];
    for entry in &entries {
        let (frame, after) = rest.split_at(frame_bytes(entry));
        frames.push(frame);
        rest = after;
    }
    let table: [(&[usize], What); 4] = [
        (&[0, 2, 3], What::Missing { from: 2, to: 2 }),
        (&[0, 1, 1, 2, 3], What::Duplicated),
        (&[0, 2, 1, 3], What::Missing { from: 2, to: 2 }),
        (&[1, 2, 3], What::Missing { from: 1, to: 1 }),
    ];
    for (order, what) in table {
        let mut edited = bytes[..8].to_vec();
        order.iter().for_each(|n| edited.extend_from_slice(frames[*n]));
        fs::write(&path, edited).unwrap();
        let report = verify(ArchiveReader::open(&path).unwrap(), None);
        assert_eq!(report.problems[0].what, what, "{order:?}");
    }
}

#[test]
fn an_entry_edited_with_checksum_and_hash_is_found() {
    let mut entries = log(4);
    entries[1] = resealed(&entries[1], b"{\"decision\":\"ALLOWED\"}");
    let (_folder, path) = archive(&entries[..2]);
    let (_other, rest) = {
        let other = tempfile::tempdir().unwrap();
        let rest = other.path().join("rest");
        write(&rest, &entries[2..]);
        (other, rest)
    };
    let tail = fs::read(rest).unwrap();
    OpenOptions::new().append(true).open(&path).unwrap().write_all(&tail[8..]).unwrap();
    let report = verify(ArchiveReader::open(&path).unwrap(), None);
    assert_eq!(report.problems.len(), 1);
    assert_eq!((report.problems[0].seq, &report.problems[0].what), (Some(3), &What::Unlinked));
}

#[test]
fn a_torn_tail_is_cut_at_every_length_and_written_on() {
    let entries = log(3);
    let (_folder, path) = archive(&entries);
    let whole = fs::read(&path).unwrap();
    let kept = whole.len() - frame_bytes(&entries[2]);
    for length in kept + 1..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let damage = first_damage(&path);
        assert_eq!(damage.what, Fault::TornTail { bytes: (length - kept) as u64 });
        assert_eq!(damage.offset, kept as u64);
        let mut writer = ArchiveWriter::open(&path).unwrap();
        assert_eq!(writer.cut_bytes(), (length - kept) as u64);
        assert_eq!(writer.last(), Some(entries[1].link));
        writer.append(&entries[2]).unwrap();
        writer.sync().unwrap();
        assert_eq!(fs::read(&path).unwrap(), whole);
    }
}

#[test]
fn a_tail_of_zeros_is_cut() {
    let entries = log(2);
    let (_folder, path) = archive(&entries);
    OpenOptions::new().append(true).open(&path).unwrap().write_all(&[0; 100_000]).unwrap();
    let writer = ArchiveWriter::open(&path).unwrap();
    assert_eq!((writer.cut_bytes(), writer.last()), (100_000, Some(entries[1].link)));
    assert_eq!(sound(&path), entries);
}

#[test]
fn a_file_that_was_hardly_begun_is_begun_anew() {
    let entries = log(1);
    for start in [&b""[..], b"PAL", b"PALAUDT", b"\0\0\0"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        fs::write(&path, start).unwrap();
        write(&path, &entries);
        assert_eq!(sound(&path), entries);
    }
}

#[test]
fn a_foreign_file_is_left_as_it_is() {
    for (content, what) in [
        (&b"hello"[..], Fault::NotAnArchive),
        (b"{\"seq\":1}\n{\"seq\":2}\n", Fault::NotAnArchive),
        (b"PALAUDT\x01", Fault::OtherVersion { version: 1 }),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        fs::write(&path, content).unwrap();
        let error = ArchiveWriter::open(&path).unwrap_err();
        assert!(matches!(&error, ArchiveError::Damaged(d) if d.what == what));
        assert_eq!(first_damage(&path).what, what);
        assert_eq!(fs::read(&path).unwrap(), content);
    }
}

#[test]
fn only_the_next_entry_is_taken() {
    let entries = log(4);
    let (_folder, path) = archive(&entries[..2]);
    let mut writer = ArchiveWriter::open(&path).unwrap();
    let before = writer.bytes();
    for wrong in [&entries[1], &entries[3], &entries[0]] {
        let error = writer.append(wrong).unwrap_err();
        assert!(matches!(error, ArchiveError::OutOfOrder { seq, .. } if seq == wrong.link.seq));
    }
    let mut stranger = entries[2].clone();
    stranger.link.prev = [1; 32];
    assert!(matches!(writer.append(&stranger), Err(ArchiveError::OutOfOrder { seq: 3, .. })));
    assert_eq!(writer.bytes(), before);
    writer.append(&entries[2]).unwrap();
}

#[test]
fn the_largest_body_is_taken_and_a_larger_one_refused() {
    let body = |length: usize| Bytes::from(vec![b'x'; length]);
    let sealed = |body: Bytes| Entry { link: Chain::genesis().append(&body), body };
    let largest = sealed(body(BODY_BYTES_MAX));
    let (_folder, path) = archive(std::slice::from_ref(&largest));
    assert_eq!(sound(&path), [largest]);
    let folder = tempfile::tempdir().unwrap();
    let mut writer = ArchiveWriter::open(folder.path().join("x")).unwrap();
    let error = writer.append(&sealed(body(BODY_BYTES_MAX + 1))).unwrap_err();
    assert!(matches!(error, ArchiveError::LongBody { seq: 1 }));
}

#[test]
fn a_folder_is_read_in_the_order_of_its_entries() {
    let entries = log(12);
    let folder = tempfile::tempdir().unwrap();
    for part in [&entries[9..], &entries[..5], &entries[5..9]] {
        write(&folder.path().join(file_name(part[0].link.seq)), part);
    }
    fs::write(folder.path().join("notes.txt"), "not an archive").unwrap();
    fs::write(folder.path().join(file_name(13)), "").unwrap();
    assert_eq!(sound(folder.path()), entries);
}

#[test]
fn a_damaged_file_does_not_hide_the_next_one() {
    let entries = log(4);
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(file_name(1)), "broken file").unwrap();
    write(&folder.path().join(file_name(3)), &entries[2..]);
    let found = all(folder.path());
    assert_eq!(found[0].as_ref().unwrap_err().what, Fault::NotAnArchive);
    assert_eq!(found[1].as_ref().unwrap(), &entries[2]);
    assert_eq!(found.len(), 3);
}

#[test]
fn a_new_archive_is_for_its_owner_only() {
    let (_folder, path) = archive(&[]);
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_path_that_is_not_there_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let error = ArchiveReader::open(folder.path().join("x")).unwrap_err().to_string();
    assert!(error.contains("/x: cannot read: "), "{error}");
    let error = ArchiveWriter::open(folder.path().join("no/x")).unwrap_err().to_string();
    assert!(error.contains("no/x: cannot open: "), "{error}");
}

#[test]
fn many_entries_pass_through_the_buffer() {
    let entries = log(2_000);
    let (_folder, path) = archive(&entries);
    let report = verify(ArchiveReader::open(&path).unwrap(), None);
    assert_eq!(report, verify(read(&entries), None));
    assert!(report.ok);
}
