//! The publishes of an outbox in their order, and what a session may have of them.
//!
//! It waits for nothing and wakes nobody; the outbox does.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::{oneshot, watch};
use tokio::time::Instant;
use wire::palisade::bus::v1 as bus;
use wire::palisade::bus::v1::outcome::Result as Answered;

use crate::error::{Error, Refused};
use crate::frame::{publish_bytes, put_publish};
use crate::line::Line;
use crate::message::{Accepted, MessageStatus};
use crate::receipts::Receipts;

#[derive(Debug)]
pub(super) struct Queue {
    /// In the order in which they were published; those that were answered are gaps.
    pub(super) entries: VecDeque<Option<Entry>>,
    /// The number of the first of them.
    first: u64,
    /// The number of the first that was not sent in this session.
    pub(super) unsent: u64,
    /// How many of each frame are unanswered, by frames of this session.
    frames: VecDeque<usize>,
    first_frame: u64,
    unanswered: Window,
    pub(super) granted: Window,
    pub(super) frame_bytes_max: usize,
    pub(super) payload_bytes_max: usize,
    /// The session that is open.
    pub(super) line: Option<Arc<Line>>,
    pub(super) ended: Option<Error>,
}

/// Counts publishes and their encoded bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Window {
    pub(super) count: u64,
    pub(super) bytes: u64,
}

/// Holds one publish until its outcome.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The encoded message, without its number.
    pub(crate) body: Vec<u8>,
    /// After that it is not sent any more.
    pub(crate) deadline: Instant,
    pub(crate) answer: oneshot::Sender<Result<Accepted, Error>>,
    pub(crate) receipts: Option<watch::Sender<MessageStatus>>,
    /// By which frame of this session it was sent.
    pub(crate) frame: Option<u64>,
    /// Why the gate did not take it, where it may the next time.
    pub(crate) refused: Option<Refused>,
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            entries: VecDeque::new(),
            first: 1,
            unsent: 1,
            frames: VecDeque::new(),
            first_frame: 0,
            unanswered: Window::default(),
            granted: Window::default(),
            frame_bytes_max: usize::MAX,
            payload_bytes_max: usize::MAX,
            line: None,
            ended: None,
        }
    }
}

impl Queue {
    /// Returns the number of the next publish.
    pub(super) fn end(&self) -> u64 {
        self.first + u64::try_from(self.entries.len()).unwrap_or_default()
    }

    pub(super) fn slot(&mut self, number: u64) -> Option<&mut Option<Entry>> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.entries.get_mut(index)
    }

    pub(super) fn ended(&self) -> Error {
        self.ended.clone().unwrap_or(Error::Closed)
    }

    pub(super) fn fill(&mut self, frame: &mut Vec<u8>) {
        if self.frames.len() >= FRAMES_MAX {
            return;
        }
        let this = self.first_frame + u64::try_from(self.frames.len()).unwrap_or_default();
        let frame_bytes_max = self.frame_bytes_max.min(FRAME_BYTES);
        let mut taken = 0_usize;
        while self.unsent < self.end() {
            let (number, window, granted) = (self.unsent, self.unanswered, self.granted);
            let Some(slot) = self.slot(number) else { break };
            if let Some(entry) = slot {
                let bytes = publish_bytes(number, &entry.body);
                let is_full = !frame.is_empty() && frame.len() + bytes > frame_bytes_max;
                if is_full || !window.has_room(bytes, granted) {
                    break;
                }
                put_publish(frame, number, &entry.body);
                entry.frame = Some(this);
                self.unanswered.add(bytes);
                taken += 1;
            }
            self.unsent += 1;
        }
        if taken > 0 {
            self.frames.push_back(taken);
        }
    }

    /// Answers a publish and returns its size, unless it goes again.
    pub(super) fn settle(&mut self, outcome: bus::Outcome, receipts: &Receipts) -> Option<usize> {
        let number = outcome.item;
        if number >= self.unsent {
            return None;
        }
        let refused = match outcome.result? {
            Answered::Accepted(accepted) => {
                let mut entry = self.answered(number)?;
                if let Some(follower) = entry.receipts.take() {
                    receipts.follow(&accepted.message_id, follower);
                }
                return Some(entry.finish(Ok(accepted.into())));
            }
            Answered::Refused(refused) => Refused::from_outcome(refused),
        };
        if refused.is_about_session() {
            // This session is ending; the next one sends it again.
            self.slot(number)?.as_mut()?.refused = Some(refused);
            return None;
        }
        Some(self.answered(number)?.finish(Err(refused.into())))
    }

    fn answered(&mut self, number: u64) -> Option<Entry> {
        let entry = self.slot(number)?.take()?;
        self.unanswered.subtract(publish_bytes(number, &entry.body));
        let frame = entry.frame.and_then(|frame| frame.checked_sub(self.first_frame));
        let left = frame.and_then(|frame| self.frames.get_mut(usize::try_from(frame).ok()?));
        if let Some(left) = left {
            *left = left.saturating_sub(1);
        }
        while self.frames.front() == Some(&0) {
            self.frames.pop_front();
            self.first_frame += 1;
        }
        Some(entry)
    }

    pub(super) fn close_gaps(&mut self) {
        while let Some(None) = self.entries.front() {
            self.entries.pop_front();
            self.first += 1;
        }
        self.unsent = self.unsent.max(self.first);
    }

    pub(super) fn rewind(&mut self) {
        self.line = None;
        self.unsent = self.first;
        self.unanswered = Window::default();
        self.first_frame += u64::try_from(self.frames.len()).unwrap_or_default();
        self.frames.clear();
    }
}

impl Window {
    /// Tells whether another may be unanswered; one always may, however large.
    fn has_room(self, bytes: usize, granted: Self) -> bool {
        let more = u64::try_from(bytes).unwrap_or(u64::MAX);
        let fits = self.bytes.saturating_add(more) <= granted.bytes && self.count < granted.count;
        fits || self.count == 0
    }

    fn add(&mut self, bytes: usize) {
        self.count = self.count.saturating_add(1);
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes).unwrap_or_default());
    }

    fn subtract(&mut self, bytes: usize) {
        self.count = self.count.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(u64::try_from(bytes).unwrap_or_default());
    }
}

impl Entry {
    /// Tells the one who waits, and returns the size of what was sent.
    pub(super) fn finish(self, answer: Result<Accepted, Error>) -> usize {
        // Nobody may wait for it.
        drop(self.answer.send(answer));
        self.body.len()
    }

    pub(super) fn give_up(self) -> usize {
        let error = self.refused.clone().map_or(Error::Timeout, Error::Refused);
        self.finish(Err(error))
    }
}

/// LIMIT: publishes in a frame, beside a larger one.
const FRAME_BYTES: usize = 64 * 1024;
/// LIMIT: frames of publishes that may be unanswered. While the gate is busy with them, what comes
/// gathers for the next; and the gate counts each as a call of this identity.
pub(super) const FRAMES_MAX: usize = 4;
