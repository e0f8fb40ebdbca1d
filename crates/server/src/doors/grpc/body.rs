//! The body of a call as it comes in, bounded in time and bytes; and of a session as it goes out.
//!
//! What a message may hold is judged by the codec and the pipeline.

use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use gate::types::Refusal;
use http_body::{Frame, SizeHint};
use parking_lot::Mutex;
use tokio::time::{Instant, Sleep};
use tonic::Status;
use tonic::body::Body;

use super::share::Ticket;

/// A call's body that must come without long pauses, and for whose bytes there must be room.
#[derive(Debug)]
pub(super) struct Bounded<B> {
    body: B,
    ticket: Arc<Ticket>,
    idle_max: Duration,
    idle: Option<Pin<Box<Sleep>>>,
}

impl<B> Bounded<B> {
    pub(super) const fn new(body: B, ticket: Arc<Ticket>, idle_max: Duration) -> Self {
        Self { body, ticket, idle_max, idle: None }
    }
}

// The time after which a caller may try again what found no room.
const ROOM_WAIT: Duration = Duration::from_millis(200);

impl<B> http_body::Body for Bounded<B>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        let Poll::Ready(next) = Pin::new(&mut this.body).poll_frame(context) else {
            // LIMIT: server.limits.body_idle_timeout_ms.
            let idle_max = this.idle_max;
            let idle = this.idle.get_or_insert_with(|| Box::pin(tokio::time::sleep(idle_max)));
            ready!(idle.as_mut().poll(context));
            return Poll::Ready(Some(Err(this.ticket.refuse(Refusal::CallTimeout))));
        };
        this.idle = None;
        let next = next.map(|frame| {
            let frame = frame.map_err(|cause| Status::from_error(cause.into()))?;
            // LIMIT: server.limits.call_bytes_per_identity_max, call_bytes_max.
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            match this.ticket.charge(bytes) {
                Ok(()) => Ok(frame),
                Err(what) => {
                    let refusal = Refusal::Backpressure { what, retry_after: ROOM_WAIT };
                    Err(this.ticket.refuse(refusal))
                }
            }
        });
        Poll::Ready(next)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Since when a session has left unread what it was given, if it has.
type Mark = Mutex<Option<Instant>>;

/// The sessions of one connection that deliveries go out to.
#[derive(Debug, Clone, Default)]
pub(super) struct Readers(Arc<Mutex<Vec<Weak<Mark>>>>);

impl Readers {
    /// Follows the body of a session.
    pub(super) fn follow(&self, body: Body) -> Followed {
        let mark = Arc::new(Mark::default());
        let mut readers = self.0.lock();
        readers.retain(|reader| reader.strong_count() > 0);
        readers.push(Arc::downgrade(&mark));
        Followed { body, mark }
    }

    /// Tells whether one of them has read nothing for a time although something waits.
    pub(super) fn is_stalled(&self, patience: Duration) -> bool {
        self.0.lock().iter().filter_map(Weak::upgrade).any(|mark| {
            let since = *mark.lock();
            since.is_some_and(|since| since.elapsed() >= patience)
        })
    }
}

/// A session's outgoing body, which is only asked for more when there is room to send it.
#[derive(Debug)]
pub(super) struct Followed {
    body: Body,
    mark: Arc<Mark>,
}

impl http_body::Body for Followed {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        let next = Pin::new(&mut this.body).poll_frame(context);
        *this.mark.lock() = matches!(next, Poll::Ready(Some(Ok(_)))).then(Instant::now);
        next
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
