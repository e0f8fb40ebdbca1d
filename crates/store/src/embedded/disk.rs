//! What the engine adds to the disk: the rule for failed syncs, files of zeros, buffered writing.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use audit::Disk;

use super::condition::Fatal;

/// A disk whose first failed sync ends the store, whoever asked for it.
///
/// After a failed sync nobody knows what is on disk, and a later one that succeeds does not tell:
/// the system may have dropped what it could not write. Running out of room is left to the caller,
/// who knows whether what it wrote can be thrown away.
#[derive(Debug)]
pub(super) struct StrictDisk {
    disk: Arc<dyn Disk>,
    fatal: Arc<Fatal>,
}

impl StrictDisk {
    pub(super) fn new(disk: Arc<dyn Disk>, fatal: Arc<Fatal>) -> Self {
        Self { disk, fatal }
    }

    fn judge(&self, synced: io::Result<()>) -> io::Result<()> {
        if let Err(error) = &synced
            && !is_no_room(error)
        {
            self.fatal.die(format!("the disk has failed to sync: {error}"));
        }
        synced
    }
}

impl Disk for StrictDisk {
    fn make_folder(&self, path: &Path) -> io::Result<()> {
        self.disk.make_folder(path)
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        self.disk.open(path)
    }

    fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.disk.write(file, bytes, offset)
    }

    fn truncate(&self, file: &File, bytes: u64) -> io::Result<()> {
        self.disk.truncate(file, bytes)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        self.judge(self.disk.sync(file))
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.judge(self.disk.sync_folder(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }
}

/// Makes a file of so many zeros that are on disk; leaves no file behind if it fails.
///
/// They are written: only then does a later sync not have to wait for the file system's journal.
pub(super) fn fill(disk: &dyn Disk, path: &Path, bytes: u64) -> io::Result<()> {
    let filled = write_zeros(disk, path, bytes);
    if filled.is_err() {
        // The first error matters; a file that stays behind is removed at the next start.
        disk.remove(path).unwrap_or_default();
    }
    filled
}

fn write_zeros(disk: &dyn Disk, path: &Path, bytes: u64) -> io::Result<()> {
    let mut file = Output::create(disk, path)?;
    let zeros = vec![0; ZEROS_AT_ONCE];
    let mut left = bytes;
    while left > 0 {
        let step = usize::try_from(left).map_or(zeros.len(), |left| left.min(zeros.len()));
        file.write_all(zeros.get(..step).unwrap_or(&zeros))?;
        left = left.saturating_sub(step as u64);
    }
    file.sync()
}

/// A new file that is written from its beginning to its end.
#[derive(Debug)]
pub(super) struct Output<'a> {
    disk: &'a dyn Disk,
    file: File,
    waiting: Vec<u8>,
    /// Where the waiting bytes go.
    offset: u64,
}

impl<'a> Output<'a> {
    /// Makes the file, or empties it.
    pub(super) fn create(disk: &'a dyn Disk, path: &Path) -> io::Result<Self> {
        let file = disk.open(path)?;
        disk.truncate(&file, 0)?;
        Ok(Self { disk, file, waiting: Vec::new(), offset: 0 })
    }

    /// Returns when every byte is on disk.
    pub(super) fn sync(mut self) -> io::Result<()> {
        self.flush()?;
        self.disk.sync(&self.file)
    }
}

impl Write for Output<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() >= WAITING_BYTES_MAX {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.disk.write(&self.file, &self.waiting, self.offset)?;
        self.offset = self.offset.saturating_add(self.waiting.len() as u64);
        self.waiting.clear();
        Ok(())
    }
}

/// Returns whether an error says that there is no room, which can pass.
pub(super) fn is_no_room(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

const ZEROS_AT_ONCE: usize = 1 << 20;
/// LIMIT: bytes that wait to be written to a new file.
const WAITING_BYTES_MAX: usize = 64 << 10;
