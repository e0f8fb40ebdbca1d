//! A Transport stream: hello in, welcome and deliveries out, acknowledgements in.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _, stream};
use gate::Gate;
use gate::delivery::{Delivery, Outcome, Session, SessionHandle, Settled};
use gate::types::{Action, Answer, DeliveryId, Hello, Intake, Refusal, Unavailable};
use tonic::{Request, Response, Status, Streaming};
use wire::mas::runtime::v1 as mas;

use super::super::peer::ask;
use super::super::status::status;
use super::{apart, mismatch};

/// The server's side of a Transport stream.
pub(in crate::doors::grpc) type Events =
    Pin<Box<dyn Stream<Item = Result<mas::ServerEvent, Status>> + Send>>;

// LIMIT: acknowledgements that are committed together.
const ANSWERS_MAX: usize = 256;

pub(super) async fn open(
    gate: &Arc<Gate>,
    hello_timeout: Duration,
    request: Request<Streaming<mas::ClientEvent>>,
) -> Result<Response<Events>, Status> {
    let (shell, mut events) = apart(request);
    let hello = match tokio::time::timeout(hello_timeout, events.message()).await {
        Ok(Ok(Some(event))) => match event.event {
            Some(mas::client_event::Event::Hello(hello)) => {
                Hello::Instance(hello.instance_id, intake(&shell))
            }
            Some(_) | None => Hello::Unexpected,
        },
        Ok(Ok(None) | Err(_)) | Err(_) => Hello::Missing,
    };
    let Answer::Opened(session) = ask(gate, &shell, Action::Open(hello)).await? else {
        return Err(mismatch());
    };
    gate.tasks().spawn(listen(session.handle(), events));
    let welcome = mas::server_event::Event::Welcome(mas::Welcome {
        agent_id: session.agent().to_string(),
        instance_id: session.instance().to_string(),
    });
    let welcome = stream::once(async { Ok(mas::ServerEvent { event: Some(welcome) }) });
    let deliveries = deliveries(Arc::clone(gate), session);
    Ok(Response::new(Box::pin(welcome.chain(deliveries))))
}

/// Reads what a client wants to receive; MAS clients say nothing and get everything.
fn intake(shell: &Request<()>) -> Intake {
    let wanted = shell.metadata().get("palisade-receive");
    if wanted.is_some_and(|wanted| wanted == "replies") {
        Intake::Replies
    } else {
        Intake::Everything
    }
}

/// Reads a client's events until its side ends, then ends the session: a client that can say
/// nothing more can acknowledge nothing either.
async fn listen(session: SessionHandle, events: Streaming<mas::ClientEvent>) {
    let mut chunks = events.ready_chunks(ANSWERS_MAX);
    while let Some(chunk) = chunks.next().await {
        let mut answers = Vec::with_capacity(chunk.len());
        let mut broken = false;
        for event in chunk {
            match event {
                Ok(event) => answers.extend(event.event.and_then(answer)),
                Err(_) => broken = true,
            }
        }
        session.settle(answers).await;
        if broken {
            break;
        }
    }
    session.end();
}

/// Reads an acknowledgement; later hellos and heartbeats say nothing that is needed.
fn answer(event: mas::client_event::Event) -> Option<Settled> {
    match event {
        mas::client_event::Event::Ack(ack) => {
            DeliveryId::parse(&ack.delivery_id).ok().map(Settled::acknowledged)
        }
        mas::client_event::Event::Nack(nack) => {
            let delivery = DeliveryId::parse(&nack.delivery_id).ok()?;
            let outcome = Outcome::Refused { reason: nack.reason, retryable: nack.retryable };
            Some(Settled { delivery, outcome })
        }
        mas::client_event::Event::Hello(_) | mas::client_event::Event::Heartbeat(_) => None,
    }
}

fn deliveries(gate: Arc<Gate>, session: Session) -> Events {
    let batches = stream::unfold(Some((gate, session)), |state| async {
        let (gate, mut session) = state?;
        match session.next().await {
            Some(batch) => {
                let events = batch.into_iter().map(event).collect::<Vec<_>>();
                Some((stream::iter(events), Some((gate, session))))
            }
            // The stream ends by itself when the client ended it; otherwise it is told why.
            None if gate.is_draining() => {
                let refusal = Refusal::Unavailable(Unavailable::Draining);
                Some((stream::iter(vec![Err(status(&refusal))]), None))
            }
            None => None,
        }
    });
    Box::pin(batches.flatten())
}

fn event(delivery: Delivery) -> Result<mas::ServerEvent, Status> {
    // Envelopes are made by the gate as text; anything else is damage, and must not be guessed.
    let envelope_json = String::from_utf8(Vec::from(delivery.envelope)).map_err(|_bytes| {
        status(&Refusal::Unavailable(Unavailable::Internal("an envelope is no text")))
    })?;
    let delivery = mas::Delivery { delivery_id: delivery.id.to_string(), envelope_json };
    Ok(mas::ServerEvent { event: Some(mas::server_event::Event::Delivery(delivery)) })
}
