//! The native session of the test gate: it takes what is published, knows its keys, and delivers.

use std::pin::Pin;

use futures::{Stream, StreamExt as _, stream};
use serde_json::Value;
use tokio::sync::mpsc;
use tonic::{Request, Response, Status, Streaming};
use wire::palisade::bus::v1 as bus;
use wire::palisade::bus::v1::outcome::Result as Answered;

use super::{Doors, Gate, Heard, peer};

pub(crate) type Frames = Pin<Box<dyn Stream<Item = Result<bus::ServerFrame, Status>> + Send>>;
type ToClient = mpsc::Sender<Result<bus::ServerFrame, Status>>;

/// What the native half of the gate is told and remembers.
#[derive(Default)]
pub(crate) struct Bus {
    /// Without it the gate knows the MAS wire only.
    is_spoken: bool,
    /// Takes publishes and keeps their outcomes to itself.
    is_mute: bool,
    /// Answers to the next publishes.
    refusals: Vec<bus::Refused>,
    sessions: Vec<(String, ToClient)>,
    /// Sender, key and message of all that was taken.
    taken: Vec<(String, String, String)>,
}

impl Gate {
    /// Starts a gate that speaks the native session.
    pub(crate) async fn native() -> Self {
        let gate = Self::start().await;
        gate.speak(true);
        gate
    }

    pub(crate) fn speak(&self, is_spoken: bool) {
        self.doors.inside().bus.is_spoken = is_spoken;
    }

    /// Takes what is published from now on without a word, or with one again.
    pub(crate) fn mute(&self, is_mute: bool) {
        self.doors.inside().bus.is_mute = is_mute;
    }

    pub(crate) fn refuse_publish(&self, refused: bus::Refused) {
        self.doors.inside().bus.refusals.push(refused);
    }

    /// Returns how many messages were made.
    pub(crate) fn taken(&self) -> usize {
        self.doors.inside().bus.taken.len()
    }

    /// Says something to whoever of the agent is connected.
    pub(crate) async fn say(&self, agent: &str, frame: bus::ServerFrame) {
        let to = self.doors.native_session(agent).unwrap();
        to.send(Ok(frame)).await.unwrap();
    }

    /// Forgets the sessions of connections that were cut.
    pub(crate) fn forget_native(&self) {
        self.doors.inside().bus.sessions.clear();
    }
}

/// Makes a delivery of a payload from `alice`.
pub(crate) fn delivery(delivery_id: u64, data: &Value) -> bus::Delivery {
    bus::Delivery {
        delivery_id,
        attempt: 1,
        message_id: format!("m{delivery_id}"),
        sender_id: "alice".to_owned(),
        message_type: "test".to_owned(),
        payload: data.to_string().into(),
        accepted_at_us: 1_500_000,
        ..Default::default()
    }
}

impl Doors {
    fn native_session(&self, agent: &str) -> Option<ToClient> {
        let inside = self.inside();
        inside.bus.sessions.iter().find(|(one, _)| one == agent).map(|(_, to)| to.clone())
    }

    pub(super) async fn open_native(
        &self,
        request: Request<Streaming<bus::ClientFrame>>,
    ) -> Result<Response<Frames>, Status> {
        if !self.inside().bus.is_spoken {
            return Err(Status::unimplemented("unknown method"));
        }
        let agent = peer(&request);
        let mut frames = request.into_inner();
        let first = frames.message().await?;
        let hello = first.and_then(|frame| frame.hello).unwrap();
        let (instance, replies_only) =
            (hello.instance_id.clone(), hello.intake() != bus::Intake::Everything);
        let heard = Heard::Hello { agent: agent.clone(), instance, replies_only };
        self.heard.send(heard).await.unwrap();
        let refusal = self.inside().refusals.pop_front();
        if let Some(refusal) = refusal {
            return Err(refusal);
        }
        let welcome = bus::Welcome {
            agent_id: agent.clone(),
            instance_id: hello.instance_id,
            publish_credit_bytes: 1 << 20,
            publishes_max: 1024,
            frame_bytes_max: 4 << 20,
            payload_bytes_max: 4_000_000,
            deliveries_max: if hello.deliveries_max == 0 { 10_000 } else { hello.deliveries_max },
            ..Default::default()
        };
        let (to, from_us) = mpsc::channel(100);
        to.try_send(Ok(bus::ServerFrame { welcome: Some(welcome), ..Default::default() })).unwrap();
        self.inside().bus.sessions.push((agent.clone(), to.clone()));
        let reading = stream::once({
            let doors = self.clone();
            async move { doors.read_native(&agent, frames, to).await }
        })
        .filter_map(|()| async { None });
        let writing = tokio_stream::wrappers::ReceiverStream::new(from_us);
        let both = stream::select(writing.map(Some), reading.chain(stream::iter([None])));
        Ok(Response::new(Box::pin(
            both.take_while(|one| std::future::ready(one.is_some())).filter_map(std::future::ready),
        )))
    }

