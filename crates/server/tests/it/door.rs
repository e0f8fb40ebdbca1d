//! The gRPC door with real TLS: agents connect, messages pass, refusals say why.

use std::time::Duration;

use palisade_client::{Error, MessageState};
use serde_json::json;

use super::site::{Plan, Site};

#[tokio::test]
async fn a_message_is_delivered_acknowledged_and_its_way_can_be_asked_for() {
    let door = Site::open(Plan::default()).await;
    let (a, b) = (door.connect("a").await.unwrap(), door.connect("b").await.unwrap());
    let sent = a.send("b", "note", &json!({"text": "hello"})).await.unwrap();
    let incoming = b.messages().next().await.unwrap();
    assert_eq!(incoming.message.data, json!({"text": "hello"}));
    assert_eq!(incoming.message.sender_id, "a");
    assert_eq!(a.status(&sent).await.unwrap().state, MessageState::Delivered);
    incoming.ack().await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), async {
        while a.status(&sent).await.unwrap().state != MessageState::Acknowledged {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_request_gets_its_reply() {
    let door = Site::open(Plan::default()).await;
    let (a, b) = (door.connect("a").await.unwrap(), door.connect("b").await.unwrap());
    let answering = async {
        b.listen(|message| async move {
            message.reply("pong", &json!({"n": 2})).await.unwrap();
            Ok(())
        })
        .await
    };
    let question = json!({"n": 1});
    let asking = a.request("b", "ping", &question, Duration::from_secs(5));
    let reply = tokio::select! {
        reply = asking => reply.unwrap(),
        ended = answering => panic!("the listener ended: {ended:?}"),
    };
    assert_eq!(reply.data, json!({"n": 2}));
}

#[tokio::test]
async fn refusals_carry_code_decision_and_reason() {
    let door = Site::open(Plan {
        more: "gateway: { rate_limit: { per_minute: 2, per_hour: 10 } }",
        ..Plan::default()
    })
    .await;
    let a = door.connect("a").await.unwrap();
    let refused = |error: Error| {
        let Error::Refused(refused) = error else { panic!("no refusal: {error:?}") };
        refused
    };
    let denied = refused(a.send("nobody", "note", &json!({})).await.unwrap_err());
    assert_eq!((&*denied.code, &*denied.decision), ("not_authorized", "AUTHZ_DENIED"));
    assert_eq!(denied.reason.as_deref(), Some("no rule allows a to send to nobody"));
    let blocked =
        json!({"key": "-----BEGIN PRIVATE KEY-----\nMIIEvQ==\n-----END PRIVATE KEY-----"});
    assert_eq!(refused(a.send("b", "note", &blocked).await.unwrap_err()).code, "dlp_blocked");
    a.send("b", "note", &json!({})).await.unwrap();
    let limited = refused(a.send("b", "note", &json!({})).await.unwrap_err());
    assert_eq!(limited.code, "rate_limited");
    assert!(limited.retry_after.unwrap() > Duration::from_secs(50));
    let stranger = door.connect("stranger").await.unwrap_err();
    assert_eq!(refused(stranger).code, "agent_not_allowlisted");
}
