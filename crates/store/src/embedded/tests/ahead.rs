//! The log is read ahead of its changes: all of them are done, and the first fault is named.

use audit::Chain;
use tempfile::TempDir;

use super::*;
use crate::embedded::OpenError;
use crate::embedded::change::{Change, Head, Slot};
use crate::embedded::folder::Folder;
use crate::embedded::frame::{FrameWriter, Place};
use crate::embedded::segment::{FRAMES_FROM, SegmentHead};

/// More frames than are read ahead.
const FRAMES: usize = 3_000;

/// What a frame of the log under test holds.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Sound,
    /// Names a dead letter that there is not.
    Misfit,
    /// Has a record whose hash is another's.
    Unchained,
    /// Has bytes that are no change.
    Unreadable,
}

/// Writes a log of small frames, each sound one with a message and its record; returns where
/// each frame begins.
fn write_log(folder: &TempDir, kind: impl Fn(usize) -> Kind) -> Vec<u64> {
    let place = Folder::new(folder.path());
    std::fs::create_dir_all(place.log()).unwrap();
    let mut bytes = SegmentHead { number: 1, start: 0, next_seq: 1 }.encode();
    let mut chain = Chain::genesis();
    let mut offsets = Vec::new();
    for index in 0..FRAMES {
        let (position, next_seq) = (bytes.len() as u64 - FRAMES_FROM, chain.next_seq());
        let mut frame = FrameWriter::new(0);
        let body = Bytes::from(format!("{{\"number\":{index}}}"));
        let mut link = chain.append(&body);
        match kind(index) {
            Kind::Sound => frame.change(&enqueue(index)).unwrap(),
            Kind::Misfit => {
                frame.change(&Change::Drop { message: MessageId::from_random(7) }).unwrap();
            }
            Kind::Unchained => link.hash = [7; 32],
            Kind::Unreadable => frame.envelope(&Bytes::from_static(&[0xff; 64])),
        }
        let record = Change::Record {
            seq: link.seq,
            prev: link.prev,
            hash: link.hash,
            body,
            salt: Some(salt(1)),
        };
        frame.change(&record).unwrap();
        offsets.push(bytes.len() as u64);
        bytes.extend(frame.finish(0, Place { position, synced: position, next_seq }).unwrap());
    }
    bytes.resize(bytes.len() + 4_096, 0);
    std::fs::write(place.segment(1), bytes).unwrap();
    offsets
}

fn enqueue(index: usize) -> Change {
    let head = Head {
        message: MessageId::from_random(1_000 + index as u128),
        sender: agent("a"),
        queue: QueueKey { agent: agent("b"), instance: None },
        message_type: "t".into(),
        accepted_at: moment(0),
        expires_at: moment(1_000),
    };
    Change::Enqueue { head, slot: Slot { at: 0, len: 0, crc: 0 } }
}

/// Opens a log with these faults; returns which frame is named, and why.
fn refused(faults: &[(usize, Kind)]) -> (usize, String) {
    let folder = tempfile::tempdir().unwrap();
    let offsets = write_log(&folder, |index| {
        faults.iter().find(|(at, _)| *at == index).map_or(Kind::Sound, |(_, kind)| *kind)
    });
    match Embedded::open(folder.path(), options()) {
        Err(OpenError::Corrupt { file, offset, what }) => {
            assert_eq!(file, Folder::new(folder.path()).segment(1));
            (offsets.iter().position(|at| *at == offset).unwrap(), what)
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_log_of_many_small_frames_is_read_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    write_log(&folder, |_| Kind::Sound);
    let store = open(folder.path());
    assert_eq!(depth(&store).await, FRAMES as u64);
    assert_eq!(verified(folder.path()), FRAMES as u64);
    // The chain goes on where the log ended.
    commit(&store, 1..2).await;
    drop(store);
    let store = open(folder.path());
    assert_eq!(depth(&store).await, FRAMES as u64 + 1);
    assert_eq!(verified(folder.path()), FRAMES as u64 + 1);
}

#[test]
fn the_first_fault_of_a_log_is_named_whichever_thread_finds_it() {
    let misfit = "a change names a dead letter that there is not";
    for at in [0, 255, 256, 1_500, FRAMES - 1] {
        let (frame, what) = refused(&[(at, Kind::Misfit)]);
        assert_eq!((frame, what.as_str()), (at, misfit));
        let (frame, what) = refused(&[(at, Kind::Unchained)]);
        let unchained = format!("audit record {} does not continue the chain", at + 1);
        assert_eq!((frame, what), (at, unchained));
        let (frame, what) = refused(&[(at, Kind::Unreadable)]);
        assert_eq!(frame, at);
        assert!(what.starts_with("change 0 is unreadable: "), "{what}");
    }
    // The reader is far ahead when the change that does not fit is done.
    for behind in [Kind::Unreadable, Kind::Unchained] {
        let (frame, what) = refused(&[(100, Kind::Misfit), (101, behind)]);
        assert_eq!((frame, what.as_str()), (100, misfit));
    }
    let (frame, what) = refused(&[(100, Kind::Unchained), (101, Kind::Misfit)]);
    assert_eq!((frame, what.as_str()), (100, "audit record 101 does not continue the chain"));
}
