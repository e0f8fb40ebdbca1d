//! Opening: the newest snapshot, the log behind it, and what to do about its end.
//!
//! Nothing on disk is changed unless all of it is sound; a torn last frame is overwritten by
//! the next one.

use audit::Disk;

use super::ahead::{self, Ended};
use super::folder::{Folder, numbered};
use super::frame::MAGIC;
use super::log::LogEnd;
use super::replay::Walk;
use super::segment::{FRAMES_FROM, Frame};
use super::snapshot::Snapshot;
use super::state::Use;
use super::{OpenError, Options};

/// What was found on disk.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) snapshot: Snapshot,
    /// Where the log ends; nothing if there is none yet.
    pub(super) end: Option<LogEnd>,
}

/// Reads what is in the folder.
///
/// # Errors
///
/// Fails with the place if anything that was durable is damaged.
pub(super) fn recover(
    folder: &Folder,
    options: &Options,
    disk: &dyn Disk,
) -> Result<Recovered, OpenError> {
    let mut snapshot = Snapshot::newest(folder, options, Use::Serve)?;
    let Some(mut walk) = Walk::begin(folder, snapshot.position)? else {
        return Ok(Recovered { snapshot, end: None });
    };
    // Frames in front of the snapshot are looked at too: their audit records are nowhere else.
    walk.offset = FRAMES_FROM;
    let proven = snapshot.position;
    let Ended { walk, is_broken, is_proven } = ahead::replay(walk, &mut snapshot)?;
    if walk.position() < proven {
        let what = format!("a frame is damaged, a snapshot says that the log goes on to {proven}");
        return Err(OpenError::corrupt(&walk.segment.path, walk.offset, what));
    }
    let (log, number) = (folder.log(), walk.segment.head.number);
    let last = numbered(&log, "seg").map_err(OpenError::io(&log, "list"))?.last().copied();
    if let Some(last) = last.filter(|last| *last > number) {
        let missing = folder.segment(number.saturating_add(1));
        let what = format!("the file is missing, the log goes on up to segment {last}");
        return Err(OpenError::corrupt(&missing, 0, what));
    }
    settle_end(&walk, is_broken, disk)?;
    let place = snapshot.state.queues.next_place();
    snapshot.state.queues.set_durable(place);
    let (len, offset, position) = (walk.segment.len, walk.offset, walk.position());
    Ok(Recovered { snapshot, end: Some(LogEnd { number, len, offset, position, is_proven }) })
}

/// Tells a torn end from damage: frames that were written when the log was on disk up to here
/// prove that what was here is lost.
fn settle_end(walk: &Walk, is_broken: bool, disk: &dyn Disk) -> Result<(), OpenError> {
    let (path, offset, position) = (&walk.segment.path, walk.offset, walk.position());
    let behind = walk.segment.frames_behind(offset).map_err(OpenError::io(path, "read"))?;
    if let Some(proof) = behind.iter().find(|frame| frame.head.synced > position) {
        let what = format!("a frame is damaged, a whole one follows at byte {}", proof.offset);
        return Err(OpenError::corrupt(path, offset, what));
    }
    if is_broken {
        tracing::warn!(
            file = %path.display(),
            offset,
            "the last frame was torn by a crash and is cut; it was never confirmed as durable"
        );
    }
    erase(walk, &behind, disk)
}

/// Erases frames that a loss of power left behind one that it took, so that they never come back.
fn erase(walk: &Walk, frames: &[Frame], disk: &dyn Disk) -> Result<(), OpenError> {
    if frames.is_empty() {
        return Ok(());
    }
    let path = &walk.segment.path;
    let file = disk.open(path).map_err(OpenError::io(path, "open"))?;
    for frame in frames {
        tracing::warn!(
            file = %path.display(),
            offset = frame.offset,
            "a frame behind a lost one is cut; it was never confirmed as durable"
        );
        let zeros = [0; MAGIC.len()];
        disk.write(&file, &zeros, frame.offset).map_err(OpenError::io(path, "write"))?;
    }
    disk.sync(&file).map_err(OpenError::io(path, "sync"))
}
