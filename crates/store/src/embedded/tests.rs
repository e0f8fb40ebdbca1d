//! What the engine does with damage, full disks, failing syncs and its own files.

mod ahead;
mod archive;
mod damage;
mod faults;
mod housekeeping;
mod salts;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use audit::Salt;
use bytes::Bytes;
use gate::ports::{
    Batch, Claim, Entry, Found, Leased, Op, QueueKey, Read, Settlement, Store as _, StoreError,
};
use gate::types::{AgentId, MessageId, SessionId, Timestamp};

use super::checkpoint::Checkpointer;
use super::{Embedded, Options};

/// Segments of 8 KiB: a handful of messages each.
pub(super) fn options() -> Options {
    Options {
        cache_bytes: 300,
        segment_bytes: 8 << 10,
        checkpoint_bytes: 1 << 30,
        archive_bytes: 2 << 10,
        ..Options::default()
    }
}

fn open(folder: &Path) -> Arc<Embedded> {
    Embedded::open(folder, options()).unwrap()
}

fn agent(name: &str) -> AgentId {
    AgentId::parse(name).unwrap()
}

fn moment(second: u64) -> Timestamp {
    Timestamp::from_micros((1_700_000_000 + second) * 1_000_000)
}

fn envelope(number: u128) -> Bytes {
    Bytes::from(format!("{{\"number\":{number},\"pad\":\"{}\"}}", "x".repeat(300)))
}

fn salt(number: u128) -> Salt {
    Salt::new(0x5a17_0000_0000_5a17 << 64 | number)
}

/// A message to `b` with its record.
fn batch(number: u128) -> Batch {
    let entry = Entry {
        message: MessageId::from_random(number),
        sender: agent("a"),
        queue: QueueKey { agent: agent("b"), instance: None },
        envelope: envelope(number),
        message_type: "t".to_owned(),
        accepted_at: moment(0),
        expires_at: moment(1_000),
    };
    let body = Bytes::from(format!("{{\"number\":{number}}}"));
    Batch { ops: vec![Op::Enqueue(entry), Op::Record { body, salt: Some(salt(number)) }] }
}

async fn commit(store: &Embedded, numbers: impl Iterator<Item = u128>) {
    for number in numbers {
        store.commit(batch(number)).await.unwrap();
    }
}

async fn lease(store: &Embedded, count: usize) -> Vec<Leased> {
    let queue = QueueKey { agent: agent("b"), instance: None };
    let claim = Claim {
        queues: [queue.clone(), queue],
        holder: SessionId::from_random(1),
        count,
        bytes: usize::MAX,
        or_one: true,
        now: moment(1),
        reclaim_after: Duration::from_secs(30),
        release: Vec::new(),
    };
    store.lease(claim).await.unwrap().messages
}

async fn settle(store: &Embedded, number: u128, how: Settlement) {
    let (message, holder) = (MessageId::from_random(number), SessionId::from_random(1));
    let op = Op::Settle { message, holder, how, at: moment(2) };
    store.commit(Batch { ops: vec![op] }).await.unwrap();
}

async fn depth(store: &Embedded) -> u64 {
    match store.read(Read::Depth(agent("b"))).await.unwrap() {
        Some(Found::Depth(depth)) => depth,
        other => panic!("{other:?}"),
    }
}

/// Checks that exactly these messages wait, with their envelopes, and the audit log is whole.
async fn holds(store: &Embedded, folder: &Path, numbers: impl Iterator<Item = u128>) {
    let leased = lease(store, usize::MAX).await;
    let found: Vec<_> = leased.into_iter().map(|l| (l.message.number(), l.envelope)).collect();
    let wanted: Vec<_> = numbers.map(|number| (number, envelope(number))).collect();
    assert_eq!(found, wanted);
    verified(folder);
}

/// Makes a checkpoint of all sealed segments now.
fn checkpoint(store: &Embedded) {
    let upto = *store.shared.active.lock();
    Checkpointer::new(Arc::clone(&store.shared)).checkpoint(upto).unwrap();
}

fn verified(folder: &Path) -> u64 {
    let report = audit::verify(super::read_audit(folder, 1), None);
    assert!(report.ok, "{report:?}");
    report.entries
}
