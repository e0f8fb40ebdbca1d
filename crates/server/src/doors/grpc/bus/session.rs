//! A native session: hello in, welcome out, then publishes and answers in.
//!
//! One task reads a session's frames, decides what they bring and hands it to the store in their
//! order; it does not wait for the store before it reads the next. What leaves is not its part.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use gate::Gate;
use gate::delivery::{SessionHandle, Wanted};
use gate::pipeline::Handed;
use gate::types::{Action, Answer, Hello, Intake, Item, Publish, Refusal, Unavailable};
use prost::Message as _;
use tonic::{Code, Request, Response, Status, Streaming};
use wire::palisade::bus::v1 as bus;

use super::super::mas::{apart, mismatch};
use super::super::memory::{Level, Memory};
use super::super::peer::{Peer, ask};
use super::super::share::{Share, Ticket};
use super::outbox::{CREDIT_BYTES, Outbox, PUBLISHES_MAX};
use super::outgoing::Sending;
use super::{BusDoor, Frames, frames};

// LIMIT: frames of answers that are committed at once; no more are read until some are.
const SETTLING_MAX: usize = 64;

// The time after which a caller may try again what there was no room for.
const ROOM_WAIT: Duration = Duration::from_millis(200);

// LIMIT: refusals that a session counts as which ends for what its client sent: reading it cost as
// much, and so did opening it. With the defaults one in a second, and five at once.
const GOODBYE_REFUSALS: usize = 100;

/// What a session's reading direction works with.
struct Reading {
    gate: Arc<Gate>,
    session: SessionHandle,
    outbox: Arc<Outbox>,
    instance: String,
    peer: Arc<Peer>,
    share: Arc<Share>,
    memory: Memory,
}

/// A published item whose outcome is to be told.
struct Told {
    item: u64,
    bytes: usize,
    wanted: Wanted,
    /// To whom, where receipts are wanted.
    target: String,
}

type UnderWay<'a> = FuturesUnordered<BoxFuture<'a, ()>>;

pub(super) async fn open(
    door: &BusDoor,
    request: Request<Streaming<bus::ClientFrame>>,
) -> Result<Response<Frames>, Status> {
    let gate = &door.gate;
    let (shell, mut frames) = apart(request);
    let first = tokio::time::timeout(door.hello_timeout, frames.message()).await;
    let (action, hello, first) = match first {
        Ok(Ok(Some(mut frame))) => match frame.hello.take() {
            Some(hello) => {
                let action = intake(&hello).map_or(Action::Malformed, |intake| {
                    Action::Open(Hello::Instance(hello.instance_id.clone(), intake))
                });
                (action, hello, frame)
            }
            None => (Action::Open(Hello::Unexpected), bus::Hello::default(), frame),
        },
        Ok(Ok(None) | Err(_)) | Err(_) => {
            (Action::Open(Hello::Missing), bus::Hello::default(), bus::ClientFrame::default())
        }
    };
    let Answer::Opened(session) = ask(gate, &shell, action).await? else {
        return Err(mismatch());
    };
    let extensions = shell.extensions();
    let (Some(peer), Some(ticket), Some(memory)) = (
        extensions.get::<Arc<Peer>>(),
        extensions.get::<Arc<Ticket>>(),
        extensions.get::<Memory>(),
    ) else {
        return Err(mismatch());
    };
    let handle = session.handle();
    let wanted = usize::try_from(hello.deliveries_max).unwrap_or(usize::MAX);
    let credit = usize::try_from(hello.credit_bytes).unwrap_or(usize::MAX);
    let (deliveries_max, credit) = handle.limit(wanted, credit);
    let welcome = bus::Welcome {
        session_id: handle.id().to_string(),
        agent_id: session.agent().to_string(),
        instance_id: session.instance().to_string(),
        delivery_credit_bytes: credit as u64,
        deliveries_max: u32::try_from(deliveries_max).unwrap_or(u32::MAX),
        ..door.welcome()
    };
    let outbox = Arc::new(Outbox::default());
    let reading = Reading {
        gate: Arc::clone(gate),
        session: handle,
        outbox: Arc::clone(&outbox),
        instance: session.instance().to_string(),
        peer: Arc::clone(peer),
        share: ticket.share(),
        memory: memory.clone(),
    };
    gate.tasks().spawn(async move { reading.run(frames, first).await });
    Ok(Response::new(Sending::new(Arc::clone(gate), session, outbox, welcome).boxed()))
}

