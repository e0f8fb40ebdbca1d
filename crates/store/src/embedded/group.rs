//! Batches that wait for the committer, and the groups in which it takes them.
//!
//! Nothing is judged or written here.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use gate::ports::{Batch, StoreError};
use tokio::sync::oneshot;

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
    pub(super) answer: Answer,
}

/// Where the outcome of a batch goes.
pub(super) type Answer = oneshot::Sender<Result<(), StoreError>>;

/// Answers a caller, who may be gone: that does not undo the batch.
pub(super) fn answer(waiting: Answer, result: Result<(), StoreError>) {
    waiting.send(result).unwrap_or_default();
}

/// Batches that are committed together.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) waiting: Vec<Waiting>,
    pub(super) bytes: usize,
}

/// How the collecting of a group ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Collected {
    More,
    /// Nothing has come for a while.
    Idle,
    /// No more will come.
    Last,
}

impl Group {
    /// Waits for a batch and takes what waits behind it.
    pub(super) fn collect(
        &mut self,
        requests: &Receiver<Request>,
        patience: Option<Duration>,
    ) -> Collected {
        let first = match patience.map(|patience| requests.recv_timeout(patience)) {
            Some(Err(RecvTimeoutError::Timeout)) => return Collected::Idle,
            Some(received) => received.ok(),
            None => requests.recv().ok(),
        };
        if !self.take(first) {
            return Collected::Last;
        }
        while self.waiting.len() < GROUP_LEN_MAX && self.bytes < GROUP_BYTES_MAX {
            // That nobody can send any more is seen with the next group.
            let Ok(request) = requests.try_recv() else { break };
            if !self.take(Some(request)) {
                return Collected::Last;
            }
        }
        Collected::More
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
            let collected = group.collect(requests, None);
            sizes.push(group.waiting.len());
            if collected == Collected::Last {
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
