//! The one thread that changes anything: takes all waiting batches as a group, judges and
//! applies each, writes the group as one frame, and answers when it is durable.
//!
//! ```text
//! reserve room > judge and apply (state lock) > chain and encode
//!        > write, sync > publish > answer
//! ```
//!
//! Room is reserved first, so that a full disk refuses a group before anything has changed. A
//! failed write or sync is not repeated: nobody knows what is on disk then, so the engine stops.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::Duration;

use audit::{Chain, Entry};
use gate::ports::StoreError;

use super::applied::{Answers, Applied, Stuck};
use super::change::Change;
use super::checkpoint::Upto;
use super::frame::{FrameWriter, HEAD_BYTES, Place};
use super::group::{Collected, Group, Request, Waiting, answer};
use super::log::{Log, LogEnd, NoRoom};
use super::plan::{Planned, plan};
use super::shared::Shared;
use super::state::Origin;

/// The thread's own.
#[derive(Debug)]
pub(super) struct Committer {
    shared: Arc<Shared>,
    log: Log,
    chain: Chain,
    want_checkpoint: SyncSender<()>,
    /// What was applied but could not be written for want of room; nothing goes before it.
    stuck: Option<Stuck>,
    /// The largest frame that was refused for want of room since there was some.
    refused: u64,
}

impl Committer {
    pub(super) const fn new(
        shared: Arc<Shared>,
        log: Log,
        chain: Chain,
        want_checkpoint: SyncSender<()>,
    ) -> Self {
        Self { shared, log, chain, want_checkpoint, stuck: None, refused: 0 }
    }

    /// Works until it is told to stop; returns where the log ends.
    pub(super) fn run(mut self, requests: &Receiver<Request>) -> LogEnd {
        loop {
            let mut group = Group::default();
            let collected = group.collect(requests, self.patience());
            self.shared.waiting_bytes.fetch_sub(group.bytes, Ordering::Relaxed);
            if !group.waiting.is_empty() {
                self.commit(group);
            }
            match collected {
                Collected::More => {}
                Collected::Idle => self.idle(),
                Collected::Last => break,
            }
        }
        self.end();
        self.log.end()
    }

    /// Returns after how long without a request there is something else to do.
    fn patience(&self) -> Option<Duration> {
        if self.shared.fatal.error().is_some() {
            None
        } else if self.refused > 0 {
            Some(ROOM_PAUSE)
        } else {
            self.log.wants_mark().then_some(IDLE)
        }
    }

    fn idle(&mut self) {
        if self.refused > 0 {
            // Whoever was refused may not come back by himself before he hears that there is room.
            self.reserve(self.refused).unwrap_or_default();
        } else {
            self.mark();
        }
    }

    fn mark(&mut self) {
        match self.log.mark(self.chain.next_seq()) {
            Ok(()) | Err(NoRoom::DiskFull) => {}
            Err(NoRoom::Broken(error)) => {
                self.shared.fatal.die(format!("the log cannot be written: {error}"));
            }
        }
    }

    /// Brings everything to the disk, with a proof of its last frame.
    fn end(&mut self) {
        let is_stuck = self.stuck.is_some() && self.reserve(0).is_err();
        if self.shared.fatal.error().is_some() {
            return;
        }
        let mut synced = self.log.sync();
        if synced.is_ok() && !is_stuck && self.log.wants_mark() {
            self.mark();
            synced = self.log.sync();
        }
        if let Err(error) = synced {
            self.shared.fatal.die(format!("the log cannot be synced: {error}"));
        }
    }

