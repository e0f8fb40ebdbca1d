//! What is full, slow or too late: bounds that the configuration sets, met on purpose.

use std::time::Duration;

use e2e::{Site, eventually};
use palisade_client::{Client, Error, MessageState, Refused};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

/// A site of two with further settings.
fn site(settings: &Value) -> Site {
    let mut whole = settings.clone();
    whole["agents"] = json!({ "alice": { "allow": ["bob"] }, "bob": { "allow": ["alice"] } });
    whole["gateway"] = json!({ "rate_limit": { "per_minute": 100_000, "per_hour": 100_000 } });
    Site::new(&whole).unwrap()
}

fn refused(result: Result<impl std::fmt::Debug, Error>) -> Refused {
    let error = result.unwrap_err();
    let Error::Refused(refused) = error else { panic!("{error}") };
    refused
}

async fn send(client: &Client, data: &Value) -> Result<palisade_client::MessageId, Error> {
    client.send("bob", "note", data).await
}

#[tokio::test]
async fn a_full_queue_tells_its_senders_when_to_try_again() {
    let site = site(&json!({
        "validation": { "payload_bytes_max": 800_000 },
        "delivery": {
            "envelope_bytes_max": 900_000,
            "queue_len_max": 5,
            "sender_share_percent": 100,
            "queue_bytes_max": 1_000_000,
        },
    }));
    let gate = site.start().await.unwrap();
    let alice = site.connect(&gate, "alice").await.unwrap();
    let mut sent = Vec::new();
    for number in 0..5 {
        sent.push(send(&alice, &json!({ "number": number })).await.unwrap());
    }
    let no = refused(send(&alice, &json!({})).await);
    assert_eq!((no.code.as_str(), no.decision.as_str()), ("backpressure", "BACKPRESSURE"));
    assert!(no.retry_after.unwrap() > Duration::ZERO);
    // What was accepted is all there, and room made is used again.
    let bob = site.connect(&gate, "bob").await.unwrap();
    let mut messages = bob.messages();
    for id in &sent {
        let incoming = messages.next().await.unwrap();
        assert_eq!(incoming.message.message_id, *id);
        incoming.ack().await.unwrap();
    }
    bob.close().await;
    eventually("there is room again", async || Ok(send(&alice, &json!({})).await.ok()))
        .await
        .unwrap();
    // Bytes are a bound of their own.
    let large = json!({ "large": "x".repeat(600_000) });
    send(&alice, &large).await.unwrap();
    assert_eq!(refused(send(&alice, &large).await).code, "backpressure");
    gate.stop().await.unwrap();
}

#[tokio::test]
async fn one_sender_leaves_room_in_a_queue_for_others() {
    let site = Site::new(&json!({
        "agents": {
            "alice": { "allow": ["bob"] },
            "carol": { "allow": ["bob"] },
            "bob": {},
        },
        "delivery": { "queue_len_max": 12 },
    }))
    .unwrap();
    let gate = site.start().await.unwrap();
    let alice = site.connect(&gate, "alice").await.unwrap();
    for number in 0..3 {
        send(&alice, &json!({ "number": number })).await.unwrap();
    }
    let no = refused(send(&alice, &json!({})).await);
    assert_eq!((no.code.as_str(), no.decision.as_str()), ("backpressure", "BACKPRESSURE"));
    let share = "share of the sender in the queue of the target is full";
    assert!(no.reason.as_deref().unwrap_or_default().starts_with(share), "{no:?}");
    // A restart gives it no more room.
    let gate = gate.crash(&site).await.unwrap();
    eventually("the refusal after the restart", async || {
        let answer = send(&alice, &json!({})).await;
        Ok(answer.err().filter(|error| error.to_string().contains("share")))
    })
    .await
    .unwrap();
    let carol = site.connect(&gate, "carol").await.unwrap();
    send(&carol, &json!({})).await.unwrap();
    gate.stop().await.unwrap();
}

