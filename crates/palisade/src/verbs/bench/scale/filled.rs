//! What a store that is full of something costs each message that passes.
//!
//! The store is filled before the server starts, by the engine itself.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use audit::Record;
use bytes::Bytes;
use gate::ports::{Batch, Claim, Entry, Op, QueueKey, Settlement, Store as _};
use gate::types::{AgentId, MessageId, SessionId, Timestamp};
use palisade_client::Wire;
use serde_json::{Value, json};
use store::{Bounds, Durability, Embedded, Options};

use super::growth::{AGENTS, NOISE, Rounds, cost, ratio};
use crate::clock;
use crate::verbs::bench::compare::{loaded, ring};
use crate::verbs::bench::load;
use crate::verbs::bench::process;
use crate::verbs::bench::target::{Extra, Own, STORE, new_folder};

/// Of what the store is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Messages,
    Letters,
    Records,
}

/// Measures the cost of a message over stores of growing size.
pub(super) async fn costs(what: What, sizes: [u32; 3], rounds: Rounds) -> anyhow::Result<Value> {
    let mut servers = Vec::new();
    for size in sizes {
        let folder = new_folder()?;
        fill(&folder.path().join(STORE), what, size).await?;
        let extra = Extra {
            delivery: Some(DELIVERY),
            storage: ", bytes_max: 1099511627776",
            folder: Some(folder),
            ..Extra::default()
        };
        servers.push((Own::start(&ring::agents(AGENTS), extra).await?, Vec::new()));
    }
    // In turns, so that whatever the machine does besides meets all of them.
    for _ in 0..rounds.rounds {
        for (own, samples) in &mut servers {
            samples.push(loaded(own, Wire::Native, rounds.shape(AGENTS)).await?);
        }
    }
    let (mut costs, mut peaks) = (Vec::new(), Vec::new());
    for (own, samples) in &servers {
        costs.push(cost(samples).context("nothing was measured")?);
        peaks.push(process::peak_rss_bytes(own.pid()?)?);
    }
    let ends = servers.first().zip(servers.last());
    let ratio = ends.and_then(|((_, few), (_, many))| ratio(few, many));
    let ratio = ratio.context("nothing was measured")?;
    for (own, _) in servers {
        own.finish().await?;
    }
    Ok(json!({
        "stored": sizes,
        "cpu_us": costs,
        "peak_rss_bytes": peaks,
        "ratio": ratio,
        "reached": ratio.median <= NOISE,
    }))
}

async fn fill(folder: &Path, what: What, count: u32) -> anyhow::Result<()> {
    let huge = u64::MAX / 4;
    let bounds = Bounds {
        queue_bytes_max: huge,
        queue_len_max: huge,
        share_bytes_max: huge,
        share_len_max: huge,
        sender_bytes_max: huge,
        total_bytes_max: huge,
        dead_letters_max: huge,
        dead_letter_bytes_max: huge,
        agent_letters_max: huge,
        agent_letter_bytes_max: huge,
        ..Bounds::default()
    };
    // It is not asked to survive a loss of power.
    let options = Options { bounds, durability: Durability::Relaxed, ..Options::default() };
    let store = Embedded::open(folder, options)?;
    put(&store, what, count).await?;
    Ok(store.close()?)
}

async fn put(store: &Arc<Embedded>, what: What, count: u32) -> anyhow::Result<()> {
    let now = Timestamp::from_micros(u64::try_from(clock::unix_micros())?);
    let later = now.after(std::time::Duration::from_secs(86_400));
    let sleeper = AgentId::parse(SLEEPER)?;
    let holder = SessionId::from_random(1);
    let queue = QueueKey { agent: sleeper.clone(), instance: None };
    let record = Bytes::from(
        Record { event_type: "discover".into(), decision: "ALLOWED".into(), ..Record::default() }
            .encode(),
    );
    let mut next = 0;
    while next < count {
        let numbers = next..(next + AT_ONCE).min(count);
        next = numbers.end;
        let ops = numbers.clone().map(|number| match what {
            What::Records => Op::record(record.clone()),
            What::Messages | What::Letters => Op::Enqueue(Entry {
                message: MessageId::from_random(u128::from(number) + 1),
                sender: sleeper.clone(),
                queue: queue.clone(),
                envelope: Bytes::from(envelope(number)),
                message_type: load::MESSAGE_TYPE.to_owned(),
                accepted_at: now,
                expires_at: later,
            }),
        });
        store.commit(Batch { ops: ops.collect() }).await?;
        if what == What::Letters {
            let claim = Claim {
                queues: [queue.clone(), queue.clone()],
                holder,
                count: usize::try_from(AT_ONCE)?,
                bytes: usize::MAX,
                or_one: true,
                now,
                reclaim_after: std::time::Duration::from_secs(60),
                release: Vec::new(),
            };
            let leases = store.lease(claim).await?;
            let ops = leases.messages.iter().map(|leased| Op::Settle {
                message: leased.message,
                holder,
                how: Settlement::Dead { reason: "refused: for the bench".to_owned() },
                at: now,
            });
            store.commit(Batch { ops: ops.collect() }).await?;
        }
    }
    Ok(())
}

/// Makes an envelope as the gate writes them.
fn envelope(number: u32) -> String {
    let data = load::payload(number.into());
    format!(
        "{{\"sender_id\":\"{SLEEPER}\",\"target_id\":\"{SLEEPER}\",\"message_type\":\"{}\",\
         \"data\":{data},\"meta\":{{\"version\":1,\"correlation_id\":null,\"expects_reply\":false,\
         \"is_reply\":false,\"sender_instance_id\":\"i\",\"reply_to_instance_id\":null,\
         \"traceparent\":null,\"tracestate\":null,\"hops\":0}},\"timestamp\":1795000000.000001,\
         \"message_id\":\"{number:032x}\"}}",
        load::MESSAGE_TYPE
    )
}

/// Whose messages wait: an agent that never comes.
const SLEEPER: &str = "sleeper";
const AT_ONCE: u32 = 500;
const DELIVERY: &str = "{ queue_len_max: 1000000000, queue_bytes_max: 1099511627776, \
    dead_letters_max: 1000000000, dead_letter_bytes_max: 1099511627776 }";
