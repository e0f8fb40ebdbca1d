//! The writing direction of a native session: outcomes, deliveries and receipts, as many in a frame
//! as there are.
//!
//! Frames are made only when the connection has room for one, so what waits gathers: a reader that
//! pauses leaves a few large frames unread, and not many small ones. What is small all the same
//! is padded: libraries of HTTP/2 close a connection with some hundred small pieces of data that
//! its program has not read (the crate h2 since 0.4.16: below 256 bytes).

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt as _};
use gate::Gate;
use gate::delivery::{Delivery, Session, SessionHandle};
use gate::types::{Refusal, Unavailable};
use prost::Message as _;
use tonic::Status;
use wire::palisade::bus::v1 as bus;

use super::super::status::status;
use super::frames;
use super::outbox::Outbox;

// LIMIT: bytes of deliveries in a frame, but for the last one in it; more go into the next frame.
const FRAME_BYTES: usize = 64 * 1024;

/// The frames of a session.
pub(super) struct Sending {
    gate: Arc<Gate>,
    handle: SessionHandle,
    outbox: Arc<Outbox>,
    welcome: Option<bus::Welcome>,
    deliveries: Option<BoxStream<'static, Vec<Delivery>>>,
    is_over: bool,
}

impl Sending {
    pub(super) fn new(
        gate: Arc<Gate>,
        session: Session,
        outbox: Arc<Outbox>,
        welcome: bus::Welcome,
    ) -> Self {
        let handle = session.handle();
        let deliveries = stream::unfold(session, |mut session| async {
            let batch = session.next().await?;
            Some((batch, session))
        });
        let deliveries = Some(deliveries.boxed());
        Self { gate, handle, outbox, welcome: Some(welcome), deliveries, is_over: false }
    }

    /// Adds deliveries up to the size of a frame.
    fn deliver(
        &mut self,
        frame: &mut bus::ServerFrame,
        context: &mut Context<'_>,
    ) -> Result<(), Status> {
        let mut bytes = 0_usize;
        while bytes < FRAME_BYTES {
            let Some(deliveries) = &mut self.deliveries else { break };
            match deliveries.poll_next_unpin(context) {
                Poll::Ready(Some(batch)) => {
                    for delivery in batch {
                        bytes = bytes.saturating_add(delivery.envelope.len());
                        // Anything else is damage, and must not be guessed.
                        let broken = "an envelope is none of this gate";
                        let refusal = Refusal::Unavailable(Unavailable::Internal(broken));
                        let delivery = frames::delivery(delivery).ok_or_else(|| status(&refusal));
                        frame.deliveries.push(delivery?);
                    }
                }
                Poll::Ready(None) => self.deliveries = None,
                Poll::Pending => break,
            }
        }
        Ok(())
    }

    /// Says why the session ends, unless the client has ended it.
    fn goodbye(&self) -> Option<bus::Goodbye> {
        self.outbox.goodbye().or_else(|| {
            let draining = Refusal::Unavailable(Unavailable::Draining);
            self.gate.is_draining().then(|| frames::goodbye(&draining))
        })
    }
}

/// Returns what a frame of so many bytes lacks to be no small piece of data.
fn padding(bytes: usize) -> Bytes {
    static ZEROS: [u8; PIECE_BYTES] = [0; PIECE_BYTES];
    Bytes::from_static(ZEROS.get(bytes..).unwrap_or_default())
}

/// A piece of data that counts as one of usual size.
const PIECE_BYTES: usize = 256;

impl Stream for Sending {
    type Item = Result<bus::ServerFrame, Status>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.is_over {
            return Poll::Ready(None);
        }
        if let Some(welcome) = this.welcome.take() {
            let welcome = bus::ServerFrame { welcome: Some(welcome), ..Default::default() };
            return Poll::Ready(Some(Ok(welcome)));
        }
        let mut frame = bus::ServerFrame::default();
        // Before the outcomes: what there is a receipt for has its outcome in this frame or before.
        if let Poll::Ready((receipts, dropped)) = this.handle.poll_receipts(context) {
            frame.receipts = receipts.into_iter().map(frames::receipt).collect();
            frame.receipts_dropped = dropped;
        }
        let taken = this.outbox.take(context);
        frame.outcomes = taken.outcomes;
        if let Err(broken) = this.deliver(&mut frame, context) {
            this.is_over = true;
            return Poll::Ready(Some(Err(broken)));
        }
        if taken.is_done && this.deliveries.is_none() {
            this.is_over = true;
            frame.goodbye = this.goodbye();
        }
        if frame != bus::ServerFrame::default() {
            frame.padding = padding(frame.encoded_len());
            return Poll::Ready(Some(Ok(frame)));
        }
        if this.is_over { Poll::Ready(None) } else { Poll::Pending }
    }
}
