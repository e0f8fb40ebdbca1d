//! What is on its way to the gate by the native session: published and not answered yet.
//!
//! It outlives sessions. What a session left without an outcome goes into the next one, in the same
//! order and with the same keys, by which the gate recognises what it has taken.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, timeout_at};
use wire::palisade::bus::v1 as bus;

use crate::error::{Error, Invalid, Refused};
use crate::line::Line;
use crate::receipts::Receipts;

mod queue;

pub(crate) use queue::Entry;
use queue::{Queue, Window};

#[derive(Debug)]
pub(crate) struct Outbox {
    inside: Mutex<Queue>,
    /// Bytes that may still be put in.
    room: Semaphore,
    bytes_max: u32,
    /// Wakes who waits for everything to be answered.
    idle: Notify,
    /// Begins every key that is not the program's own.
    key_prefix: String,
    next_key: AtomicU64,
    pub(crate) receipts: Receipts,
}

impl Outbox {
    pub(crate) fn new(bytes_max: usize) -> Self {
        let bytes_max = u32::try_from(bytes_max.min(Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX);
        let mut key_prefix = uuid::Uuid::new_v4().simple().to_string();
        key_prefix.truncate(KEY_DIGITS);
        key_prefix.push('.');
        Self {
            inside: Mutex::new(Queue::default()),
            room: Semaphore::new(usize::try_from(bytes_max).unwrap_or(Semaphore::MAX_PERMITS)),
            bytes_max,
            idle: Notify::new(),
            key_prefix,
            next_key: AtomicU64::new(0),
            receipts: Receipts::default(),
        }
    }

    /// Makes a key that nobody else has.
    pub(crate) fn key(&self) -> String {
        format!("{}{:x}", self.key_prefix, self.next_key.fetch_add(1, Ordering::Relaxed))
    }

    /// Puts a publish in as soon as there is room for it, and returns its number.
    pub(crate) async fn put(&self, entry: Entry) -> Result<u64, Error> {
        let cost = self.cost(entry.body.len());
        let permit = match self.room.try_acquire_many(cost) {
            Ok(permit) => permit,
            Err(_none) => match timeout_at(entry.deadline, self.room.acquire_many(cost)).await {
                Ok(Ok(permit)) => permit,
                Ok(Err(_closed)) => return Err(self.inside().ended()),
                Err(_elapsed) => return Err(Error::Timeout),
            },
        };
        let mut inside = self.inside();
        if inside.ended.is_some() {
            return Err(inside.ended());
        }
        if entry.body.len() + FRAME_ROOM_BYTES > inside.frame_bytes_max {
            let (bytes, max) = (entry.body.len(), inside.payload_bytes_max);
            return Err(Invalid::TooLarge { bytes, max }.into());
        }
        let number = inside.end();
        inside.entries.push_back(Some(entry));
        let line = inside.line.clone();
        drop(inside);
        // Given back when the entry is answered.
        permit.forget();
        if let Some(line) = line {
            line.wake();
        }
        Ok(number)
    }

    /// Adds to a frame what may be sent now in a session.
    pub(crate) fn fill(&self, line: &Arc<Line>, frame: &mut Vec<u8>) {
        let mut inside = self.inside();
        if inside.line.as_ref().is_some_and(|open| Arc::ptr_eq(open, line)) {
            inside.fill(frame);
        }
    }

    /// Takes outcomes of the open session.
    pub(crate) fn settle(&self, outcomes: Vec<bus::Outcome>) {
        let mut freed = 0_usize;
        let mut inside = self.inside();
        for outcome in outcomes {
            let answered = inside.settle(outcome, &self.receipts);
            freed = freed.saturating_add(answered.map_or(0, |bytes| self.room_of(bytes)));
        }
        inside.close_gaps();
        self.freed(freed, inside);
    }

    /// Begins with a session, whose welcome says what may be unanswered.
    pub(crate) fn open(&self, line: &Arc<Line>, welcome: &bus::Welcome) {
        let size = |bytes| usize::try_from(bytes).unwrap_or(usize::MAX);
        let mut inside = self.inside();
        inside.granted = Window {
            count: u64::from(welcome.publishes_max.max(1)),
            bytes: welcome.publish_credit_bytes,
        };
        inside.frame_bytes_max = size(welcome.frame_bytes_max);
        inside.payload_bytes_max = size(welcome.payload_bytes_max);
        inside.line = Some(Arc::clone(line));
        drop(inside);
        line.wake();
    }

    /// Widens what may be unanswered.
    pub(crate) fn grant(&self, bytes: u64) {
        let mut inside = self.inside();
        inside.granted.bytes = inside.granted.bytes.saturating_add(bytes);
        self.freed(0, inside);
    }

    /// Sends nothing more in the open session.
    pub(crate) fn pause(&self) {
        self.inside().line = None;
    }

    /// Turns back to the first publish without an outcome; the next session begins with it.
    pub(crate) fn rewind(&self) {
        self.receipts.clear();
        let now = Instant::now();
        let mut inside = self.inside();
        inside.rewind();
        let mut freed = 0_usize;
        for slot in &mut inside.entries {
            if let Some(late) = slot.take_if(|entry| entry.deadline <= now) {
                freed = freed.saturating_add(self.room_of(late.give_up()));
            }
        }
        inside.close_gaps();
        self.freed(freed, inside);
    }

    /// Answers all that is left; with the end of the client nothing more is taken.
    pub(crate) fn fail(&self, error: &Error, ends: bool) {
        self.receipts.clear();
        let mut inside = self.inside();
        inside.line = None;
        inside.rewind();
        let entries: Vec<Entry> = inside.entries.iter_mut().filter_map(Option::take).collect();
        inside.close_gaps();
        if ends {
            inside.ended = Some(error.clone());
            self.room.close();
        }
        let freed = entries.into_iter().map(|entry| self.room_of(entry.finish(Err(error.clone()))));
        self.freed(freed.sum(), inside);
    }

    /// Takes back what was not sent yet, and returns why the gate did not take it so far.
    pub(crate) fn abandon(&self, number: u64) -> Option<Refused> {
        let mut inside = self.inside();
        let is_sent = number < inside.unsent;
        let slot = inside.slot(number)?;
        if is_sent {
            return slot.as_ref()?.refused.clone();
        }
        let entry = slot.take()?;
        inside.close_gaps();
        self.freed(self.room_of(entry.body.len()), inside);
        entry.refused
    }

    /// Waits until everything is answered.
    pub(crate) async fn idle(&self) {
        loop {
            let waiting = self.idle.notified();
            if self.inside().entries.is_empty() {
                return;
            }
            waiting.await;
        }
    }

    fn freed(&self, bytes: usize, inside: MutexGuard<'_, Queue>) {
        let is_idle = inside.entries.is_empty();
        let line = inside.line.clone().filter(|_| inside.unsent < inside.end());
        drop(inside);
        self.room.add_permits(bytes);
        if is_idle {
            self.idle.notify_waiters();
        }
        if let Some(line) = line {
            line.wake();
        }
    }

    fn cost(&self, bytes: usize) -> u32 {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        bytes.saturating_add(ENTRY_BYTES).min(self.bytes_max)
    }

    fn room_of(&self, bytes: usize) -> usize {
        usize::try_from(self.cost(bytes)).unwrap_or_default()
    }

    fn inside(&self) -> MutexGuard<'_, Queue> {
        // INVARIANT: no code that can panic runs under the lock.
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// More than a publish's number and length take.
const FRAME_ROOM_BYTES: usize = 64;
/// What an entry takes beside its body, so that the bound in bytes is one in number too.
const ENTRY_BYTES: u32 = 256;
/// Random enough that no two clients ever draw the same.
const KEY_DIGITS: usize = 24;

#[cfg(test)]
mod tests;
