//! A log segment: a file of fixed size with a head and frames.
//!
//! Reading only; `log` writes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::OpenError;
use super::frame::{ALIGN, FrameHead, HEAD_BYTES, MAGIC, padded};

/// Where the first frame of a segment is.
pub(super) const FRAMES_FROM: u64 = 64;
const SEGMENT_MAGIC: [u8; 8] = *b"PALSEG\r\n";
const VERSION: u32 = 2;

/// What a segment says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHead {
    /// Its number, as in its name.
    pub(super) number: u64,
    /// The log position of its first frame.
    pub(super) start: u64,
    /// The number of the first audit record in it or behind it.
    pub(super) next_seq: u64,
}

impl SegmentHead {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64);
        bytes.extend_from_slice(&SEGMENT_MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        for field in [self.number, self.start, self.next_seq] {
            bytes.extend_from_slice(&field.to_le_bytes());
        }
        let crc = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes.resize(64, 0);
        bytes
    }

    fn decode(path: &Path, bytes: &[u8; 64]) -> Result<Self, OpenError> {
        let bad = |what: &str| OpenError::corrupt(path, 0, what);
        let rest = bytes.strip_prefix(&SEGMENT_MAGIC).ok_or_else(|| bad("not a log segment"))?;
        let (version, _) = rest.split_first_chunk().ok_or_else(|| bad("short head"))?;
        let version = u32::from_le_bytes(*version);
        if version > VERSION {
            return Err(OpenError::Newer { file: path.to_owned(), version, known: VERSION });
        }
        if version < VERSION {
            return Err(OpenError::Older { file: path.to_owned(), version, known: VERSION });
        }
        let field = |at: usize| -> Option<u64> {
            bytes.get(at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
        };
        let crc = bytes.get(40..).and_then(|bytes| bytes.first_chunk());
        let crc = crc.map(|bytes| u32::from_le_bytes(*bytes));
        if bytes.get(..40).map(crc32fast::hash) != crc {
            return Err(bad("the checksum of the segment's head does not match"));
        }
        match (field(16), field(24), field(32)) {
            (Some(number), Some(start), Some(next_seq)) => Ok(Self { number, start, next_seq }),
            _ => Err(bad("short head")),
        }
    }
}

/// A segment open for reading.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) head: SegmentHead,
    pub(super) len: u64,
    file: File,
}

/// A frame as it was found.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) head: FrameHead,
    pub(super) body: Vec<u8>,
    /// Where in the segment it begins.
    pub(super) offset: u64,
}

impl Frame {
    /// Returns whether the frame holds nothing, and is there to say that the log was on disk.
    pub(super) const fn is_mark(&self) -> bool {
        self.head.len == 0
    }

    /// Returns where in the segment the next frame begins.
    pub(super) fn next(&self) -> u64 {
        self.offset.saturating_add(padded(self.head.len))
    }

    /// Returns where in the segment the body begins.
    pub(super) const fn body_at(&self) -> u64 {
        self.offset.saturating_add(HEAD_BYTES as u64)
    }
}

/// What is at a place where a frame could be.
#[derive(Debug)]
pub(super) enum At {
    Frame(Frame),
    /// The beginning of a frame whose rest does not match: torn or damaged.
    Broken,
    /// Nothing that was written for this place.
    Nothing,
}

impl Segment {
    pub(super) fn open(path: &Path, number: u64) -> Result<Self, OpenError> {
        let file = File::open(path).map_err(OpenError::io(path, "open"))?;
        let len = file.metadata().map_err(OpenError::io(path, "read"))?.len();
        let mut bytes = [0; 64];
        if len < FRAMES_FROM {
            return Err(OpenError::corrupt(path, 0, "the file is shorter than a segment's head"));
        }
        file.read_exact_at(&mut bytes, 0).map_err(OpenError::io(path, "read"))?;
        let head = SegmentHead::decode(path, &bytes)?;
        if head.number != number {
            let what = format!("the head says that this is segment {}", head.number);
            return Err(OpenError::corrupt(path, 0, what));
        }
        Ok(Self { path: path.to_owned(), head, len, file })
    }

    /// Returns the log position of a place in the file.
    pub(super) const fn position(&self, offset: u64) -> u64 {
        self.head.start.saturating_add(offset.saturating_sub(FRAMES_FROM))
    }

    /// Returns the place in the file of a log position, if it can be in this segment.
    pub(super) fn offset(&self, position: u64) -> Option<u64> {
        let offset = position.checked_sub(self.head.start)?.checked_add(FRAMES_FROM)?;
        (offset <= self.len).then_some(offset)
    }

    /// Reads only the head of the frame at a place.
    pub(super) fn head_at(&self, offset: u64) -> io::Result<Option<FrameHead>> {
        let mut bytes = [0; HEAD_BYTES];
        if offset.saturating_add(HEAD_BYTES as u64) > self.len {
            return Ok(None);
        }
        self.file.read_exact_at(&mut bytes, offset)?;
        Ok(FrameHead::decode(&bytes).filter(|head| head.position == self.position(offset)))
    }

    /// Reads the frame at a place.
    pub(super) fn frame_at(&self, offset: u64) -> io::Result<At> {
        let Some(head) = self.head_at(offset)? else { return Ok(At::Nothing) };
        if offset.saturating_add(padded(head.len)) > self.len {
            return Ok(At::Broken);
        }
        let mut bytes = vec![0; HEAD_BYTES];
        self.file.read_exact_at(&mut bytes, offset)?;
        let mut body = vec![0; usize::try_from(head.len).unwrap_or_default()];
        self.file.read_exact_at(&mut body, offset.saturating_add(HEAD_BYTES as u64))?;
        // The head is taken from the bytes that the checksum covers: it may have just been written.
        match FrameHead::decode(&bytes).filter(|head| head.holds(&bytes, &body)) {
            Some(head) => Ok(At::Frame(Frame { head, body, offset })),
            None => Ok(At::Broken),
        }
    }

    /// Returns whole frames behind a place where none is, which damage or a lost write leaves.
    pub(super) fn frames_behind(&self, offset: u64) -> io::Result<Vec<Frame>> {
        let mut found = Vec::new();
        let mut at = offset.saturating_add(ALIGN);
        let mut window = vec![0; SCAN_BYTES];
        while at < self.len {
            let left = usize::try_from(self.len - at).unwrap_or(SCAN_BYTES).min(SCAN_BYTES);
            let Some(bytes) = window.get_mut(..left) else { break };
            self.file.read_exact_at(bytes, at)?;
            let step = usize::try_from(ALIGN).unwrap_or(8);
            let begins = bytes.chunks(step).enumerate().filter(|(_, b)| b.starts_with(&MAGIC));
            let begins: Vec<u64> =
                begins.map(|(index, _)| at.saturating_add(index as u64 * ALIGN)).collect();
            for begin in begins {
                if let At::Frame(frame) = self.frame_at(begin)? {
                    found.push(frame);
                }
            }
            at = at.saturating_add(left as u64);
        }
        Ok(found)
    }
}

/// How much is searched at a time; a multiple of the alignment.
const SCAN_BYTES: usize = 1 << 20;
