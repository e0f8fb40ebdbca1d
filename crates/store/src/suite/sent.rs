//! Idempotency keys, and batches that are handed over together.

use futures::FutureExt as _;
use gate::limits::RateLimits;
use gate::ports::{Batch, CounterClass, Found, Op, Read, Sent, StoreError};
use gate::types::CorrelationId;

use super::Case;
use super::kit::{Checked, Kit, agent, at, enqueue, message, same};

pub(super) const CASES: &[(&str, Case)] = &[
    ("a key is remembered with what it made", |kit| remembered(kit).boxed_local()),
    ("a key that is remembered is a conflict", |kit| taken(kit).boxed_local()),
    ("a key is free from the moment it expires", |kit| expired(kit).boxed_local()),
    ("the oldest key of a sender is forgotten for a new one", |kit| bounded(kit).boxed_local()),
    ("a refused batch remembers nothing", |kit| atomic(kit).boxed_local()),
    ("keys survive in their order", |kit| survive(kit).boxed_local()),
    ("batches handed over together are judged one by one", |kit| each(kit).boxed_local()),
];

/// What key `key` of a sender made, until second `until`.
fn sent(sender: &str, key: u128, until: u64) -> Result<Sent, String> {
    Ok(Sent {
        sender: agent(sender)?,
        key,
        content: key << 8,
        message: message(key + 100),
        correlation: (key % 2 == 1).then(|| CorrelationId::from_random(key)),
        expires_at: at(until),
    })
}

fn remember(sender: &str, key: u128, until: u64) -> Result<Op, String> {
    sent(sender, key, until).map(Op::Remember)
}

/// Names the moment by which a batch is judged.
fn judged_at(seconds: u64) -> Result<Op, String> {
    let limits = RateLimits { per_minute: 1_000, per_hour: 1_000 };
    Ok(Op::Count { agent: agent("z")?, class: CounterClass::Control, at: at(seconds), limits })
}

async fn read(kit: &Kit, sender: &str, key: u128, now: u64) -> Result<Option<Sent>, String> {
    match kit.read(Read::Sent { sender: agent(sender)?, key, now: at(now) }).await? {
        None => Ok(None),
        Some(Found::Sent(sent)) => Ok(Some(sent)),
        Some(other) => Err(format!("a key is read as {other:?}")),
    }
}

async fn keys(kit: &Kit, sender: &str) -> Result<Vec<u128>, String> {
    let mut keys = Vec::new();
    for key in 0..10 {
        keys.extend(read(kit, sender, key, 1).await?.map(|sent| sent.key));
    }
    Ok(keys)
}

async fn remembered(kit: &mut Kit) -> Checked {
    kit.commit(vec![enqueue(1)?, remember("a", 1, 10)?, remember("a", 2, 20)?]).await?;
    same("the first", &read(kit, "a", 1, 9).await?, &Some(sent("a", 1, 10)?))?;
    same("the second", &read(kit, "a", 2, 19).await?, &Some(sent("a", 2, 20)?))?;
    same("another sender's", &read(kit, "b", 1, 9).await?, &None)?;
    same("another key", &read(kit, "a", 3, 9).await?, &None)
}

async fn taken(kit: &mut Kit) -> Checked {
    kit.commit(vec![judged_at(1)?, remember("a", 1, 10)?]).await?;
    kit.conflict(1, vec![enqueue(1)?, remember("a", 1, 20)?]).await?;
    same("the message of the refused batch", &kit.state(1).await?, &None)?;
    kit.conflict(1, vec![remember("a", 2, 10)?, remember("a", 2, 10)?]).await?;
    kit.commit(vec![remember("b", 1, 10)?]).await?;
    same("what stays", &read(kit, "a", 1, 9).await?, &Some(sent("a", 1, 10)?))
}

async fn expired(kit: &mut Kit) -> Checked {
    kit.commit(vec![judged_at(1)?, remember("a", 1, 10)?]).await?;
    same("before", &read(kit, "a", 1, 9).await?.is_some(), &true)?;
    same("then", &read(kit, "a", 1, 10).await?, &None)?;
    kit.conflict(1, vec![judged_at(9)?, remember("a", 1, 30)?]).await?;
    kit.commit(vec![judged_at(10)?, remember("a", 1, 30)?]).await?;
    same("anew", &read(kit, "a", 1, 29).await?, &Some(sent("a", 1, 30)?))
}

async fn bounded(kit: &mut Kit) -> Checked {
    kit.commit(vec![judged_at(1)?, remember("b", 0, 99)?]).await?;
    for key in [3, 1, 2, 4] {
        kit.commit(vec![remember("a", key, 99)?]).await?;
    }
    same("the newest three", &keys(kit, "a").await?, &vec![1, 2, 4])?;
    kit.conflict(0, vec![remember("a", 1, 99)?]).await?;
    kit.commit(vec![remember("a", 3, 99)?]).await?;
    same("the newest three", &keys(kit, "a").await?, &vec![2, 3, 4])?;
    same("another sender's", &keys(kit, "b").await?, &vec![0])
}

async fn atomic(kit: &mut Kit) -> Checked {
    kit.commit(vec![judged_at(1)?, enqueue(1)?]).await?;
    kit.conflict(1, vec![remember("a", 1, 99)?, enqueue(1)?]).await?;
    same("the key", &read(kit, "a", 1, 1).await?, &None)?;
    kit.commit(vec![remember("a", 1, 99)?]).await
}

async fn survive(kit: &mut Kit) -> Checked {
    kit.commit(vec![judged_at(1)?]).await?;
    for key in [5, 3, 4] {
        kit.commit(vec![remember("a", key, 99)?]).await?;
    }
    kit.reopen().await?;
    same("the key", &read(kit, "a", 5, 1).await?, &Some(sent("a", 5, 99)?))?;
    kit.reopen().await?;
    kit.commit(vec![judged_at(1)?, remember("a", 6, 99)?]).await?;
    same("without the oldest", &keys(kit, "a").await?, &vec![3, 4, 6])
}

async fn each(kit: &mut Kit) -> Checked {
    let batch = |ops| Batch { ops };
    let batches = vec![
        batch(vec![enqueue(1)?, Op::record("{\"n\":1}")]),
        batch(vec![enqueue(1)?, Op::record("{\"n\":2}")]),
        batch(vec![enqueue(2)?]),
        batch(vec![Op::record("x".repeat(audit::BODY_BYTES_MAX + 1))]),
        batch(Vec::new()),
    ];
    let answers = kit.store().commit_each(batches).await;
    let large = Err(StoreError::Full { what: "audit record" });
    let wanted = vec![Ok(()), Err(StoreError::Conflict { op: 0 }), Ok(()), large, Ok(())];
    same("the answers", &answers, &wanted)?;
    same("the queue", &kit.take(1, 1, 9).await?, &vec![(1, 1), (2, 1)])?;
    same("no batches", &kit.store().commit_each(Vec::new()).await, &Vec::new())
}
