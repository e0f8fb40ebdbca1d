//! What led to what: the gate is told how many messages came before the one that is sent, and in
//! which trace it is.

use palisade_client::TraceContext;
use serde_json::json;
use tokio::task::JoinSet;

use crate::gate::Gate;

#[tokio::test]
async fn what_a_handler_sends_has_one_hop_more_than_what_it_handles() {
    let gate = Gate::start().await;
    let (alice, bob) = (gate.connect("alice").await, gate.connect("bob").await);
    let carol = gate.connect("carol").await;
    let mut tasks = JoinSet::new();
    tasks.spawn({
        let sender = bob.clone();
        async move {
            bob.listen(move |_message| {
                let sender = sender.clone();
                async move {
                    sender.send("carol", "on", &json!({})).await.unwrap();
                    Ok(())
                }
            })
            .await
        }
    });
    let (mut to_alice, mut to_carol) = (alice.messages(), carol.messages());
    alice.send("bob", "begin", &json!({})).await.unwrap();
    let first = to_carol.next().await.unwrap();
    assert_eq!(first.message.hops, 1);
    // Who takes messages one by one says by itself what led to what.
    carol.caused_by(&first.message).send("alice", "on", &json!({})).await.unwrap();
    let second = to_alice.next().await.unwrap();
    assert_eq!(second.message.hops, 2);
    carol.send("alice", "anew", &json!({})).await.unwrap();
    assert_eq!(to_alice.next().await.unwrap().message.hops, 0);
}

#[tokio::test]
async fn what_a_message_leads_to_stays_in_its_trace() {
    let gate = Gate::start().await;
    let (alice, bob) = (gate.connect("alice").await, gate.connect("bob").await);
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let trace = TraceContext::new(parent, Some("a=1")).unwrap();
    let (mut to_alice, mut to_bob) = (alice.messages(), bob.messages());
    alice.traced(trace.clone()).send("bob", "begin", &json!({})).await.unwrap();
    let first = to_bob.next().await.unwrap();
    assert_eq!(first.message.trace(), Some(&trace));
    bob.caused_by(&first.message).send("alice", "on", &json!({})).await.unwrap();
    assert_eq!(to_alice.next().await.unwrap().message.trace(), Some(&trace));
    bob.send("alice", "anew", &json!({})).await.unwrap();
    assert_eq!(to_alice.next().await.unwrap().message.trace(), None);
}