    fn commit(&mut self, group: Group) {
        let Group { waiting: group, bytes, len, .. } = group;
        self.shared.tallies.groups.count(len as u64);
        if let Err(error) = self.reserve((bytes as u64).saturating_add(FRAME_BYTES)) {
            for Waiting { batches, answer: waiter, .. } in group {
                answer(waiter, vec![Err(error.clone()); batches.len()]);
            }
            return;
        }
        let applied = self.apply(group);
        let done = applied.and_then(|mut applied| match self.encode(&mut applied, bytes) {
            Ok((frame, entries)) => Ok(Stuck { frame, applied, entries }),
            Err(why) => Err((applied.answers, why)),
        });
        match done {
            Ok(written) => self.write(written),
            Err((answers, why)) => self.fail(answers, &why),
        }
    }

    /// Writes a group and tells it.
    fn write(&mut self, mut group: Stuck) {
        if group.frame.is_empty() {
            return self.publish(group.applied, group.entries);
        }
        match self.shared.tallies.time(|| self.log.append(&group.frame)) {
            Ok(()) => self.publish(group.applied, group.entries),
            Err(NoRoom::DiskFull) => {
                let why = "the disk is full; this is done when there is room".to_owned();
                group.applied.answers.fail(&why);
                self.refuse(FRAME_BYTES);
                self.stuck = Some(group);
            }
            Err(NoRoom::Broken(error)) => {
                self.fail(group.applied.answers, &format!("the log cannot be written: {error}"));
            }
        }
    }

    fn fail(&self, mut answers: Answers, why: &str) {
        self.shared.fatal.die(why.to_owned());
        answers.fail(why);
    }

    fn refuse(&mut self, bytes: u64) {
        self.refused = self.refused.max(bytes);
        self.shared.fatal.set_full(true);
    }

    /// Makes sure that a frame of so many bytes has room.
    fn reserve(&mut self, needed: u64) -> Result<(), StoreError> {
        if let Some(error) = self.shared.fatal.error() {
            return Err(error);
        }
        if let Some(stuck) = self.stuck.take() {
            self.write(stuck);
            if self.stuck.is_some() {
                return Err(StoreError::DiskFull);
            }
            if let Some(error) = self.shared.fatal.error() {
                return Err(error);
            }
        }
        match self.log.reserve(needed, self.chain.next_seq()) {
            Ok(sealed) => {
                if let Some(bytes) = sealed {
                    self.sealed(bytes);
                }
                if needed >= self.refused {
                    self.refused = 0;
                    self.shared.fatal.set_full(false);
                }
                Ok(())
            }
            Err(NoRoom::DiskFull) => {
                self.refuse(needed);
                Err(StoreError::DiskFull)
            }
            Err(NoRoom::Broken(error)) => {
                let why = format!("the log cannot be continued: {error}");
                self.shared.fatal.die(why.clone());
                Err(StoreError::Unreachable(why))
            }
        }
    }

    /// Notes that a segment is full, and asks for a checkpoint when there is enough behind the
    /// last one.
    fn sealed(&self, bytes: u64) {
        let shared = &self.shared;
        let end = self.log.end();
        *shared.active.lock() = Upto { segment: end.number, position: end.position };
        let sealed = shared.sealed_bytes.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        let snapshot_bytes = shared.snapshot_bytes.load(Ordering::Relaxed);
        if sealed >= shared.options.checkpoint_bytes.max(log_bytes(snapshot_bytes)) {
            // A full channel means that it was asked already.
            self.want_checkpoint.try_send(()).unwrap_or_default();
        }
    }

    /// Judges each batch and applies those that are accepted. A caller of whom none is, is
    /// answered at once.
    fn apply(&self, group: Vec<Waiting>) -> Result<Applied, (Answers, String)> {
        let end = self.log.end();
        let body_at = end.offset.saturating_add(HEAD_BYTES as u64);
        let origin = Origin { segment: end.number, body_at };
        let mut applied = Applied::default();
        let mut state = self.shared.state.lock();
        for Waiting { batches, answer: waiter, .. } in group {
            let mut results = Vec::with_capacity(batches.len());
            for batch in batches {
                let planned = plan(&mut state, batch);
                results.push(planned.as_ref().map_or_else(|no| Err(no.clone()), |_| Ok(())));
                let Ok(Planned { changes, records, time }) = planned else { continue };
                state.time = time;
                applied.records.extend(records);
                if let Err(why) = applied.take(&mut state, changes, &origin) {
                    applied.answers.push(waiter, results);
                    return Err((applied.answers, why));
                }
            }
            applied.answers.push(waiter, results);
        }
        state.purge();
        applied.next_place = state.queues.next_place();
        drop(state);
        Ok(applied)
    }

