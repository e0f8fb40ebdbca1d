//! What the program notices when the connection goes: ideally nothing.

use std::time::Duration;

use palisade_client::{Error, Options};
use serde_json::json;
use tokio::task::JoinSet;
use tonic::Status;

use crate::gate::{Gate, Heard};

fn hello(agent: &str, instance: &str) -> Heard {
    let (agent, instance) = (agent.to_owned(), instance.to_owned());
    Heard::Hello { agent, instance, replies_only: false }
}

#[tokio::test]
async fn a_broken_connection_is_made_again_as_the_same_instance() {
    let mut gate = Gate::start().await;
    let bob = gate.connect("bob").await;
    let expected = hello("bob", bob.instance_id());
    assert_eq!(gate.hears_hello().await, expected);
    for _ in 0..5 {
        gate.cut();
        assert_eq!(gate.hears_hello().await, expected);
        bob.send("alice", "x", &json!({})).await.unwrap();
    }
    gate.deliver("bob", "after", json!({})).await;
    bob.messages().next().await.unwrap().ack().await.unwrap();
    assert_eq!(gate.hears_answer().await, Heard::Ack("after".to_owned()));
}

#[tokio::test]
async fn a_session_that_the_gate_ends_is_opened_again() {
    let mut gate = Gate::start().await;
    let bob = gate.connect("bob").await;
    gate.hears_hello().await;
    for status in [
        Status::unavailable("draining"),
        Status::internal("oops"),
        Status::unauthenticated("credential_expired"),
    ] {
        gate.end("bob", status).await;
        assert_eq!(gate.hears_hello().await, hello("bob", bob.instance_id()));
        bob.send("alice", "x", &json!({})).await.unwrap();
    }
}

#[tokio::test]
async fn a_gate_that_still_holds_the_old_session_is_asked_again() {
    let mut gate = Gate::start().await;
    let bob = gate.connect("bob").await;
    gate.hears_hello().await;
    for _ in 0..3 {
        gate.refuse_hello(Status::failed_precondition("instance_already_connected"));
    }
    gate.refuse_hello(Status::unavailable("starting"));
    gate.cut();
    for _ in 0..5 {
        assert_eq!(gate.hears_hello().await, hello("bob", bob.instance_id()));
    }
    bob.send("alice", "x", &json!({})).await.unwrap();
}

#[tokio::test]
async fn an_agent_that_is_no_longer_welcome_ends_with_the_reason() {
    let mut gate = Gate::start().await;
    for status in [
        Status::unauthenticated("agent_not_allowlisted"),
        Status::permission_denied("not_authorized"),
    ] {
        let bob = gate.connect("bob").await;
        gate.hears_hello().await;
        let mut listening = JoinSet::new();
        let listener = bob.clone();
        listening.spawn(async move { listener.listen(|_message| async { Ok(()) }).await });
        gate.refuse_hello(status.clone());
        gate.cut();
        let ended = listening.join_next().await.unwrap().unwrap();
        let Err(Error::Refused(refused)) = ended else { panic!("{ended:?}") };
        assert_eq!((refused.status, refused.code.as_str()), (status.code(), status.message()));
        let sent = bob.send("alice", "x", &json!({})).await;
        assert!(matches!(sent, Err(Error::Refused(again)) if again == refused));
        assert!(matches!(bob.ended().await, Error::Refused(_)));
    }
}

#[tokio::test]
async fn a_request_that_waits_for_its_reply_survives() {
    let mut gate = Gate::start().await;
    let alice = gate.connect("alice").await;
    gate.hears_hello().await;
    let asker = alice.clone();
    let mut asking = JoinSet::new();
    asking.spawn(
        async move { asker.request("bob", "ask", &json!({}), Duration::from_secs(20)).await },
    );
    gate.hears(|heard| matches!(heard, Heard::Asked { .. })).await;
    // A second call on the same connection shows that the answer to the first is through.
    alice.state().await.unwrap();
    gate.cut();
    gate.hears_hello().await;
    alice.state().await.unwrap();
    let reply = json!({ "sender_id": "bob", "target_id": "alice", "message_type": "answer",
        "data": { "n": 2 }, "meta": { "correlation_id": "alice.ask", "is_reply": true },
        "message_id": "m2" });
    gate.deliver_text("alice", "r", reply.to_string()).await;
    let answered = asking.join_next().await.unwrap().unwrap().unwrap();
    assert_eq!(answered.data["n"], 2);
    assert_eq!(gate.hears_answer().await, Heard::Ack("r".to_owned()));
}

