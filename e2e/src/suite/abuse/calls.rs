//! Attacks with calls that any agent could make: too many, too large, not allowed, hostile.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use palisade_client::{Client, Options, Receive};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::frames::{blind_session, over_and_over};
use super::ground::{MALLORIES, mallory};
use super::grpc::{Line, Written, decision, message, write};
use super::tally::Tally;
use super::wire::{Target, field};

/// Connects as an agent, however long that takes.
async fn agent(target: &Target, name: &str, receive: Receive) -> Client {
    loop {
        let file = |end: &str| target.folder.join(format!("{name}.{end}"));
        let ca = target.folder.join("ca.pem");
        let mut options = Options::new(target.addr.to_string(), ca, file("pem"), file("key"));
        options.receive = receive;
        // Errors are counted, not waited out.
        options.call_timeout = Duration::from_secs(2);
        match Box::pin(Client::connect(options)).await {
            Ok(client) => return client,
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}

/// What a flood of sends consists of.
#[derive(Debug, Clone)]
pub(super) struct Flood {
    /// Who sends.
    pub(super) name: String,
    /// To whom.
    pub(super) to: &'static str,
    /// What.
    pub(super) payload: Arc<str>,
    /// How many calls are under way at once.
    pub(super) at_once: usize,
}

/// Sends the same again and again, whatever is answered.
pub(super) async fn sends(target: Target, tally: Tally, flood: Flood) {
    let client = agent(&target, &flood.name, Receive::Replies).await;
    let mut all = JoinSet::new();
    for _ in 0..flood.at_once {
        let (client, tally, flood) = (client.clone(), tally.clone(), flood.clone());
        all.spawn(async move {
            loop {
                let payload = flood.payload.to_string();
                tally.sent(flood.to, &client.send_json(flood.to, "flood", payload).await);
            }
        });
    }
    while all.join_next().await.is_some() {}
}

/// Fills the queue of an agent that is connected and reads nothing.
pub(super) async fn unread(target: Target, tally: Tally) {
    let payload = large(900_000);
    let flood = Flood { name: "trusted".to_owned(), to: "blind", payload, at_once: 2 };
    let sending = sends(target.clone(), tally.clone(), flood);
    let holding = async {
        loop {
            blind_session(&target, &tally).await;
            sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::join!(sending, holding);
}

/// Two agents that answer each message with another, and say nothing of what led to what.
pub(super) async fn ping_pong(target: Target, tally: Tally) {
    let mut all = JoinSet::new();
    let mut clients = Vec::new();
    for number in 0..MALLORIES {
        clients.push(agent(&target, &mallory(number), Receive::All).await);
    }
    for (number, client) in clients.iter().cloned().enumerate() {
        let tally = tally.clone();
        all.spawn(async move {
            let next = mallory(number.wrapping_add(1));
            // Ten balls at once; one that is refused is thrown again.
            for _ in 0..10 {
                tally.ended(&client.send(&next, "ball", &json!({})).await);
            }
            let mut messages = client.messages();
            while let Some(incoming) = messages.next().await {
                let sent = client.send(&next, "ball", &json!({})).await;
                tally.ended(&sent);
                drop(incoming.ack().await);
            }
        });
    }
    while all.join_next().await.is_some() {}
}

/// Messages of nothing but fields that nobody knows, one after the other was answered.
pub(super) async fn unknown_fields(target: Target, tally: Tally) {
    over_and_over(MALLORIES, move |number| {
        let (target, tally) = (target.clone(), tally.clone());
        async move {
            let Some(mut line) = Line::open(&target, &tally, &mallory(number)).await else {
                return;
            };
            // Field 15 without content, as often as fits into what may be sent unasked.
            let body = message(&field(15, b"").repeat(20_000));
            while let Some((response, mut sending)) = line.call(SEND).await {
                let written = write(&mut sending, body.clone()).await;
                if written == Written::Whole {
                    drop(sending.send_data(Bytes::new(), true));
                }
                let Some(decision) = decision(response).await else { break };
                tally.one(&decision);
            }
            tally.one("closed");
        }
    })
    .await;
}

const SEND: &str = "/mas.runtime.v1.RuntimeService/Send";

/// An object of so many bytes of plain words.
pub(super) fn large(bytes: usize) -> Arc<str> {
    json!({ "text": "word ".repeat(bytes / 5) }).to_string().into()
}

/// A text in which much looks like what inspection searches for, and is none.
pub(super) fn hostile_text() -> Arc<str> {
    let piece = "4111 1111 1111 1112 a@b..c 078-05-112 AKIA0000 sk_live_ 1.2.3.256 ";
    json!({ "text": piece.repeat((1 << 20) / piece.len()), "card": "4111 1111 1111 1111" })
        .to_string()
        .into()
}

/// As deep as is looked at, many times over, and what must not pass behind all of it.
pub(super) fn deep_json() -> Arc<str> {
    let deep = format!("{}1{}", "[".repeat(60), "]".repeat(60));
    let items = vec![deep; 900].join(",");
    format!("{{\"a\":[{items}],\"card\":\"4111 1111 1111 1111\"}}").into()
}
