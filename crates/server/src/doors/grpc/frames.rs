//! Follows the heads of HTTP/2 frames (RFC 9113, section 4.1) in a stream of bytes.
//!
//! It judges no frame and copies no payload: the codec behind it does the reading.

/// What a frame's head says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) len: u32,
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
}

/// The types of frames that are told apart (RFC 9113, section 6).
pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;

/// The flag of the last frame of a stream.
pub(super) const END_STREAM: u8 = 1;

const HEAD_BYTES: usize = 9;
const PREFACE_BYTES: u32 = 24;

/// Where in the stream of frames the bytes are that were seen so far.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    /// Bytes of a payload, or of the preface, that are still to come.
    skip: u32,
    head: [u8; HEAD_BYTES],
    head_len: usize,
}

impl Scanner {
    /// Follows what a client sends: the preface comes first.
    pub(super) const fn of_client() -> Self {
        Self { skip: PREFACE_BYTES, head: [0; HEAD_BYTES], head_len: 0 }
    }

    /// Tells whether a frame has just ended, so that another one could begin.
    pub(super) const fn is_between_frames(&self) -> bool {
        self.skip == 0 && self.head_len == 0
    }

    /// Follows further bytes; calls for each head that is complete.
    pub(super) fn follow(&mut self, mut bytes: &[u8], mut seen: impl FnMut(Head)) {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let skipped = bytes.len().min(usize::try_from(self.skip).unwrap_or(usize::MAX));
                bytes = bytes.get(skipped..).unwrap_or_default();
                self.skip -= u32::try_from(skipped).unwrap_or(self.skip);
                continue;
            }
            let (taken, rest) = bytes.split_at(bytes.len().min(HEAD_BYTES - self.head_len));
            if let Some(room) = self.head.get_mut(self.head_len..self.head_len + taken.len()) {
                room.copy_from_slice(taken);
            }
            self.head_len += taken.len();
            bytes = rest;
            if self.head_len == HEAD_BYTES {
                let head = head(self.head);
                self.head_len = 0;
                self.skip = head.len;
                seen(head);
            }
        }
    }
}

const fn head(bytes: [u8; HEAD_BYTES]) -> Head {
    let [a, b, c, kind, flags, s, t, u, v] = bytes;
    // The highest bit of a stream's number is reserved and says nothing.
    let stream = u32::from_be_bytes([s & 0x7f, t, u, v]);
    Head { len: u32::from_be_bytes([0, a, b, c]), kind, flags, stream }
}

/// Makes a GOAWAY frame that says `ENHANCE_YOUR_CALM` (RFC 9113, sections 6.8 and 7).
pub(super) fn calm_down(last_stream: u32) -> [u8; 17] {
    let [s, t, u, v] = last_stream.to_be_bytes();
    [0, 0, 8, GOAWAY, 0, 0, 0, 0, 0, s, t, u, v, 0, 0, 0, 0x0b]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(heads: &[(u16, u8, u8, u32)]) -> Vec<u8> {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        for (len, kind, flags, stream) in heads {
            bytes.extend(&u32::from(*len).to_be_bytes()[1..]);
            bytes.extend([*kind, *flags]);
            bytes.extend(stream.to_be_bytes());
            // A payload that looks like frames itself.
            bytes.extend(
                std::iter::repeat_n([0, 0, 1, 6, 0], usize::from(*len))
                    .flatten()
                    .take(usize::from(*len)),
            );
        }
        bytes
    }

    proptest! {
        #[test]
        fn heads_are_found_however_the_bytes_are_split(
            heads in prop::collection::vec(
                (0_u16..600, any::<u8>(), any::<u8>(), any::<u32>()),
                0..20,
            ),
            cuts in prop::collection::vec(1_usize..40, 1..30),
        ) {
            let bytes = written(&heads);
            let mut scanner = Scanner::of_client();
            let mut found = Vec::new();
            let (mut rest, mut cuts) = (bytes.as_slice(), cuts.iter().cycle());
            while !rest.is_empty() {
                let (piece, behind) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
                scanner.follow(piece, |head| found.push(head));
                rest = behind;
            }
            let expected: Vec<Head> = heads
                .iter()
                .map(|&(len, kind, flags, stream)| {
                    Head { len: u32::from(len), kind, flags, stream: stream & 0x7fff_ffff }
                })
                .collect();
            prop_assert_eq!(found, expected);
            prop_assert!(scanner.is_between_frames());
        }
    }

    #[test]
    fn what_is_said_at_the_end_is_a_frame() {
        let mut scanner = Scanner::default();
        let mut found = Vec::new();
        scanner.follow(&calm_down(7), |head| found.push(head));
        assert_eq!(found, [Head { len: 8, kind: GOAWAY, flags: 0, stream: 0 }]);
        assert!(scanner.is_between_frames());
    }
}
