//! Lets old log segments go: a snapshot instead of their changes, the archive instead of their
//! audit records, moved envelopes instead of theirs.
//!
//! It works from the files alone: the last snapshot and the sealed segments behind it make the
//! next one, so commits are not held up; the live state only learns where envelopes went, a few
//! at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;

use audit::ArchiveError;
use gate::types::MessageId;

use super::OpenError;
use super::archive::Archive;
use super::bodies::{BodyReader, BodyWriter};
use super::change::{Body, BodyFile};
use super::folder::numbered;
use super::replay::{Checked, Step, Walk, decode, entries};
use super::shared::Shared;
use super::snapshot::Snapshot;
use super::state::{State, Use};

/// Up to where a checkpoint goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Upto {
    /// Segments before this one are sealed; they are let go.
    pub(super) segment: u64,
    /// The log position that the snapshot is of; not before the beginning of that segment.
    pub(super) position: u64,
}

/// Why a checkpoint was not made.
#[derive(Debug, thiserror::Error)]
pub(super) enum CheckpointError {
    #[error(transparent)]
    Log(#[from] OpenError),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error("{0}")]
    Envelope(String),
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The snapshot has its name, what depends on it may not be so.
    #[error("a checkpoint was broken off: {0}")]
    Halfway(io::Error),
}

impl CheckpointError {
    /// Returns whether it is unknown what is on disk, so that trying again could lose something;
    /// otherwise the files are as usable as before.
    fn is_final(&self) -> bool {
        match self {
            Self::Halfway(_) => true,
            Self::Archive(error) => matches!(error, ArchiveError::Io { verb: "sync", .. }),
            Self::Log(_) | Self::Envelope(_) | Self::Io(_) => false,
        }
    }
}

/// Makes checkpoints, one after the other.
#[derive(Debug)]
pub(super) struct Checkpointer {
    shared: Arc<Shared>,
    archive: Option<Archive>,
}

type Move = (MessageId, Body, Body);

impl Checkpointer {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared, archive: None }
    }

    /// Makes a checkpoint for each wish until the other end of `wanted` is gone.
    pub(super) fn run(mut self, wanted: &Receiver<()>) -> Self {
        while wanted.recv().is_ok() && self.shared.fatal.error().is_none() {
            let upto = *self.shared.active.lock();
            self.checkpoint_or_warn(upto);
        }
        self
    }

    /// Makes a checkpoint; after a failure the log stays and the next one tries again, unless it
    /// is unknown what is on disk: then the store stops.
    pub(super) fn checkpoint_or_warn(&mut self, upto: Upto) {
        if let Err(error) = self.checkpoint(upto) {
            // What the archive has written is found again when it is opened.
            self.archive = None;
            if error.is_final() {
                self.shared.fatal.die(error.to_string());
            } else {
                tracing::error!(%error, "no checkpoint could be made, the log is kept");
            }
        }
    }

    pub(super) fn checkpoint(&mut self, upto: Upto) -> Result<(), CheckpointError> {
        let shared = Arc::clone(&self.shared);
        let sealed_bytes = shared.sealed_bytes.load(Ordering::Relaxed);
        let log = shared.folder.log();
        let segments = numbered(&log, "seg").map_err(OpenError::io(&log, "list"))?;
        let mut snapshot = Snapshot::newest(&shared.folder, &shared.options, Use::Copy)?;
        let lowest = segments.first().copied().unwrap_or(upto.segment);
        if lowest >= upto.segment && snapshot.position >= upto.position {
            return Ok(());
        }
        self.replay(&mut snapshot, lowest, upto)?;
        let moves = self.move_bodies(&mut snapshot.state, upto.segment)?;
        let (draft, bytes) = snapshot.draft(&shared.folder, &*shared.disk)?;
        shared.disk.rename(&draft, &shared.folder.snapshot(snapshot.position))?;
        shared.snapshot_bytes.store(bytes, Ordering::Relaxed);
        let sealed: Vec<u64> = segments.into_iter().filter(|n| *n < upto.segment).collect();
        self.settle(&snapshot, &moves, &sealed).map_err(CheckpointError::Halfway)?;
        // Not before: after a failure the next full segment asks again.
        shared.sealed_bytes.fetch_sub(sealed_bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Makes everything follow the snapshot that has just got its name. Nothing here may be
    /// tried again: the next checkpoint would begin with a snapshot that does not hold.
    fn settle(&self, snapshot: &Snapshot, moves: &[Move], sealed: &[u64]) -> io::Result<()> {
        let shared = &self.shared;
        shared.disk.sync_folder(&shared.folder.snapshots())?;
        for some in moves.chunks(MOVES_PER_LOCK) {
            let mut state = shared.state.lock();
            for (message, from, to) in some {
                state.relocate(*message, *from, *to);
            }
        }
        shared.state.lock().purge_windows();
        shared.spares.recycle(sealed)?;
        self.remove_old(snapshot)
    }

    /// Brings the snapshot forward and the records of sealed segments into the archive.
    fn replay(
        &mut self,
        snapshot: &mut Snapshot,
        lowest: u64,
        upto: Upto,
    ) -> Result<(), CheckpointError> {
        let folder = &self.shared.folder;
        let mut walk = Walk::begin_segment(folder, lowest)?;
        let archive = match &mut self.archive {
            Some(archive) => archive,
            none => {
                let disk = Arc::clone(&self.shared.disk);
                let file_bytes = self.shared.options.archive_bytes;
                let log_from = walk.segment.head.next_seq;
                none.insert(Archive::open(&folder.audit(), file_bytes, disk, log_from)?)
            }
        };
        while walk.position() < upto.position {
            match walk.step()? {
                Step::Frame(frame) => {
                    let mut changes = decode(&walk.segment, &frame)?;
                    if walk.segment.position(frame.offset) >= snapshot.position {
                        let checked = Checked::new(&mut snapshot.chain, changes);
                        snapshot.apply(&walk.segment, &frame, &checked)?;
                        changes = checked.changes;
                    }
                    if walk.segment.head.number < upto.segment {
                        for (entry, salt) in entries(changes) {
                            archive.append(&entry, salt)?;
                        }
                    }
                }
                Step::Next => {}
                Step::End(_) => {
                    let what = format!("the log ends before position {}", upto.position);
                    return Err(OpenError::corrupt(&walk.segment.path, walk.offset, what).into());
                }
            }
        }
        archive.sync()?;
        Ok(())
    }

    /// Copies live envelopes out of sealed segments, and out of files that are mostly dead or
    /// small: each byte is copied a bounded number of times, however many messages are kept.
    fn move_bodies(&self, state: &mut State, segment: u64) -> Result<Vec<Move>, CheckpointError> {
        let folder = &self.shared.folder;
        let worn = self.worn_files(state)?;
        let mut moving: Vec<(MessageId, Body)> = state
            .bodies()
            .filter(|(_, body)| match body.file {
                BodyFile::Segment(number) => number < segment,
                BodyFile::Moved(number) => worn.contains(&number),
            })
            .collect();
        moving.sort_unstable_by_key(|(_, body)| (body.file, body.offset));
        let next = numbered(&folder.bodies(), "body")?.last().map_or(1, |last| last + 1);
        let mut reader = BodyReader::new(folder);
        let mut writer = BodyWriter::new(folder, &*self.shared.disk, next);
        let mut moves = Vec::with_capacity(moving.len());
        for (message, from) in moving {
            let envelope = match (reader.read(from), from.file) {
                (Ok(envelope), _) => envelope,
                // Its file stays for it, so nothing else has to wait.
                (Err(why), BodyFile::Moved(_)) => {
                    tracing::error!(%message, why, "an envelope cannot be read, it is not moved");
                    continue;
                }
                (Err(why), BodyFile::Segment(_)) => return Err(CheckpointError::Envelope(why)),
            };
            let to = writer.write(&envelope, from.crc)?;
            state.relocate(message, from, to);
            moves.push((message, from, to));
        }
        writer.finish()?;
        Ok(moves)
    }

    /// Returns the files of moved envelopes that are worth emptying.
    fn worn_files(&self, state: &State) -> Result<BTreeSet<u64>, CheckpointError> {
        let folder = &self.shared.folder;
        let live = live_bytes(state);
        let (mut worn, mut small) = (BTreeSet::new(), BTreeSet::new());
        for (number, live) in live {
            let size = fs::metadata(folder.body_file(number))?.len();
            if live.saturating_mul(2) < size {
                worn.insert(number);
            } else if size < SMALL_BYTES {
                small.insert(number);
            }
        }
        // A single small file is only written again together with something.
        if small.len() > 1 || !worn.is_empty() {
            worn.append(&mut small);
        }
        Ok(worn)
    }

    /// Removes what the new snapshot no longer needs.
    fn remove_old(&self, snapshot: &Snapshot) -> io::Result<()> {
        let (folder, disk) = (&self.shared.folder, &self.shared.disk);
        let live = live_bytes(&snapshot.state);
        for number in numbered(&folder.bodies(), "body")? {
            if !live.contains_key(&number) {
                disk.remove(&folder.body_file(number))?;
            }
        }
        for position in numbered(&folder.snapshots(), "snap")? {
            if position < snapshot.position {
                disk.remove(&folder.snapshot(position))?;
            }
        }
        Ok(())
    }
}

/// Returns the files of moved envelopes with the bytes in them that are still needed.
fn live_bytes(state: &State) -> BTreeMap<u64, u64> {
    let mut live: BTreeMap<u64, u64> = BTreeMap::new();
    for (_, body) in state.bodies() {
        if let BodyFile::Moved(number) = body.file {
            let bytes = live.entry(number).or_default();
            *bytes = bytes.saturating_add(u64::from(body.len));
        }
    }
    live
}

/// LIMIT: envelopes whose new place the live state learns under one lock.
const MOVES_PER_LOCK: usize = 256;
/// Smaller files of moved envelopes are joined.
const SMALL_BYTES: u64 = 4 << 20;
