//! The salts of archived records, beside the archive so that they can be erased: a file of 16-byte
//! slots for each archive file, and the list of records whose salt was erased.
//!
//! The list comes first: a salt on it is never written again, whatever the log still has.

mod access;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use audit::{ArchiveError, Disk, SALT_BYTES, Salt};

pub use access::{erase_salts, read_salt};

/// Writes the salts of a checkpoint.
#[derive(Debug)]
pub(super) struct Salts {
    folder: PathBuf,
    disk: Arc<dyn Disk>,
    /// The files that were written, by the number of their first record.
    files: BTreeMap<u64, File>,
    run: Run,
    /// Records whose salt must not be written, as known when the writing began.
    erased: Option<BTreeSet<u64>>,
    /// What was written, by record, with the file: first and last.
    written: BTreeMap<u64, (u64, u64)>,
}

/// Neighbouring slots that are not written yet.
#[derive(Debug, Default)]
struct Run {
    file: u64,
    /// The record of the first slot.
    seq: u64,
    bytes: Vec<u8>,
}

impl Salts {
    pub(super) fn new(folder: &Path, disk: Arc<dyn Disk>) -> Self {
        Self {
            folder: folder.to_owned(),
            disk,
            files: BTreeMap::new(),
            run: Run::default(),
            erased: None,
            written: BTreeMap::new(),
        }
    }

    /// Adds the salt of a record in the archive file whose first entry is `file`, unless it was
    /// erased; it is on disk after the next sync.
    pub(super) fn add(&mut self, file: u64, seq: u64, salt: Salt) -> Result<(), ArchiveError> {
        let erased = match &mut self.erased {
            Some(erased) => erased,
            none => none.insert(erased(&self.folder).map_err(failed(&self.folder, "read"))?),
        };
        if erased.contains(&seq) {
            return Ok(());
        }
        let slots = self.run.bytes.len() / SALT_BYTES;
        let follows = self.run.file == file && self.run.seq.saturating_add(slots as u64) == seq;
        if !follows || self.run.bytes.len() >= RUN_BYTES_MAX {
            self.flush()?;
            (self.run.file, self.run.seq) = (file, seq);
        }
        self.run.bytes.extend_from_slice(salt.bytes());
        let (_, last) = self.written.entry(file).or_insert((seq, seq));
        *last = seq.max(*last);
        Ok(())
    }

    /// Brings everything to the disk, but for what was erased meanwhile.
    pub(super) fn sync(&mut self) -> Result<(), ArchiveError> {
        self.flush()?;
        // Who erases adds to the list first and then clears the slot. So either the number is seen
        // here, or the slot that was just written is seen there.
        let now = erased(&self.folder).map_err(failed(&self.folder, "read"))?;
        let before = self.erased.take().unwrap_or_default();
        for (file, (first, last)) in std::mem::take(&mut self.written) {
            for seq in now.range(first..=last).filter(|seq| !before.contains(seq)) {
                self.write(file, *seq, Salt::NONE.bytes())?;
            }
        }
        if self.files.is_empty() {
            return Ok(());
        }
        for (file, open) in std::mem::take(&mut self.files) {
            self.disk.sync(&open).map_err(failed(&path(&self.folder, file), "sync"))?;
        }
        self.disk.sync_folder(&self.folder).map_err(failed(&self.folder, "sync"))
    }

    fn flush(&mut self) -> Result<(), ArchiveError> {
        let bytes = std::mem::take(&mut self.run.bytes);
        if bytes.is_empty() {
            return Ok(());
        }
        self.write(self.run.file, self.run.seq, &bytes)
    }

    fn write(&mut self, file: u64, seq: u64, bytes: &[u8]) -> Result<(), ArchiveError> {
        let path = path(&self.folder, file);
        let open = match self.files.remove(&file) {
            Some(open) => open,
            None => self.disk.open(&path).map_err(failed(&path, "open"))?,
        };
        let written = self.disk.write(&open, bytes, offset(file, seq));
        self.files.insert(file, open);
        written.map_err(failed(&path, "write"))
    }
}

/// Returns where the salts of an archive file are.
fn path(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("{first:020}.salts"))
}

/// Returns where in its file the salt of a record is.
const fn offset(first: u64, seq: u64) -> u64 {
    seq.saturating_sub(first).saturating_mul(SALT_BYTES as u64)
}

/// Returns the numbers of the records whose salt was erased.
fn erased(folder: &Path) -> io::Result<BTreeSet<u64>> {
    match std::fs::read(folder.join(ERASED)) {
        // What a crash left of a last number is no number.
        Ok(bytes) => {
            let (numbers, _torn) = bytes.as_chunks();
            Ok(numbers.iter().map(|number| u64::from_le_bytes(*number)).collect())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeSet::new()),
        Err(error) => Err(error),
    }
}

fn failed(path: &Path, verb: &'static str) -> impl FnOnce(io::Error) -> ArchiveError {
    let path = path.to_owned();
    move |source| ArchiveError::Io { path, verb, source }
}

/// The list of erased salts: numbers of records, 8 bytes each.
pub(super) const ERASED: &str = "erased";
/// LIMIT: salts in memory.
const RUN_BYTES_MAX: usize = 64 << 10;
