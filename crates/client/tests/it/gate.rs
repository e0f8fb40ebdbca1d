//! A gate in memory that does what a test tells it: no pipeline, no queue, no store.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::{Stream, StreamExt as _, stream};
use palisade_client::{Client, Options, admin};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};
use wire::mas::runtime::v1 as mas;
use wire::mas::runtime::v1::client_event::Event as Outgoing;
use wire::mas::runtime::v1::runtime_service_server::{RuntimeService, RuntimeServiceServer};
use wire::mas::runtime::v1::server_event::Event as Arriving;
use wire::palisade::bus::v1 as bus;
use wire::palisade::bus::v1::bus_service_server::{BusService, BusServiceServer};

use crate::site::{Peer, Site};

pub(crate) mod native;
mod operators;

/// What the gate heard, in order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Heard {
    Hello {
        agent: String,
        instance: String,
        replies_only: bool,
    },
    Ack(String),
    Nack {
        delivery: String,
        reason: String,
        retryable: bool,
    },
    Heartbeat,
    HalfClosed(String),
    Sent {
        from: String,
        data: String,
    },
    Asked {
        correlation: String,
        timeout_ms: i32,
    },
    Key(String),
    /// A call about no message that is sent, and the trace that it is part of.
    Call(&'static str, Option<String>),
    CallRefused,
    /// A frame of the native session with so many publishes.
    Frame(usize),
}

type ToClient = mpsc::Sender<Result<mas::ServerEvent, Status>>;

#[derive(Default)]
struct Inside {
    sessions: HashMap<(String, String), ToClient>,
    state: HashMap<String, String>,
    /// Answers to the next hellos, before one is welcome again.
    refusals: VecDeque<Status>,
    /// Answers to the next unary calls.
    call_refusals: VecDeque<Status>,
    bus: native::Bus,
}

#[derive(Clone)]
pub(crate) struct Doors {
    inside: Arc<Mutex<Inside>>,
    heard: mpsc::Sender<Heard>,
}

pub(crate) struct Gate {
    pub(crate) site: Site,
    doors: Doors,
    heard: mpsc::Receiver<Heard>,
}

impl Gate {
    pub(crate) async fn start() -> Self {
        let (sender, heard) = mpsc::channel(10_000);
        let doors = Doors { inside: Arc::default(), heard: sender };
        let routes = Routes::new(RuntimeServiceServer::new(doors.clone()))
            .add_service(BusServiceServer::new(doors.clone()))
            .add_service(admin::admin_service_server::AdminServiceServer::new(doors.clone()));
        Self { site: Site::start(routes).await, doors, heard }
    }

    pub(crate) async fn connect(&self, agent: &str) -> Client {
        self.connect_with(self.site.options(agent)).await
    }

    pub(crate) async fn connect_with(&self, options: Options) -> Client {
        Client::connect(options).await.unwrap()
    }

    /// Waits until the gate hears something that fits; what comes before is skipped.
    pub(crate) async fn hears(&mut self, fits: impl Fn(&Heard) -> bool) -> Heard {
        let heard = async {
            loop {
                let heard = self.heard.recv().await.unwrap();
                if fits(&heard) {
                    return heard;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), heard).await.expect("never heard")
    }

    pub(crate) async fn hears_hello(&mut self) -> Heard {
        self.hears(|heard| matches!(heard, Heard::Hello { .. })).await
    }

    /// Waits for the answer to a delivery.
    pub(crate) async fn hears_answer(&mut self) -> Heard {
        self.hears(|heard| matches!(heard, Heard::Ack(_) | Heard::Nack { .. })).await
    }

    /// Delivers a payload from `alice` to whoever of the agent is connected.
    pub(crate) async fn deliver(&self, agent: &str, delivery: &str, data: Value) {
        let envelope = envelope("alice", agent, &data, &json!({}));
        self.deliver_text(agent, delivery, envelope.to_string()).await;
    }

    pub(crate) async fn deliver_text(&self, agent: &str, delivery: &str, envelope_json: String) {
        let delivery = mas::Delivery { delivery_id: delivery.to_owned(), envelope_json };
        let to = self.doors.session_of(agent).unwrap();
        to.send(Ok(event(Arriving::Delivery(delivery)))).await.unwrap();
    }

    /// Ends the sessions of an agent with a status.
    pub(crate) async fn end(&self, agent: &str, status: Status) {
        let to = self.doors.session_of(agent).unwrap();
        self.doors.inside().sessions.retain(|(one, _), _| one != agent);
        to.send(Err(status)).await.unwrap();
    }

    pub(crate) fn refuse_hello(&self, status: Status) {
        self.doors.inside().refusals.push_back(status);
    }

    pub(crate) fn refuse_call(&self, status: Status) {
        self.doors.inside().call_refusals.push_back(status);
    }

    /// Breaks all connections without a word.
    pub(crate) fn cut(&self) {
        self.doors.inside().sessions.clear();
        self.forget_native();
        self.site.cut();
    }
}

impl Doors {
    fn inside(&self) -> std::sync::MutexGuard<'_, Inside> {
        self.inside.lock().unwrap()
    }

