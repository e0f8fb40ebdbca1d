//! A crowd of senders to one agent that is not there: its queue stays bounded, they are told to
//! slow down, and others are not concerned.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::stream::{self, StreamExt as _};
use palisade_client::{Client, Error, Options, Receive};
use serde_json::json;
use tokio::time::timeout;

use super::ground::{Ground, MEMORY_BYTES_MAX, honest};
use super::process::memory_bytes_max;
use crate::suite::{Effort, Report};

/// Connections at once, so that a long run needs no more open files than a short one.
const AT_ONCE: usize = 64;
const QUEUE_LEN_MAX: usize = 500;

pub(super) async fn run(effort: Effort, report: &mut Report) -> Result<()> {
    let senders = usize::try_from(if effort.is_short { 1_000 } else { 10_000 })?;
    let mut agents = json!({ "star": {} });
    for number in 0..senders {
        agents[fan(number)] = json!({ "allow": ["star"] });
    }
    let delivery = json!({ "queue_len_max": QUEUE_LEN_MAX });
    let ground = Ground::start(&json!({ "agents": agents, "delivery": delivery })).await?;
    let pid = ground.gate.pid()?;
    let before = memory_bytes_max(pid)?;
    let answers: Vec<Result<bool>> = stream::iter(0..senders)
        .map(|number| send_once(&ground, number))
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let mut accepted = 0_usize;
    for answer in answers {
        accepted += usize::from(answer?);
    }
    ensure!(accepted == QUEUE_LEN_MAX, "{accepted} were taken for a queue of {QUEUE_LEN_MAX}");
    let most = memory_bytes_max(pid)?;
    ensure!(most < MEMORY_BYTES_MAX, "the gate had {} MiB in memory", most >> 20);
    report.figure("crowd_senders", senders);
    report.figure("crowd_accepted", accepted);
    report.figure("crowd_memory_bytes", most.saturating_sub(before));
    others(&ground).await?;
    let star = ground.site.connect(&ground.gate, "star").await?;
    let mut messages = star.messages();
    for _ in 0..accepted {
        let incoming = timeout(PATIENCE, messages.next()).await.context("some are lost")?;
        incoming.context("the session ended")?.ack().await?;
    }
    ground.gate.stop().await
}

const PATIENCE: Duration = Duration::from_secs(30);

fn fan(number: usize) -> String {
    format!("fan{number}")
}

/// Sends one message as one of the crowd; returns whether it was taken.
async fn send_once(ground: &Ground, number: usize) -> Result<bool> {
    let options =
        Options { receive: Receive::Replies, ..ground.site.options(&ground.gate, &fan(number)) };
    let client = Box::pin(Client::connect(options)).await?;
    let sent = client.send("star", "cheer", &json!({ "number": number })).await;
    client.close().await;
    match sent {
        Ok(_) => Ok(true),
        Err(Error::Refused(refused)) if refused.decision == "BACKPRESSURE" => Ok(false),
        Err(error) => Err(error.into()),
    }
}

async fn others(ground: &Ground) -> Result<()> {
    let from = ground.site.connect(&ground.gate, &honest(0)).await?;
    let to = ground.site.connect(&ground.gate, &honest(1)).await?;
    from.send(&honest(1), "beside", &json!({})).await?;
    let mut messages = to.messages();
    let incoming = timeout(PATIENCE, messages.next()).await?.context("nothing came")?;
    incoming.ack().await?;
    Ok(())
}
