//! Batches that wait for the committer, and the groups in which it takes them.
//!
//! Nothing is judged or written here.

use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use gate::ports::{Batch, StoreError};
use tokio::sync::oneshot;

/// What is asked of the committer.
#[derive(Debug)]
pub(super) enum Request {
    Commit(Waiting),
    /// Finish what came before and end.
    Stop,
}

/// Batches that one caller waits for; each is judged by itself.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) batches: Vec<Batch>,
    /// No fewer bytes than they take in a frame.
    pub(super) bytes: usize,
    pub(super) answer: Answer,
}

impl Waiting {
    /// Tells whether all of them may be held back for a moment.
    fn can_wait(&self) -> bool {
        self.batches.iter().all(Batch::can_wait)
    }
}

/// Where the outcomes of batches go, in their order.
pub(super) type Answer = oneshot::Sender<Vec<Result<(), StoreError>>>;

/// Answers a caller, who may be gone: that does not undo the batches.
pub(super) fn answer(waiting: Answer, results: Vec<Result<(), StoreError>>) {
    drop(waiting.send(results));
}

/// Batches that are committed together.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) waiting: Vec<Waiting>,
    pub(super) bytes: usize,
    /// How many batches there are.
    pub(super) len: usize,
    /// Whether somebody waits for one of them.
    is_urgent: bool,
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
        let began = now();
        while self.len < GROUP_LEN_MAX && self.bytes < GROUP_BYTES_MAX {
            let request = match requests.try_recv() {
                Ok(request) => request,
                // What nobody waits for goes with what somebody waits for, or after a moment. That
                // nobody can send any more is seen with the next group.
                Err(TryRecvError::Empty) if !self.is_urgent => {
                    let left = HOLD_MAX.saturating_sub(began.elapsed());
                    let Ok(request) = requests.recv_timeout(left) else { break };
                    request
                }
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            };
            if !self.take(Some(request)) {
                return Collected::Last;
            }
        }
        Collected::More
    }

    fn take(&mut self, request: Option<Request>) -> bool {
        let Some(Request::Commit(waiting)) = request else { return false };
        self.bytes = self.bytes.saturating_add(waiting.bytes);
        self.len = self.len.saturating_add(waiting.batches.len());
        self.is_urgent |= !waiting.can_wait();
        self.waiting.push(waiting);
        true
    }
}

/// For how long what nobody waits for is held back, for others to come.
const HOLD_MAX: Duration = Duration::from_millis(2);

/// When the collecting of a group began; no moment that anything is judged by.
#[expect(clippy::disallowed_methods, reason = "how long a thread waits is no time of the gate")]
fn now() -> Instant {
    Instant::now()
}

/// LIMIT: what one frame takes, so that no caller waits long for the others of the group.
const GROUP_LEN_MAX: usize = 1_024;
const GROUP_BYTES_MAX: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use gate::ports::{Op, Settlement};
    use gate::types::{MessageId, SessionId, Timestamp};

    use super::*;

    fn batches(count: usize, bytes: usize) -> Receiver<Request> {
        let (send, receive) = sync_channel(count + 1);
        for _ in 0..count {
            send.try_send(waiting(Op::record("{}"), bytes)).unwrap();
        }
        send.try_send(Request::Stop).unwrap();
        receive
    }

    fn waiting(op: Op, bytes: usize) -> Request {
        let batches = vec![Batch { ops: vec![op] }];
        Request::Commit(Waiting { batches, bytes, answer: oneshot::channel().0 })
    }

    fn acknowledgement() -> Request {
        let message = MessageId::from_random(1);
        let (holder, at) = (SessionId::from_random(1), Timestamp::default());
        waiting(Op::Settle { message, holder, how: Settlement::Acknowledged, at }, 1)
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
    fn acknowledgements_go_with_what_somebody_waits_for() {
        let (send, receive) = sync_channel(9);
        send.try_send(acknowledgement()).unwrap();
        let late = std::thread::spawn(move || {
            send.send(acknowledgement()).unwrap();
            send.send(waiting(Op::record("{}"), 1)).unwrap();
            send
        });
        let mut group = Group::default();
        // How quick the thread is decides whether it is one group or two, but not that the last
        // one is not held back.
        while !group.is_urgent {
            group = Group::default();
            assert_eq!(group.collect(&receive, None), Collected::More);
        }
        drop(late.join().unwrap());
    }

    #[test]
    fn acknowledgements_alone_are_held_back_for_a_moment_only() {
        let (send, receive) = sync_channel(9);
        send.try_send(acknowledgement()).unwrap();
        send.try_send(acknowledgement()).unwrap();
        let mut group = Group::default();
        let began = now();
        assert_eq!(group.collect(&receive, None), Collected::More);
        assert_eq!((group.waiting.len(), group.is_urgent), (2, false));
        assert!(began.elapsed() >= HOLD_MAX, "{:?}", began.elapsed());
    }

    #[test]
    fn a_group_takes_what_waits_up_to_its_limits() {
        assert_eq!(groups(&batches(0, 1)), [0]);
        assert_eq!(groups(&batches(3, 1)), [3]);
        assert_eq!(groups(&batches(2_500, 1)), [1_024, 1_024, 452]);
        assert_eq!(groups(&batches(5, 3 << 20)), [2, 2, 1]);
    }
}
