//! The way to the gate of one native session: answers to its deliveries, and when to stop.
//!
//! It belongs to one session, so that an answer cannot end up in another; what is published
//! outlives sessions and waits in the outbox.

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures::Stream;
use futures::task::AtomicWaker;
use wire::palisade::bus::v1::Nack;

use crate::error::Error;
use crate::frame::{put_acks, put_nack};
use crate::outbox::Outbox;

/// Takes what is for the gate and tells the writer.
#[derive(Default)]
pub(crate) struct Line {
    answers: Mutex<Answers>,
    writer: AtomicWaker,
    finishing: AtomicBool,
    over: AtomicBool,
}

/// LIMIT: one for each delivery, of which the gate lets a bounded number be unanswered.
#[derive(Default)]
struct Answers {
    acks: Vec<u64>,
    nacks: Vec<Nack>,
}

impl Line {
    /// Queues an acknowledgement.
    pub(crate) fn ack(&self, delivery: u64) -> Result<(), Error> {
        self.answer(|answers| answers.acks.push(delivery))
    }

    /// Queues a refusal of a delivery.
    pub(crate) fn nack(&self, nack: Nack) -> Result<(), Error> {
        self.answer(|answers| answers.nacks.push(nack))
    }

    fn answer(&self, add: impl FnOnce(&mut Answers)) -> Result<(), Error> {
        if self.is_over() {
            return Err(Error::Interrupted);
        }
        add(&mut self.answers());
        self.wake();
        Ok(())
    }

    /// Makes the writer look for what there is to send.
    pub(crate) fn wake(&self) {
        self.writer.wake();
    }

    /// Ends this side of the stream behind what is queued.
    pub(crate) fn finish(&self) {
        self.finishing.store(true, Ordering::Release);
        self.wake();
    }

    pub(crate) fn is_finishing(&self) -> bool {
        self.finishing.load(Ordering::Acquire)
    }

    /// Ends this side of the stream at once.
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Release);
        self.wake();
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    fn put_answers(&self, frame: &mut Vec<u8>) {
        let mut answers = self.answers();
        put_acks(frame, &answers.acks);
        answers.acks.clear();
        for nack in answers.nacks.drain(..) {
            put_nack(frame, &nack);
        }
    }

    fn answers(&self) -> MutexGuard<'_, Answers> {
        // INVARIANT: no code that can panic runs under the lock.
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("over", &self.is_over()).finish_non_exhaustive()
    }
}

/// Yields the frames of one session: whatever waits at the moment in which the connection can
/// take a frame goes into it together, and nothing waits for more to come.
#[derive(Debug)]
pub(crate) struct Writer {
    hello: Option<Vec<u8>>,
    line: Arc<Line>,
    outbox: Arc<Outbox>,
}

impl Writer {
    pub(crate) fn new(hello: Vec<u8>, line: Arc<Line>, outbox: Arc<Outbox>) -> Self {
        Self { hello: Some(hello), line, outbox }
    }
}

impl Stream for Writer {
    type Item = Vec<u8>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Vec<u8>>> {
        if let Some(hello) = self.hello.take() {
            return Poll::Ready(Some(hello));
        }
        // Before looking, so that nothing is missed that comes meanwhile.
        self.line.writer.register(context.waker());
        if self.line.is_over() {
            return Poll::Ready(None);
        }
        let is_finishing = self.line.is_finishing();
        let mut frame = Vec::new();
        self.line.put_answers(&mut frame);
        self.outbox.fill(&self.line, &mut frame);
        if !frame.is_empty() {
            Poll::Ready(Some(frame))
        } else if is_finishing {
            Poll::Ready(None)
        } else {
            Poll::Pending
        }
    }
}
