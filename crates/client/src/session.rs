//! The one stream of a client: hello, welcome, deliveries, answers, and connecting again.
//!
//! It hands messages on and never waits for a handler; answers come back through the session's own
//! queue, so that an answer cannot end up in the wrong session.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, stream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::metadata::MetadataValue;
use tonic::{Code, Request, Status, Streaming};
use wire::mas::runtime::v1::client_event::Event as Outgoing;
use wire::mas::runtime::v1::server_event::Event as Arriving;
use wire::mas::runtime::v1::{Ack, ClientEvent, Delivery, Heartbeat, Hello, ServerEvent, Welcome};
use wire::palisade::bus::v1::RegisterKeyRequest;

use crate::call::failure;
use crate::dial::Link;
use crate::error::{Error, HandlerError, Invalid, Refused};
use crate::incoming::{Delivered, nack_event};
use crate::message::Envelope;
use crate::options::Receive;
use crate::renewal::renewed;
use crate::shared::{Shared, State};

/// Holds an open stream whose welcome has come.
#[derive(Debug)]
pub(crate) struct Session {
    link: Arc<Link>,
    arriving: Streaming<ServerEvent>,
    out: mpsc::Sender<ClientEvent>,
    /// Ends this side of the stream behind what is queued.
    finish: CancellationToken,
    /// Ends this side of the stream too: messages that were not answered yet hold on to `out`,
    /// and the gate would wait for it.
    _over: DropGuard,
}

/// Makes one attempt to connect and be welcomed.
pub(crate) async fn open(shared: &Shared) -> Result<Session, Error> {
    let attempt = Box::pin(async { open_on(shared, Arc::new(shared.dialer.dial().await?)).await });
    in_time(shared, attempt).await
}

/// Opens a session on a connection that was just made.
async fn open_on(shared: &Shared, link: Arc<Link>) -> Result<Session, Error> {
    let (session, welcome) =
        greet(shared, &link).await.map_err(|status| failure(&link, &status))?;
    if shared.agent.get_or_init(|| welcome.agent_id.clone()) != &welcome.agent_id {
        return Err(Invalid::AgentChanged.into());
    }
    register_key(shared, &link).await?;
    Ok(session)
}

async fn in_time(
    shared: &Shared,
    attempt: impl Future<Output = Result<Session, Error>>,
) -> Result<Session, Error> {
    match timeout(shared.connect_timeout, attempt).await {
        // Nothing was sent yet, so there is no doubt about what was taken.
        Ok(Err(Error::Interrupted)) => {
            Err(shared.dialer.no_connection(io::ErrorKind::ConnectionAborted.into()))
        }
        Ok(opened) => opened,
        Err(_elapsed) => Err(shared.dialer.no_connection(io::ErrorKind::TimedOut.into())),
    }
}

async fn greet(shared: &Shared, link: &Arc<Link>) -> Result<(Session, Welcome), Status> {
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
            Ok((Session { link, arriving, out, finish, _over: over }, welcome))
        }
        Some(Arriving::Error(error)) => Err(Status::unavailable(error.code)),
        Some(Arriving::Delivery(_)) | None => Err(Status::unavailable("no_welcome")),
    }
}

