//! The items of a native session's frames, counted before they are decoded: two bytes on the wire
//! are two hundred in memory, and a frame of a few megabytes has room for a million of them.
//!
//! It follows the framing of gRPC and the fields of a frame, and changes nothing. What an item
//! holds is the codec's part, and so is whatever is no frame.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tonic::Status;

/// The body of a native session, which ends where a frame has too many items.
#[derive(Debug)]
pub(super) struct Counted<B> {
    body: B,
    scan: Scan,
}

impl<B> Counted<B> {
    pub(super) fn new(body: B) -> Self {
        Self { body, scan: Scan::default() }
    }
}

impl<B> Body for Counted<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        Pin::new(&mut this.body).poll_frame(context).map(|next| {
            next.map(|frame| {
                let frame = frame.map_err(|cause| Status::from_error(cause.into()))?;
                let bytes = frame.data_ref().map_or(&[][..], |bytes| bytes);
                if this.scan.follow(bytes) {
                    Ok(frame)
                } else {
                    Err(Status::resource_exhausted("too many items in a frame"))
                }
            })
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

// LIMIT: items of one frame. Of publishes a session may have far fewer unanswered, and of
// deliveries as many as are configured, which nobody does by the ten thousand.
const PUBLISHES_MAX: u32 = 4_096;
const OTHERS_MAX: u32 = 65_536;

/// Fields of a frame (`proto/palisade/bus/v1/bus.proto`).
const PUBLISHES: u64 = 2;
const ACKS: u64 = 3;

/// How a value is written (protobuf's wire types).
const VARINT: u64 = 0;
const FIXED_64: u64 = 1;
const LENGTH: u64 = 2;
const FIXED_32: u64 = 5;

/// Bytes before each gRPC message: whether it is compressed, and its length.
const PREFIX_BYTES: u32 = 5;

/// Where in a stream of frames the bytes are that were seen so far.
#[derive(Debug, Default)]
struct Scan {
    at: At,
    /// Bytes of the frame that are still to come.
    left: u32,
    publishes: u32,
    others: u32,
}

#[derive(Debug, Clone, Copy)]
enum At {
    /// So many bytes into the prefix, of which those of the length make this.
    Prefix(u32, u32),
    Tag(Number),
    Varint,
    Length(u64, Number),
    /// So many bytes of a value that is not looked at.
    Value(u64),
    /// So many bytes of numbers, one after the other.
    Packed(u64),
}

impl Default for At {
    fn default() -> Self {
        Self::Prefix(0, 0)
    }
}

/// A number of which some bytes may have come.
#[derive(Debug, Clone, Copy, Default)]
struct Number {
    value: u64,
    bits: u32,
}

impl Number {
    /// Adds a byte; returns the number with its last one.
    fn add(&mut self, byte: u8) -> Option<u64> {
        let part = u64::from(byte & 0x7f).checked_shl(self.bits).unwrap_or_default();
        self.value |= part;
        self.bits = self.bits.saturating_add(7);
        (byte < 0x80).then_some(self.value)
    }
}

impl Scan {
    /// Follows further bytes; false if a frame has more items than it may.
    fn follow(&mut self, mut bytes: &[u8]) -> bool {
        while let Some((byte, rest)) = bytes.split_first() {
            if let At::Value(count) = self.at {
                let most = count.min(u64::from(self.left));
                let skipped = usize::try_from(most).unwrap_or(usize::MAX).min(bytes.len());
                bytes = bytes.get(skipped..).unwrap_or_default();
                self.at = At::Value(count.saturating_sub(skipped as u64));
                self.passed(u32::try_from(skipped).unwrap_or(u32::MAX));
                continue;
            }
            bytes = rest;
            self.step(*byte);
            if self.publishes > PUBLISHES_MAX || self.others > OTHERS_MAX {
                return false;
            }
        }
        true
    }

    fn step(&mut self, byte: u8) {
        if let At::Prefix(seen, length) = self.at {
            // The first byte is shifted out by the other four.
            let length = length << 8 | u32::from(byte);
            self.at = At::Prefix(seen + 1, length);
            if seen + 1 == PREFIX_BYTES {
                *self = Self { at: At::Tag(Number::default()), left: length, ..Self::default() };
                self.passed(0);
            }
            return;
        }
        self.at = match self.at {
            At::Tag(mut number) => match number.add(byte) {
                None => At::Tag(number),
                Some(tag) => self.value(tag),
            },
            At::Varint if byte < 0x80 => At::Tag(Number::default()),
            At::Length(field, mut number) => match number.add(byte) {
                None => At::Length(field, number),
                Some(length) if field == ACKS => At::Packed(length),
                Some(length) => {
                    self.count(field);
                    At::Value(length)
                }
            },
            At::Packed(count) => {
                self.others += u32::from(byte < 0x80);
                At::Packed(count.saturating_sub(1))
            }
            at @ (At::Varint | At::Value(_) | At::Prefix(..)) => at,
        };
        self.passed(1);
    }

    /// Returns what follows a tag. Groups, which nobody sends, are no values: what stands in them
    /// is counted too.
    fn value(&mut self, tag: u64) -> At {
        let field = tag >> 3;
        if tag & 7 != LENGTH {
            self.count(field);
        }
        match tag & 7 {
            VARINT => At::Varint,
            FIXED_64 => At::Value(8),
            LENGTH => At::Length(field, Number::default()),
            FIXED_32 => At::Value(4),
            _ => At::Tag(Number::default()),
        }
    }

    const fn count(&mut self, field: u64) {
        if field == PUBLISHES {
            self.publishes += 1;
        } else {
            self.others += 1;
        }
    }

    /// Notes that so many bytes of the frame have passed.
    fn passed(&mut self, bytes: u32) {
        self.left = self.left.saturating_sub(bytes);
        if self.left == 0 {
            self.at = At::default();
        } else if matches!(self.at, At::Value(0) | At::Packed(0)) {
            self.at = At::Tag(Number::default());
        }
    }
}

#[cfg(test)]
mod tests;
