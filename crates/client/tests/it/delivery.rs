//! Messages that arrive: handlers, answers, bounds, sealed fields, the graceful end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use identity::OpeningKey;
use palisade_client::{Error, HandlerError, Message, Receive};
use serde_json::json;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;

use crate::gate::{Gate, Heard};

#[tokio::test]
async fn a_message_reaches_the_handler_and_is_acknowledged() {
    let mut gate = Gate::start().await;
    let (alice, bob) = (gate.connect("alice").await, gate.connect("bob").await);
    let (seen, mut messages) = mpsc::channel::<Message>(1);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        bob.listen(move |message| {
            let seen = seen.clone();
            async move {
                seen.send(message).await.unwrap();
                Ok(())
            }
        })
        .await
    });
    let id = alice.send("bob", "note", &json!({ "n": 1 })).await.unwrap();
    assert_eq!(id.as_str(), "m1");
    let message = messages.recv().await.unwrap();
    assert_eq!((message.sender_id.as_str(), message.target_id.as_str()), ("alice", "bob"));
    assert_eq!(message.typed::<std::collections::HashMap<String, u8>>().unwrap()["n"], 1);
    assert!(matches!(message.typed::<String>(), Err(Error::Invalid(_))));
    assert!(!format!("{message:?}").contains("\"n\""));
    assert!(matches!(message.reply("x", &json!({})).await, Err(Error::Invalid(_))));
    assert_eq!(gate.hears_answer().await, Heard::Ack("d".to_owned()));
}

#[tokio::test]
async fn what_a_handler_returns_is_what_the_gate_hears() {
    let mut gate = Gate::start().await;
    let bob = gate.connect("bob").await;
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        bob.listen(|message| async move {
            match message.data["do"].as_str().unwrap() {
                "later" => Err(HandlerError::retryable("busy")),
                "never" => Err(HandlerError::fatal("no")),
                "panic" => panic!("as told"),
                _ => Ok(()),
            }
        })
        .await
    });
    for (order, reason, retryable) in
        [("later", "busy", true), ("never", "no", false), ("panic", "the handler panicked", false)]
    {
        gate.deliver("bob", order, json!({ "do": order })).await;
        let (delivery, reason) = (order.to_owned(), reason.to_owned());
        assert_eq!(gate.hears_answer().await, Heard::Nack { delivery, reason, retryable });
    }
    gate.deliver("bob", "fine", json!({ "do": "it" })).await;
    assert_eq!(gate.hears_answer().await, Heard::Ack("fine".to_owned()));
}

