//! Calls of an agent and an operator, and how refusals come back.

use std::time::Duration;

use palisade_client::{Error, Invalid, MessageId, MessageState, Operator, admin};
use serde_json::json;
use tokio::task::JoinSet;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};

use crate::gate::{Gate, Heard};

const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_request_gets_its_reply() {
    let mut gate = Gate::start().await;
    let (alice, bob) = (gate.connect("alice").await, gate.connect("bob").await);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        bob.listen(|message| async move {
            assert!(message.expects_reply);
            message.reply("answer", &json!({ "got": message.data })).await.unwrap();
            Ok(())
        })
        .await
    });
    let reply = alice.request("bob", "ask", &json!({ "n": 1 }), LONG).await.unwrap();
    assert_eq!(reply.data, json!({ "got": { "n": 1 } }));
    assert!(reply.is_reply);
    assert_eq!(reply.sender_id, "bob");
    let asked = gate.hears(|heard| matches!(heard, Heard::Asked { .. })).await;
    let Heard::Asked { timeout_ms, .. } = asked else { panic!("{asked:?}") };
    assert!((10_000..=20_001).contains(&timeout_ms), "{timeout_ms}");
    // The reply and the request were both acknowledged.
    gate.hears_answer().await;
    gate.hears_answer().await;
}

#[tokio::test]
async fn a_reply_may_overtake_the_answer_to_its_request() {
    let gate = Gate::start().await;
    let alice = gate.connect("alice").await;
    let reply = alice.request("hasty", "ask", &json!({ "n": 1 }), LONG).await.unwrap();
    assert_eq!(reply.data["n"], 1);
}

#[tokio::test]
async fn requests_at_once_do_not_mix_up_their_replies() {
    let gate = Gate::start().await;
    let (alice, bob) = (gate.connect("alice").await, gate.connect("bob").await);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        drop(
            bob.listen(|message| async move {
                message.reply("answer", &message.data).await.unwrap();
                Ok(())
            })
            .await,
        );
    });
    let mut asking = JoinSet::new();
    for number in 0..50 {
        let alice = alice.clone();
        asking.spawn(async move {
            let kind = number.to_string();
            let reply = alice.request("bob", &kind, &json!({ "n": number }), LONG).await.unwrap();
            assert_eq!(reply.data["n"], number);
        });
    }
    while let Some(done) = asking.join_next().await {
        done.unwrap();
    }
}

#[tokio::test]
async fn a_request_without_reply_ends_in_time() {
    let gate = Gate::start().await;
    let alice = gate.connect("alice").await;
    let request = alice.request("nobody", "ask", &json!({}), Duration::from_millis(50)).await;
    assert!(matches!(request, Err(Error::Timeout)), "{request:?}");
}

#[tokio::test]
async fn a_call_without_answer_ends_in_time() {
    let gate = Gate::start().await;
    let mut options = gate.site.options("alice");
    options.call_timeout = Duration::from_millis(50);
    let alice = gate.connect_with(options).await;
    let sent = alice.send("silent", "x", &json!({})).await;
    assert!(matches!(sent, Err(Error::Timeout)), "{sent:?}");
}

#[tokio::test]
async fn a_refusal_comes_with_its_code_decision_reason_and_time() {
    let gate = Gate::start().await;
    let alice = gate.connect("alice").await;
    let mut metadata = MetadataMap::new();
    metadata.insert("palisade-code", "rate_limited".parse().unwrap());
    metadata.insert("palisade-decision", "RATE_LIMITED".parse().unwrap());
    metadata.insert("palisade-reason", "too%20many".parse().unwrap());
    metadata.insert("retry-after-ms", "250".parse().unwrap());
    gate.refuse_call(Status::with_metadata(Code::ResourceExhausted, "rate_limited", metadata));
    let Err(Error::Refused(refused)) = alice.send("bob", "x", &json!({})).await else {
        panic!("not refused");
    };
    assert_eq!((refused.status, refused.code.as_str()), (Code::ResourceExhausted, "rate_limited"));
    assert_eq!(refused.decision, "RATE_LIMITED");
    assert_eq!(refused.reason.as_deref(), Some("too many"));
    assert_eq!(refused.retry_after, Some(Duration::from_millis(250)));

    gate.refuse_call(Status::permission_denied("not_authorized"));
    let refused = alice.request("bob", "x", &json!({}), LONG).await;
    assert!(matches!(refused, Err(Error::Refused(r)) if r.code == "not_authorized"));
    alice.send("bob", "x", &json!({})).await.unwrap();
}