    /// Chains the records and makes a frame of the group, an empty one if it changes nothing;
    /// returns it with the audit entries.
    fn encode(
        &mut self,
        applied: &mut Applied,
        bytes: usize,
    ) -> Result<(Vec<u8>, Vec<Entry>), String> {
        let next_seq = self.chain.next_seq();
        let mut frame = FrameWriter::new(bytes);
        for envelope in applied.changes.iter().filter_map(|(_, envelope)| envelope.as_ref()) {
            frame.envelope(envelope);
        }
        let unwritable = |error| format!("a change has no encoding: {error}");
        for (change, _) in &applied.changes {
            frame.change(change).map_err(unwritable)?;
        }
        let mut entries = Vec::with_capacity(applied.records.len());
        for (body, salt) in applied.records.drain(..) {
            let link = self.chain.append(&body);
            let (seq, prev, hash) = (link.seq, link.prev, link.hash);
            frame
                .change(&Change::Record { seq, prev, hash, body: body.clone(), salt })
                .map_err(unwritable)?;
            entries.push(Entry { link, body });
        }
        if frame.body_len() == 0 {
            return Ok((Vec::new(), entries));
        }
        let (position, synced) = (self.log.end().position, self.log.synced());
        let place = Place { position, synced, next_seq };
        let frame = frame.finish(applied.envelopes, place);
        let frame = frame.ok_or_else(|| "a group does not fit a frame".to_owned())?;
        Ok((frame, entries))
    }

    /// Makes the group's messages leasable and its records readable, and answers.
    fn publish(&self, applied: Applied, entries: Vec<Entry>) {
        let shared = &self.shared;
        let mut state = shared.state.lock();
        state.queues.set_durable(applied.next_place);
        let number = state.queues.touch(applied.agents.iter());
        drop(state);
        if !entries.is_empty() {
            shared.recent.lock().extend(entries);
        }
        applied.answers.tell();
        for agent in &applied.agents {
            shared.bells.ring(agent, number);
        }
    }
}

/// Returns how much log there is before the next checkpoint: some times what the last one wrote, so
/// that its cost is little for each message however much is stored; where that would make the log
/// very long, at least as much, so that it stays bounded.
fn log_bytes(snapshot_bytes: u64) -> u64 {
    snapshot_bytes.saturating_mul(SNAPSHOTS).min(LOG_BYTES).max(snapshot_bytes)
}

/// Reading and writing a snapshot takes several times as long as writing as much log.
const SNAPSHOTS: u64 = 4;
/// What is read within some seconds when the store is opened.
const LOG_BYTES: u64 = 1 << 30;
/// What a frame takes beside its batches.
const FRAME_BYTES: u64 = 64;
/// How long nothing comes before the end of the log is marked.
const IDLE: Duration = Duration::from_millis(100);
/// How often a full disk is asked for room while nobody else asks.
const ROOM_PAUSE: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_between_checkpoints_grows_with_the_snapshot_and_not_without_bound() {
        const MIB: u64 = 1 << 20;
        let cases = [(0, 0), (10, 40), (256, 1_024), (500, 1_024), (3_000, 3_000)];
        for (snapshot, log) in cases {
            assert_eq!(log_bytes(snapshot * MIB), log * MIB, "{snapshot}");
        }
        assert_eq!(log_bytes(u64::MAX), u64::MAX);
    }
}
