//! How many connections there may be: in all, from one address, of one identity.

use std::net::SocketAddr;

use futures::future::join_all;
use serde_json::json;
use tokio::net::{TcpSocket, TcpStream};

use crate::raw::closed;
use crate::site::{Engine, PATIENCE, Plan, Site, day, issue, within};

/// Limits under which silent connections stay for the whole test.
const PATIENT: &str = "handshake_timeout_ms: 600000, first_request_timeout_ms: 600000";

#[tokio::test]
async fn a_connection_over_the_limit_is_closed_at_once_and_its_place_is_used_again() {
    let site = Site::with_limits("connections_max: 2, handshake_timeout_ms: 600000").await;
    let first = site.tcp().await;
    let _second = site.tcp().await;
    closed(&mut site.tcp().await).await;
    let record = site.recorded("too_many_connections").await;
    assert!(record.decided_by.unwrap().contains("connections_max"));
    assert_eq!(record.decision, "AUTHN_FAILED");
    drop(first);
    let agent = async {
        loop {
            if let Ok(agent) = site.connect("a").await {
                return agent;
            }
        }
    };
    within("an agent connects", agent).await;
}

#[tokio::test]
async fn one_address_cannot_take_the_places_of_another() {
    let site = Site::open(Plan {
        limits: "connections_per_ip_max: 2, handshake_timeout_ms: 600000",
        ..Plan::default()
    })
    .await;
    let _held = [site.tcp().await, site.tcp().await];
    closed(&mut site.tcp().await).await;
    let record = site.recorded("too_many_connections").await;
    assert!(record.decided_by.unwrap().contains("connections_per_ip_max"));
    let mut other = from(SocketAddr::from(([127, 0, 0, 2], 0)), &site).await;
    let mut byte = [0];
    let still_open = tokio::io::AsyncReadExt::read(&mut other, &mut byte);
    let waited = tokio::time::timeout(std::time::Duration::from_millis(100), still_open).await;
    assert!(waited.is_err(), "{waited:?}");
}

async fn from(address: SocketAddr, site: &Site) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(address).unwrap();
    socket.connect(site.running.address()).await.unwrap()
}

#[tokio::test]
async fn one_identity_cannot_take_the_places_of_another() {
    let site =
        Site::with_limits("connections_per_identity_max: 2, first_request_timeout_ms: 600000")
            .await;
    let _held = [site.connect("a").await.unwrap(), site.connect("a").await.unwrap()];
    closed(&mut site.tls("a").await.unwrap()).await;
    let record = site.recorded("too_many_connections").await;
    let decided_by = record.decided_by.unwrap();
    assert!(decided_by.contains("connections_per_identity_max"), "{decided_by}");
    assert!(decided_by.contains("spiffe://mas/agent/a"), "{decided_by}");
    site.connect("b").await.unwrap();
}

#[tokio::test]
async fn who_says_nothing_holds_no_place_among_the_handshakes() {
    let site = Site::with_limits("handshakes_max: 1, handshake_timeout_ms: 600000").await;
    let _silent = join_all((0..20).map(|_| site.tcp())).await;
    within("an agent connects", site.connect("a")).await.unwrap();
}

#[tokio::test]
async fn three_hundred_agents_each_get_their_message() {
    let name = |number: usize| format!("agent-{number}");
    let agents = (0..300).map(|number| format!("  {}: {{}}\n", name(number))).collect::<String>();
    let site = Site::open(Plan {
        engine: Engine::Embedded,
        limits: PATIENT,
        agents: format!("{agents}  hub: {{ allow: ['*'] }}\n"),
        more: "gateway: { rate_limit: { per_minute: 1000, per_hour: 1000 } }",
        ..Plan::default()
    })
    .await;
    issue(&site.ca, "hub", day(), site.folder());
    for number in 0..300 {
        issue(&site.ca, &name(number), day(), site.folder());
    }
    let names: Vec<String> = (0..300).map(name).collect();
    let sessions = join_all(names.iter().map(|name| {
        let mut options = site.options(name);
        options.connect_timeout = PATIENCE;
        palisade_client::Client::connect(options)
    }));
    let sessions = within("all connect", sessions).await;
    let sessions: Vec<_> = sessions.into_iter().map(Result::unwrap).collect();
    assert_eq!(site.running.gate().hub().session_count(), 300);
    let hub = site.connect("hub").await.unwrap();
    for (number, name) in names.iter().enumerate() {
        hub.send(name, "note", &json!({ "number": number })).await.unwrap();
    }
    for (number, session) in sessions.iter().enumerate() {
        let incoming = within("its message", session.messages().next()).await.unwrap();
        assert_eq!(incoming.message.data, json!({ "number": number }));
        incoming.ack().await.unwrap();
    }
}