    fn session_of(&self, agent: &str) -> Option<ToClient> {
        let inside = self.inside();
        inside.sessions.iter().find(|((one, _), _)| one == agent).map(|(_, to)| to.clone())
    }

    /// Sends on to the target's session, if there is one.
    async fn pass(&self, from: &str, target: &str, data: &str, meta: &Value) {
        let data = serde_json::from_str(data).unwrap();
        let envelope_json = envelope(from, target, &data, meta).to_string();
        let delivery = mas::Delivery { delivery_id: "d".to_owned(), envelope_json };
        if let Some(to) = self.session_of(target) {
            to.send(Ok(event(Arriving::Delivery(delivery)))).await.unwrap();
        }
    }

    fn check_call(&self) -> Result<(), Status> {
        let refusal = self.inside().call_refusals.pop_front();
        refusal.map_or(Ok(()), |status| {
            self.heard.try_send(Heard::CallRefused).unwrap();
            Err(status)
        })
    }

    /// Notes a call about no message that is sent, and answers as it was told to.
    fn called<T>(&self, name: &'static str, request: &Request<T>) -> Result<(), Status> {
        let parent = request.metadata().get("traceparent");
        let parent = parent.map(|text| text.to_str().unwrap().to_owned());
        self.heard.try_send(Heard::Call(name, parent)).unwrap();
        self.check_call()
    }

    async fn listen_to(&self, agent: String, mut events: Streaming<mas::ClientEvent>) {
        loop {
            let heard = match events.message().await {
                Ok(Some(mas::ClientEvent { event: Some(event) })) => match event {
                    Outgoing::Hello(_) => continue,
                    Outgoing::Ack(ack) => Heard::Ack(ack.delivery_id),
                    Outgoing::Nack(mas::Nack { delivery_id, reason, retryable }) => {
                        Heard::Nack { delivery: delivery_id, reason, retryable }
                    }
                    Outgoing::Heartbeat(_) => Heard::Heartbeat,
                },
                Ok(Some(_)) => continue,
                Ok(None) => {
                    self.inside().sessions.retain(|(one, _), _| *one != agent);
                    self.heard.send(Heard::HalfClosed(agent)).await.unwrap();
                    return;
                }
                Err(_) => return,
            };
            self.heard.send(heard).await.unwrap();
        }
    }
}

fn event(event: Arriving) -> mas::ServerEvent {
    mas::ServerEvent { event: Some(event) }
}

fn envelope(from: &str, target: &str, data: &Value, meta: &Value) -> Value {
    json!({ "sender_id": from, "target_id": target, "message_type": "test", "data": data,
        "meta": meta, "timestamp": 1.5, "message_id": "m1", "unknown": {} })
}

fn peer<T>(request: &Request<T>) -> String {
    request.extensions().get::<Peer>().unwrap().0.clone()
}

#[tonic::async_trait]
impl RuntimeService for Doors {
    type TransportStream = Pin<Box<dyn Stream<Item = Result<mas::ServerEvent, Status>> + Send>>;

    async fn transport(
        &self,
        request: Request<Streaming<mas::ClientEvent>>,
    ) -> Result<Response<Self::TransportStream>, Status> {
        let agent = peer(&request);
        let replies_only =
            request.metadata().get("palisade-receive").is_some_and(|value| value == "replies");
        let mut events = request.into_inner();
        let hello = events.message().await?.and_then(|first| first.event);
        let Some(Outgoing::Hello(mas::Hello { instance_id: instance })) = hello else {
            return Err(Status::invalid_argument("expected_hello"));
        };
        let heard = Heard::Hello { agent: agent.clone(), instance: instance.clone(), replies_only };
        self.heard.send(heard).await.unwrap();
        let refusal = self.inside().refusals.pop_front();
        if let Some(refusal) = refusal {
            return Err(refusal);
        }
        let (to, from_us) = mpsc::channel(100);
        let welcome = mas::Welcome { agent_id: agent.clone(), instance_id: instance.clone() };
        to.try_send(Ok(event(Arriving::Welcome(welcome)))).unwrap();
        self.inside().sessions.insert((agent.clone(), instance), to);
        let reading = stream::once({
            let (doors, agent) = (self.clone(), agent.clone());
            async move { doors.listen_to(agent, events).await }
        })
        .filter_map(|()| async { None });
        let writing = tokio_stream::wrappers::ReceiverStream::new(from_us);
        // The merged stream ends when the client half-closes and when a status was given.
        let both = stream::select(writing.map(Some), reading.chain(stream::iter([None])));
        Ok(Response::new(Box::pin(
            both.take_while(|one| std::future::ready(one.is_some())).filter_map(std::future::ready),
        )))
    }