#[tokio::test]
async fn an_agent_has_no_more_sessions_than_it_may() {
    let site = site(&json!({ "server": { "limits": { "sessions_per_agent_max": 2 } } }));
    let gate = site.start().await.unwrap();
    let first = site.connect(&gate, "alice").await.unwrap();
    let _second = site.connect(&gate, "alice").await.unwrap();
    let mut options = site.options(&gate, "alice");
    options.connect_timeout = Duration::from_secs(2);
    let no = Client::connect(options).await.unwrap_err();
    assert!(no.to_string().contains("backpressure"), "{no}");
    // Another agent is not concerned, and a place that is left can be taken.
    site.connect(&gate, "bob").await.unwrap();
    first.close().await;
    site.connect(&gate, "alice").await.unwrap();
    gate.stop().await.unwrap();
}

#[tokio::test]
async fn a_message_that_nobody_took_in_time_expires() {
    let site = site(&json!({ "delivery": { "expire_after_ms": 200 } }));
    let gate = site.start().await.unwrap();
    let alice = site.connect(&gate, "alice").await.unwrap();
    let id = send(&alice, &json!({ "too": "late" })).await.unwrap();
    eventually("it expired", async || {
        let state = alice.status(&id).await?.state;
        let is_over = matches!(state, MessageState::Expired | MessageState::DeadLettered);
        Ok(is_over.then_some(()))
    })
    .await
    .unwrap();
    let bob = site.connect(&gate, "bob").await.unwrap();
    let next = send(&alice, &json!({ "the": "next" })).await.unwrap();
    let incoming = timeout(PATIENCE, bob.messages().next()).await.unwrap().unwrap();
    assert_eq!(incoming.message.message_id, next);
    incoming.ack().await.unwrap();
    gate.stop().await.unwrap();
}

/// Connects, says something and waits until the gate has closed the connection.
async fn closed_after(addr: std::net::SocketAddr, said: &[u8]) {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(said).await.unwrap();
    let mut answer = Vec::new();
    // A reset is an end too.
    let _ended = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap();
}

#[tokio::test]
async fn a_peer_that_says_nothing_is_not_kept() {
    let site = site(&json!({ "server": { "limits": {
        "handshake_timeout_ms": 300, "first_request_timeout_ms": 300, "connections_max": 8,
    } } }));
    let gate = site.start().await.unwrap();
    closed_after(gate.addr(), b"").await;
    // Half of the head of a TLS record.
    closed_after(gate.addr(), b"\x16\x03\x01").await;
    // More than there is room for, all of them silent, and then an agent.
    let silent: Vec<TcpStream> = {
        let mut silent = Vec::new();
        for _ in 0..20 {
            silent.push(TcpStream::connect(gate.addr()).await.unwrap());
        }
        silent
    };
    eventually("there is a place for an agent", async || {
        Ok(Client::connect(site.options(&gate, "alice")).await.ok())
    })
    .await
    .unwrap();
    drop(silent);
    gate.stop().await.unwrap();
    let failed = ["--event", "authentication", "--decision", "AUTHN_FAILED"];
    assert!(site.records(&failed).await.unwrap().len() >= 2);
}

#[tokio::test]
async fn a_slow_receiver_of_large_messages_gets_them_all() {
    let site = site(&json!({
        "delivery": { "in_flight_bytes_max": 4_194_304, "sender_share_percent": 50 },
    }));
    let gate = site.start().await.unwrap();
    let alice = site.connect(&gate, "alice").await.unwrap();
    let large = |number: usize| json!({ "number": number, "text": "word ".repeat(300_000) });
    for number in 0..12 {
        send(&alice, &large(number)).await.unwrap();
    }
    let bob = site.connect(&gate, "bob").await.unwrap();
    let mut messages = bob.messages();
    for number in 0..12 {
        let incoming = timeout(PATIENCE, messages.next()).await.unwrap().unwrap();
        assert_eq!(incoming.message.data["number"], number);
        incoming.ack().await.unwrap();
    }
    gate.stop().await.unwrap();
}
