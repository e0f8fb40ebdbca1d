//! A crowd of senders to one agent that is not there: its queue stays bounded, they are told to
//! slow down, and a hundred others at work meanwhile are not concerned.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::StreamExt as _;
use futures::future::join_all;
use futures::stream;
use palisade_client::{Client, Options, Receive};
use serde_json::json;
use tokio::time::{sleep, timeout};

use super::attacker::Attacker;
use super::attacks::CROWD;
use super::ground::{Ground, MEMORY_BYTES_MAX};
use super::honest::Load;
use super::measure::{ratio, rounded};
use super::process::memory_bytes_max;
use super::tally::{Got, Tally};
use super::verdict::SHORT_P99_US_MAX;
use super::wire::Target;
use crate::suite::{Effort, Report};

/// Sessions that are open at once: all of a small crowd, the latest of a large one.
const HELD: usize = 1_000;
/// Of these, such that are being opened.
const AT_ONCE: usize = 32;
const QUEUE_LEN_MAX: usize = 500;
/// What the gate may need for each session that is open.
const SESSION_BYTES_MAX: u64 = 256 << 10;

pub(super) async fn run(effort: Effort, report: &mut Report) -> Result<()> {
    let senders = usize::try_from(if effort.is_short { 1_000 } else { 10_000 })?;
    let held = senders.min(HELD);
    let ground = ground(senders).await?;
    let load = Load::start(&ground).await?;
    sleep(CALM).await;
    let without_us = p99(&load, async {
        sleep(CALM).await;
        Ok(())
    })
    .await?;
    let pid = ground.gate.pid()?;
    let before = memory_bytes_max(pid)?;
    let crowd = Attacker::start(&ground, &CROWD)?;
    let done = ground.site.path(DONE);
    let with_us = p99(&load, async {
        let coming = async {
            while !done.exists() {
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(PATIENCE, coming).await.context("the crowd does not come to an end")
    })
    .await?;
    let most = memory_bytes_max(pid)?;
    let grown = most.saturating_sub(before);
    let mut got = Got::default();
    got.add(&crowd.stop().await?);
    report.figure("crowd_senders", senders);
    report.figure("crowd_sessions_at_once", held);
    report.figure("crowd_got", json!(got.counts));
    report.figure("crowd_memory_bytes", grown);
    report.figure("crowd_p99_us_without", without_us);
    report.figure("crowd_p99_us_with", with_us);
    report.figure("crowd_p99_ratio", rounded(ratio(with_us, without_us)));
    let bytes_max = SESSION_BYTES_MAX * u64::try_from(held)?;
    ensure!(grown < bytes_max, "the gate grew by {} MiB", grown >> 20);
    ensure!(most < MEMORY_BYTES_MAX, "the gate had {} MiB in memory", most >> 20);
    ensure!(with_us < SHORT_P99_US_MAX, "the p99 of honest agents grew to {with_us} us");
    let sent = u64::try_from(senders + held)?;
    let (accepted, slowed) = (got.count("accepted"), got.count("BACKPRESSURE"));
    ensure!(accepted + slowed == sent, "of {sent} messages: {:?}", got.counts);
    ensure!(accepted == u64::try_from(QUEUE_LEN_MAX)?, "{accepted} taken for {QUEUE_LEN_MAX}");
    load.finish().await?;
    delivered(&ground, got).await?;
    ground.gate.stop().await
}

async fn ground(senders: usize) -> Result<Ground> {
    let mut agents = json!({ "star": {} });
    for number in 0..senders {
        agents[fan(number)] = json!({ "allow": ["star"] });
    }
    Ground::start(&json!({
        "agents": agents,
        "delivery": { "queue_len_max": QUEUE_LEN_MAX },
        // The crowd stands for many machines, but comes from one.
        "server": { "limits": {
            "handshakes_per_second_per_ip": 200,
            "connections_per_ip_max": 2 * HELD,
        } },
    }))
    .await
}

/// Returns the p99 of honest messages while something else goes on, in microseconds.
async fn p99(load: &Load, meanwhile: impl Future<Output = Result<()>>) -> Result<u64> {
    let from = load.now();
    meanwhile.await?;
    let to = load.now();
    load.settle().await?;
    load.p99(from, to).context("honest agents sent too little to measure")
}

/// How long honest agents are measured by themselves.
const CALM: Duration = Duration::from_secs(2);
/// Ten thousand, a few each second: they compute only while nobody else does.
const PATIENCE: Duration = Duration::from_secs(900);
const RECEIPT: Duration = Duration::from_secs(30);

/// Exactly what was accepted comes.
async fn delivered(ground: &Ground, mut got: Got) -> Result<()> {
    let star = ground.site.connect(&ground.gate, "star").await?;
    let mut awaited = got.taken.remove("star").unwrap_or_default();
    let mut messages = star.messages();
    while !awaited.is_empty() {
        let incoming = timeout(RECEIPT, messages.next()).await;
        let incoming = incoming.with_context(|| format!("{} are lost", awaited.len()))?;
        let incoming = incoming.context("the session ended")?;
        awaited.remove(&incoming.message.message_id);
        incoming.ack().await?;
    }
    Ok(())
}

/// With this file the crowd says that all have come and sent.
const DONE: &str = "crowd.done";

fn fan(number: usize) -> String {
    format!("fan{number}")
}

/// Each comes, sends, and stays until so many others have come that it has to go; those who are
/// there in the end send once more, all at once.
pub(super) async fn come(target: Target, tally: Tally) {
    let all = (0..).take_while(|number| target.folder.join(fan(*number) + ".pem").exists());
    let (folder, crowd) = (&target, &tally);
    let arriving = stream::iter(all).map(|number| async move {
        let client = connect(folder, number).await;
        cheer(&client, crowd).await;
        client
    });
    let mut arriving = std::pin::pin!(arriving.buffer_unordered(AT_ONCE));
    let mut here = VecDeque::new();
    while let Some(client) = arriving.next().await {
        here.push_back(client);
        if here.len() > HELD
            && let Some(first) = here.pop_front()
        {
            first.close().await;
        }
    }
    join_all(here.iter().map(|client| cheer(client, &tally))).await;
    if std::fs::write(target.folder.join(DONE), "").is_ok() {
        std::future::pending::<()>().await;
    }
}

async fn connect(target: &Target, number: usize) -> Client {
    loop {
        let file = |end: &str| target.folder.join(format!("{}.{end}", fan(number)));
        let ca = target.folder.join("ca.pem");
        let options = Options::new(target.addr.to_string(), ca, file("pem"), file("key"));
        let options = Options { receive: Receive::Replies, ..options };
        match Box::pin(Client::connect(options)).await {
            Ok(client) => return client,
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn cheer(client: &Client, tally: &Tally) {
    tally.sent("star", &client.send("star", "cheer", &json!({})).await);
}