    async fn read_native(
        &self,
        agent: &str,
        mut frames: Streaming<bus::ClientFrame>,
        to: ToClient,
    ) {
        loop {
            let frame = match frames.message().await {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(_) => return,
            };
            for ack in frame.acks {
                self.heard.send(Heard::Ack(ack.to_string())).await.unwrap();
            }
            for bus::Nack { delivery_id, reason, retryable } in frame.nacks {
                let heard = Heard::Nack { delivery: delivery_id.to_string(), reason, retryable };
                self.heard.send(heard).await.unwrap();
            }
            let mut outcomes = Vec::new();
            if !frame.publishes.is_empty() {
                self.heard.send(Heard::Frame(frame.publishes.len())).await.unwrap();
            }
            for publish in frame.publishes {
                let item = publish.item;
                let result = Some(self.take(agent, publish).await);
                outcomes.push(bus::Outcome { item, result });
            }
            if !outcomes.is_empty() && !self.inside().bus.is_mute {
                let frame = bus::ServerFrame { outcomes, ..Default::default() };
                // The client may be gone.
                drop(to.send(Ok(frame)).await);
            }
        }
        self.inside().bus.sessions.retain(|(one, _)| one != agent);
        self.heard.send(Heard::HalfClosed(agent.to_owned())).await.unwrap();
    }

    async fn take(&self, from: &str, publish: bus::Publish) -> Answered {
        let data = String::from_utf8(publish.payload.to_vec()).unwrap();
        let heard = Heard::Sent { from: from.to_owned(), data };
        let key = publish.idempotency_key.clone();
        let (message_id, duplicate, correlation_id) = {
            let mut inside = self.inside();
            if !inside.bus.refusals.is_empty() {
                self.heard.try_send(heard).unwrap();
                return Answered::Refused(inside.bus.refusals.remove(0));
            }
            let taken = &mut inside.bus.taken;
            let known = taken.iter().find(|(who, one, _)| who == from && *one == key);
            let known = known.map(|(_, _, message)| message.clone());
            let duplicate = known.is_some();
            let message_id = known.unwrap_or_else(|| format!("m{}", taken.len() + 1));
            if !duplicate {
                taken.push((from.to_owned(), key, message_id.clone()));
            }
            let correlation_id = match publish.kind() {
                bus::MessageKind::Send => String::new(),
                bus::MessageKind::Request => format!("{from}.{message_id}"),
                bus::MessageKind::Reply => publish.correlation_id.clone(),
            };
            (message_id, duplicate, correlation_id)
        };
        self.heard.send(heard).await.unwrap();
        if !duplicate {
            self.pass_native(from, &message_id, &correlation_id, &publish).await;
        }
        Answered::Accepted(bus::Accepted { message_id, correlation_id, duplicate })
    }

    async fn pass_native(&self, from: &str, id: &str, correlation: &str, publish: &bus::Publish) {
        let target = match publish.kind() {
            bus::MessageKind::Reply => correlation.split('.').next().unwrap(),
            bus::MessageKind::Send | bus::MessageKind::Request => &publish.target_id,
        };
        let Some(to) = self.native_session(target) else { return };
        let delivery = bus::Delivery {
            delivery_id: id.trim_start_matches('m').parse().unwrap(),
            attempt: 1,
            message_id: id.to_owned(),
            sender_id: from.to_owned(),
            message_type: publish.message_type.clone(),
            payload: publish.payload.clone(),
            kind: publish.kind,
            correlation_id: correlation.to_owned(),
            hops: publish.hops,
            traceparent: publish.traceparent.clone(),
            tracestate: publish.tracestate.clone(),
            ..Default::default()
        };
        let frame = bus::ServerFrame { deliveries: vec![delivery], ..Default::default() };
        // The receiver may be gone.
        drop(to.send(Ok(frame)).await);
    }
}
