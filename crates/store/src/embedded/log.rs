//! The end of the log: room for the next frame, writing it, and the next segment.
//!
//! Only the committer has it. A failed write or sync is never repeated: the caller stops.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use audit::Disk;

use super::Durability;
use super::disk::is_no_room;
use super::folder::Folder;
use super::frame::{FrameWriter, Place};
use super::segment::{FRAMES_FROM, SegmentHead};
use super::spares::Spares;

/// Where the log ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LogEnd {
    /// The last segment.
    pub(super) number: u64,
    /// Its size.
    pub(super) len: u64,
    /// Where in it the next frame goes.
    pub(super) offset: u64,
    /// The log position of that.
    pub(super) position: u64,
    /// Whether something on disk says that the last frame was whole.
    pub(super) is_proven: bool,
}

/// The end of the log, for writing.
#[derive(Debug)]
pub(super) struct Log {
    folder: Folder,
    disk: Arc<dyn Disk>,
    spares: Arc<Spares>,
    want_spare: SyncSender<()>,
    durability: Durability,
    file: File,
    end: LogEnd,
    /// Up to where the log is known to be on disk.
    synced: u64,
}

/// Why nothing can be added.
#[derive(Debug)]
pub(super) enum NoRoom {
    /// The disk is full; nothing has happened.
    DiskFull,
    /// The log cannot be written any more.
    Broken(io::Error),
}

impl NoRoom {
    pub(super) fn into_io(self) -> io::Error {
        match self {
            Self::DiskFull => io::ErrorKind::StorageFull.into(),
            Self::Broken(error) => error,
        }
    }
}

impl From<io::Error> for NoRoom {
    fn from(error: io::Error) -> Self {
        if is_no_room(&error) { Self::DiskFull } else { Self::Broken(error) }
    }
}

/// What the log writes with.
#[derive(Debug)]
pub(super) struct Tools {
    pub(super) folder: Folder,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) spares: Arc<Spares>,
    pub(super) want_spare: SyncSender<()>,
    pub(super) durability: Durability,
}

impl Log {
    /// Opens the last segment, making the first one of an empty log.
    pub(super) fn open(tools: Tools, end: Option<LogEnd>) -> Result<Self, NoRoom> {
        let Tools { folder, disk, spares, want_spare, durability } = tools;
        let (file, end) = if let Some(end) = end {
            let path = folder.segment(end.number);
            (disk.open(&path)?, end)
        } else {
            // The first segment is small, so that the first start is quick.
            let head = SegmentHead { number: 1, start: 0, next_seq: 1 };
            let spare = spares.make(FIRST_BYTES.min(spares.bytes()))?;
            begin(&folder, &*disk, &spare, head)?
        };
        let log =
            Self { folder, disk, spares, want_spare, durability, file, end, synced: end.position };
        // What was found after a loss of power may not be on disk yet.
        log.disk.sync(&log.file).map_err(NoRoom::Broken)?;
        log.ask_for_spare();
        Ok(log)
    }

    pub(super) const fn end(&self) -> LogEnd {
        self.end
    }

    /// Returns the log position of the last segment's first frame.
    pub(super) const fn start(&self) -> u64 {
        self.end.position.saturating_sub(self.end.offset.saturating_sub(FRAMES_FROM))
    }

    pub(super) const fn synced(&self) -> u64 {
        self.synced
    }

    /// Makes sure that a frame of so many bytes fits; returns the bytes of a segment that was
    /// sealed for it.
    pub(super) fn reserve(&mut self, bytes: u64, next_seq: u64) -> Result<Option<u64>, NoRoom> {
        if self.end.offset.saturating_add(bytes) <= self.end.len {
            return Ok(None);
        }
        let sealed = self.end.len;
        self.roll(bytes.saturating_add(FRAMES_FROM), next_seq)?;
        Ok(Some(sealed))
    }

    /// Appends a frame; when this returns it is as durable as the setting says. Without room for
    /// it, which only a file system that copies on writing reports here, it can be tried again.
    pub(super) fn append(&mut self, frame: &[u8]) -> Result<(), NoRoom> {
        self.write(frame)?;
        if self.durability == Durability::Fsync {
            self.sync().map_err(NoRoom::Broken)?;
        }
        self.end.is_proven = false;
        Ok(())
    }

    /// Returns whether the last frame is on disk and nothing behind it says so.
    pub(super) const fn wants_mark(&self) -> bool {
        !self.end.is_proven && self.synced == self.end.position
    }

    /// Writes an empty frame, so that damage to the frame before is not taken for a torn end.
    /// It need not be synced: without it, that frame is only the last one again.
    pub(super) fn mark(&mut self, next_seq: u64) -> Result<(), NoRoom> {
        let place = Place { position: self.end.position, synced: self.synced, next_seq };
        let frame = FrameWriter::new(0).finish(0, place).unwrap_or_default();
        if self.end.offset.saturating_add(frame.len() as u64) <= self.end.len {
            self.write(&frame)?;
        }
        self.end.is_proven = true;
        Ok(())
    }

    fn write(&mut self, frame: &[u8]) -> Result<(), NoRoom> {
        self.disk.write(&self.file, frame, self.end.offset).map_err(NoRoom::from)?;
        self.end.offset = self.end.offset.saturating_add(frame.len() as u64);
        self.end.position = self.end.position.saturating_add(frame.len() as u64);
        Ok(())
    }

    /// Brings everything to the disk.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.disk.sync(&self.file)?;
        self.synced = self.end.position;
        Ok(())
    }

    fn roll(&mut self, needed: u64, next_seq: u64) -> Result<(), NoRoom> {
        // INVARIANT: a segment is on disk as a whole before the next one exists.
        self.sync().map_err(NoRoom::Broken)?;
        let spare = self.spares.take(needed).map_err(NoRoom::from)?;
        let head = SegmentHead { number: self.end.number + 1, start: self.end.position, next_seq };
        (self.file, self.end) = begin(&self.folder, &*self.disk, &spare, head)?;
        self.ask_for_spare();
        Ok(())
    }

    fn ask_for_spare(&self) {
        // A full channel means that it was asked already.
        self.want_spare.try_send(()).unwrap_or_default();
    }
}

/// Turns a spare into the segment with this head.
fn begin(
    folder: &Folder,
    disk: &dyn Disk,
    spare: &Path,
    head: SegmentHead,
) -> Result<(File, LogEnd), NoRoom> {
    let named = name(folder, disk, spare, head).map_err(|error| {
        if is_no_room(&error) {
            // It is nothing yet. If it stays behind, it is a spare again at the next start.
            disk.remove(spare).unwrap_or_default();
        }
        NoRoom::from(error)
    });
    let (file, len) = named?;
    disk.sync_folder(&folder.log()).map_err(NoRoom::Broken)?;
    let (number, position) = (head.number, head.start);
    let end = LogEnd { number, len, offset: FRAMES_FROM, position, is_proven: true };
    Ok((file, end))
}

/// Gives a spare its head and its name as a segment.
fn name(
    folder: &Folder,
    disk: &dyn Disk,
    spare: &Path,
    head: SegmentHead,
) -> io::Result<(File, u64)> {
    let file = disk.open(spare)?;
    let len = file.metadata()?.len();
    disk.write(&file, &head.encode(), 0)?;
    disk.sync(&file)?;
    disk.rename(spare, &folder.segment(head.number))?;
    Ok((file, len))
}

const FIRST_BYTES: u64 = 8 << 20;
