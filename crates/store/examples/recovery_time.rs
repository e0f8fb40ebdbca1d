//! Measures how long a store takes to open behind a log of so many bytes, all of it read again.
//!
//! `cargo run --release -p store --example recovery_time -- 1073741824` prints one line of JSON.

use std::time::{Duration, Instant};

use bytes::Bytes;
use gate::ports::{Batch, Claim, Entry, Op, QueueKey, Settlement, Store as _, StoreError};
use gate::types::{AgentId, MessageId, SessionId, Timestamp};
use store::{Bounds, Durability, Embedded, Options};

/// Messages that are committed at once and then acknowledged.
const GROUP: u128 = 256;

#[tokio::main]
#[expect(clippy::disallowed_methods, reason = "it measures time")]
#[expect(clippy::print_stdout, reason = "it prints what it has measured")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let wanted: u64 = std::env::args().nth(1).map_or(Ok(1 << 30), |text| text.parse())?;
    let folder = tempfile::tempdir()?;
    let bounds = Bounds { statuses_max: 100_000, ..Bounds::default() };
    let options = Options {
        bounds,
        durability: Durability::Relaxed,
        checkpoint_bytes: u64::MAX,
        ..Options::default()
    };
    let store = Embedded::open(folder.path(), options.clone())?;
    let (mut messages, mut bytes) = (0, 0);
    while bytes < wanted {
        fill(&store, messages).await?;
        messages += GROUP;
        if messages % (GROUP * 64) == 0 {
            bytes = 0;
            for found in std::fs::read_dir(folder.path().join("log"))? {
                let found = found?;
                let is_segment = found.path().extension().is_some_and(|e| e == "seg");
                bytes += if is_segment { found.metadata()?.len() } else { 0 };
            }
        }
    }
    drop(store);
    let begun = Instant::now();
    drop(Embedded::open(folder.path(), options)?);
    let took = begun.elapsed();
    let per_gb = took.as_secs_f64() * 1e3 * 1e9 / bytes as f64;
    println!(
        "{{\"recovery\":{{\"bytes\":{bytes},\"messages\":{messages},\"ms\":{},\
         \"ms_per_gb\":{per_gb:.0}}}}}",
        took.as_millis(),
    );
    Ok(())
}

/// Commits a group of messages with a record each, and acknowledges them.
async fn fill(store: &Embedded, from: u128) -> Result<(), StoreError> {
    let Ok(agent) = AgentId::parse("a") else { return Ok(()) };
    let now = Timestamp::from_micros(1_700_000_000_000_000);
    let queue = QueueKey { agent: agent.clone(), instance: None };
    let send = |number: u128| {
        let entry = Entry {
            message: MessageId::from_random(number),
            sender: agent.clone(),
            queue: queue.clone(),
            envelope: Bytes::from(vec![b'e'; 512]),
            message_type: "t".to_owned(),
            accepted_at: now,
            expires_at: now.after(Duration::from_secs(3_600)),
        };
        let record = vec![b'r'; 400];
        store.commit(Batch { ops: vec![Op::Enqueue(entry), Op::record(record)] })
    };
    for done in futures::future::join_all((from..from + GROUP).map(send)).await {
        done?;
    }
    let holder = SessionId::from_random(1);
    let claim = Claim {
        queues: [queue.clone(), queue.clone()],
        holder,
        count: usize::MAX,
        bytes: usize::MAX,
        or_one: true,
        now,
        reclaim_after: Duration::from_secs(30),
        release: Vec::new(),
    };
    let settle = |message| {
        let how = Settlement::Acknowledged;
        store.commit(Batch { ops: vec![Op::Settle { message, holder, how, at: now }] })
    };
    let leased = store.lease(claim).await?.messages;
    let settled = leased.into_iter().map(|leased| settle(leased.message));
    for done in futures::future::join_all(settled).await {
        done?;
    }
    Ok(())
}
