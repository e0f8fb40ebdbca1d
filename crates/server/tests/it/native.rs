//! The native session over real TLS, with a client made from the contract.

mod flow;

use gate::ports::{Found, Read};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};
use wire::palisade::bus::v1 as bus;
use wire::palisade::bus::v1::bus_service_client::BusServiceClient;
use wire::palisade::bus::v1::outcome::Result as Outcome;

use super::site::{Channel, Engine, Plan, Site, within};

/// A native session of a test.
struct Native {
    frames: Streaming<bus::ServerFrame>,
    out: mpsc::Sender<bus::ClientFrame>,
    welcome: bus::Welcome,
}

/// Limits that no test meets by accident.
const ROOMY: &str = "gateway: { rate_limit: { per_minute: 1000000, per_hour: 1000000 } }\n";

async fn roomy() -> Site {
    Site::open(Plan { more: ROOMY, engine: Engine::Embedded, ..Plan::default() }).await
}

fn hello(instance: &str) -> bus::Hello {
    bus::Hello { instance_id: instance.to_owned(), ..Default::default() }
}

impl Native {
    async fn open(site: &Site, agent: &str, hello: bus::Hello) -> Result<Self, Status> {
        Self::begin(site, agent, bus::ClientFrame { hello: Some(hello), ..Default::default() })
            .await
    }

    async fn begin(site: &Site, agent: &str, first: bus::ClientFrame) -> Result<Self, Status> {
        Self::over(site, site.channel(agent).await, first).await
    }

    async fn over(site: &Site, channel: Channel, first: bus::ClientFrame) -> Result<Self, Status> {
        let origin = format!("https://{}", site.running.address()).parse().unwrap();
        let mut client = BusServiceClient::with_origin(channel, origin);
        let (out, frames) = mpsc::channel(64);
        out.send(first).await.unwrap();
        let mut frames = client.session(ReceiverStream::new(frames)).await?.into_inner();
        let welcome = within("a welcome", frames.message()).await?.unwrap().welcome.unwrap();
        Ok(Self { frames, out, welcome })
    }

    async fn say(&self, frame: bus::ClientFrame) {
        self.out.send(frame).await.unwrap();
    }

    async fn publish(&self, publishes: Vec<bus::Publish>) {
        self.say(bus::ClientFrame { publishes, ..Default::default() }).await;
    }

    async fn ack(&self, acks: Vec<u64>) {
        self.say(bus::ClientFrame { acks, ..Default::default() }).await;
    }

    async fn next(&mut self) -> bus::ServerFrame {
        within("a frame", self.frames.message()).await.unwrap().unwrap()
    }

    /// Reads until so many outcomes have come, in the order of their items.
    async fn outcomes(&mut self, count: usize) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        while outcomes.len() < count {
            outcomes.extend(self.next().await.outcomes);
        }
        outcomes.sort_by_key(|outcome| outcome.item);
        outcomes.into_iter().map(|outcome| outcome.result.unwrap()).collect()
    }

    async fn deliveries(&mut self, count: usize) -> Vec<bus::Delivery> {
        let mut deliveries = Vec::new();
        while deliveries.len() < count {
            deliveries.extend(self.next().await.deliveries);
        }
        deliveries
    }

    async fn goodbye(&mut self) -> bus::Goodbye {
        loop {
            if let Some(goodbye) = self.next().await.goodbye {
                assert_eq!(within("the end", self.frames.message()).await.unwrap(), None);
                return goodbye;
            }
        }
    }
}

fn publish(item: u64, target: &str, payload: &str) -> bus::Publish {
    bus::Publish {
        item,
        target_id: target.to_owned(),
        message_type: "note".to_owned(),
        payload: payload.to_owned().into(),
        ..Default::default()
    }
}

fn accepted(outcome: &Outcome) -> &bus::Accepted {
    let Outcome::Accepted(accepted) = outcome else { panic!("not accepted: {outcome:?}") };
    accepted
}

fn code(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Accepted(_) => "ok",
        Outcome::Refused(refused) => &refused.code,
    }
}

