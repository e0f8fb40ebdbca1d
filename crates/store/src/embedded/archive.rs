//! The audit archive: where records go before their log segment is used again.
//!
//! The files are the audit crate's; this decides when the next one begins.

use std::fs;
use std::path::{Path, PathBuf};

use audit::{ArchiveError, ArchiveWriter, Entry, file_name};

use super::folder::numbered;

/// The end of the archive.
#[derive(Debug)]
pub(super) struct Archive {
    folder: PathBuf,
    file_bytes: u64,
    writer: Option<ArchiveWriter>,
    next_seq: u64,
}

impl Archive {
    /// Opens the last file and finds the number that comes next.
    pub(super) fn open(folder: &Path, file_bytes: u64) -> Result<Self, ArchiveError> {
        let mut archive = Self { folder: folder.to_owned(), file_bytes, writer: None, next_seq: 1 };
        for first in files(folder)?.into_iter().rev() {
            let found = writer(&folder.join(file_name(first)))?;
            let last = found.last();
            archive.writer.get_or_insert(found);
            if let Some(last) = last {
                archive.next_seq = last.seq.saturating_add(1);
                break;
            }
        }
        Ok(archive)
    }

    /// Adds an entry unless it is there already.
    pub(super) fn append(&mut self, entry: &Entry) -> Result<(), ArchiveError> {
        if entry.link.seq < self.next_seq {
            return Ok(());
        }
        if self.writer.as_ref().is_some_and(|writer| writer.bytes() >= self.file_bytes) {
            self.sync()?;
            self.writer = None;
        }
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => none.insert(writer(&self.folder.join(file_name(entry.link.seq)))?),
        };
        writer.append(entry)?;
        self.next_seq = entry.link.seq.saturating_add(1);
        Ok(())
    }

    /// Brings everything to the disk.
    pub(super) fn sync(&mut self) -> Result<(), ArchiveError> {
        self.writer.as_mut().map_or(Ok(()), ArchiveWriter::sync)
    }
}

/// Opens a file of the archive. One that could not be begun is removed: when it is opened again,
/// nothing would show that its name or beginning may not be on disk.
fn writer(path: &Path) -> Result<ArchiveWriter, ArchiveError> {
    let opened = ArchiveWriter::open(path);
    if let Err(ArchiveError::Io { verb: "begin", .. }) = &opened {
        // The first error matters.
        fs::remove_file(path).unwrap_or_default();
    }
    opened
}

/// Returns the numbers of the first entries of the archive's files, lowest first.
pub(super) fn files(folder: &Path) -> Result<Vec<u64>, ArchiveError> {
    numbered(folder, "audit").map_err(|source| ArchiveError::Io {
        path: folder.to_owned(),
        verb: "list",
        source,
    })
}
