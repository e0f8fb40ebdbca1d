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

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender};

use audit::{Chain, Entry, Salt};
use bytes::Bytes;
use gate::ports::{Batch, StoreError};
use gate::types::AgentId;
use tokio::sync::oneshot;

use super::change::Change;
use super::checkpoint::Upto;
use super::frame::{FrameWriter, HEAD_BYTES, Place};
use super::log::{Log, LogEnd, NoRoom};
use super::plan::{Planned, plan};
use super::shared::Shared;
use super::state::Origin;

/// What is asked of the committer.
#[derive(Debug)]
pub(super) enum Request {
    Commit(Waiting),
    /// Finish what came before and end.
    Stop,
}

/// A batch that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) batch: Batch,
    /// No fewer bytes than it takes in a frame.
    pub(super) bytes: usize,
    pub(super) answer: oneshot::Sender<Result<(), StoreError>>,
}

/// The thread's own.
#[derive(Debug)]
pub(super) struct Committer {
    pub(super) shared: Arc<Shared>,
    pub(super) log: Log,
    pub(super) chain: Chain,
    pub(super) want_checkpoint: SyncSender<()>,
}

/// Batches that are committed together.
#[derive(Debug, Default)]
struct Group {
    waiting: Vec<Waiting>,
    bytes: usize,
}

/// A group after it was applied.
#[derive(Debug, Default)]
struct Applied {
    answers: Vec<oneshot::Sender<Result<(), StoreError>>>,
    changes: Vec<(Change, Option<Bytes>)>,
    records: Vec<(Bytes, Option<Salt>)>,
    /// Agents in whose queues messages became leasable.
    agents: BTreeSet<AgentId>,
    /// The place behind the last message of the group.
    next_place: u64,
    /// Bytes of all envelopes of the group.
    envelopes: usize,
}

impl Committer {
    /// Works until it is told to stop; returns where the log ends.
    pub(super) fn run(mut self, requests: &Receiver<Request>) -> LogEnd {
        let mut is_open = true;
        while is_open {
            let mut group = Group::default();
            is_open = group.collect(requests);
            self.shared.waiting_bytes.fetch_sub(group.bytes, Ordering::Relaxed);
            if !group.waiting.is_empty() {
                self.commit(group);
            }
        }
        if self.shared.fatal.error().is_none()
            && let Err(error) = self.log.sync()
        {
            self.shared.fatal.die(format!("the log cannot be synced: {error}"));
        }
        self.log.end()
    }

    fn commit(&mut self, group: Group) {
        let Group { waiting: group, bytes } = group;
        if let Err(error) = self.reserve(bytes) {
            for waiting in group {
                answer(waiting.answer, Err(error.clone()));
            }
            return;
        }
        let applied = self.apply(group);
        let done = applied.and_then(|mut applied| match self.write(&mut applied, bytes) {
            Ok(entries) => Ok((applied, entries)),
            Err(why) => Err((applied.answers, why)),
        });
        match done {
            Ok((applied, entries)) => self.publish(applied, entries),
            Err((answers, why)) => {
                self.shared.fatal.die(why.clone());
                for waiting in answers {
                    answer(waiting, Err(StoreError::Unreachable(why.clone())));
                }
            }
        }
    }

