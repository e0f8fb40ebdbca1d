//! Peers that say nothing, stop answering, or go on after their certificate has ended.

use identity::Validity;
use serde_json::json;
use tonic::{Code, Request};
use wire::mas::runtime::v1 as mas;
use wire::mas::runtime::v1::runtime_service_client::RuntimeServiceClient;

use crate::raw::{GOAWAY, HEADERS, Raw, call, closed, data, end};
use crate::site::{Plan, Site, issue, now, within};

#[tokio::test]
async fn a_socket_that_says_nothing_is_closed_and_recorded() {
    let site = Site::with_limits("handshake_timeout_ms: 100").await;
    closed(&mut site.tcp().await).await;
    let record = site.recorded("tls_handshake_failed").await;
    assert!(record.decided_by.unwrap().contains("took too long"));
    assert!(record.peer.unwrap().starts_with("127.0.0.1:"));
}

#[tokio::test]
async fn a_connection_that_asks_for_nothing_is_closed() {
    let site = Site::with_limits("first_request_timeout_ms: 100").await;
    // Without the preface of HTTP/2, and with it.
    closed(&mut site.tls("a").await.unwrap()).await;
    let mut raw = Raw::open(&site, "a").await;
    closed(&mut raw.stream).await;
}

#[tokio::test]
async fn a_stream_without_a_hello_is_refused() {
    let site = Site::with_limits("first_request_timeout_ms: 100").await;
    let origin = http::Uri::from_static("https://localhost");
    let mut client = RuntimeServiceClient::with_origin(site.channel("a").await, origin);
    let silent = Request::new(tokio_stream::pending::<mas::ClientEvent>());
    let refused = within("an answer", client.transport(silent)).await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::InvalidArgument, "missing_hello"));
    let record = site.recorded("missing_hello").await;
    assert_eq!(record.agent_id, "a");
    assert!(!site.running.gate().hub().is_active(&gate::types::AgentId::parse("a").unwrap()));
}

#[tokio::test]
async fn a_call_whose_body_does_not_end_is_given_up() {
    let site = Site::with_limits("keepalive_interval_ms: 3600000").await;
    let mut raw = Raw::open(&site, "a").await;
    raw.write(&[call(1, "Send", &[]), call(3, "GetState", &[]), data(3, b""), end(3)]).await;
    // Frames are taken in their order: when the second call is answered, the first is waiting.
    while raw.find(HEADERS).await.unwrap().stream != 3 {}
    tokio::time::pause();
    tokio::time::advance(std::time::Duration::from_secs(31)).await;
    tokio::time::resume();
    while raw.find(HEADERS).await.unwrap().stream != 1 {}
}

#[tokio::test]
async fn a_session_that_answers_no_pings_is_ended_and_its_message_goes_to_another() {
    let site = Site::open(Plan {
        limits: "keepalive_interval_ms: 100, keepalive_timeout_ms: 100",
        more: "delivery: { reclaim_idle_ms: 3600000 }",
        ..Plan::default()
    })
    .await;
    let a = site.connect("a").await.unwrap();
    let mut gone = Raw::open(&site, "b").await;
    gone.hello("one").await;
    let sent = a.send("b", "note", &json!({ "to": "one of b" })).await.unwrap();
    let event = gone.event().await;
    assert!(matches!(event, mas::server_event::Event::Delivery(_)), "{event:?}");
    // From here on it reads nothing, so it sees no ping; its socket stays open.
    let other = site.connect("b").await.unwrap();
    let incoming = within("the other instance gets it", other.messages().next()).await.unwrap();
    assert_eq!(incoming.message.message_id, sent);
    let hub = site.running.gate().hub();
    let one = gate::types::InstanceId::parse("one").unwrap();
    assert!(!hub.is_connected(&gate::types::AgentId::parse("b").unwrap(), &one));
}

#[tokio::test]
async fn a_connection_does_not_outlive_its_certificate() {
    let site = Site::with_limits("drain_timeout_ms: 100").await;
    let validity = Validity { not_before_unix: now() - 60, not_after_unix: now() + 2 };
    issue(&site.ca, "b", validity, site.folder());
    let mut raw = Raw::open(&site, "b").await;
    raw.hello("one").await;
    assert!(raw.find(GOAWAY).await.is_some());
    closed(&mut raw.stream).await;
    assert!(now() >= validity.not_after_unix);
}