/// Reads what a session is there for; nothing if a later version must be asked what that is.
fn intake(hello: &bus::Hello) -> Option<Intake> {
    Some(match bus::Intake::try_from(hello.intake).ok()? {
        bus::Intake::Everything => Intake::Everything,
        bus::Intake::Replies => Intake::Replies,
    })
}

impl Reading {
    /// Reads frames until the client's side ends, or the session; then waits for what is under way.
    async fn run(self, mut incoming: Streaming<bus::ClientFrame>, first: bus::ClientFrame) {
        let _done = Done(&self);
        let (mut closing, mut ended) = self.session.ending();
        let (mut published, mut settled) = (UnderWay::new(), UnderWay::new());
        let mut next = Some(first);
        let goodbye = loop {
            if let Some(frame) = next.take()
                && let Err(goodbye) = self.take(frame, &mut published, &mut settled).await
            {
                break Some((goodbye, GOODBYE_REFUSALS));
            }
            tokio::select! {
                biased;
                Some(()) = published.next() => {}
                Some(()) = settled.next() => {}
                _closing = closing.wait_for(|closing| *closing) => break None,
                _ended = ended.wait_for(|ended| *ended) => break None,
                frame = incoming.message(), if settled.len() < SETTLING_MAX => match frame {
                    Ok(Some(frame)) => next = Some(frame),
                    Ok(None) => break None,
                    Err(unread) => {
                        // It may be the connection that broke, which is nobody's doing.
                        let is_refused = unread.code() == Code::ResourceExhausted;
                        let refusals = if is_refused { GOODBYE_REFUSALS } else { 0 };
                        break Some((frames::goodbye(&Refusal::MalformedRequest), refusals));
                    }
                },
            }
        };
        while published.next().await.is_some() {}
        while settled.next().await.is_some() {}
        if let Some((goodbye, refusals)) = goodbye {
            self.hold_back(refusals).await;
            self.share.judge();
            self.outbox.say_goodbye(goodbye);
        }
    }