#[tokio::test]
async fn no_more_handlers_run_at_once_than_the_option_says() {
    let mut gate = Gate::start().await;
    let mut options = gate.site.options("bob");
    options.handlers_max = 2;
    let bob = gate.connect_with(options).await;
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let highest = Arc::clone(&most);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        bob.listen(move |_message| {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                for _ in 0..50 {
                    tokio::task::yield_now().await;
                }
                now.fetch_sub(1, Ordering::SeqCst);
                Ok(())
            }
        })
        .await
    });
    for number in 0..40 {
        gate.deliver("bob", &number.to_string(), json!({})).await;
    }
    for _ in 0..40 {
        assert!(matches!(gate.hears_answer().await, Heard::Ack(_)));
    }
    assert_eq!(highest.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_message_taken_by_hand_is_answered_by_hand_or_given_back() {
    let mut gate = Gate::start().await;
    let bob = gate.connect("bob").await;
    let mut messages = bob.messages();
    for delivery in ["1", "2", "3"] {
        gate.deliver("bob", delivery, json!({})).await;
    }
    messages.next().await.unwrap().ack().await.unwrap();
    assert_eq!(gate.hears_answer().await, Heard::Ack("1".to_owned()));
    messages.next().await.unwrap().nack(HandlerError::fatal("x".repeat(1000))).await.unwrap();
    let (delivery, reason) = ("2".to_owned(), "x".repeat(512));
    assert_eq!(gate.hears_answer().await, Heard::Nack { delivery, reason, retryable: false });
    drop(messages.next().await);
    let (delivery, reason) = ("3".to_owned(), "dropped without an answer".to_owned());
    assert_eq!(gate.hears_answer().await, Heard::Nack { delivery, reason, retryable: true });
}

#[tokio::test]
async fn an_unreadable_envelope_is_refused_for_good_and_does_no_harm() {
    let mut gate = Gate::start().await;
    let bob = gate.connect("bob").await;
    for envelope in ["", "[]", r#"{"message_id":"m"}"#, r#"{"data":1e999}"#] {
        gate.deliver_text("bob", "bad", envelope.to_owned()).await;
        let (delivery, reason) = ("bad".to_owned(), "the envelope is not readable".to_owned());
        assert_eq!(gate.hears_answer().await, Heard::Nack { delivery, reason, retryable: false });
    }
    gate.deliver("bob", "good", json!({})).await;
    bob.messages().next().await.unwrap().ack().await.unwrap();
    assert_eq!(gate.hears_answer().await, Heard::Ack("good".to_owned()));
}

#[tokio::test]
async fn sealed_fields_arrive_in_clear_and_the_key_is_registered() {
    let mut gate = Gate::start().await;
    let key = OpeningKey::generate().unwrap();
    let sealing = key.sealing_key().clone();
    let mut options = gate.site.options("bob");
    options.opening_key = Some(key);
    let bob = gate.connect_with(options).await;
    let registered = gate.hears(|heard| matches!(heard, Heard::Key(_))).await;
    assert_eq!(registered, Heard::Key(sealing.to_string()));
    let token = identity::seal(&sealing, b"bob", b"123-45-6789").unwrap();
    let stolen = identity::seal(&sealing, b"carol", b"123-45-6789").unwrap();
    gate.deliver("bob", "1", json!({ "ssn": token, "other": stolen })).await;
    let incoming = bob.messages().next().await.unwrap();
    assert_eq!(incoming.message.data["ssn"], "123-45-6789");
    assert_eq!(incoming.message.data["other"], stolen);
    assert_eq!(incoming.message.unopened, ["/other"]);
}

#[tokio::test]
async fn closing_waits_for_the_handler_and_its_answer() {
    let mut gate = Gate::start().await;
    let bob = gate.connect("bob").await;
    let (started, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let mut tasks = JoinSet::new();
    let (listener, entered, gone_on) = (bob.clone(), Arc::clone(&started), Arc::clone(&release));
    tasks.spawn(async move {
        listener
            .listen(move |_message| {
                let (started, release) = (Arc::clone(&entered), Arc::clone(&gone_on));
                async move {
                    started.notify_one();
                    release.notified().await;
                    Ok(())
                }
            })
            .await
    });
    gate.deliver("bob", "1", json!({})).await;
    started.notified().await;
    let closing = bob.clone();
    let mut ending = JoinSet::new();
    ending.spawn(async move { closing.close().await });
    tokio::task::yield_now().await;
    release.notify_one();
    ending.join_next().await.unwrap().unwrap();
    assert_eq!(gate.hears_answer().await, Heard::Ack("1".to_owned()));
    gate.hears(|heard| *heard == Heard::HalfClosed("bob".to_owned())).await;
    tasks.join_next().await.unwrap().unwrap().unwrap();
    assert!(matches!(bob.send("alice", "x", &json!({})).await, Err(Error::Closed)));
    assert!(bob.messages().next().await.is_none());
}

#[tokio::test]
async fn a_client_that_is_dropped_ends_its_session() {
    let gate = Gate::start().await;
    let bob = gate.connect("bob").await;
    let mut messages = bob.messages();
    drop(bob);
    assert!(messages.next().await.is_none());
}

#[tokio::test]
async fn an_idle_session_sends_heartbeats() {
    let mut gate = Gate::start().await;
    let mut options = gate.site.options("bob");
    options.heartbeat = std::time::Duration::from_millis(5);
    let _bob = gate.connect_with(options).await;
    gate.hears(|heard| *heard == Heard::Heartbeat).await;
    gate.hears(|heard| *heard == Heard::Heartbeat).await;
}

#[tokio::test]
async fn a_session_for_replies_says_so() {
    let mut gate = Gate::start().await;
    let mut options = gate.site.options("bob");
    options.receive = Receive::Replies;
    options.instance = Some("one".to_owned());
    let _bob = gate.connect_with(options).await;
    let (agent, instance) = ("bob".to_owned(), "one".to_owned());
    assert_eq!(gate.hears_hello().await, Heard::Hello { agent, instance, replies_only: true });
}
