//! A frame: one group of batches as bytes. `docs/log-format.md` states every byte.
//!
//! It knows nothing of files; a segment says where frames are.

use bytes::Bytes;

use super::change::Change;

/// The first bytes of a frame; 0xF5 occurs in no UTF-8 text, so no payload looks like a frame.
pub(super) const MAGIC: [u8; 4] = *b"\xF5PAL";
/// The size of a frame before its body.
pub(super) const HEAD_BYTES: usize = 40;
/// Frames begin at multiples of this.
pub(super) const ALIGN: u64 = 8;

/// The fixed part of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameHead {
    pub(super) crc: u32,
    /// Bytes of the body.
    pub(super) len: u32,
    /// Bytes at the beginning of the body that are envelopes.
    pub(super) envelopes: u32,
    /// Where in the log the frame is, so that a frame of a recycled segment is not taken for one.
    pub(super) position: u64,
    /// Up to where the log was on disk when the frame was written.
    pub(super) synced: u64,
    /// The number of the frame's first audit record, or of the next one.
    pub(super) next_seq: u64,
}

impl FrameHead {
    /// Reads a head; nothing if the bytes do not begin as a frame does.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(&MAGIC)?;
        let (crc, rest) = rest.split_first_chunk()?;
        let (len, rest) = rest.split_first_chunk()?;
        let (envelopes, rest) = rest.split_first_chunk()?;
        let (position, rest) = rest.split_first_chunk()?;
        let (synced, rest) = rest.split_first_chunk()?;
        let (next_seq, _) = rest.split_first_chunk()?;
        Some(Self {
            crc: u32::from_le_bytes(*crc),
            len: u32::from_le_bytes(*len),
            envelopes: u32::from_le_bytes(*envelopes),
            position: u64::from_le_bytes(*position),
            synced: u64::from_le_bytes(*synced),
            next_seq: u64::from_le_bytes(*next_seq),
        })
    }

    /// Returns whether head and body are as they were written.
    pub(super) fn holds(&self, head: &[u8], body: &[u8]) -> bool {
        let mut crc = crc32fast::Hasher::new();
        crc.update(head.get(CRC_FROM..HEAD_BYTES).unwrap_or_default());
        crc.update(body);
        crc.finalize() == self.crc && self.envelopes <= self.len
    }
}

/// The bytes that a frame takes in its segment.
pub(super) const fn padded(len: u32) -> u64 {
    (HEAD_BYTES as u64 + len as u64).next_multiple_of(ALIGN)
}

/// Returns the changes in a frame's body, or why they cannot be read.
pub(super) fn changes(head: &FrameHead, body: &[u8]) -> Result<Vec<Change>, String> {
    let from = usize::try_from(head.envelopes).map_err(|error| error.to_string())?;
    let mut rest = body.get(from..).unwrap_or_default();
    let mut changes = Vec::new();
    while !rest.is_empty() {
        let (change, left) = postcard::take_from_bytes(rest)
            .map_err(|error| format!("change {} is unreadable: {error}", changes.len()))?;
        changes.push(change);
        rest = left;
    }
    Ok(changes)
}

/// A frame that is being put together.
#[derive(Debug)]
pub(super) struct FrameWriter {
    bytes: Vec<u8>,
}

impl FrameWriter {
    /// Begins a frame whose body will have about so many bytes.
    pub(super) fn new(body_bytes: usize) -> Self {
        let mut bytes = Vec::with_capacity(body_bytes.saturating_add(2 * HEAD_BYTES));
        bytes.resize(HEAD_BYTES, 0);
        Self { bytes }
    }

    /// Adds an envelope; all come before the first change.
    pub(super) fn envelope(&mut self, envelope: &Bytes) {
        self.bytes.extend_from_slice(envelope);
    }

    /// Adds a change.
    ///
    /// # Errors
    ///
    /// Fails if the change has no encoding, which every change has.
    pub(super) fn change(&mut self, change: &Change) -> Result<(), postcard::Error> {
        let bytes = std::mem::take(&mut self.bytes);
        self.bytes = postcard::to_extend(change, bytes)?;
        Ok(())
    }

    /// Returns the bytes of the body so far.
    pub(super) const fn body_len(&self) -> usize {
        self.bytes.len().saturating_sub(HEAD_BYTES)
    }

    /// Returns the finished frame, padded to its alignment; nothing if it is too long for one.
    pub(super) fn finish(mut self, envelopes: usize, place: Place) -> Option<Vec<u8>> {
        let len = u32::try_from(self.body_len()).ok()?;
        let envelopes = u32::try_from(envelopes).ok()?;
        let (start, body) = self.bytes.split_first_chunk_mut::<HEAD_BYTES>()?;
        let (magic, rest) = start.split_first_chunk_mut()?;
        *magic = MAGIC;
        let (crc, rest) = rest.split_first_chunk_mut()?;
        let fields = [
            &len.to_le_bytes()[..],
            &envelopes.to_le_bytes(),
            &place.position.to_le_bytes(),
            &place.synced.to_le_bytes(),
            &place.next_seq.to_le_bytes(),
        ];
        for (byte, field) in rest.iter_mut().zip(fields.into_iter().flatten()) {
            *byte = *field;
        }
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(rest);
        hasher.update(body);
        *crc = hasher.finalize().to_le_bytes();
        self.bytes.resize(usize::try_from(padded(len)).ok()?, 0);
        Some(self.bytes)
    }
}

/// What a frame's head says about the log around it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) position: u64,
    pub(super) synced: u64,
    pub(super) next_seq: u64,
}

/// The checksum covers what follows it.
const CRC_FROM: usize = 8;
