//! Pre-filled files that become segments, so that a commit does not wait for the file system.
//!
//! One is kept ahead; segments that a checkpoint has emptied are used again.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;

use audit::Disk;
use parking_lot::Mutex;

use super::OpenError;
use super::disk::fill;
use super::folder::{Folder, numbered};

/// The files that wait to become segments.
#[derive(Debug)]
pub(super) struct Spares {
    folder: Folder,
    disk: Arc<dyn Disk>,
    /// The size of a segment.
    bytes: u64,
    waiting: Mutex<Vec<PathBuf>>,
    next: AtomicU64,
}

impl Spares {
    /// Takes over what an earlier process left.
    pub(super) fn open(
        folder: &Folder,
        disk: Arc<dyn Disk>,
        bytes: u64,
    ) -> Result<Self, OpenError> {
        let (log, mut next) = (folder.log(), 1);
        let list = |extension| numbered(&log, extension).map_err(OpenError::io(&log, "list"));
        for number in list("filling")? {
            let path = folder.filling(number);
            disk.remove(&path).map_err(OpenError::io(&path, "remove"))?;
        }
        let spares = Self {
            folder: folder.clone(),
            disk,
            bytes,
            waiting: Mutex::default(),
            next: AtomicU64::new(1),
        };
        // A name that is not on disk yet must not lead back to the segment that the file was.
        spares.disk.sync_folder(&log).map_err(OpenError::io(&log, "sync"))?;
        for number in list("spare")? {
            spares.keep(folder.spare(number)).map_err(OpenError::io(&log, "clear"))?;
            next = number.saturating_add(1);
        }
        spares.next.store(next, Ordering::Relaxed);
        Ok(spares)
    }

    /// Returns a file of zeros or of stale frames with at least so many bytes.
    pub(super) fn take(&self, needed: u64) -> std::io::Result<PathBuf> {
        let waiting = if needed <= self.bytes { self.waiting.lock().pop() } else { None };
        waiting.map_or_else(|| self.make(needed.max(self.bytes)), Ok)
    }

    /// Returns the size of a segment.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Makes a file of zeros.
    pub(super) fn make(&self, bytes: u64) -> std::io::Result<PathBuf> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (filling, spare) = (self.folder.filling(number), self.folder.spare(number));
        fill(&*self.disk, &filling, bytes)?;
        self.disk.rename(&filling, &spare)?;
        Ok(spare)
    }

    /// Uses the files of emptied segments again, or removes them if there are enough.
    pub(super) fn recycle(&self, segments: &[u64]) -> std::io::Result<()> {
        let mut renamed = Vec::with_capacity(segments.len());
        for number in segments {
            let spare = self.folder.spare(self.next.fetch_add(1, Ordering::Relaxed));
            self.disk.rename(&self.folder.segment(*number), &spare)?;
            renamed.push(spare);
        }
        // INVARIANT: no file gets the head of a later segment while a loss of power could bring
        // its old name back.
        self.disk.sync_folder(&self.folder.log())?;
        renamed.into_iter().try_for_each(|spare| self.keep(spare))
    }

    fn keep(&self, path: PathBuf) -> std::io::Result<()> {
        let fits = fs::metadata(&path)?.len() == self.bytes;
        let mut waiting = self.waiting.lock();
        if fits && waiting.len() < SPARES_MAX {
            waiting.push(path);
            return Ok(());
        }
        drop(waiting);
        self.disk.remove(&path)
    }

    /// Keeps one file ahead until the other end of `wanted` is gone.
    pub(super) fn run(&self, wanted: &Receiver<()>) {
        while wanted.recv().is_ok() {
            if !self.waiting.lock().is_empty() {
                continue;
            }
            let made = self.make(self.bytes);
            match made.and_then(|path| self.disk.sync_folder(&self.folder.log()).map(|()| path)) {
                Ok(path) => self.waiting.lock().push(path),
                Err(error) => tracing::warn!(%error, "cannot make the next log segment ahead"),
            }
        }
    }
}

/// LIMIT: emptied segments that are kept for use.
const SPARES_MAX: usize = 2;
