//! Adds entries to one archive file.
//!
//! It does not chain and does not decide when a file is full: the committer does
//! both. One writer per file; the store's lock sees to that.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::frame::{self, At, MAGIC};
use super::{ArchiveError, Damage, Fault, reader};
use crate::{BODY_BYTES_MAX, Disk, Entry, Link, RealDisk};

/// The end of an archive file, to which entries are added.
#[derive(Debug)]
pub struct ArchiveWriter {
    path: PathBuf,
    disk: Arc<dyn Disk>,
    file: File,
    /// Where the next bytes go; everything before is whole frames.
    end: u64,
    /// Frames that are not written yet.
    waiting: Vec<u8>,
    last: Option<Link>,
    cut_bytes: u64,
    is_poisoned: bool,
    backed: Option<Backed>,
}

/// Which entries of an archive file are held elsewhere too.
#[derive(Debug, Clone, Copy)]
pub struct Backed {
    /// The number of the file's first entry, as its name says.
    pub first_seq: u64,
    /// The number from which on another place holds all entries.
    pub from_seq: u64,
}

impl ArchiveWriter {
    /// Opens an archive file, making it if there is none, and cuts what a crash left of its last
    /// frame.
    ///
    /// # Errors
    /// Fails if the file cannot be opened or is damaged before its last frame; it
    /// is then left as it is.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ArchiveError> {
        Self::open_on(path.as_ref(), Arc::new(RealDisk))
    }

    /// Opens an archive file as [`ArchiveWriter::open`] does, on a given disk.
    ///
    /// # Errors
    /// Fails as [`ArchiveWriter::open`] does.
    pub fn open_on(path: &Path, disk: Arc<dyn Disk>) -> Result<Self, ArchiveError> {
        Self::open_as(path, disk, None)
    }

    /// Opens an archive file whose entries from a number on are still held elsewhere, and will be
    /// added again: whatever is broken behind the entries before them is cut. A loss of power can
    /// leave any part of what was not synced.
    ///
    /// # Errors
    /// Fails if the file cannot be opened or is damaged where nothing else holds its entries; it
    /// is then left as it is.
    pub fn open_backed(
        path: &Path,
        disk: Arc<dyn Disk>,
        backed: Backed,
    ) -> Result<Self, ArchiveError> {
        Self::open_as(path, disk, Some(backed))
    }

    fn open_as(
        path: &Path,
        disk: Arc<dyn Disk>,
        backed: Option<Backed>,
    ) -> Result<Self, ArchiveError> {
        let failed = |verb| move |source| ArchiveError::Io { path: path.to_owned(), verb, source };
        let file = disk.open(path).map_err(failed("open"))?;
        let bytes = file.metadata().map_err(failed("read"))?.len();
        let mut writer = Self {
            path: path.to_owned(),
            disk,
            file,
            end: MAGIC.len() as u64,
            waiting: Vec::new(),
            last: None,
            cut_bytes: 0,
            is_poisoned: false,
            backed,
        };
        if writer.is_unborn(bytes).map_err(failed("read"))? {
            writer.begin().map_err(failed("begin"))?;
        } else {
            writer.resume(bytes)?;
        }
        Ok(writer)
    }

    /// Adds an entry; it is on disk after the next [`ArchiveWriter::sync`].
    ///
    /// # Errors
    /// Refuses an entry that does not follow the last one and a body over the
    /// limit; fails if the file cannot be written. The entry is then not added
    /// and may be tried again.
    pub fn append(&mut self, entry: &Entry) -> Result<(), ArchiveError> {
        let seq = entry.link.seq;
        self.check_sound()?;
        if entry.body.len() > BODY_BYTES_MAX {
            return Err(ArchiveError::LongBody { seq });
        }
        let follows = self.last.is_none_or(|last| {
            last.seq.checked_add(1) == Some(seq) && last.hash == entry.link.prev
        });
        if !follows {
            return Err(ArchiveError::OutOfOrder { path: self.path.clone(), seq });
        }
        if self.waiting.len() >= WAITING_BYTES_MAX {
            self.write()?;
        }
        frame::push(&mut self.waiting, entry);
        self.last = Some(entry.link);
        Ok(())
    }

    /// Brings every added entry to the disk.
    ///
    /// # Errors
    /// Fails if the file cannot be written or synced. After a failed sync nothing
    /// is known about the disk, so every later call fails until the file is opened again.
    pub fn sync(&mut self) -> Result<(), ArchiveError> {
        self.check_sound()?;
        self.write()?;
        self.disk.sync(&self.file).map_err(|source| {
            self.is_poisoned = true;
            ArchiveError::Io { path: self.path.clone(), verb: "sync", source }
        })
    }

    /// Returns the link of the last entry of the file, added or found.
    #[must_use]
    pub const fn last(&self) -> Option<Link> {
        self.last
    }

    /// Returns the size of the file with all that was added.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.end + self.waiting.len() as u64
    }

    /// Returns how many bytes behind the last whole frame were cut when the file was opened.
    #[must_use]
    pub const fn cut_bytes(&self) -> u64 {
        self.cut_bytes
    }

    /// Returns whether the file has no more than a part of its first bytes, as a crash leaves a
    /// new one.
    fn is_unborn(&self, bytes: u64) -> io::Result<bool> {
        if bytes >= MAGIC.len() as u64 {
            return Ok(false);
        }
        let mut start = vec![0; usize::try_from(bytes).unwrap_or_default()];
        self.file.read_exact_at(&mut start, 0)?;
        Ok(MAGIC.starts_with(&start) || start.iter().all(|byte| *byte == 0))
    }

    fn begin(&mut self) -> io::Result<()> {
        self.disk.truncate(&self.file, 0)?;
        self.disk.write(&self.file, MAGIC, 0)?;
        self.disk.sync(&self.file)?;
        // The name must survive a crash like the bytes do.
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        self.disk.sync_folder(folder.unwrap_or_else(|| Path::new(".")))
    }

    /// Walks to the last whole frame and cuts what follows it.
    fn resume(&mut self, bytes: u64) -> Result<(), ArchiveError> {
        let failed = |source| ArchiveError::Io { path: self.path.clone(), verb: "read", source };
        let damage = |offset, what| Damage { path: self.path.clone(), offset, what };
        if let Some(fault) = reader::fault_at_start(&self.file, bytes).map_err(failed)? {
            if matches!(fault, Fault::NotAnArchive) && self.backed.is_some_and(|b| b.covers(None)) {
                self.cut_bytes = bytes;
                let path = self.path.clone();
                let begun = self.begin();
                return begun.map_err(|source| ArchiveError::Io { path, verb: "begin", source });
            }
            return Err(damage(0, fault).into());
        }
        let (mut end, mut last) = (self.end, None);
        loop {
            match frame::read_at(&self.file, end, bytes).map_err(failed)? {
                At::Entry(entry, next) => (end, last) = (next, Some(entry.link)),
                At::End => break,
                At::Broken => {
                    let next = frame::find(&self.file, end + 1, bytes).map_err(failed)?;
                    let (is_torn, broken) = (next == bytes, next - end);
                    if !self.backed.map_or(is_torn, |backed| backed.covers(last)) {
                        let torn = Fault::TornTail { bytes: broken };
                        let fault = if is_torn { torn } else { Fault::Broken { bytes: broken } };
                        return Err(damage(end, fault).into());
                    }
                    let cut = self.disk.truncate(&self.file, end);
                    cut.and_then(|()| self.disk.sync(&self.file)).map_err(failed)?;
                    self.cut_bytes = bytes - end;
                    break;
                }
            }
        }
        (self.end, self.last) = (end, last);
        Ok(())
    }

    /// Writes the waiting frames; a failed write is repeated at the same place.
    fn write(&mut self) -> Result<(), ArchiveError> {
        let written = self.disk.write(&self.file, &self.waiting, self.end);
        written.map_err(|source| ArchiveError::Io {
            path: self.path.clone(),
            verb: "write",
            source,
        })?;
        self.end += self.waiting.len() as u64;
        self.waiting.clear();
        Ok(())
    }

    fn check_sound(&self) -> Result<(), ArchiveError> {
        if self.is_poisoned {
            return Err(ArchiveError::Poisoned { path: self.path.clone() });
        }
        Ok(())
    }
}

impl Backed {
    /// Returns whether another place holds everything behind an entry, or all of a file without
    /// one.
    const fn covers(self, last: Option<Link>) -> bool {
        let next = match last {
            Some(last) => last.seq.saturating_add(1),
            None => self.first_seq,
        };
        self.from_seq <= next
    }
}

/// LIMIT: frames are written when this many bytes wait, synced or not.
const WAITING_BYTES_MAX: usize = 256 << 10;

#[cfg(test)]
mod tests;
