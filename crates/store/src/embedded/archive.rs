//! The audit archive: where records go before their log segment is used again.
//!
//! The files are the audit crate's; this decides when the next one begins. Salts go beside them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use audit::{ArchiveError, ArchiveWriter, Backed, Disk, Entry, Salt, file_name};

use super::folder::numbered;
use super::salts::Salts;

/// The end of the archive.
#[derive(Debug)]
pub(super) struct Archive {
    folder: PathBuf,
    disk: Arc<dyn Disk>,
    file_bytes: u64,
    writer: Option<ArchiveWriter>,
    next_seq: u64,
    /// The number from which on the log holds all entries.
    log_from: u64,
    /// The numbers of the files' first entries, lowest first.
    firsts: Vec<u64>,
    salts: Salts,
}

impl Archive {
    /// Opens the last file and finds the number that comes next. What the log holds too, from
    /// `log_from` on, is cut where it is broken.
    pub(super) fn open(
        folder: &Path,
        file_bytes: u64,
        disk: Arc<dyn Disk>,
        log_from: u64,
    ) -> Result<Self, ArchiveError> {
        let sync_failed =
            |source| ArchiveError::Io { path: folder.to_owned(), verb: "sync", source };
        // The last file may have been made just before a crash: its name may not be on disk.
        disk.sync_folder(folder).map_err(sync_failed)?;
        let folder = folder.to_owned();
        let (firsts, salts) = (files(&folder)?, Salts::new(&folder, Arc::clone(&disk)));
        let mut archive =
            Self { folder, disk, file_bytes, writer: None, next_seq: 1, log_from, firsts, salts };
        for first in archive.firsts.clone().into_iter().rev() {
            let found = archive.writer(first)?;
            let last = found.last();
            archive.writer.get_or_insert(found);
            if let Some(last) = last {
                archive.next_seq = last.seq.saturating_add(1);
                break;
            }
        }
        Ok(archive)
    }

    /// Adds an entry unless it is there already, and in any case its salt: a crash may have come
    /// between the two.
    pub(super) fn append(&mut self, entry: &Entry, salt: Option<Salt>) -> Result<(), ArchiveError> {
        let seq = entry.link.seq;
        if seq >= self.next_seq {
            self.append_new(entry)?;
        }
        let Some(salt) = salt else { return Ok(()) };
        let file = self.firsts.iter().rfind(|first| **first <= seq).copied().unwrap_or(seq);
        self.salts.add(file, seq, salt)
    }

    fn append_new(&mut self, entry: &Entry) -> Result<(), ArchiveError> {
        if self.writer.as_ref().is_some_and(|writer| writer.bytes() >= self.file_bytes) {
            self.sync()?;
            self.writer = None;
        }
        let mut writer = match self.writer.take() {
            Some(writer) => writer,
            None => {
                let opened = self.writer(entry.link.seq)?;
                self.firsts.push(entry.link.seq);
                opened
            }
        };
        let appended = writer.append(entry);
        self.writer = Some(writer);
        appended?;
        self.next_seq = entry.link.seq.saturating_add(1);
        Ok(())
    }

    /// Brings everything to the disk.
    pub(super) fn sync(&mut self) -> Result<(), ArchiveError> {
        self.writer.as_mut().map_or(Ok(()), ArchiveWriter::sync)?;
        self.salts.sync()
    }

    /// Opens a file of the archive. One that could not be begun is removed: when it is opened
    /// again, nothing would show that its name or beginning may not be on disk.
    fn writer(&self, first_seq: u64) -> Result<ArchiveWriter, ArchiveError> {
        let path = self.folder.join(file_name(first_seq));
        let backed = Backed { first_seq, from_seq: self.log_from };
        let opened = ArchiveWriter::open_backed(&path, Arc::clone(&self.disk), backed);
        if let Ok(writer) = &opened
            && writer.cut_bytes() > 0
        {
            tracing::warn!(
                file = %path.display(),
                offset = writer.bytes(),
                bytes = writer.cut_bytes(),
                "what a crash left of archived records is cut and written again from the log"
            );
        }
        if let Err(ArchiveError::Io { verb: "begin", .. }) = &opened {
            // The first error matters.
            self.disk.remove(&path).unwrap_or_default();
        }
        opened
    }
}

/// Returns the numbers of the first entries of the archive's files, lowest first.
pub(super) fn files(folder: &Path) -> Result<Vec<u64>, ArchiveError> {
    numbered(folder, "audit").map_err(|source| ArchiveError::Io {
        path: folder.to_owned(),
        verb: "list",
        source,
    })
}