    async fn send(
        &self,
        request: Request<mas::SendRequest>,
    ) -> Result<Response<mas::SendResponse>, Status> {
        self.check_call()?;
        let from = peer(&request);
        let hops = request.metadata().get("palisade-hops");
        let hops: u32 = hops.map_or(0, |hops| hops.to_str().unwrap().parse().unwrap());
        let parent = request.metadata().get("traceparent").map(|text| text.to_str().unwrap());
        let state = request.metadata().get("tracestate").map(|text| text.to_str().unwrap());
        let meta = json!({ "hops": hops, "traceparent": parent, "tracestate": state });
        let mas::SendRequest { target_id, data_json, .. } = request.into_inner();
        self.heard.send(Heard::Sent { from: from.clone(), data: data_json.clone() }).await.unwrap();
        if target_id == "silent" {
            std::future::pending::<()>().await;
        }
        self.pass(&from, &target_id, &data_json, &meta).await;
        Ok(Response::new(mas::SendResponse { message_id: "m1".to_owned() }))
    }

    async fn request(
        &self,
        request: Request<mas::RequestRequest>,
    ) -> Result<Response<mas::RequestResponse>, Status> {
        self.check_call()?;
        let from = peer(&request);
        let parent = request.metadata().get("traceparent").cloned();
        let parent = parent.as_ref().map(|text| text.to_str().unwrap());
        let request = request.into_inner();
        let correlation_id = format!("{from}.{}", request.message_type);
        let asked =
            Heard::Asked { correlation: correlation_id.clone(), timeout_ms: request.timeout_ms };
        self.heard.send(asked).await.unwrap();
        if request.target_id == "hasty" {
            let meta = json!({ "correlation_id": correlation_id, "is_reply": true });
            self.pass("hasty", &from, &request.data_json, &meta).await;
        }
        let meta = json!({
            "correlation_id": correlation_id,
            "expects_reply": true,
            "traceparent": parent,
        });
        self.pass(&from, &request.target_id, &request.data_json, &meta).await;
        let message_id = "m1".to_owned();
        Ok(Response::new(mas::RequestResponse { message_id, correlation_id }))
    }

    async fn reply(
        &self,
        request: Request<mas::ReplyRequest>,
    ) -> Result<Response<mas::ReplyResponse>, Status> {
        self.check_call()?;
        let from = peer(&request);
        let request = request.into_inner();
        let asker = request.correlation_id.split('.').next().unwrap().to_owned();
        let meta = json!({ "correlation_id": request.correlation_id, "is_reply": true });
        self.pass(&from, &asker, &request.data_json, &meta).await;
        Ok(Response::new(mas::ReplyResponse { message_id: "m1".to_owned() }))
    }

    async fn discover(
        &self,
        request: Request<mas::DiscoverRequest>,
    ) -> Result<Response<mas::DiscoverResponse>, Status> {
        self.called("discover", &request)?;
        let agents = vec![mas::AgentRecord {
            agent_id: "bob".to_owned(),
            capabilities: request.into_inner().capabilities,
            metadata_json: r#"{"team":"x"}"#.to_owned(),
            status: "ACTIVE".to_owned(),
        }];
        Ok(Response::new(mas::DiscoverResponse { agents }))
    }

    async fn get_state(
        &self,
        request: Request<mas::GetStateRequest>,
    ) -> Result<Response<mas::GetStateResponse>, Status> {
        self.called("get_state", &request)?;
        let state = self.inside().state.clone();
        Ok(Response::new(mas::GetStateResponse { state }))
    }

    async fn update_state(
        &self,
        request: Request<mas::UpdateStateRequest>,
    ) -> Result<Response<mas::UpdateStateResponse>, Status> {
        self.called("update_state", &request)?;
        self.inside().state.extend(request.into_inner().updates);
        Ok(Response::new(mas::UpdateStateResponse {}))
    }

    async fn reset_state(
        &self,
        request: Request<mas::ResetStateRequest>,
    ) -> Result<Response<mas::ResetStateResponse>, Status> {
        self.called("reset_state", &request)?;
        self.inside().state.clear();
        Ok(Response::new(mas::ResetStateResponse {}))
    }
}

#[tonic::async_trait]
impl BusService for Doors {
    type SessionStream = native::Frames;

    async fn session(
        &self,
        request: Request<Streaming<bus::ClientFrame>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        self.open_native(request).await
    }

    async fn message_status(
        &self,
        request: Request<bus::MessageStatusRequest>,
    ) -> Result<Response<bus::MessageStatusResponse>, Status> {
        self.called("message_status", &request)?;
        let mut response = bus::MessageStatusResponse { attempts: 5, ..Default::default() };
        response.set_state(bus::MessageState::DeadLettered);
        response.reason = format!("{} failed", request.into_inner().message_id);
        Ok(Response::new(response))
    }

    async fn register_key(
        &self,
        request: Request<bus::RegisterKeyRequest>,
    ) -> Result<Response<bus::RegisterKeyResponse>, Status> {
        self.heard.send(Heard::Key(request.into_inner().sealing_key)).await.unwrap();
        Ok(Response::new(bus::RegisterKeyResponse {}))
    }
}
