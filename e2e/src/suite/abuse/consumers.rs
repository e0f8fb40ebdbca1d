//! Receivers that do not receive: one that stops reading, one that crawls, one that never answers,
//! one that refuses everything. What was accepted for them is neither lost nor in anyone's way.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use palisade_client::{Client, Error, HandlerError, MessageId, MessageState};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{sleep, timeout};

use super::ground::{Ground, MEMORY_BYTES_MAX};
use super::process::memory_bytes_max;
use super::wire::{Target, call, field, message, opening};
use crate::eventually;
use crate::suite::Report;

pub(super) async fn run(report: &mut Report) -> Result<()> {
    let ground = Ground::start(&json!({
        "delivery": {
            "reclaim_idle_ms": 500,
            "retry_backoff_ms": 50,
            "retry_backoff_max_ms": 100,
            "max_attempts": 3,
            "queue_bytes_max": 16_777_216,
            "sender_share_percent": 50,
        },
    }))
    .await?;
    let sender = ground.site.connect(&ground.gate, "trusted").await?;
    let before = ground.site.connect(&ground.gate, "honest0").await?;
    let beside = ground.site.connect(&ground.gate, "honest1").await?;
    let kept = Box::pin(unread(&ground, &sender, None)).await.context("one that reads nothing")?;
    report.figure("consumer_reads_nothing_kept", kept);
    let kept = Box::pin(unread(&ground, &sender, Some(CRAWL))).await;
    report.figure("consumer_crawls_kept", kept.context("one that reads slowly")?);
    beside_them(&before, &beside).await?;
    let kept = Box::pin(unanswered(&ground, &sender)).await.context("one that never answers")?;
    report.figure("consumer_never_answers_kept", kept);
    let dead = Box::pin(refusing(&ground, &sender)).await.context("one that refuses everything")?;
    report.figure("consumer_refuses_dead_letters", dead);
    beside_them(&before, &beside).await?;
    let most = memory_bytes_max(ground.gate.pid()?)?;
    report.figure("consumers_memory_bytes_max", most);
    ensure!(most < MEMORY_BYTES_MAX, "the gate had {} MiB in memory", most >> 20);
    ground.gate.stop().await
}

/// A kilobyte a second.
const CRAWL: Duration = Duration::from_millis(100);
const CRAWL_BYTES: usize = 100;
const PATIENCE: Duration = Duration::from_secs(30);
const REFUSED: u32 = 20;

/// Sends until the sender's share of the queue is full; returns what was accepted.
async fn fill(sender: &Client, to: &str) -> Result<BTreeSet<MessageId>> {
    let text = "word ".repeat(100_000);
    let mut accepted = BTreeSet::new();
    loop {
        match sender.send(to, "much", &json!({ "text": text })).await {
            Ok(id) => drop(accepted.insert(id)),
            Err(Error::Refused(refused)) if refused.decision == "BACKPRESSURE" => {
                ensure!(!accepted.is_empty(), "nothing was accepted");
                return Ok(accepted);
            }
            Err(error) => return Err(error.into()),
        }
        ensure!(accepted.len() < 1_000, "a queue without an end");
    }
}

/// Takes everything that waits for an agent, which must be what was accepted; returns how many.
async fn take(client: &Client, mut accepted: BTreeSet<MessageId>) -> Result<usize> {
    let count = accepted.len();
    let mut messages = client.messages();
    while !accepted.is_empty() {
        let incoming = timeout(PATIENCE, messages.next()).await;
        let incoming = incoming.with_context(|| format!("{} are lost", accepted.len()))?;
        let incoming = incoming.context("the session ended")?;
        accepted.remove(&incoming.message.message_id);
        incoming.ack().await?;
    }
    Ok(count)
}

/// A session that leaves in its socket what it is sent, or takes it out at a crawl.
async fn unread(ground: &Ground, sender: &Client, crawl: Option<Duration>) -> Result<usize> {
    let target = Target { addr: ground.gate.addr(), folder: ground.site.folder().to_path_buf() };
    let mut tls = target.tls("blind").await?;
    let hello = field(1, &field(1, b"blind"));
    let bytes = [opening(), call(1, "Transport"), message(1, 0, &hello)].concat();
    tls.write_all(&bytes).await?;
    let accepted = fill(sender, "blind").await?;
    if let Some(pause) = crawl {
        for _ in 0..10 {
            let mut some = [0; CRAWL_BYTES];
            if tls.read(&mut some).await.unwrap_or_default() == 0 {
                break;
            }
            sleep(pause).await;
        }
    }
    // Another instance gets what the first does not take, while that is still there.
    let client = ground.site.connect(&ground.gate, "blind").await?;
    let kept = take(&client, accepted).await?;
    client.close().await;
    drop(tls);
    Ok(kept)
}

async fn unanswered(ground: &Ground, sender: &Client) -> Result<usize> {
    let silent = ground.site.connect(&ground.gate, "sink").await?;
    let accepted = fill(sender, "sink").await?;
    let mut messages = silent.messages();
    let mut held = Vec::new();
    for _ in 0..accepted.len().min(4) {
        held.push(timeout(PATIENCE, messages.next()).await?.context("nothing came")?);
    }
    let other = ground.site.connect(&ground.gate, "sink").await?;
    let kept = take(&other, accepted).await?;
    drop(held);
    silent.close().await;
    other.close().await;
    Ok(kept)
}

/// Each message becomes a dead letter after its attempts, and its sender can ask for it.
async fn refusing(ground: &Ground, sender: &Client) -> Result<usize> {
    let mut sent = Vec::new();
    for number in 0..REFUSED {
        sent.push(sender.send("sink", "much", &json!({ "number": number })).await?);
    }
    let client = ground.site.connect(&ground.gate, "sink").await?;
    let listening = client.clone();
    let refuse =
        listening.listen(|_message| std::future::ready(Err(HandlerError::retryable("not today"))));
    let dead = async {
        for id in &sent {
            eventually("a message that is always refused becomes a dead letter", async || {
                let state = sender.status(id).await?.state;
                Ok((state == MessageState::DeadLettered).then_some(()))
            })
            .await?;
        }
        Ok(sent.len())
    };
    tokio::select! {
        ended = refuse => ended.context("the receiver ended").and(Ok(0)),
        dead = dead => dead,
    }
}

/// Others send to each other as if nothing was.
async fn beside_them(before: &Client, beside: &Client) -> Result<()> {
    let mut messages = beside.messages();
    for number in 0..20 {
        before.send(beside.agent_id(), "beside", &json!({ "number": number })).await?;
        let incoming = timeout(PATIENCE, messages.next()).await?.context("nothing came")?;
        incoming.ack().await?;
    }
    Ok(())
}
