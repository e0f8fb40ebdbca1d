//! Reads the log for the start on a thread of its own: it finds, checks and decodes frames and
//! chains their records, while the caller does the changes of the frames before.
//!
//! Everything comes in the order of the log, so a fault has the place and the words that it has
//! where one thread does both. Nothing on disk is changed here.

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::Builder;

use audit::Chain;

use super::OpenError;
use super::change::Change;
use super::replay::{Checked, Step, Walk, decode};
use super::segment::{Frame, Segment};
use super::snapshot::Snapshot;

/// The end of the log, as it was found.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) walk: Walk,
    /// Whether there is a part of a frame.
    pub(super) is_broken: bool,
    /// Whether something on disk says that the last frame was whole.
    pub(super) is_proven: bool,
}

/// Does the changes of the frames from the walk's place on that the snapshot does not have yet.
///
/// # Errors
///
/// Fails with the place of the first fault in the log.
pub(super) fn replay(walk: Walk, snapshot: &mut Snapshot) -> Result<Ended, OpenError> {
    let log = walk.folder().log();
    let (parts, received) = sync_channel(PARTS_MAX);
    let reader = Reader {
        walk,
        from: snapshot.position,
        chain: snapshot.chain.clone(),
        is_proven: true,
        part: Vec::new(),
        part_bytes: 0,
        parts,
    };
    std::thread::scope(|scope| {
        let reading = Builder::new()
            .name("store-replay".to_owned())
            .spawn_scoped(scope, move || reader.run())
            .map_err(OpenError::io(&log, "start a thread for"))?;
        let mut frames = received.iter().flatten();
        let applied = frames.try_for_each(|frame: ReadFrame| {
            snapshot.apply(&frame.segment, &frame.frame, &frame.checked)
        });
        // After a fault the reader is not to go on; it sees that nobody listens.
        drop(frames);
        drop(received);
        let read = reading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        // What could not be done comes before what could not be read in the log.
        applied?;
        let (ended, chain) = read?;
        snapshot.chain = chain;
        Ok(ended)
    })
}

/// A frame to be applied.
#[derive(Debug)]
struct ReadFrame {
    segment: Arc<Segment>,
    /// Without its body, which has been decoded.
    frame: Frame,
    /// Without the audit records, which have been chained.
    checked: Checked,
}

struct Reader {
    walk: Walk,
    /// Frames before this log position are in the snapshot.
    from: u64,
    chain: Chain,
    is_proven: bool,
    part: Vec<ReadFrame>,
    part_bytes: u64,
    parts: SyncSender<Vec<ReadFrame>>,
}

impl Reader {
    /// Reads to the end of the log, or until nobody listens.
    fn run(mut self) -> Result<(Ended, Chain), OpenError> {
        let read = self.read();
        // Frames before a fault count: theirs comes first.
        self.hand_over();
        let is_broken = read?;
        let Self { walk, is_proven, chain, .. } = self;
        Ok((Ended { walk, is_broken, is_proven }, chain))
    }

    /// Returns whether the log ends with a part of a frame.
    fn read(&mut self) -> Result<bool, OpenError> {
        loop {
            match self.walk.step()? {
                Step::Frame(frame) if self.walk.segment.position(frame.offset) < self.from => {}
                Step::Frame(frame) => {
                    self.is_proven = frame.is_mark();
                    if !self.take(frame)? {
                        return Ok(false);
                    }
                }
                Step::Next => self.is_proven = true,
                Step::End(is_broken) => return Ok(is_broken),
            }
        }
    }

    /// Adds a frame to the part; returns whether somebody listens.
    fn take(&mut self, mut frame: Frame) -> Result<bool, OpenError> {
        let segment = Arc::clone(&self.walk.segment);
        let changes = decode(&segment, &frame)?;
        let mut checked = Checked::new(&mut self.chain, changes);
        checked.changes.retain(|change| !matches!(change, Change::Record { .. }));
        frame.body = Vec::new();
        self.part_bytes = self.part_bytes.saturating_add(u64::from(frame.head.len));
        self.part.push(ReadFrame { segment, frame, checked });
        let is_full = self.part_bytes >= PART_BYTES || self.part.len() >= PART_LEN;
        Ok(!is_full || self.hand_over())
    }

    fn hand_over(&mut self) -> bool {
        self.part_bytes = 0;
        self.parts.send(std::mem::take(&mut self.part)).is_ok()
    }
}

/// Frames are handed over in parts, so that small ones do not cost a change of threads each.
const PART_BYTES: u64 = 256 << 10;
const PART_LEN: usize = 256;
/// LIMIT: parts that are read ahead; with the largest frames these are a few megabytes of changes.
const PARTS_MAX: usize = 4;
