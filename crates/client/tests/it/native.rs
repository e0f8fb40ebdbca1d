//! The native session: what goes by it, and what a program notices when it breaks.

use std::time::Duration;

use futures::future::join_all;
use palisade_client::{Client, Code, Error, HandlerError, MessageState, Outgoing, Wire};
use serde_json::json;
use tokio::task::JoinSet;
use wire::palisade::bus::v1 as bus;

use crate::gate::native::delivery;
use crate::gate::{Gate, Heard};

const LONG: Duration = Duration::from_secs(20);

fn numbered(number: usize) -> Outgoing {
    Outgoing::json("bob", "n", format!("{{\"n\":{number}}}"))
}

#[tokio::test]
async fn messages_requests_and_replies_go_by_one_stream() {
    let mut gate = Gate::native().await;
    let (alice, bob) = (gate.connect("alice").await, gate.connect("bob").await);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        bob.listen(|message| async move {
            if message.expects_reply {
                message.reply("answer", &json!({ "got": message.data })).await.unwrap();
            }
            Ok(())
        })
        .await
    });
    assert_eq!(alice.send("bob", "note", &json!({ "n": 0 })).await.unwrap().as_str(), "m1");
    assert_eq!(gate.hears_answer().await, Heard::Ack("1".to_owned()));
    let reply = alice.request("bob", "ask", &json!({ "n": 1 }), LONG).await.unwrap();
    assert_eq!((reply.data, reply.is_reply), (json!({ "got": { "n": 1 } }), true));
    assert_eq!((reply.sender_id.as_str(), reply.target_id.as_str()), ("bob", "alice"));
}

#[tokio::test]
async fn what_waits_goes_together_and_in_order() {
    let gate = Gate::native().await;
    let (alice, bob) = (gate.connect("alice").await, gate.connect("bob").await);
    let mut messages = bob.messages();
    let receiving = async {
        for number in 0..500 {
            let incoming = messages.next().await.unwrap();
            assert_eq!(incoming.message.data["n"], number);
            incoming.ack().await.unwrap();
        }
    };
    let sending = alice.send_all((0..500).map(numbered));
    let (answers, ()) = tokio::join!(sending, receiving);
    assert!(answers.unwrap().iter().all(Result::is_ok));
    assert_eq!(gate.taken(), 500);
}

#[tokio::test]
async fn a_batch_needs_few_frames() {
    let mut gate = Gate::native().await;
    let alice = gate.connect("alice").await;
    let mut sent = Vec::new();
    for number in 0..200 {
        sent.push(alice.publish(numbered(number)).await.unwrap());
    }
    for answered in join_all(sent.iter_mut().map(palisade_client::Sent::accepted)).await {
        assert!(!answered.unwrap().duplicate);
    }
    let mut frames = 0;
    let mut left = 200_usize;
    while left > 0 {
        let Heard::Frame(items) = gate.hears(|heard| matches!(heard, Heard::Frame(_))).await else {
            panic!("no frame")
        };
        left -= items;
        frames += 1;
    }
    assert!(frames <= 20, "{frames} frames for 200 messages that were there at once");
}

#[tokio::test]
async fn an_unknown_outcome_is_found_out_and_makes_no_second_message() {
    let mut gate = Gate::native().await;
    let alice = gate.connect("alice").await;
    gate.hears_hello().await;
    for round in 1..=3 {
        gate.mute(true);
        let mut sent = alice.publish(numbered(round)).await.unwrap();
        gate.hears(|heard| matches!(heard, Heard::Sent { .. })).await;
        gate.cut();
        gate.mute(false);
        let accepted = sent.accepted().await.unwrap();
        assert!(accepted.duplicate);
        gate.hears(|heard| matches!(heard, Heard::Sent { .. })).await;
        assert_eq!((accepted.message_id.as_str(), gate.taken()), (&*format!("m{round}"), round));
    }
}

#[tokio::test]
async fn a_key_of_the_programs_own_makes_one_message() {
    let gate = Gate::native().await;
    let alice = gate.connect("alice").await;
    let order = || Outgoing::new("bob", "order", &json!({ "n": 1 })).unwrap().key("order-7");
    let first = alice.publish(order()).await.unwrap().accepted().await.unwrap();
    alice.close().await;
    // Another run of the program.
    let again = gate.connect("alice").await;
    let second = again.publish(order()).await.unwrap().accepted().await.unwrap();
    assert_eq!((first.duplicate, second.duplicate), (false, true));
    assert_eq!((first.message_id, gate.taken()), (second.message_id, 1));
}

