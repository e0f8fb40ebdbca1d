//! The one stream of a client: connecting, being welcomed, and connecting again.
//!
//! What is said on the stream is the wire's affair. A session never waits for a handler; answers go
//! back by the session that brought the message, so that none can end up in the wrong one.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tonic::Code;
use wire::palisade::bus::v1::RegisterKeyRequest;

use crate::call::failure;
use crate::dial::Link;
use crate::error::{Error, Invalid, Refused, is_transport};
use crate::options::Wire;
use crate::renewal::renewed;
use crate::shared::{Shared, State};

mod mas;
mod native;

/// Holds an open stream whose welcome has come.
#[derive(Debug)]
pub(crate) enum Session {
    Native(Box<native::Session>),
    Mas(Box<mas::Session>),
}

impl Session {
    fn link(&self) -> &Arc<Link> {
        match self {
            Self::Native(session) => &session.link,
            Self::Mas(session) => &session.link,
        }
    }

    /// Reads the stream until it ends, and says why it did.
    async fn serve(&mut self, shared: &Shared) -> Error {
        match self {
            Self::Native(session) => native::serve(shared, session).await,
            Self::Mas(session) => mas::serve(shared, session).await,
        }
    }

    /// Ends this side of the stream behind what is queued, and waits for the other.
    async fn finish(&mut self, shared: &Shared) {
        match self {
            Self::Native(session) => session.finish(shared).await,
            Self::Mas(session) => session.finish().await,
        }
    }
}

/// Makes one attempt to connect and be welcomed.
pub(crate) async fn open(shared: &Shared) -> Result<Session, Error> {
    let attempt = Box::pin(async { open_on(shared, Arc::new(shared.dialer.dial().await?)).await });
    in_time(shared, attempt).await
}

/// Opens a session on a connection that was just made.
async fn open_on(shared: &Shared, link: Arc<Link>) -> Result<Session, Error> {
    let (session, agent) = greet(shared, &link).await?;
    if shared.agent.get_or_init(|| agent.clone()) != &agent {
        return Err(Invalid::AgentChanged.into());
    }
    register_key(shared, &link).await?;
    match &session {
        Session::Native(session) => session.begin(shared),
        Session::Mas(_) => shared.without_outbox(),
    }
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

/// Opens the native session, and that of the MAS wire where the server knows no other.
async fn greet(shared: &Shared, link: &Arc<Link>) -> Result<(Session, String), Error> {
    if shared.wire == Wire::Native {
        match native::greet(shared, link).await {
            Ok((session, agent)) => return Ok((Session::Native(Box::new(session)), agent)),
            Err(status) if status.code() == Code::Unimplemented && !is_transport(&status) => {
                tracing::debug!("the server knows no native session");
            }
            Err(status) => return Err(failure(link, &status)),
        }
    }
    let greeted = mas::greet(shared, link).await.map_err(|status| failure(link, &status));
    greeted.map(|(session, agent)| (Session::Mas(Box::new(session)), agent))
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

/// Serves one session after another until the client ends.
pub(crate) async fn run(shared: Arc<Shared>, first: Session) {
    let stop = shared.phases.stop.clone();
    let error = tokio::select! {
        biased;
        () = stop.cancelled() => Error::Closed,
        error = sessions(&shared, first) => error,
    };
    shared.buffer.close();
    shared.outbox.fail(&error, true);
    shared.state.send_replace(State::Ended(error));
}

async fn sessions(shared: &Arc<Shared>, first: Session) -> Error {
    let mut session = first;
    let mut attempt = 0;
    loop {
        shared.state.send_replace(State::Up(Arc::clone(session.link())));
        let since = Instant::now();
        let link = Arc::clone(session.link());
        let lost = tokio::select! {
            biased;
            lost = session.serve(shared) => {
                // Now, and not when the next one stands: the gate waits for this side of the
                // stream.
                drop(session);
                shared.session_lost();
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
    // The gate takes one session of an instance at a time. What it still delivers on the old one
    // comes again on the new.
    if timeout(HANDOVER_MAX, session.finish(shared)).await.is_err() {
        tracing::debug!("the gate did not end the old stream");
    }
    drop(session);
    shared.session_lost();
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

/// LIMIT: how long the gate may take to end a session whose stream ended on this side.
const HANDOVER_MAX: Duration = Duration::from_secs(2);
/// A session that lived this long was a good one, and the next wait is a short one again.
const STEADY: Duration = Duration::from_secs(5);