    /// Makes sure that the group's frame has room.
    fn reserve(&mut self, bytes: usize) -> Result<(), StoreError> {
        if let Some(error) = self.shared.fatal.error() {
            return Err(error);
        }
        let needed = (bytes as u64).saturating_add(FRAME_BYTES);
        match self.log.reserve(needed, self.chain.next_seq()) {
            Ok(None) => Ok(()),
            Ok(Some(sealed)) => {
                self.shared.fatal.set_full(false);
                self.sealed(sealed);
                Ok(())
            }
            Err(NoRoom::DiskFull) => {
                self.shared.fatal.set_full(true);
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
    /// last one: as much as the snapshot is large, so that its cost per message stays bounded.
    fn sealed(&self, bytes: u64) {
        let shared = &self.shared;
        let end = self.log.end();
        *shared.active.lock() = Upto { segment: end.number, position: end.position };
        let sealed = shared.sealed_bytes.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        let enough =
            shared.options.checkpoint_bytes.max(shared.snapshot_bytes.load(Ordering::Relaxed));
        if sealed >= enough {
            // A full channel means that it was asked already.
            self.want_checkpoint.try_send(()).unwrap_or_default();
        }
    }

    /// Judges each batch and applies those that are accepted; the others are answered at once.
    fn apply(&self, group: Vec<Waiting>) -> Result<Applied, (Vec<Answer>, String)> {
        let end = self.log.end();
        let body_at = end.offset.saturating_add(HEAD_BYTES as u64);
        let origin = Origin { segment: end.number, body_at };
        let mut applied = Applied::default();
        let mut state = self.shared.state.lock();
        for Waiting { batch, answer: waiter, .. } in group {
            let Planned { changes, records, time } = match plan(&mut state, batch) {
                Ok(planned) => planned,
                Err(refusal) => {
                    answer(waiter, Err(refusal));
                    continue;
                }
            };
            applied.answers.push(waiter);
            state.time = time;
            applied.records.extend(records);
            for (mut change, envelope) in changes {
                if let (Change::Enqueue { slot, .. }, Some(envelope)) = (&mut change, &envelope) {
                    slot.at = u32::try_from(applied.envelopes).unwrap_or(u32::MAX);
                    applied.envelopes = applied.envelopes.saturating_add(envelope.len());
                }
                match state.apply(&change, &origin, envelope.clone()) {
                    Ok(agent) => applied.agents.extend(agent),
                    Err(misfit) => {
                        let why = format!("a planned change named {}", misfit.0);
                        return Err((applied.answers, why));
                    }
                }
                applied.changes.push((change, envelope));
            }
        }
        state.purge();
        applied.next_place = state.queues.next_place();
        drop(state);
        Ok(applied)
    }

    /// Chains the records and writes the group; returns the audit entries.
    fn write(&mut self, applied: &mut Applied, bytes: usize) -> Result<Vec<Entry>, String> {
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
            return Ok(entries);
        }
        let (position, synced) = (self.log.end().position, self.log.synced());
        let place = Place { position, synced, next_seq };
        let frame = frame.finish(applied.envelopes, place);
        let frame = frame.ok_or_else(|| "a group does not fit a frame".to_owned())?;
        self.log.append(&frame).map_err(|error| format!("the log cannot be written: {error}"))?;
        Ok(entries)
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
        for waiting in applied.answers {
            answer(waiting, Ok(()));
        }
        for agent in &applied.agents {
            shared.bells.ring(agent, number);
        }
    }
}

type Answer = oneshot::Sender<Result<(), StoreError>>;

/// Answers a caller, who may be gone: that does not undo the batch.
fn answer(waiting: Answer, result: Result<(), StoreError>) {
    waiting.send(result).unwrap_or_default();
}

impl Group {
    /// Waits for a batch and takes what waits behind it; false when no more will come.
    fn collect(&mut self, requests: &Receiver<Request>) -> bool {
        if !self.take(requests.recv().ok()) {
            return false;
        }
        while self.waiting.len() < GROUP_LEN_MAX && self.bytes < GROUP_BYTES_MAX {
            // That nobody can send any more is seen with the next group.
            let Ok(request) = requests.try_recv() else { break };
            if !self.take(Some(request)) {
                return false;
            }
        }
        true
    }

    fn take(&mut self, request: Option<Request>) -> bool {
        let Some(Request::Commit(waiting)) = request else { return false };
        self.bytes = self.bytes.saturating_add(waiting.bytes);
        self.waiting.push(waiting);
        true
    }
}

/// LIMIT: what one frame takes, so that no caller waits long for the others of the group.
const GROUP_LEN_MAX: usize = 1_024;
const GROUP_BYTES_MAX: usize = 4 << 20;
/// What a frame takes beside its batches.
const FRAME_BYTES: u64 = 64;

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;

    fn batches(count: usize, bytes: usize) -> Receiver<Request> {
        let (send, receive) = sync_channel(count + 1);
        for _ in 0..count {
            let batch = Batch { ops: Vec::new() };
            send.try_send(Request::Commit(Waiting { batch, bytes, answer: oneshot::channel().0 }))
                .unwrap();
        }
        send.try_send(Request::Stop).unwrap();
        receive
    }

    /// The sizes of all groups until the end.
    fn groups(requests: &Receiver<Request>) -> Vec<usize> {
        let mut sizes = Vec::new();
        loop {
            let mut group = Group::default();
            let is_open = group.collect(requests);
            sizes.push(group.waiting.len());
            if !is_open {
                return sizes;
            }
        }
    }

    #[test]
    fn a_group_takes_what_waits_up_to_its_limits() {
        assert_eq!(groups(&batches(0, 1)), [0]);
        assert_eq!(groups(&batches(3, 1)), [3]);
        assert_eq!(groups(&batches(2_500, 1)), [1_024, 1_024, 452]);
        assert_eq!(groups(&batches(5, 3 << 20)), [2, 2, 1]);
    }
}
