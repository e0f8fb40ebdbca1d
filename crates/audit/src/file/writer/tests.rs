//! What the writer does when the file system fails.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use super::ArchiveWriter;
use crate::sample::log;
use crate::{ArchiveError, ArchiveReader};

#[test]
fn a_failed_write_is_repeated_at_its_place() {
    let entries = log(2);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    let mut writer = ArchiveWriter::open(&path).unwrap();
    writer.append(&entries[0]).unwrap();
    let writable = std::mem::replace(&mut writer.file, File::open(&path).unwrap());
    assert!(matches!(writer.sync(), Err(ArchiveError::Io { verb: "write", .. })));
    writer.file = writable;
    writer.append(&entries[1]).unwrap();
    writer.sync().unwrap();
    let found: Vec<_> = ArchiveReader::open(&path).unwrap().map(Result::unwrap).collect();
    assert_eq!(found, entries);
}

#[test]
fn a_failed_sync_is_never_retried() {
    let entries = log(1);
    let folder = tempfile::tempdir().unwrap();
    let mut writer = ArchiveWriter::open(folder.path().join("x")).unwrap();
    // A pipe cannot be synced.
    let (_reader, pipe) = io::pipe().unwrap();
    let file = std::mem::replace(&mut writer.file, File::from(OwnedFd::from(pipe)));
    assert!(matches!(writer.sync(), Err(ArchiveError::Io { verb: "sync", .. })));
    writer.file = file;
    assert!(matches!(writer.sync(), Err(ArchiveError::Poisoned { .. })));
    assert!(matches!(writer.append(&entries[0]), Err(ArchiveError::Poisoned { .. })));
}