#[tokio::test]
async fn a_refused_item_has_its_reason_and_leaves_the_others_alone() {
    let gate = Gate::native().await;
    let alice = gate.connect("alice").await;
    gate.refuse_publish(bus::Refused {
        code: "rate_limited".to_owned(),
        decision: "RATE_LIMITED".to_owned(),
        reason: "too many".to_owned(),
        retry_after_ms: 250,
    });
    let answers = alice.send_all((0..3).map(numbered)).await.unwrap();
    let Err(Error::Refused(refused)) = &answers[0] else { panic!("{answers:?}") };
    assert_eq!((refused.code.as_str(), refused.status), ("rate_limited", Code::ResourceExhausted));
    assert_eq!(
        (refused.decision.as_str(), refused.reason.as_deref()),
        ("RATE_LIMITED", Some("too many"))
    );
    assert_eq!(refused.retry_after, Some(Duration::from_millis(250)));
    assert!(answers[1].is_ok() && answers[2].is_ok());
}

#[tokio::test]
async fn what_a_draining_gate_did_not_take_goes_to_the_next_session() {
    let mut gate = Gate::native().await;
    let alice = gate.connect("alice").await;
    gate.hears_hello().await;
    let draining = bus::Refused { code: "draining".to_owned(), ..Default::default() };
    gate.refuse_publish(draining);
    let mut sent = alice.publish(numbered(1)).await.unwrap();
    gate.hears(|heard| matches!(heard, Heard::Sent { .. })).await;
    let goodbye = bus::Goodbye { code: "draining".to_owned(), ..Default::default() };
    gate.say("alice", bus::ServerFrame { goodbye: Some(goodbye), ..Default::default() }).await;
    assert!(!sent.accepted().await.unwrap().duplicate);
    gate.hears_hello().await;
}

#[tokio::test]
async fn a_message_without_outcome_is_given_up_in_time() {
    let gate = Gate::native().await;
    let mut options = gate.site.options("alice");
    options.call_timeout = Duration::from_millis(50);
    let alice = gate.connect_with(options).await;
    gate.mute(true);
    assert!(matches!(alice.send("bob", "x", &json!({})).await, Err(Error::Timeout)));
}

#[tokio::test]
async fn what_a_handler_returns_is_what_the_gate_hears() {
    let mut gate = Gate::native().await;
    let bob = gate.connect("bob").await;
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        bob.listen(|message| async move {
            match message.data["do"].as_str().unwrap() {
                "later" => Err(HandlerError::retryable("busy")),
                "never" => Err(HandlerError::fatal("no")),
                _ => Ok(()),
            }
        })
        .await
    });
    let mut unreadable = delivery(4, &json!({}));
    unreadable.payload = "{".into();
    let deliveries = vec![
        delivery(1, &json!({ "do": "later" })),
        delivery(2, &json!({ "do": "never" })),
        delivery(3, &json!({ "do": "it" })),
        unreadable,
    ];
    gate.say("bob", bus::ServerFrame { deliveries, ..Default::default() }).await;
    let mut heard = Vec::new();
    for _ in 0..4 {
        heard.push(gate.hears_answer().await);
    }
    let nack = |delivery: &str, reason: &str, retryable| {
        let (delivery, reason) = (delivery.to_owned(), reason.to_owned());
        Heard::Nack { delivery, reason, retryable }
    };
    for expected in [
        nack("1", "busy", true),
        nack("2", "no", false),
        Heard::Ack("3".to_owned()),
        nack("4", "the envelope is not readable", false),
    ] {
        assert!(heard.contains(&expected), "{expected:?} in {heard:?}");
    }
}

#[tokio::test]
async fn a_gate_that_delivers_beyond_its_credit_loses_the_session() {
    let mut gate = Gate::native().await;
    let mut options = gate.site.options("bob");
    options.deliveries_max = 2;
    let bob = gate.connect_with(options).await;
    gate.hears_hello().await;
    let deliveries = (1..=3).map(|id| delivery(id, &json!({}))).collect();
    gate.say("bob", bus::ServerFrame { deliveries, ..Default::default() }).await;
    // It comes back, and what it was not entitled to is not handed out.
    gate.hears_hello().await;
    bob.send("alice", "x", &json!({})).await.unwrap();
}

#[tokio::test]
async fn receipts_tell_what_became_of_a_message() {
    let gate = Gate::native().await;
    let alice = gate.connect("alice").await;
    let receipt = |kind: bus::ReceiptKind, reason: &str| bus::ServerFrame {
        receipts: vec![bus::Receipt {
            message_id: "m1".to_owned(),
            kind: kind.into(),
            reason: reason.to_owned(),
            attempts: 1,
        }],
        ..Default::default()
    };
    let mut sent = alice.publish(numbered(1).receipts()).await.unwrap();
    assert_eq!(sent.accepted().await.unwrap().message_id.as_str(), "m1");
    gate.say("alice", receipt(bus::ReceiptKind::Delivered, "")).await;
    assert_eq!(sent.receipt().await.unwrap().state, MessageState::Delivered);
    gate.say("alice", receipt(bus::ReceiptKind::Acknowledged, "")).await;
    let status = sent.acknowledged().await.unwrap();
    assert_eq!((status.state, status.attempts), (MessageState::Acknowledged, 1));
}

