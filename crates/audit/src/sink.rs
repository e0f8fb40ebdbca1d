//! The JSONL file sink: one line per entry, rotated by size.
//!
//! A copy for other programs to read, never the log itself: it may lag behind and
//! catch up, and the oldest backup goes when there are too many. It finds by
//! itself which entries it has, so the feeder may give it any of them again.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::lines::LINE_BYTES_MAX;
use crate::{Entry, EntryError};

/// A rotated file of JSON lines.
#[derive(Debug)]
pub struct FileSink {
    path: PathBuf,
    max_bytes: u64,
    backup_count: u32,
    file: File,
    /// Where the next bytes go; everything before is whole lines.
    end: u64,
    /// Lines that are not written yet.
    waiting: Vec<u8>,
    last_seq: u64,
}

/// Says why the file sink cannot be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The file system refused.
    #[error("{}: cannot {verb}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        verb: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// The last line of the file is not ours, so it is unknown what was written.
    #[error("{}, byte {offset}: {why}; move the file away or name another", path.display())]
    NotOurs {
        /// The file.
        path: PathBuf,
        /// Where the line begins.
        offset: u64,
        /// What is wrong with it.
        why: EntryError,
    },
    /// The entry cannot be a line.
    #[error("entry {seq}: {why}")]
    Entry {
        /// The entry that was refused.
        seq: u64,
        /// What is wrong with it.
        why: EntryError,
    },
}

impl FileSink {
    /// Opens the file, making it if there is none, and cuts what a crash left of its last line.
    ///
    /// `max_bytes` of 0 means that the file is never rotated; `backup_count` of 0
    /// that a full file is begun anew. New files can be read by their owner only.
    ///
    /// # Errors
    /// Fails if the file cannot be opened or ends with a line that is not ours.
    pub fn open(
        path: impl AsRef<Path>,
        max_bytes: u64,
        backup_count: u32,
    ) -> Result<Self, SinkError> {
        let path = path.as_ref().to_owned();
        let file = create(&path)?;
        let tail = Tail::read(&path, &file)?;
        file.set_len(tail.end).map_err(failed(&path, "cut"))?;
        let mut last_seq = tail.last_seq;
        // A rotation leaves an empty file; the newest backup then knows.
        for number in 1..=backup_count.min(BACKUPS_MAX) {
            if last_seq.is_some() {
                break;
            }
            last_seq = Self::last_of(&backup(&path, number))?;
        }
        Ok(Self {
            path,
            max_bytes,
            backup_count: backup_count.min(BACKUPS_MAX),
            file,
            end: tail.end,
            waiting: Vec::new(),
            last_seq: last_seq.unwrap_or(0),
        })
    }

    /// Returns the number of the last entry that was taken; 0 if none ever was.
    #[must_use]
    pub const fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// Takes an entry, unless it has it already.
    ///
    /// # Errors
    /// Refuses a body that is no line of JSON; fails if the file cannot be written
    /// or rotated. The entry is then not taken and may be given again.
    pub fn write(&mut self, entry: &Entry) -> Result<(), SinkError> {
        let seq = entry.link.seq;
        if seq <= self.last_seq {
            return Ok(());
        }
        let mut line = entry.to_line().map_err(|why| SinkError::Entry { seq, why })?;
        line.push(b'\n');
        let size = self.end + self.waiting.len() as u64;
        let is_full = self.max_bytes > 0 && size > 0 && size + line.len() as u64 > self.max_bytes;
        if is_full {
            self.rotate()?;
        } else if self.waiting.len() >= WAITING_BYTES_MAX {
            self.flush()?;
        }
        self.waiting.append(&mut line);
        self.last_seq = seq;
        Ok(())
    }

    /// Writes every line that was taken to the file.
    ///
    /// # Errors
    /// Fails if the file cannot be written; the next call tries again, at the same place.
    pub fn flush(&mut self) -> Result<(), SinkError> {
        self.file.write_all_at(&self.waiting, self.end).map_err(failed(&self.path, "write"))?;
        self.end += self.waiting.len() as u64;
        self.waiting.clear();
        Ok(())
    }

    /// Shifts the files by one, the oldest first, and begins a new one.
    fn rotate(&mut self) -> Result<(), SinkError> {
        self.flush()?;
        for number in (1..self.backup_count).rev() {
            rename(&backup(&self.path, number), &backup(&self.path, number + 1))?;
        }
        if self.backup_count > 0 {
            rename(&self.path, &backup(&self.path, 1))?;
        }
        self.file = create(&self.path)?;
        self.file.set_len(0).map_err(failed(&self.path, "cut"))?;
        self.end = 0;
        Ok(())
    }

    fn last_of(path: &Path) -> Result<Option<u64>, SinkError> {
        match File::open(path) {
            Ok(file) => Ok(Tail::read(path, &file)?.last_seq),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(path, "open")(error)),
        }
    }
}

/// The end of a file of lines.
struct Tail {
    /// Where the last whole line ends.
    end: u64,
    /// The number of the last whole line.
    last_seq: Option<u64>,
}

impl Tail {
    fn read(path: &Path, file: &File) -> Result<Self, SinkError> {
        let bytes = file.metadata().map_err(failed(path, "read"))?.len();
        // Enough for a torn line and a whole one before it.
        let kept = usize::try_from(bytes).map_or(TAIL_BYTES, |bytes| bytes.min(TAIL_BYTES));
        let start = bytes - kept as u64;
        let mut tail = vec![0; kept];
        file.read_exact_at(&mut tail, start).map_err(failed(path, "read"))?;
        let whole = tail.iter().rposition(|byte| *byte == b'\n');
        let Some(lines) = whole.and_then(|end| tail.get(..end)) else {
            return Self::without_lines(path, start);
        };
        let begin = lines.iter().rposition(|byte| *byte == b'\n').map_or(0, |place| place + 1);
        let line = lines.get(begin..).unwrap_or_default();
        let entry =
            Entry::from_line(line).map_err(|why| not_ours(path, start + begin as u64, why))?;
        Ok(Self { end: start + lines.len() as u64 + 1, last_seq: Some(entry.link.seq) })
    }

    /// A file with less than a line is empty; a long one without lines is not ours.
    fn without_lines(path: &Path, start: u64) -> Result<Self, SinkError> {
        if start > 0 {
            return Err(not_ours(path, start, EntryError::NotALine));
        }
        Ok(Self { end: 0, last_seq: None })
    }
}

fn not_ours(path: &Path, offset: u64, why: EntryError) -> SinkError {
    SinkError::NotOurs { path: path.to_owned(), offset, why }
}

fn create(path: &Path) -> Result<File, SinkError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(failed(path, "open"))
}

fn rename(from: &Path, to: &Path) -> Result<(), SinkError> {
    match fs::rename(from, to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(from, "rename")(error)),
        _ => Ok(()),
    }
}

fn backup(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

fn failed(path: &Path, verb: &'static str) -> impl Fn(io::Error) -> SinkError {
    move |source| SinkError::Io { path: path.to_owned(), verb, source }
}

/// LIMIT: lines are written when this many bytes wait.
const WAITING_BYTES_MAX: usize = 64 << 10;
/// LIMIT: more backups than this are not kept.
const BACKUPS_MAX: u32 = 1_000;
const TAIL_BYTES: usize = 2 * (LINE_BYTES_MAX + 1);

#[cfg(test)]
mod tests;