async fn register_key(shared: &Shared, link: &Arc<Link>) -> Result<(), Error> {
    let Some(key) = &shared.opening_key else { return Ok(()) };
    let request = RegisterKeyRequest { sealing_key: key.sealing_key().to_string() };
    match link.bus().register_key(request).await {
        Ok(_empty) => Ok(()),
        Err(status) if status.code() == Code::Unimplemented => {
            tracing::warn!("this gate takes no keys, so nothing will be encrypted to this agent");
            Ok(())
        }
        Err(status) => Err(failure(link, &status)),
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

/// Serves one session after another until the client ends.
pub(crate) async fn run(shared: Arc<Shared>, first: Session, buffer: mpsc::Sender<Delivered>) {
    let stop = shared.phases.stop.clone();
    let error = tokio::select! {
        biased;
        () = stop.cancelled() => Error::Closed,
        error = sessions(&shared, first, &buffer) => error,
    };
    shared.state.send_replace(State::Ended(error));
}

async fn sessions(shared: &Arc<Shared>, first: Session, buffer: &mpsc::Sender<Delivered>) -> Error {
    let mut session = first;
    let mut attempt = 0;
    loop {
        shared.state.send_replace(State::Up(Arc::clone(&session.link)));
        let since = Instant::now();
        let link = Arc::clone(&session.link);
        let lost = tokio::select! {
            biased;
            lost = serve(shared, &mut session, buffer) => {
                // Now, and not when the next one stands: the gate waits for this side of the
                // stream.
                drop(session);
                lost
            }
            link = renewed(shared, &link) => {
                match move_over(shared, session, link).await {
                    Ok(moved) => {
                        session = moved;
                        continue;
                    }
                    Err(error) => error,
                }
            }
        };
        drop(link);
        shared.state.send_replace(State::Down(None));
        if shared.phases.finish.is_cancelled() {
            return Error::Closed;
        }
        if since.elapsed() >= STEADY {
            attempt = 0;
        }
        tracing::info!(error = %lost, "session lost, connecting again");
        if !is_worth_retrying(&lost) {
            return lost;
        }
        session = match connect_again(shared, &mut attempt).await {
            Ok(again) => again,
            Err(error) => return error,
        };
    }
}

/// Ends a session and opens the next on a connection that stands already; calls wait meanwhile.
async fn move_over(shared: &Shared, mut session: Session, link: Link) -> Result<Session, Error> {
    shared.state.send_replace(State::Down(None));
    session.finish.cancel();
    // The gate takes one session of an instance at a time. What it still delivers on the old one
    // comes again on the new.
    let drained = async { while let Ok(Some(_event)) = session.arriving.message().await {} };
    if timeout(HANDOVER_MAX, drained).await.is_err() {
        tracing::debug!("the gate did not end the old stream");
    }
    drop(session);
    tracing::info!("connected with the renewed certificate");
    in_time(shared, Box::pin(open_on(shared, Arc::new(link)))).await
}

async fn connect_again(shared: &Shared, attempt: &mut u32) -> Result<Session, Error> {
    loop {
        let wait = shared.reconnect.wait(*attempt);
        *attempt = attempt.saturating_add(1);
        let opened = tokio::select! {
            biased;
            () = shared.phases.finish.cancelled() => return Err(Error::Closed),
            opened = async { sleep(wait).await; open(shared).await } => opened,
        };
        match opened {
            Ok(session) => return Ok(session),
            Err(error) if is_worth_retrying(&error) => {
                // The files are to be mended on this side or the other; nobody else will say so.
                if attempt.is_power_of_two()
                    && matches!(error, Error::Tls(_) | Error::Handshake { .. })
                {
                    tracing::warn!(%error, attempt = *attempt, "not connected");
                } else {
                    tracing::debug!(%error, attempt = *attempt, "not connected");
                }
                shared.state.send_replace(State::Down(Some(error)));
            }
            Err(error) => return Err(error),
        }
    }
}

/// Tells whether a later attempt, with nothing changed on this side, may succeed.
fn is_worth_retrying(error: &Error) -> bool {
    match error {
        Error::Refused(refused) => is_passing(refused),
        // A file may be half written while it is renewed, on either side.
        Error::Timeout
        | Error::Interrupted
        | Error::Connect { .. }
        | Error::Tls(_)
        // An agent may be restarting, or not know this program yet.
        | Error::Workload(_)
        | Error::Svid(_)
        | Error::Handshake { .. } => true,
        Error::Closed | Error::Invalid(_) => false,
    }
}

fn is_passing(refused: &Refused) -> bool {
    match refused.status {
        // The gate may not have noticed yet that the old stream is gone.
        Code::FailedPrecondition => refused.code == "instance_already_connected",
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::ResourceExhausted
        | Code::Aborted
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => true,
        // The certificate of the connection does not count any more; the file may hold a new one.
        Code::Unauthenticated => refused.is_about_certificate(),
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::OutOfRange
        | Code::Unimplemented => false,
    }
}

/// Reads the stream until it ends, and says why it did.
async fn serve(shared: &Shared, session: &mut Session, buffer: &mpsc::Sender<Delivered>) -> Error {
    loop {
        match session.arriving.message().await {
            Ok(Some(ServerEvent { event: Some(Arriving::Delivery(delivery)) })) => {
                take_in(shared, session, delivery, buffer).await;
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

async fn take_in(
    shared: &Shared,
    session: &Session,
    delivery: Delivery,
    buffer: &mpsc::Sender<Delivered>,
) {
    let Delivery { delivery_id, envelope_json } = delivery;
    let envelope: Envelope = match serde_json::from_str(&envelope_json) {
        Ok(envelope) => envelope,
        Err(error) => {
            tracing::warn!(line = error.line(), column = error.column(), "unreadable envelope");
            let why = HandlerError::fatal("the envelope is not readable");
            return answer(session, nack_event(delivery_id, &why)).await;
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
    let out = session.out.clone();
    tokio::select! {
        biased;
        // With a full buffer this waits, and the gate's flow control with it.
        sent = buffer.send(Delivered { delivery_id, envelope, out }) => {
            if sent.is_err() {
                tracing::debug!("nobody takes messages any more");
            }
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
/// LIMIT: how long the gate may take to end a session whose stream ended on this side.
const HANDOVER_MAX: Duration = Duration::from_secs(2);
/// A session that lived this long was a good one, and the next wait is a short one again.
const STEADY: Duration = Duration::from_secs(5);