#[tokio::test]
async fn receipts_that_were_lost_are_asked_for() {
    let mut gate = Gate::native().await;
    let alice = gate.connect("alice").await;
    gate.hears_hello().await;
    let mut followed = alice.publish(numbered(1).receipts()).await.unwrap();
    followed.accepted().await.unwrap();
    gate.cut();
    gate.hears_hello().await;
    // What the test gate says of every message.
    assert_eq!(followed.acknowledged().await.unwrap().state, MessageState::DeadLettered);
    let unfollowed = alice.publish(numbered(2)).await.unwrap();
    assert_eq!(unfollowed.acknowledged().await.unwrap().reason, "m2 failed");
    let mut followed = alice.publish(numbered(3).receipts()).await.unwrap();
    followed.accepted().await.unwrap();
    gate.say("alice", bus::ServerFrame { receipts_dropped: 1, ..Default::default() }).await;
    assert_eq!(followed.acknowledged().await.unwrap().reason, "m3 failed");
}

#[tokio::test]
async fn closing_waits_for_what_the_gate_has_not_answered() {
    let mut gate = Gate::native().await;
    let alice = gate.connect("alice").await;
    for number in 0..100 {
        drop(alice.publish(numbered(number)).await.unwrap());
    }
    alice.close().await;
    assert_eq!(gate.taken(), 100);
    gate.hears(|heard| *heard == Heard::HalfClosed("alice".to_owned())).await;
    assert!(matches!(alice.publish(numbered(1)).await, Err(Error::Closed)));
}

#[tokio::test]
async fn messages_of_a_lost_session_are_not_handed_out() {
    let mut gate = Gate::native().await;
    let bob = gate.connect("bob").await;
    gate.hears_hello().await;
    let frame = |id| bus::ServerFrame {
        deliveries: vec![delivery(id, &json!({ "n": id }))],
        ..Default::default()
    };
    gate.say("bob", frame(1)).await;
    let mut messages = bob.messages();
    let held = messages.next().await.unwrap();
    gate.say("bob", frame(2)).await;
    // The outcome comes behind the delivery.
    bob.send("alice", "x", &json!({})).await.unwrap();
    gate.cut();
    gate.forget_native();
    gate.hears_hello().await;
    bob.send("alice", "x", &json!({})).await.unwrap();
    assert!(matches!(held.ack().await, Err(Error::Interrupted)));
    gate.say("bob", frame(3)).await;
    assert_eq!(messages.next().await.unwrap().message.data["n"], 3);
}

#[tokio::test]
async fn a_server_without_it_is_spoken_to_by_the_mas_wire() {
    let mut gate = Gate::start().await;
    let (alice, bob) = (gate.connect("alice").await, gate.connect("bob").await);
    let mut sent = alice.publish(numbered(1).key("k")).await.unwrap();
    assert_eq!(sent.accepted().await.unwrap().message_id.as_str(), "m1");
    bob.messages().next().await.unwrap().ack().await.unwrap();
    assert_eq!(gate.hears_answer().await, Heard::Ack("d".to_owned()));
    assert_eq!(sent.acknowledged().await.unwrap().reason, "m1 failed");
}

#[tokio::test]
async fn the_mas_wire_can_be_asked_for() {
    let mut gate = Gate::native().await;
    let mut options = gate.site.options("alice");
    options.wire = Wire::Mas;
    let alice: Client = gate.connect_with(options).await;
    gate.hears_hello().await;
    alice.send("bob", "x", &json!({})).await.unwrap();
    assert_eq!(gate.taken(), 0, "sent by a unary call");
}

#[tokio::test]
async fn a_gate_that_no_longer_speaks_it_leaves_unknown_outcomes_unknown() {
    let mut gate = Gate::native().await;
    let alice = gate.connect("alice").await;
    gate.hears_hello().await;
    gate.mute(true);
    let mut sent = alice.publish(numbered(1)).await.unwrap();
    gate.hears(|heard| matches!(heard, Heard::Sent { .. })).await;
    gate.speak(false);
    gate.cut();
    assert!(matches!(sent.accepted().await, Err(Error::Interrupted)));
    gate.hears_hello().await;
    alice.send("bob", "x", &json!({})).await.unwrap();
}
