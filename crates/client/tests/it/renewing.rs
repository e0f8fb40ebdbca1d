//! What the program notices when its certificate is renewed, or is not.

use std::time::Duration;

use palisade_client::Error;
use serde_json::json;
use tonic::Status;

use crate::gate::{Gate, Heard};
use crate::site::{issue, issue_short};

#[tokio::test]
async fn a_renewed_certificate_is_used_before_the_old_one_ends() {
    let mut gate = Gate::start().await;
    issue_short(&gate.site.ca, "alice", 3, gate.site.folder());
    let alice = gate.connect("alice").await;
    gate.hears_hello().await;
    issue(&gate.site.ca, "alice", gate.site.folder());
    let again = async {
        let (mut sent, nothing) = (0_u32, json!({}));
        let moved = gate.hears_hello();
        tokio::pin!(moved);
        loop {
            tokio::select! {
                heard = &mut moved => return (heard, sent),
                sending = alice.send("bob", "x", &nothing) => { sending.unwrap(); sent += 1; }
            }
        }
    };
    let (heard, sent) = tokio::time::timeout(Duration::from_secs(10), again).await.unwrap();
    assert!(matches!(heard, Heard::Hello { instance, .. } if instance == alice.instance_id()));
    assert!(sent > 0);
    alice.send("bob", "x", &json!({})).await.unwrap();
}

#[tokio::test]
async fn an_expired_certificate_is_named_and_the_next_one_is_taken() {
    let mut gate = Gate::start().await;
    issue_short(&gate.site.ca, "alice", 2, gate.site.folder());
    let mut options = gate.site.options("alice");
    options.call_timeout = Duration::from_millis(700);
    let alice = gate.connect_with(options).await;
    gate.hears_hello().await;
    tokio::time::sleep(Duration::from_millis(3_100)).await;
    gate.cut();
    let refused = loop {
        let refused = alice.state().await.unwrap_err();
        // The first may have been on the connection when that was cut.
        if !matches!(refused, Error::Interrupted) {
            break refused;
        }
    };
    assert!(matches!(refused, Error::Tls(_)), "{refused}");
    assert_eq!(refused.code(), "tls_certificate_expired");
    assert!(refused.to_string().contains("issue a new one"), "{refused}");
    issue(&gate.site.ca, "alice", gate.site.folder());
    gate.hears_hello().await;
    alice.state().await.unwrap();
}

#[tokio::test]
async fn a_call_that_the_gate_refused_for_the_certificate_waits_for_another_connection() {
    let mut gate = Gate::start().await;
    let alice = gate.connect("alice").await;
    gate.hears_hello().await;
    for code in ["credential_expired", "certificate_revoked", "certificate_untrusted"] {
        gate.refuse_call(Status::unauthenticated(code));
        let sender = alice.clone();
        let mut sending = tokio::task::JoinSet::new();
        sending.spawn(async move { sender.send("bob", "x", &json!({})).await });
        gate.hears(|heard| *heard == Heard::CallRefused).await;
        gate.end("alice", Status::unauthenticated(code)).await;
        gate.hears_hello().await;
        sending.join_next().await.unwrap().unwrap().unwrap();
    }
}
