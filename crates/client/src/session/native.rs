//! The native session: publishes and answers one way; outcomes, deliveries and receipts the other.
//!
//! What is published waits in the outbox, which outlives it.

use std::sync::Arc;

use http::uri::PathAndQuery;
use prost::Message as _;
use tonic::{Request, Status, Streaming};
use wire::palisade::bus::v1::{ClientFrame, Goodbye, Hello, Intake, ServerFrame, Welcome};

use crate::call::failure;
use crate::dial::Link;
use crate::error::{Error, Refused};
use crate::frame::Frames;
use crate::incoming::{Delivered, Way};
use crate::line::{Line, Writer};
use crate::message::Envelope;
use crate::options::Receive;
use crate::shared::Shared;

/// Holds an open stream whose welcome has come.
#[derive(Debug)]
pub(crate) struct Session {
    pub(super) link: Arc<Link>,
    arriving: Streaming<ServerFrame>,
    line: Held,
    welcome: Welcome,
}

impl Session {
    /// Lets what is published go by this session.
    pub(super) fn begin(&self, shared: &Shared) {
        shared.with_outbox();
        shared.outbox.open(&self.line.0, &self.welcome);
    }

    /// Ends this side behind what is queued, and takes outcomes until the other side ends too.
    pub(super) async fn finish(&mut self, shared: &Shared) {
        shared.outbox.pause();
        self.line.0.finish();
        while let Ok(Some(frame)) = self.arriving.message().await {
            shared.outbox.settle(frame.outcomes);
        }
    }

    /// Takes what a frame brings; returns why the session ends, if it does.
    fn take_in(&self, shared: &Shared, frame: ServerFrame) -> Option<Error> {
        if frame.credit_bytes > 0 {
            shared.outbox.grant(frame.credit_bytes);
        }
        if !frame.outcomes.is_empty() {
            shared.outbox.settle(frame.outcomes);
        }
        if frame.receipts_dropped > 0 {
            shared.outbox.receipts.clear();
        }
        if !frame.receipts.is_empty() {
            shared.outbox.receipts.tell(frame.receipts);
        }
        let is_closing = shared.phases.closing.is_cancelled();
        let messages = frame.deliveries.into_iter().filter_map(|delivery| {
            let way =
                Way::Native { delivery: delivery.delivery_id, line: Arc::clone(&self.line.0) };
            let envelope = Envelope::of(delivery, shared.agent());
            if envelope.meta.is_reply {
                shared.pending.deliver(envelope);
                // If this fails the stream is gone, which reading from it will say.
                drop(way.ack_now());
                return None;
            }
            // Closing, nothing is answered: the gate gives it to another session after this one.
            (!is_closing).then_some(Delivered { way, envelope })
        });
        let waiting = shared.buffer.put(messages);
        if u32::try_from(waiting).is_ok_and(|waiting| waiting <= self.welcome.deliveries_max) {
            return frame.goodbye.map(ended);
        }
        tracing::warn!(waiting, "the gate delivers beyond its credit");
        Some(Error::Interrupted)
    }
}

/// Ends the line with its session: messages that were not answered yet hold on to it, and the gate
/// would wait for it.
#[derive(Debug)]
struct Held(Arc<Line>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Opens the stream and returns the agent that the gate verified.
pub(super) async fn greet(shared: &Shared, link: &Arc<Link>) -> Result<(Session, String), Status> {
    let line = Held(Arc::default());
    let frames = Writer::new(hello(shared), Arc::clone(&line.0), Arc::clone(&shared.outbox));
    // LIMIT: all that may be undelivered could come in one frame; one message is never too large.
    let frame_bytes_max = shared.credit_bytes.saturating_add(link.message_bytes_max);
    let mut gate = link.grpc().max_decoding_message_size(frame_bytes_max);
    gate.ready().await.map_err(|error| Status::from_error(Box::new(error)))?;
    let path = PathAndQuery::from_static("/palisade.bus.v1.BusService/Session");
    let mut arriving = gate.streaming(Request::new(frames), path, Frames).await?.into_inner();
    let Some(welcome) = arriving.message().await?.and_then(|first| first.welcome) else {
        return Err(Status::unavailable("no_welcome"));
    };
    let agent = welcome.agent_id.clone();
    Ok((Session { link: Arc::clone(link), arriving, line, welcome }, agent))
}

fn hello(shared: &Shared) -> Vec<u8> {
    let intake = match shared.receive {
        Receive::All => Intake::Everything,
        Receive::Replies => Intake::Replies,
    };
    let hello = Hello {
        instance_id: shared.instance.clone(),
        credit_bytes: u64::try_from(shared.credit_bytes).unwrap_or(u64::MAX),
        deliveries_max: shared.deliveries_max,
        intake: intake.into(),
    };
    ClientFrame { hello: Some(hello), ..ClientFrame::default() }.encode_to_vec()
}

/// Reads the stream until it ends, and says why it did.
pub(super) async fn serve(shared: &Shared, session: &mut Session) -> Error {
    let finish = &shared.phases.finish;
    loop {
        // Dropped unfinished, reading loses nothing.
        let arrived = tokio::select! {
            biased;
            arrived = session.arriving.message() => arrived,
            () = finish.cancelled(), if !session.line.0.is_finishing() => {
                session.line.0.finish();
                continue;
            }
        };
        match arrived {
            Ok(Some(frame)) => {
                if let Some(error) = session.take_in(shared, frame) {
                    return error;
                }
            }
            Ok(None) => return Error::Interrupted,
            Err(status) => return failure(&session.link, &status),
        }
    }
}

fn ended(goodbye: Goodbye) -> Error {
    Refused::from_goodbye(goodbye).into()
}
