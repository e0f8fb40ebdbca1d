//! Reads entries back from a JSONL file, as the sink writes it.
//!
//! It reads one file; the backups of a rotated log are chained by the caller,
//! oldest first.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::entry::LINE_HEAD_BYTES;
use crate::{BODY_BYTES_MAX, Damage, Entries, Entry, Fault, Spot};

/// An iterator over the entries of a JSONL file, in constant memory.
#[derive(Debug)]
pub struct LineReader {
    path: Arc<PathBuf>,
    from: BufReader<File>,
    offset: u64,
    /// Where the entry returned last begins.
    last: Option<u64>,
    /// Entries with smaller numbers are passed over.
    from_seq: u64,
    has_failed: bool,
}

impl LineReader {
    /// Opens a JSONL file.
    ///
    /// # Errors
    /// Fails if the file cannot be opened.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref().to_owned();
        let from = BufReader::new(File::open(&path)?);
        let (offset, last, from_seq, has_failed) = (0, None, 0, false);
        Ok(Self { path: path.into(), from, offset, last, from_seq, has_failed })
    }

    /// Passes over entries with smaller numbers.
    #[must_use]
    pub fn from_seq(self, from_seq: u64) -> Self {
        Self { from_seq, ..self }
    }

    fn read(&mut self) -> Result<Option<Entry>, Fault> {
        let mut line = Vec::new();
        let limit = LINE_BYTES_MAX as u64 + 1;
        let read = self.from.by_ref().take(limit).read_until(b'\n', &mut line);
        let read = read.map_err(|error| self.stop(Fault::Unreadable(error.kind())))? as u64;
        self.offset += read;
        if read == 0 {
            return Ok(None);
        }
        match line.strip_suffix(b"\n") {
            Some(line) => Entry::from_line(line).map(Some).map_err(Fault::NotALine),
            None if read == limit => Err(self.stop(Fault::LongLine)),
            None => Err(self.stop(Fault::TornTail { bytes: read })),
        }
    }

    /// Ends the reading: what follows such a fault has no known place.
    const fn stop(&mut self, fault: Fault) -> Fault {
        self.has_failed = true;
        fault
    }
}

impl Iterator for LineReader {
    type Item = Result<Entry, Damage>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.has_failed {
            let offset = self.offset;
            match self.read() {
                Ok(Some(entry)) if entry.link.seq < self.from_seq => {}
                Ok(Some(entry)) => {
                    self.last = Some(offset);
                    return Some(Ok(entry));
                }
                Ok(None) => return None,
                Err(what) => {
                    let path = self.path.to_path_buf();
                    return Some(Err(Damage { path, offset, what }));
                }
            }
        }
        None
    }
}

impl Entries for LineReader {
    fn spot(&self) -> Option<Spot> {
        self.last.map(|offset| Spot { path: Arc::clone(&self.path), offset })
    }
}

/// LIMIT: the bytes of a line without its end.
pub(crate) const LINE_BYTES_MAX: usize = BODY_BYTES_MAX + LINE_HEAD_BYTES;

#[cfg(test)]
mod tests;
