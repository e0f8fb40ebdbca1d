//! One frame of an archive, byte by byte; `docs/audit-format.md` says the same in words.
//!
//! No file is opened here: the caller brings something to read from.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use bytes::Bytes;

use crate::{BODY_BYTES_MAX, Entry, Hash, Link};

/// What stands at a place of an archive.
pub(super) enum At {
    /// A whole, sound frame and the place of the next.
    Entry(Entry, u64),
    /// The end of the file.
    End,
    /// Anything else.
    Broken,
}

/// Writes the frame of an entry to the end of a buffer.
pub(super) fn push(out: &mut Vec<u8>, entry: &Entry) {
    let covered = COVERED_HEAD + entry.body.len();
    let head = fields(&entry.link);
    let mut crc = crc32fast::Hasher::new();
    crc.update(&head);
    crc.update(&entry.body);
    // INVARIANT: the writer has refused bodies over BODY_BYTES_MAX, so this fits.
    out.extend_from_slice(&u32::try_from(covered).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(&crc.finalize().to_le_bytes());
    out.extend_from_slice(&head);
    out.extend_from_slice(&entry.body);
}

/// What bytes are read from.
pub(super) trait Read {
    /// Fills a buffer with what stands at a place.
    fn fill(&mut self, bytes: &mut [u8], offset: u64) -> io::Result<()>;
}

impl Read for &File {
    fn fill(&mut self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_exact_at(bytes, offset)
    }
}

/// Reads what stands at a place.
pub(super) fn read_at(mut from: impl Read, offset: u64, file_bytes: u64) -> io::Result<At> {
    let left = file_bytes.saturating_sub(offset);
    if left == 0 {
        return Ok(At::End);
    }
    if left < FRAME_BYTES_MIN {
        return Ok(At::Broken);
    }
    let mut head = [0; HEAD];
    from.fill(&mut head, offset)?;
    let Some((covered, crc)) = plausible(head, left) else { return Ok(At::Broken) };
    let mut frame = vec![0; covered];
    from.fill(&mut frame, offset + HEAD as u64)?;
    if crc32fast::hash(&frame) != crc {
        return Ok(At::Broken);
    }
    let next = offset + HEAD as u64 + covered as u64;
    Ok(parse(frame).map_or(At::Broken, |entry| At::Entry(entry, next)))
}

/// Returns the place of the first sound frame at or after a place, or the file's end.
pub(super) fn find(file: &File, from: u64, file_bytes: u64) -> io::Result<u64> {
    let mut window = vec![0; WINDOW];
    let mut start = from;
    while file_bytes.saturating_sub(start) >= FRAME_BYTES_MIN {
        let wanted = usize::try_from(file_bytes - start).map_or(WINDOW, |left| left.min(WINDOW));
        let Some(bytes) = window.get_mut(..wanted) else { break };
        file.read_exact_at(bytes, start)?;
        for (place, head) in bytes.windows(HEAD).enumerate() {
            let offset = start + place as u64;
            let Some(head) = head.first_chunk() else { continue };
            if plausible(*head, file_bytes - offset).is_some()
                && matches!(read_at(file, offset, file_bytes)?, At::Entry(..))
            {
                return Ok(offset);
            }
        }
        start += (wanted - (HEAD - 1)) as u64;
    }
    Ok(file_bytes)
}

/// Returns the length and the checksum in a frame's head if a frame of that length can be there.
///
/// JSON text read as a length is far over the limit, so a search through damaged
/// bodies computes next to no checksums.
fn plausible(head: [u8; HEAD], left: u64) -> Option<(usize, u32)> {
    let (length, crc) = head.split_first_chunk::<4>()?;
    let covered = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let fits = (COVERED_HEAD..=COVERED_HEAD + BODY_BYTES_MAX).contains(&covered)
        && (HEAD + covered) as u64 <= left;
    fits.then_some((covered, u32::from_le_bytes(*crc.first_chunk()?)))
}

fn parse(frame: Vec<u8>) -> Option<Entry> {
    let (seq, rest) = frame.split_first_chunk::<8>()?;
    let (prev, rest) = rest.split_first_chunk::<HASH>()?;
    let (hash, _) = rest.split_first_chunk::<HASH>()?;
    let link = Link { seq: u64::from_le_bytes(*seq), prev: *prev, hash: *hash };
    let frame = Bytes::from(frame);
    Some(Entry { link, body: frame.slice(COVERED_HEAD..) })
}

fn fields(link: &Link) -> Vec<u8> {
    [&link.seq.to_le_bytes()[..], &link.prev, &link.hash].concat()
}

/// The first bytes of every archive file; the last is the version.
pub(super) const MAGIC: &[u8; 8] = b"PALAUDT\x02";
pub(super) const VERSION: u8 = 2;
/// Length and checksum.
const HEAD: usize = 8;
const HASH: usize = size_of::<Hash>();
/// What the checksum covers before the body: number and two hashes.
const COVERED_HEAD: usize = 8 + 2 * HASH;
const FRAME_BYTES_MIN: u64 = (HEAD + COVERED_HEAD) as u64;
/// LIMIT: what a search for the next frame holds in memory.
const WINDOW: usize = 64 << 10;