#[tokio::test]
async fn messages_pass_in_batches_in_both_directions() {
    let site = roomy().await;
    let mut a = Native::open(&site, "a", hello("a1")).await.unwrap();
    let mut b = Native::open(&site, "b", hello("b1")).await.unwrap();
    assert_eq!((a.welcome.agent_id.as_str(), a.welcome.instance_id.as_str()), ("a", "a1"));
    assert_eq!((a.welcome.publishes_max, a.welcome.publish_credit_bytes), (1_024, 1 << 20));
    let items = (0..100).map(|n| publish(n, "b", &format!("{{\"n\":{n}}}")));
    a.publish(items.collect()).await;
    let outcomes = a.outcomes(100).await;
    let deliveries = b.deliveries(100).await;
    for (number, (outcome, delivery)) in outcomes.iter().zip(&deliveries).enumerate() {
        assert_eq!(delivery.delivery_id, number as u64 + 1);
        assert_eq!(delivery.payload, format!("{{\"n\":{number}}}"));
        assert_eq!(delivery.message_id, accepted(outcome).message_id);
        let sender = (delivery.sender_id.as_str(), delivery.sender_instance_id.as_str());
        assert_eq!(sender, ("a", "a1"));
        assert_eq!((delivery.attempt, delivery.kind()), (1, bus::MessageKind::Send));
        assert!(delivery.accepted_at_us > 1_700_000_000_000_000);
    }
    b.ack(deliveries.iter().map(|delivery| delivery.delivery_id).collect()).await;
    let done = async {
        let depth = || site.store.read(Read::Depth(gate::types::AgentId::parse("b").unwrap()));
        while depth().await.unwrap() != Some(Found::Depth(0)) {
            tokio::task::yield_now().await;
        }
    };
    within("all acknowledged", done).await;
}

#[tokio::test]
async fn what_only_a_later_version_knows_is_refused_and_not_guessed() {
    let site = roomy().await;
    let strange = bus::Hello { intake: 7, ..hello("a1") };
    let refused = Native::open(&site, "a", strange).await.err().unwrap();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    let mut a = Native::open(&site, "a", hello("a1")).await.unwrap();
    a.publish(vec![bus::Publish { kind: 7, ..publish(1, "b", "{}") }, publish(2, "b", "{}")]).await;
    let outcomes = a.outcomes(2).await;
    assert_eq!((code(&outcomes[0]), code(&outcomes[1])), ("malformed_request", "ok"));
}

#[tokio::test]
async fn both_services_see_each_others_messages_and_one_instance_is_one_session() {
    let site = roomy().await;
    let mut native = Native::open(&site, "a", hello("a1")).await.unwrap();
    let mas = site.connect("b").await.unwrap();
    native.publish(vec![publish(1, "b", "{\"n\":1}")]).await;
    let outcomes = native.outcomes(1).await;
    let incoming = mas.messages().next().await.unwrap();
    assert_eq!(incoming.message.data, json!({ "n": 1 }));
    incoming.ack().await.unwrap();
    mas.send("a", "note", &json!({ "n": 2 })).await.unwrap();
    let delivery = native.deliveries(1).await.pop().unwrap();
    assert_eq!(delivery.payload, "{\"n\":2}");
    native.ack(vec![delivery.delivery_id]).await;
    let again = Native::open(&site, "a", hello("a1")).await.err().unwrap();
    assert_eq!(
        (again.code(), again.message()),
        (Code::FailedPrecondition, "instance_already_connected")
    );
    assert_eq!(accepted(&outcomes[0]).message_id.len(), 32);
}

#[tokio::test]
async fn a_request_is_answered_with_its_trace_and_hops() {
    let site = roomy().await;
    let mut a = Native::open(&site, "a", hello("a1")).await.unwrap();
    let mut b = Native::open(&site, "b", hello("b1")).await.unwrap();
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned();
    a.publish(vec![bus::Publish {
        kind: bus::MessageKind::Request.into(),
        hops: 3,
        traceparent: traceparent.clone(),
        tracestate: "v=1".to_owned(),
        ..publish(7, "b", "{}")
    }])
    .await;
    let asked = a.outcomes(1).await;
    let correlation = accepted(&asked[0]).correlation_id.clone();
    let request = b.deliveries(1).await.pop().unwrap();
    assert_eq!(
        (request.kind(), &request.correlation_id),
        (bus::MessageKind::Request, &correlation)
    );
    assert_eq!((request.hops, &request.traceparent), (3, &traceparent));
    assert_eq!(request.tracestate, "v=1");
    let reply = bus::Publish {
        kind: bus::MessageKind::Reply.into(),
        correlation_id: correlation.clone(),
        idempotency_key: "r".to_owned(),
        ..publish(1, "", "{\"yes\":true}")
    };
    b.publish(vec![reply.clone()]).await;
    let first = b.outcomes(1).await;
    let got = a.deliveries(1).await.pop().unwrap();
    assert_eq!((got.kind(), &got.correlation_id), (bus::MessageKind::Reply, &correlation));
    assert_eq!((got.hops, got.payload.as_ref()), (4, b"{\"yes\":true}".as_slice()));
    b.publish(vec![reply]).await;
    let second = b.outcomes(1).await;
    assert_eq!(accepted(&second[0]).message_id, accepted(&first[0]).message_id);
    assert!(accepted(&second[0]).duplicate && !accepted(&first[0]).duplicate);
}

