//! Walks the log and does its changes again: for the start and for checkpoints.
//!
//! It also recomputes the audit chain and compares it with what is stored.

use std::sync::Arc;

use audit::{Chain, Entry, Link, Salt};

use super::change::Change;
use super::folder::{Folder, numbered};
use super::frame;
use super::segment::{At, Frame, Segment};
use super::snapshot::Snapshot;
use super::state::{Origin, Use};
use super::{OpenError, Options};

/// A log being read, segment after segment.
#[derive(Debug)]
pub(super) struct Walk {
    folder: Folder,
    pub(super) segment: Arc<Segment>,
    pub(super) offset: u64,
}

/// One step of a walk.
#[derive(Debug)]
pub(super) enum Step {
    Frame(Frame),
    /// The walk went on to this segment, which follows without a gap.
    Next,
    /// No frame is here and no segment follows; true if there is a part of a frame.
    End(bool),
}

impl Walk {
    /// Begins at a log position; nothing if there is no log yet.
    pub(super) fn begin(folder: &Folder, position: u64) -> Result<Option<Self>, OpenError> {
        let log = folder.log();
        let numbers = numbered(&log, "seg").map_err(OpenError::io(&log, "list"))?;
        let mut found = None;
        for number in numbers {
            let segment = Segment::open(&folder.segment(number), number)?;
            if segment.head.start > position {
                break;
            }
            found = Some(segment);
        }
        let Some(segment) = found else {
            if position > 0
                || !numbered(&log, "seg").map_err(OpenError::io(&log, "list"))?.is_empty()
            {
                let what = format!("the log does not reach back to position {position}");
                return Err(OpenError::corrupt(&log, 0, what));
            }
            return Ok(None);
        };
        let Some(offset) = segment.offset(position) else {
            let what = format!("position {position} is behind the end of the log");
            return Err(OpenError::corrupt(&segment.path, segment.len, what));
        };
        Ok(Some(Self { folder: folder.clone(), segment: Arc::new(segment), offset }))
    }

    /// Begins with the first frame of a segment.
    pub(super) fn begin_segment(folder: &Folder, number: u64) -> Result<Self, OpenError> {
        let segment = Arc::new(Segment::open(&folder.segment(number), number)?);
        Ok(Self { folder: folder.clone(), segment, offset: super::segment::FRAMES_FROM })
    }

    pub(super) const fn folder(&self) -> &Folder {
        &self.folder
    }

    pub(super) fn position(&self) -> u64 {
        self.segment.position(self.offset)
    }

    /// Returns whether there are segments behind this one.
    pub(super) fn is_followed(&self) -> std::io::Result<bool> {
        let last = numbered(&self.folder.log(), "seg")?.last().copied();
        Ok(last.is_some_and(|last| last > self.segment.head.number))
    }

    /// Returns whether a whole frame is here.
    pub(super) fn is_whole(&self) -> std::io::Result<bool> {
        Ok(matches!(self.segment.frame_at(self.offset)?, At::Frame(_)))
    }

    pub(super) fn step(&mut self) -> Result<Step, OpenError> {
        let path = &self.segment.path;
        let is_broken =
            match self.segment.frame_at(self.offset).map_err(OpenError::io(path, "read"))? {
                At::Frame(frame) => {
                    self.offset = frame.next();
                    return Ok(Step::Frame(frame));
                }
                At::Broken => true,
                At::Nothing => false,
            };
        let number = self.segment.head.number.saturating_add(1);
        let next = self.folder.segment(number);
        if !next.exists() {
            return Ok(Step::End(is_broken));
        }
        let next = Segment::open(&next, number)?;
        if next.head.start != self.position() {
            let what = format!(
                "no whole frame is here, but segment {number} follows at position {}",
                next.head.start
            );
            return Err(OpenError::corrupt(path, self.offset, what));
        }
        self.segment = Arc::new(next);
        self.offset = super::segment::FRAMES_FROM;
        Ok(Step::Next)
    }
}

impl Snapshot {
    /// Returns the newest snapshot that can be used, or the empty state.
    pub(super) fn newest(
        folder: &Folder,
        options: &Options,
        usage: Use,
    ) -> Result<Self, OpenError> {
        let snapshots = folder.snapshots();
        let list = numbered(&snapshots, "snap").map_err(OpenError::io(&snapshots, "list"))?;
        let mut damage = None;
        for position in list.into_iter().rev() {
            match Self::read(&folder.snapshot(position), options, usage) {
                Ok(snapshot) => {
                    if let Some(damage) = damage {
                        // A snapshot before the damaged one is good if the log goes back to it.
                        if Walk::begin(folder, position).is_err() {
                            return Err(damage);
                        }
                        tracing::warn!(%damage, "a damaged snapshot is passed over");
                    }
                    return Ok(snapshot);
                }
                Err(OpenError::Corrupt { file, offset, what }) => {
                    damage.get_or_insert(OpenError::Corrupt { file, offset, what });
                }
                Err(other) => return Err(other),
            }
        }
        damage.map_or_else(|| Ok(Self::empty(options, usage)), Err)
    }

    /// Does the changes of a frame.
    ///
    /// # Errors
    ///
    /// Fails with the place if they do not fit the state or the audit chain.
    pub(super) fn apply(
        &mut self,
        segment: &Segment,
        frame: &Frame,
        checked: &Checked,
    ) -> Result<(), OpenError> {
        let bad = |what: String| OpenError::corrupt(&segment.path, frame.offset, what);
        let origin = Origin { segment: segment.head.number, body_at: frame.body_at() };
        for change in &checked.changes {
            self.state
                .apply(change, &origin, None)
                .map_err(|misfit| bad(format!("a change names {}", misfit.0)))?;
        }
        if let Some(seq) = checked.unchained {
            return Err(bad(format!("audit record {seq} does not continue the chain")));
        }
        self.position = segment.position(frame.next());
        Ok(())
    }
}

/// The changes of a frame, their audit records compared with the chain.
#[derive(Debug)]
pub(super) struct Checked {
    /// All of them, or those before the record that does not continue the chain.
    pub(super) changes: Vec<Change>,
    /// The number of that record.
    unchained: Option<u64>,
}

impl Checked {
    /// Adds the records to the chain as far as they are what continues it.
    pub(super) fn new(chain: &mut Chain, mut changes: Vec<Change>) -> Self {
        let unchained = changes.iter().enumerate().find_map(|(index, change)| {
            let Change::Record { seq, prev, hash, body, .. } = change else { return None };
            let is_next = chain.append(body) == Link { seq: *seq, prev: *prev, hash: *hash };
            (!is_next).then_some((index, *seq))
        });
        if let Some((index, _)) = unchained {
            changes.truncate(index);
        }
        Self { changes, unchained: unchained.map(|(_, seq)| seq) }
    }
}

/// Returns the changes in a frame.
pub(super) fn decode(segment: &Segment, frame: &Frame) -> Result<Vec<Change>, OpenError> {
    frame::changes(&frame.head, &frame.body)
        .map_err(|what| OpenError::corrupt(&segment.path, frame.offset, what))
}

/// Returns the audit entries among changes, with the salts of their commitments.
pub(super) fn entries(changes: Vec<Change>) -> impl Iterator<Item = (Entry, Option<Salt>)> {
    changes.into_iter().filter_map(|change| {
        let Change::Record { seq, prev, hash, body, salt } = change else { return None };
        Some((Entry { link: Link { seq, prev, hash }, body }, salt))
    })
}
