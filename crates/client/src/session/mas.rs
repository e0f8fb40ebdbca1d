//! The session of the MAS wire: for servers that know no other, or where the program wants it.

use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, stream};
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::metadata::MetadataValue;
use tonic::{Request, Status, Streaming};
use wire::mas::runtime::v1::client_event::Event as Outgoing;
use wire::mas::runtime::v1::server_event::Event as Arriving;
use wire::mas::runtime::v1::{Ack, ClientEvent, Delivery, Heartbeat, Hello, ServerEvent};

use crate::call::failure;
use crate::dial::Link;
use crate::error::{Error, HandlerError};
use crate::incoming::{Delivered, Way, nack_event};
use crate::message::Envelope;
use crate::options::Receive;
use crate::shared::Shared;

/// Holds an open stream whose welcome has come.
#[derive(Debug)]
pub(crate) struct Session {
    pub(super) link: Arc<Link>,
    arriving: Streaming<ServerEvent>,
    out: mpsc::Sender<ClientEvent>,
    /// Ends this side of the stream behind what is queued.
    finish: CancellationToken,
    /// Ends this side of the stream too: messages that were not answered yet hold on to `out`,
    /// and the gate would wait for it.
    _over: DropGuard,
}

/// Opens the stream and returns the agent that the gate verified.
pub(super) async fn greet(shared: &Shared, link: &Arc<Link>) -> Result<(Session, String), Status> {
    let (out, queue) = mpsc::channel(OUTGOING_MAX);
    let hello = Outgoing::Hello(Hello { instance_id: shared.instance.clone() });
    out.send(ClientEvent { event: Some(hello) })
        .await
        .map_err(|_gone| Status::internal("the queue of a new session is closed"))?;
    let over = CancellationToken::new();
    let finish = shared.phases.finish.child_token();
    let ends = (finish.clone(), over.clone());
    let over = over.drop_guard();
    let mut request = Request::new(outgoing(queue, ends, shared.heartbeat));
    match shared.receive {
        Receive::All => {}
        Receive::Replies => {
            let replies = MetadataValue::from_static("replies");
            request.metadata_mut().insert("palisade-receive", replies);
        }
    }
    let mut arriving = link.runtime().transport(request).await?.into_inner();
    match arriving.message().await?.and_then(|first| first.event) {
        Some(Arriving::Welcome(welcome)) => {
            let link = Arc::clone(link);
            Ok((Session { link, arriving, out, finish, _over: over }, welcome.agent_id))
        }
        Some(Arriving::Error(error)) => Err(Status::unavailable(error.code)),
        Some(Arriving::Delivery(_)) | None => Err(Status::unavailable("no_welcome")),
    }
}

/// Sends what is queued, and heartbeats when there is nothing; ends when told to finish, queue
/// first, and at once when the session is over.
fn outgoing(
    queue: mpsc::Receiver<ClientEvent>,
    ends: (CancellationToken, CancellationToken),
    heartbeat: Duration,
) -> impl Stream<Item = ClientEvent> + Send + 'static {
    stream::unfold((queue, ends), move |(mut queue, (finish, over))| async move {
        let event = tokio::select! {
            biased;
            () = over.cancelled() => None,
            event = queue.recv() => event,
            () = finish.cancelled() => {
                queue.close();
                queue.recv().await
            }
            () = sleep(heartbeat) => {
                Some(ClientEvent { event: Some(Outgoing::Heartbeat(Heartbeat {})) })
            }
        };
        event.map(|event| (event, (queue, (finish, over))))
    })
}

impl Session {
    /// Ends this side behind what is queued and waits for the other.
    pub(super) async fn finish(&mut self) {
        self.finish.cancel();
        while let Ok(Some(_event)) = self.arriving.message().await {}
    }
}

/// Reads the stream until it ends, and says why it did.
pub(super) async fn serve(shared: &Shared, session: &mut Session) -> Error {
    loop {
        match session.arriving.message().await {
            Ok(Some(ServerEvent { event: Some(Arriving::Delivery(delivery)) })) => {
                take_in(shared, session, delivery).await;
            }
            Ok(Some(ServerEvent { event: Some(Arriving::Error(error)) })) => {
                tracing::warn!(code = %error.code.escape_debug(), "the gate reports an error");
            }
            Ok(Some(ServerEvent { event: Some(Arriving::Welcome(_)) | None })) => {}
            Ok(None) => return Error::Interrupted,
            Err(status) => return failure(&session.link, &status),
        }
    }
}

async fn take_in(shared: &Shared, session: &Session, delivery: Delivery) {
    let Delivery { delivery_id, envelope_json } = delivery;
    let envelope: Envelope = match serde_json::from_str(&envelope_json) {
        Ok(envelope) => envelope,
        Err(error) => {
            tracing::warn!(line = error.line(), column = error.column(), "unreadable envelope");
            return answer(session, nack_event(delivery_id, &HandlerError::unreadable())).await;
        }
    };
    if envelope.meta.is_reply {
        shared.pending.deliver(envelope);
        return answer(session, Outgoing::Ack(Ack { delivery_id })).await;
    }
    if shared.phases.closing.is_cancelled() {
        // Not answered: the gate gives it to another session when this one has ended.
        return;
    }
    tokio::select! {
        biased;
        // With a full buffer this waits, and the gate's flow control with it.
        () = shared.buffer.room(BUFFER_MESSAGES_MAX) => {
            let way = Way::Mas { delivery_id, out: session.out.clone() };
            shared.buffer.put([Delivered { way, envelope }]);
        }
        () = shared.phases.closing.cancelled() => {}
    }
}

async fn answer(session: &Session, event: Outgoing) {
    // If this fails the stream is gone, which reading from it will say.
    drop(session.out.send(ClientEvent { event: Some(event) }).await);
}

/// LIMIT: answers that wait for the connection; handlers wait beyond it.
const OUTGOING_MAX: usize = 1024;
/// LIMIT: above the number of unanswered messages that a gate gives to one session (200 unless
/// configured otherwise), so that replies do not wait behind messages that nobody takes.
const BUFFER_MESSAGES_MAX: usize = 1024;