#[tokio::test]
async fn each_item_is_refused_by_itself_and_says_why() {
    let site = roomy().await;
    let mut a = Native::open(&site, "a", hello("a1")).await.unwrap();
    let blocked =
        "{\"key\":\"-----BEGIN PRIVATE KEY-----\\nMIIEvQ==\\n-----END PRIVATE KEY-----\"}";
    let key = |item: bus::Publish| bus::Publish { idempotency_key: "k".to_owned(), ..item };
    a.publish(vec![
        key(publish(0, "b", "{}")),
        publish(1, "nobody", "{}"),
        publish(2, "b", blocked),
        key(publish(3, "b", "{\"n\":1}")),
        bus::Publish { payload: vec![0xff].into(), ..publish(4, "b", "") },
        key(publish(5, "b", "{}")),
        publish(6, "b", ""),
    ])
    .await;
    let outcomes = a.outcomes(7).await;
    let codes: Vec<_> = outcomes.iter().map(code).collect();
    let wanted = [
        "ok",
        "not_authorized",
        "dlp_blocked",
        "idempotency_key_reused",
        "malformed_request",
        "ok",
        "ok",
    ];
    assert_eq!(codes, wanted);
    assert_eq!(accepted(&outcomes[0]).message_id, accepted(&outcomes[5]).message_id);
    let Outcome::Refused(refused) = &outcomes[1] else { panic!() };
    assert_eq!(refused.decision, "AUTHZ_DENIED");
    assert_eq!(refused.reason, "no rule allows a to send to nobody");
}

#[tokio::test]
async fn a_sender_is_told_that_nobody_took_its_message_in_time() {
    let site = roomy().await;
    let mut a = Native::open(&site, "a", hello("a1")).await.unwrap();
    let all = [
        bus::ReceiptKind::Queued,
        bus::ReceiptKind::Delivered,
        bus::ReceiptKind::Expired,
        bus::ReceiptKind::DeadLettered,
    ];
    let wanted = |item, ttl_ms| bus::Publish {
        ttl_ms,
        receipts: all.map(i32::from).to_vec(),
        ..publish(item, "b", "{}")
    };
    // Of two that wait for an agent that is not there, the time of one is over.
    a.publish(vec![wanted(1, 50), wanted(2, 0)]).await;
    let (mut ids, mut receipts) = (Vec::new(), Vec::new());
    while receipts.len() < 3 {
        let frame = a.next().await;
        ids.extend(frame.outcomes.into_iter().map(|outcome| {
            let Some(Outcome::Accepted(accepted)) = outcome.result else { panic!("refused") };
            accepted.message_id
        }));
        receipts.extend(frame.receipts);
    }
    let [expired, waiting] = ids.as_slice() else { panic!("{ids:?}") };
    let told = |id: &str, kind: bus::ReceiptKind| bus::Receipt {
        message_id: id.to_owned(),
        kind: kind.into(),
        ..Default::default()
    };
    let queued = bus::ReceiptKind::Queued;
    let end = told(expired, bus::ReceiptKind::Expired);
    assert_eq!(receipts, [told(expired, queued), told(waiting, queued), end]);
    // It is told to nobody else any more, and asked about it the gate says the same.
    let mut b = Native::open(&site, "b", hello("b1")).await.unwrap();
    assert_eq!(b.deliveries(1).await[0].message_id, *waiting);
    let asking = site.connect("a").await.unwrap();
    let status = asking.status(&palisade_client::MessageId::new(expired.clone())).await.unwrap();
    assert_eq!((status.state, status.attempts), (palisade_client::MessageState::Expired, 0));
}
