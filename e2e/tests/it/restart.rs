//! What survives a crash, and how a gate ends when it is asked to.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::time::Duration;

use anyhow::Result;
use e2e::{Gate, Site, eventually};
use palisade_client::{Client, Error, MessageId, MessageState, Options, Reconnect};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

const PATIENCE: Duration = Duration::from_secs(20);

/// Takes the next message and acknowledges it.
async fn take(client: &Client) -> (MessageId, Value) {
    let incoming = timeout(PATIENCE, client.messages().next()).await.unwrap().unwrap();
    let message = (incoming.message.message_id.clone(), incoming.message.data.clone());
    incoming.ack().await.unwrap();
    message
}

async fn wait_state(client: &Client, id: &MessageId, state: MessageState) -> Result<()> {
    eventually(&format!("{id} is {}", state.as_str()), || async {
        Ok((client.status(id).await?.state == state).then_some(()))
    })
    .await
}

/// Connects with a fixed instance id and a quick second try.
async fn connect(site: &Site, gate: &Gate, name: &str) -> Client {
    let reconnect = Reconnect { first: Duration::from_millis(20), max: Duration::from_millis(200) };
    let instance = Some(format!("{name}-1"));
    let options = Options { reconnect, instance, ..site.options(gate, name) };
    Client::connect(options).await.unwrap()
}

#[tokio::test]
async fn acknowledged_messages_survive_a_kill_and_are_delivered_once_each_in_order() {
    let site = Site::of_two().unwrap();
    let gate = site.start().await.unwrap();
    let alice = connect(&site, &gate, "alice").await;
    let mut sent = Vec::new();
    for number in 0..50 {
        sent.push(alice.send("bob", "note", &json!({ "number": number })).await.unwrap());
    }
    let gate = gate.crash(&site).await.unwrap();
    let bob = connect(&site, &gate, "bob").await;
    for (number, id) in sent.iter().enumerate() {
        assert_eq!(take(&bob).await, (id.clone(), json!({ "number": number })));
    }
    for id in &sent {
        wait_state(&alice, id, MessageState::Acknowledged).await.unwrap();
    }
    // What was acknowledged does not come again after the next crash.
    let gate = gate.crash(&site).await.unwrap();
    let last = alice.send("bob", "note", &json!({ "last": true })).await.unwrap();
    assert_eq!(take(&bob).await.0, last);
    gate.stop().await.unwrap();
    let verdict = site.audit(&["verify"]).await.unwrap().ok().unwrap().json().unwrap();
    assert_eq!(verdict["ok"], true, "{verdict}");
    let records = site.records(&["--sender", "alice", "--event", "message.send"]).await.unwrap();
    assert_eq!(records.len(), 51);
}

#[tokio::test]
async fn a_kill_in_the_middle_of_sending_loses_nothing_that_was_acknowledged() {
    let site = Site::new(&json!({
        "agents": { "alice": { "allow": ["bob"] }, "bob": {} },
        "gateway": { "rate_limit": { "per_minute": 1_000_000, "per_hour": 1_000_000 } },
    }))
    .unwrap();
    let mut gate = site.start().await.unwrap();
    let alice = connect(&site, &gate, "alice").await;
    let mut acknowledged = Vec::new();
    for _round in 0..3 {
        let before = acknowledged.len();
        let is_over = Cell::new(false);
        let sending = async {
            let mut sent = Vec::new();
            while !is_over.get() {
                // The call that the crash meets fails: its message is taken or not.
                sent.extend(alice.send("bob", "note", &json!({})).await);
            }
            sent
        };
        let crash = async {
            // Some messages first, so that the kill meets others on their way.
            eventually("some messages are on disk", || async {
                let recorded = site.records(&["--event", "message.send"]).await?.len();
                Ok((recorded > before + 20).then_some(()))
            })
            .await?;
            let gate = gate.crash(&site).await;
            is_over.set(true);
            gate
        };
        let (sent, crashed) = tokio::join!(sending, crash);
        gate = crashed.unwrap();
        acknowledged.extend(sent);
    }
    let accepted = ["--event", "message.send", "--decision", "ALLOWED"];
    let recorded = site.records(&accepted).await.unwrap();
    let recorded: Vec<&str> =
        recorded.iter().filter_map(|record| record["message_id"].as_str()).collect();
    let bob = connect(&site, &gate, "bob").await;
    // No record without its message and no message without its record: the same ones, in order.
    for id in &recorded {
        assert_eq!(take(&bob).await.0.as_str(), *id);
    }
    for id in &acknowledged {
        assert!(recorded.contains(&id.as_str()), "{id} was acknowledged and is lost");
    }
    gate.stop().await.unwrap();
    assert_eq!(site.audit(&["verify"]).await.unwrap().ok().unwrap().json().unwrap()["ok"], true);
}

