//! Reads archives one entry at a time, in constant memory.
//!
//! After damage it goes on at the next whole frame, so that a check finds every
//! place; who must not pass over damage stops at the first error.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::vec;

use super::frame::{self, At, MAGIC};
use super::{ArchiveError, Damage, EXTENSION, Fault};
use crate::{Entries, Entry, Spot};

/// An iterator over the entries of one archive file or of all in a folder.
#[derive(Debug)]
pub struct ArchiveReader {
    waiting: vec::IntoIter<PathBuf>,
    current: Option<Open>,
    /// Where the entry returned last begins.
    last: Option<Spot>,
}

#[derive(Debug)]
struct Open {
    path: Arc<PathBuf>,
    file: Ahead,
    /// The size when the file was opened; a writer may be adding to it.
    bytes: u64,
    offset: u64,
}

/// A file that is read in large pieces: one call of the system for many entries.
#[derive(Debug)]
struct Ahead {
    file: File,
    /// What was read last, and where it begins.
    bytes: Vec<u8>,
    begin: u64,
}

impl Ahead {
    const fn new(file: File) -> Self {
        Self { file, bytes: Vec::new(), begin: 0 }
    }

    /// Returns as many bytes from a place on, if they have been read.
    fn held(&self, offset: u64, count: usize) -> Option<&[u8]> {
        let from = usize::try_from(offset.checked_sub(self.begin)?).ok()?;
        self.bytes.get(from..from.checked_add(count)?)
    }

    /// Reads a piece from a place on, shorter at the end of the file.
    fn read(&mut self, offset: u64) -> io::Result<()> {
        self.bytes.resize(PIECE_BYTES, 0);
        self.begin = offset;
        let mut have = 0;
        while let Some(rest) = self.bytes.get_mut(have..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, offset + have as u64) {
                Ok(0) => break,
                Ok(count) => have += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.bytes.clear();
                    return Err(error);
                }
            }
        }
        self.bytes.truncate(have);
        Ok(())
    }
}

impl frame::Read for &mut Ahead {
    fn fill(&mut self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        if self.held(offset, bytes.len()).is_none() {
            self.read(offset)?;
        }
        match self.held(offset, bytes.len()) {
            Some(held) => {
                bytes.copy_from_slice(held);
                Ok(())
            }
            // Longer than a piece, or behind the end of the file.
            None => self.file.read_exact_at(bytes, offset),
        }
    }
}

impl ArchiveReader {
    /// Opens an archive file, or a folder whose `.audit` files are read in the order of their
    /// names.
    ///
    /// # Errors
    /// Fails if the path cannot be read. Damage inside is reported as it is reached.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ArchiveError> {
        let path = path.as_ref();
        let failed = |source| ArchiveError::Io { path: path.to_owned(), verb: "read", source };
        let mut files = Vec::new();
        if fs::metadata(path).map_err(failed)?.is_dir() {
            for found in fs::read_dir(path).map_err(failed)? {
                let found = found.map_err(failed)?.path();
                if found.extension().is_some_and(|extension| extension == EXTENSION) {
                    files.push(found);
                }
            }
            files.sort();
        } else {
            File::open(path).map_err(failed)?;
            files.push(path.to_owned());
        }
        Ok(Self { waiting: files.into_iter(), current: None, last: None })
    }
}

impl Iterator for ArchiveReader {
    type Item = Result<Entry, Damage>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.current.is_none() {
                match Open::begin(self.waiting.next()?) {
                    Ok(open) => self.current = open,
                    Err(damage) => return Some(Err(damage)),
                }
            }
            let Some(open) = &mut self.current else { continue };
            match open.next() {
                Some(Err(damage)) if matches!(damage.what, Fault::Unreadable(_)) => {
                    self.current = None;
                    return Some(Err(damage));
                }
                Some(Ok((offset, entry))) => {
                    self.last = Some(Spot { path: Arc::clone(&open.path), offset });
                    return Some(Ok(entry));
                }
                Some(Err(damage)) => return Some(Err(damage)),
                None => self.current = None,
            }
        }
    }
}

impl Entries for ArchiveReader {
    fn spot(&self) -> Option<Spot> {
        self.last.clone()
    }
}

impl Open {
    /// Opens a file past its first bytes; an empty file, as a crash leaves one, has no entries.
    fn begin(path: PathBuf) -> Result<Option<Self>, Damage> {
        let damage = |offset, what| Damage { path: path.clone(), offset, what };
        let unreadable = |error: io::Error| damage(0, Fault::Unreadable(error.kind()));
        let file = File::open(&path).map_err(unreadable)?;
        let bytes = file.metadata().map_err(unreadable)?.len();
        if bytes == 0 {
            return Ok(None);
        }
        match fault_at_start(&file, bytes).map_err(unreadable)? {
            None => {
                let (path, offset) = (path.into(), MAGIC.len() as u64);
                Ok(Some(Self { path, file: Ahead::new(file), bytes, offset }))
            }
            Some(fault) => Err(damage(0, fault)),
        }
    }

    /// Returns the next entry and where it begins.
    fn next(&mut self) -> Option<Result<(u64, Entry), Damage>> {
        let found =
            frame::read_at(&mut self.file, self.offset, self.bytes).and_then(|at| match at {
                At::End => Ok(None),
                At::Entry(entry, next) => Ok(Some((next, Ok(entry)))),
                At::Broken => {
                    let next = frame::find(&self.file.file, self.offset + 1, self.bytes)?;
                    let bytes = next - self.offset;
                    let torn = next == self.bytes;
                    let what =
                        if torn { Fault::TornTail { bytes } } else { Fault::Broken { bytes } };
                    Ok(Some((next, Err(what))))
                }
            });
        let offset = self.offset;
        let found = match found {
            Ok(None) => return None,
            Ok(Some((next, found))) => {
                self.offset = next;
                found
            }
            Err(error) => Err(Fault::Unreadable(error.kind())),
        };
        let damage = |what| Damage { path: self.path.to_path_buf(), offset, what };
        Some(found.map(|entry| (offset, entry)).map_err(damage))
    }
}

/// LIMIT: what is read at once.
const PIECE_BYTES: usize = 64 << 10;

/// Returns what is wrong with the first bytes of a file, if they are not those of an archive.
pub(super) fn fault_at_start(file: &File, bytes: u64) -> io::Result<Option<Fault>> {
    let mut start = [0; MAGIC.len()];
    if bytes < start.len() as u64 {
        return Ok(Some(Fault::NotAnArchive));
    }
    file.read_exact_at(&mut start, 0)?;
    let (Some((version, name)), Some((_, known))) = (start.split_last(), MAGIC.split_last()) else {
        return Ok(Some(Fault::NotAnArchive));
    };
    Ok(match (name == known, *version) {
        (true, frame::VERSION) => None,
        (true, version) => Some(Fault::OtherVersion { version }),
        (false, _) => Some(Fault::NotAnArchive),
    })
}