#[tokio::test]
async fn unacceptable_payloads_do_not_leave() {
    let gate = Gate::start().await;
    let mut options = gate.site.options("alice");
    options.message_bytes_max = 100;
    let alice = gate.connect_with(options).await;
    let list = alice.send("bob", "x", &[1]).await;
    assert!(matches!(list, Err(Error::Invalid(Invalid::NotAnObject))));
    let long = alice.send_json("bob", "x", format!("{{{}}}", " ".repeat(99))).await;
    assert!(matches!(long, Err(Error::Invalid(Invalid::TooLarge { bytes: 101, max: 100 }))));
}

#[tokio::test]
async fn state_discovery_and_status_are_asked_for() {
    let gate = Gate::start().await;
    let alice = gate.connect("alice").await;
    alice.update_state([("a".to_owned(), "1".to_owned())]).await.unwrap();
    assert_eq!(alice.state().await.unwrap()["a"], "1");
    alice.reset_state().await.unwrap();
    assert!(alice.state().await.unwrap().is_empty());
    let agents = alice.discover(&["qa"]).await.unwrap();
    assert_eq!((agents[0].id.as_str(), &agents[0].metadata), ("bob", &json!({ "team": "x" })));
    assert_eq!(agents[0].capabilities, ["qa"]);
    let status = alice.status(&MessageId::new("m7")).await.unwrap();
    assert_eq!((status.state, status.attempts), (MessageState::DeadLettered, 5));
    assert_eq!(status.reason, "m7 failed");
}

#[tokio::test]
async fn an_operator_changes_rules_and_looks_at_dead_letters() {
    let gate = Gate::start().await;
    let operator = Operator::connect(gate.site.options("root")).await.unwrap();
    assert_eq!(operator.agents().await.unwrap().agents[0].agent_id, "root");
    let objects = ["b".to_owned(), "c".to_owned()];
    let changed = operator.change_policy(admin::PolicyVerb::Allow, "a", &objects).await.unwrap();
    assert!(changed.changed);
    assert_eq!(changed.policy_revision, "a:b,c");
    let limits = admin::Limits { per_minute: 1, per_hour: 2 };
    operator.set_limits("a", Some(limits)).await.unwrap();
    let unknown = operator.set_limits("a", None).await;
    assert!(matches!(unknown, Err(Error::Refused(r)) if r.code == "not_found"));
    let request = admin::ListDeadLettersRequest { target_id: "t".to_owned(), ..Default::default() };
    assert_eq!(operator.dead_letters(request).await.unwrap()[0].target_id, "t");
    assert_eq!(operator.dead_letter("m1").await.unwrap().envelope_json, "m1");
    operator.replay("m1").await.unwrap();
    operator.drop_letter("m1").await.unwrap();
    assert!(matches!(operator.replay("m2").await, Err(Error::Refused(_))));
    assert!(matches!(operator.drop_letter("m2").await, Err(Error::Refused(_))));
    let request = admin::TraceMessageRequest { message_id: "m1".to_owned(), records_max: 0 };
    assert_eq!(operator.trace(request).await.unwrap().message_id, "m1");
    let request = admin::OverviewRequest { interval_ms: 250, rows_max: 0 };
    let mut pictures = operator.overview(request).await.unwrap();
    assert_eq!(pictures.next().await.unwrap().at_ms, 250);
    let ended = pictures.next().await;
    assert!(matches!(ended, Err(Error::Refused(r)) if r.code == "draining"));
    gate.cut();
    assert!(operator.agents().await.is_err());
}
