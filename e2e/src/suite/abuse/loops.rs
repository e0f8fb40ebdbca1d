//! Agents that answer each message with another: those that say so come to an end by themselves,
//! those that do not are stopped by their limits.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use palisade_client::{Client, Error, HandlerError};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::ground::{Ground, mallory};
use crate::suite::Report;

/// What an agent may send in a minute, unless it has limits of its own.
const PER_MINUTE: u64 = 100;

pub(super) async fn run(report: &mut Report) -> Result<()> {
    let ground = Ground::start(&json!({
        "agents": {
            "ping": { "allow": ["pong"] },
            "pong": { "allow": ["ping"] },
        },
    }))
    .await?;
    let (ping, pong) = (
        ground.site.connect(&ground.gate, "ping").await?,
        ground.site.connect(&ground.gate, "pong").await?,
    );
    let (ends, mut ended) = mpsc::channel(8);
    let mut tasks = JoinSet::new();
    for (client, other) in [(&ping, "pong"), (&pong, "ping")] {
        tasks.spawn(forward(client.clone(), other, ends.clone()));
    }
    ping.send("pong", "ball", &json!({})).await?;
    let end = timeout(PATIENCE, ended.recv()).await.context("the loop goes on")?;
    let (hops, code) = end.context("nobody forwards")?;
    report.figure("loop_hops_max", hops);
    ensure!(code == "too_many_hops", "the loop ended with {code}");
    ensure!(hops == 16, "the loop ended after {hops} hops");
    lie(&ground, report).await?;
    tasks.abort_all();
    ground.gate.stop().await
}

/// Sends each message on, as an agent does that does not look at what it forwards.
async fn forward(client: Client, to: &'static str, ends: mpsc::Sender<(u32, String)>) {
    let sender = client.clone();
    let handled = client.listen(move |message| {
        let (sender, ends) = (sender.clone(), ends.clone());
        async move {
            match sender.send(to, "ball", &message.data).await {
                Ok(_) => Ok(()),
                Err(Error::Refused(refused)) => {
                    drop(ends.send((message.hops, refused.code)).await);
                    Err(HandlerError::fatal("not forwarded"))
                }
                Err(error) => Err(HandlerError::retryable(error.to_string())),
            }
        }
    });
    drop(handled.await);
}

/// Two that do not say what led to what: their limits of 100 messages a minute end it.
async fn lie(ground: &Ground, report: &mut Report) -> Result<()> {
    let first = ground.site.connect(&ground.gate, &mallory(0)).await?;
    let second = ground.site.connect(&ground.gate, &mallory(1)).await?;
    let mut at_second = second.messages();
    let mut thrown = 0_u64;
    // mallory0 may send to mallory1 and nobody back; the loop is closed here, by hand.
    let code = loop {
        match first.send(&mallory(1), "ball", &json!({})).await {
            Ok(_) => thrown += 1,
            Err(Error::Refused(refused)) => break refused.decision,
            Err(error) => return Err(error.into()),
        }
        let incoming = timeout(PATIENCE, at_second.next()).await?.context("no ball")?;
        incoming.ack().await?;
    };
    report.figure("loop_unsaid_messages", thrown);
    ensure!(code == "RATE_LIMITED" && thrown == PER_MINUTE, "{thrown} balls, then {code}");
    Ok(())
}

const PATIENCE: Duration = Duration::from_secs(30);