#[tokio::test]
async fn a_call_that_broke_on_its_way_is_not_repeated_behind_the_programs_back() {
    let mut gate = Gate::start().await;
    let alice = gate.connect("alice").await;
    let sender = alice.clone();
    let mut sending = JoinSet::new();
    sending.spawn(async move { sender.send("silent", "x", &json!({ "n": 1 })).await });
    gate.hears(|heard| matches!(heard, Heard::Sent { .. })).await;
    gate.cut();
    let sent = sending.join_next().await.unwrap().unwrap();
    assert!(matches!(sent, Err(Error::Interrupted)), "{sent:?}");
}

#[tokio::test]
async fn a_call_waits_for_the_session_that_the_gate_misses() {
    let mut gate = Gate::start().await;
    let alice = gate.connect("alice").await;
    gate.hears_hello().await;
    gate.refuse_call(Status::failed_precondition("session_not_connected"));
    let sender = alice.clone();
    let mut sending = JoinSet::new();
    sending.spawn(async move { sender.send("bob", "x", &json!({ "n": 1 })).await });
    gate.hears(|heard| *heard == Heard::CallRefused).await;
    gate.end("alice", Status::unavailable("draining")).await;
    gate.hears_hello().await;
    gate.hears(|heard| matches!(heard, Heard::Sent { .. })).await;
    sending.join_next().await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_call_gives_up_with_the_refusal_when_no_session_comes() {
    let gate = Gate::start().await;
    let mut options = gate.site.options("alice");
    options.call_timeout = Duration::from_millis(50);
    let alice = gate.connect_with(options).await;
    gate.refuse_call(Status::failed_precondition("session_not_connected"));
    let sent = alice.send("bob", "x", &json!({})).await;
    assert!(matches!(sent, Err(Error::Refused(r)) if r.code == "session_not_connected"));
}

#[tokio::test]
async fn messages_of_a_lost_session_are_not_handed_out() {
    let mut gate = Gate::start().await;
    let bob = gate.connect("bob").await;
    gate.hears_hello().await;
    gate.deliver("bob", "old", json!({ "n": "old" })).await;
    // What was delivered before this call's answer is in the buffer by then or soon after.
    bob.state().await.unwrap();
    gate.cut();
    gate.hears_hello().await;
    bob.state().await.unwrap();
    gate.deliver("bob", "new", json!({ "n": "new" })).await;
    let incoming = bob.messages().next().await.unwrap();
    assert_eq!(incoming.message.data["n"], "new");
}

#[tokio::test]
async fn closing_while_disconnected_ends_at_once() {
    let mut gate = Gate::start().await;
    let options = Options {
        reconnect: palisade_client::Reconnect {
            first: Duration::from_secs(3600),
            max: Duration::from_secs(3600),
        },
        ..gate.site.options("bob")
    };
    let bob = gate.connect_with(options).await;
    gate.hears_hello().await;
    gate.cut();
    tokio::time::timeout(Duration::from_secs(10), bob.close()).await.unwrap();
    assert!(matches!(bob.ended().await, Error::Closed));
}

#[tokio::test]
async fn files_of_another_agent_do_not_change_who_the_client_is() {
    let mut gate = Gate::start().await;
    let bob = gate.connect("bob").await;
    gate.hears_hello().await;
    drop(gate.site.options("carol"));
    for ending in ["pem", "key"] {
        std::fs::copy(
            gate.site.path(&format!("carol.{ending}")),
            gate.site.path(&format!("bob.{ending}")),
        )
        .unwrap();
    }
    gate.cut();
    assert!(matches!(bob.ended().await, Error::Invalid(_)));
}