    /// Takes what a frame brings; what is not done then is added to what is under way.
    async fn take<'a>(
        &'a self,
        mut frame: bus::ClientFrame,
        published: &mut UnderWay<'a>,
        settled: &mut UnderWay<'a>,
    ) -> Result<(), bus::Goodbye> {
        if frame.hello.is_some() {
            return Err(frames::goodbye(&Refusal::MalformedRequest));
        }
        if frame.credit_bytes > 0 {
            self.session.widen(usize::try_from(frame.credit_bytes).unwrap_or(usize::MAX));
        }
        let answers =
            frames::answers(std::mem::take(&mut frame.acks), std::mem::take(&mut frame.nacks));
        if !answers.is_empty() {
            settled.push(Box::pin(self.session.settle(answers)));
        }
        if !frame.publishes.is_empty() {
            let outcomes = self.publish(frame.publishes).await?;
            published.push(Box::pin(outcomes));
        }
        Ok(())
    }

    /// Has items decided and handed to the store; returns what waits for their outcomes.
    async fn publish(
        &self,
        publishes: Vec<bus::Publish>,
    ) -> Result<impl Future<Output = ()> + Send, bus::Goodbye> {
        let sizes: Vec<usize> = publishes.iter().map(bus::Publish::encoded_len).collect();
        if !self.outbox.charge(sizes.iter().copied()) {
            return Err(exceeded());
        }
        let room = self.room(sizes.iter().sum());
        let mut told = Vec::with_capacity(publishes.len());
        let mut items = Vec::with_capacity(publishes.len());
        for (publish, bytes) in publishes.into_iter().zip(sizes) {
            let wanted = frames::wanted(&publish);
            let target = if wanted.is_empty() { "" } else { &publish.target_id };
            told.push(Told { item: publish.item, bytes, wanted, target: target.to_owned() });
            items.push(match &room {
                Ok(_) => frames::item(publish, &self.instance),
                Err(refusal) => refused(refusal.clone()),
            });
        }
        let peer = self.peer.address.to_string();
        let publish = Publish { caller: self.peer.caller(), peer, items };
        let handed = self.gate.publish(publish, &self.session).await;
        Ok(self.conclude(handed, told, room.ok()))
    }

    /// Takes a place for a frame of items, and room for its bytes, as a call does.
    fn room(&self, bytes: usize) -> Result<Arc<Ticket>, Refusal> {
        let full = |what| Refusal::Backpressure { what, retry_after: ROOM_WAIT };
        if self.memory.level() >= Level::Tight {
            return Err(full("the server's memory (memory_bytes_max)"));
        }
        let what = "the number of this identity's calls (calls_per_identity_max)";
        let ticket = self.share.begin().ok_or_else(|| full(what))?;
        ticket.charge(bytes).map_err(full)?;
        Ok(ticket)
    }

    /// Waits until items are durable or refused, and lets their outcomes out.
    async fn conclude(&self, handed: Handed<'_>, told: Vec<Told>, ticket: Option<Arc<Ticket>>) {
        let outcomes = handed.outcomes().await;
        drop(ticket);
        let (mut accepted, mut refused) = (Batch::default(), Batch::default());
        let mut heard = Vec::new();
        for (outcome, told) in outcomes.into_iter().zip(told) {
            match outcome {
                Ok(Answer::Accepted { message, correlation, duplicate }) => {
                    let outcome = frames::accepted(told.item, message, (correlation, duplicate));
                    accepted.push(outcome, told.bytes);
                    if !told.wanted.is_empty() {
                        heard.push((message, duplicate, told));
                    }
                }
                Ok(_) => {
                    let what = Unavailable::Internal("the answer is of another kind");
                    let refusal = Refusal::Unavailable(what);
                    refused.push(frames::refused(told.item, &refusal), told.bytes);
                }
                Err(refusal) => refused.push(frames::refused(told.item, &refusal), told.bytes),
            }
        }
        self.outbox.push(accepted.outcomes, accepted.bytes);
        for (message, duplicate, told) in heard {
            if duplicate {
                self.session.follow_again(message, told.wanted).await;
            } else {
                self.session.heard(message, &told.target);
            }
        }
        if !refused.outcomes.is_empty() {
            self.hold_back(refused.outcomes.len()).await;
            self.outbox.push(refused.outcomes, refused.bytes);
        }
    }

    /// Waits until so many refusals are within their rate: they cost their sender nothing.
    async fn hold_back(&self, count: usize) {
        // LIMIT: server.limits.refusals_per_second.
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let wait = self.share.refusals.reserve_within(count, Duration::MAX).unwrap_or_default();
        if wait > Duration::ZERO {
            let (mut closing, mut ended) = self.session.ending();
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _closing = closing.wait_for(|closing| *closing) => {}
                _ended = ended.wait_for(|ended| *ended) => {}
            }
        }
    }
}

/// Outcomes and the bytes of what was published.
#[derive(Default)]
struct Batch {
    outcomes: Vec<bus::Outcome>,
    bytes: usize,
}

impl Batch {
    fn push(&mut self, outcome: bus::Outcome, bytes: usize) {
        self.outcomes.push(outcome);
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// An item for which there is no room.
fn refused(refusal: Refusal) -> Item {
    let (trace, wanted) = (gate::types::TraceContext::default(), Wanted::default());
    Item { action: Action::Refused(refusal), trace, key: String::new(), ttl: None, wanted }
}

fn exceeded() -> bus::Goodbye {
    bus::Goodbye {
        code: "credit_exceeded".to_owned(),
        reason: format!(
            "more than {PUBLISHES_MAX} publishes or {CREDIT_BYTES} bytes of them were unanswered; \
             wait for outcomes"
        ),
        retry_after_ms: 0,
    }
}

/// Ends the session with its reading direction, however that ends.
struct Done<'a>(&'a Reading);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.session.end();
        self.0.outbox.finish();
    }
}