#[tokio::test]
async fn kills_in_the_middle_of_delivery_lose_nothing_and_change_no_order() {
    let site = Site::new(&json!({
        "agents": { "alice": { "allow": ["bob"] }, "bob": {} },
        "gateway": { "rate_limit": { "per_minute": 1_000_000, "per_hour": 1_000_000 } },
    }))
    .unwrap();
    let mut gate = site.start().await.unwrap();
    let alice = connect(&site, &gate, "alice").await;
    let bob = connect(&site, &gate, "bob").await;
    let (is_over, got) = (Cell::new(false), RefCell::new(Vec::new()));
    let sending = async {
        while !is_over.get() {
            // The call that a crash meets fails: its message is taken or not.
            let _taken_or_not = alice.send("bob", "note", &json!({})).await;
        }
        alice.send("bob", "last", &json!({})).await.unwrap()
    };
    let receiving = async {
        let mut messages = bob.messages();
        loop {
            let incoming = timeout(PATIENCE, messages.next()).await.unwrap().unwrap();
            let is_last = incoming.message.message_type == "last";
            got.borrow_mut().push(incoming.message.message_id.clone());
            // The acknowledgement that a crash meets is lost: the message comes again.
            let _heard_or_not = incoming.ack().await;
            if is_last {
                return;
            }
        }
    };
    let crashing = async {
        for _round in 0..3 {
            let before = got.borrow().len();
            eventually("some were delivered", async || {
                Ok((got.borrow().len() > before + 30).then_some(()))
            })
            .await
            .unwrap();
            gate = gate.crash(&site).await.unwrap();
        }
        is_over.set(true);
        gate
    };
    let (last, (), gate) = tokio::join!(sending, receiving, crashing);
    wait_state(&alice, &last, MessageState::Acknowledged).await.unwrap();
    gate.stop().await.unwrap();
    let accepted = ["--event", "message.send", "--decision", "ALLOWED"];
    let recorded = site.records(&accepted).await.unwrap();
    let recorded: Vec<&str> =
        recorded.iter().filter_map(|record| record["message_id"].as_str()).collect();
    let mut got: Vec<String> = got.into_inner().iter().map(|id| id.as_str().to_owned()).collect();
    let deliveries = got.len();
    // The first delivery of each, in the order in which they were accepted.
    let mut seen = HashSet::new();
    got.retain(|id| seen.insert(id.clone()));
    assert_eq!(got, recorded);
    // Only what was on its way at a crash came again.
    assert!(deliveries - got.len() <= 3 * 200, "{deliveries} deliveries of {}", got.len());
    assert_eq!(site.audit(&["verify"]).await.unwrap().ok().unwrap().json().unwrap()["ok"], true);
}

#[tokio::test]
async fn limits_state_rules_and_open_requests_survive_a_kill() {
    let site = Site::new(&json!({
        "agents": {
            "alice": { "allow": ["bob"], "limits": { "per_minute": 3, "per_hour": 100 } },
            "bob": { "allow": ["alice"] },
            "carol": {},
        },
    }))
    .unwrap();
    let gate = site.start().await.unwrap();
    let (alice, bob) = (connect(&site, &gate, "alice").await, connect(&site, &gate, "bob").await);
    bob.update_state([("a".to_owned(), "1".to_owned())]).await.unwrap();
    site.run(&[
        "agents",
        "--dir",
        ".",
        "--addr",
        &gate.addr().to_string(),
        "allow",
        "carol",
        "bob",
    ])
    .await
    .unwrap()
    .ok()
    .unwrap();
    for number in 1..3 {
        alice.send("bob", "note", &json!({ "number": number })).await.unwrap();
        take(&bob).await;
    }
    let question = json!({ "q": 1 });
    let asking = alice.request("bob", "ask", &question, PATIENCE);
    let answering = async {
        let incoming = timeout(PATIENCE, bob.messages().next()).await.unwrap().unwrap();
        // The request may reach bob before alice is told that it was taken. Her next call waits
        // for a commit of its own; when that is answered, the request is too.
        alice.state().await.unwrap();
        let gate = gate.crash(&site).await.unwrap();
        incoming.message.reply("answer", &json!({ "a": 1 })).await.unwrap();
        gate
    };
    let (answer, gate) = tokio::join!(asking, answering);
    assert_eq!(answer.unwrap().data, json!({ "a": 1 }));
    // Three messages before the crash, the request included, count after it.
    let refused = alice.send("bob", "note", &json!({})).await.unwrap_err();
    let Error::Refused(refused) = refused else { panic!("{refused}") };
    assert_eq!(
        (refused.code.as_str(), refused.decision.as_str()),
        ("rate_limited", "RATE_LIMITED")
    );
    assert!(refused.retry_after.unwrap() < Duration::from_secs(61));
    assert_eq!(bob.state().await.unwrap()["a"], "1");
    let carol = connect(&site, &gate, "carol").await;
    carol.send("bob", "note", &json!({})).await.unwrap();
    gate.stop().await.unwrap();
}

#[tokio::test]
async fn a_gate_that_is_asked_to_end_tells_its_clients_and_ends_cleanly() {
    let site = Site::of_two().unwrap();
    let gate = site.start().await.unwrap();
    let mut clients = Vec::new();
    for name in ["alice", "alice", "bob"] {
        clients.push(site.connect(&gate, name).await.unwrap());
    }
    let queued = clients[0].send("bob", "note", &json!({ "kept": true })).await.unwrap();
    let incoming = timeout(PATIENCE, clients[2].messages().next()).await.unwrap().unwrap();
    assert_eq!(incoming.message.message_id, queued);
    let addr = gate.addr();
    let start = Instant::now();
    gate.terminate().unwrap();
    let status = gate.ended().await.unwrap();
    assert!(status.success(), "{status}");
    // Nothing is under way but a message that a client holds, and nobody waits for that.
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    assert!(tokio::net::TcpStream::connect(addr).await.is_err(), "it listens still");
    // What was not acknowledged is there at the next start.
    drop((clients, incoming));
    let gate = site.start().await.unwrap();
    let bob = connect(&site, &gate, "bob").await;
    assert_eq!(take(&bob).await, (queued, json!({ "kept": true })));
    gate.stop().await.unwrap();
}

#[tokio::test]
async fn a_stream_of_a_gate_that_ends_says_unavailable() {
    let site = Site::of_two().unwrap();
    let gate = site.start().await.unwrap();
    let mut draining = e2e::Foreign::new(&site, &gate, "drain.py").unwrap().start().unwrap();
    assert_eq!(draining.line().await.unwrap(), "open");
    gate.stop().await.unwrap();
    let said = draining.line().await.unwrap();
    assert_eq!(said, "UNAVAILABLE draining");
}
