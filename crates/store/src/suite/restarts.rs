//! What survives an orderly restart: everything except leases.

use bytes::Bytes;
use futures::FutureExt as _;
use gate::limits::RateLimits;
use gate::ports::{
    CounterClass, DeadLetterScan, Expect, Found, Key, MessageState, Op, Read, Scan, StoreError,
};

use super::Case;
use super::audit_log::{holds, record};
use super::kit::{Checked, Kit, ack, agent, at, enqueue, kill, message, put, retry, same};

pub(super) const CASES: &[(&str, Case)] = &[
    ("values and their versions survive", |kit| values(kit).boxed_local()),
    ("queues survive in order, leases end", |kit| queues(kit).boxed_local()),
    ("dead letters and ends survive", |kit| ends(kit).boxed_local()),
    ("windows survive", |kit| windows(kit).boxed_local()),
    ("the audit chain goes on", |kit| chain(kit).boxed_local()),
];

async fn values(kit: &mut Kit) -> Checked {
    let (one, two) = (Key::Role("one".to_owned()), Key::Role("two".to_owned()));
    kit.commit(vec![put(&one, "1", Expect::Absent), put(&two, "2", Expect::Absent)]).await?;
    kit.commit(vec![Op::Delete { key: two.clone(), expect: Expect::Anything }]).await?;
    let before = kit.value(&one, 0).await?;
    kit.reopen().await?;
    same("the value", &kit.value(&one, 0).await?, &before)?;
    same("the deleted value", &kit.value(&two, 0).await?, &None)?;
    kit.commit(vec![put(&two, "3", Expect::Absent)]).await?;
    let (old, new) = (kit.version(&one, 0).await?, kit.version(&two, 0).await?);
    same("whether versions still grow", &(new > old), &true)
}

async fn queues(kit: &mut Kit) -> Checked {
    kit.commit(vec![enqueue(3)?, enqueue(1)?, enqueue(2)?]).await?;
    same("the claim", &kit.take(1, 1, 2).await?, &vec![(3, 1), (1, 1)])?;
    kit.commit(vec![retry(1, 1, 10)]).await?;
    kit.reopen().await?;
    same("the state", &kit.state(3).await?, &Some(MessageState::Queued))?;
    kit.conflict(0, vec![ack(3, 1)]).await?;
    same("before the delay", &kit.take(1, 9, 9).await?, &vec![(3, 1), (2, 1)])?;
    same("after the delay", &kit.take(1, 10, 9).await?, &vec![(1, 2)])?;
    kit.commit(vec![ack(3, 1), ack(1, 1), ack(2, 1)]).await?;
    kit.reopen().await?;
    same("the depth", &kit.depth("b").await?, &0)
}

async fn ends(kit: &mut Kit) -> Checked {
    kit.commit(vec![enqueue(1)?, enqueue(2)?, enqueue(3)?, enqueue(4)?]).await?;
    same("the claim", &kit.take(1, 1, 9).await?.len(), &4)?;
    kit.commit(vec![ack(1, 1), kill(3, 1, 5), kill(2, 1, 6), kill(4, 1, 7)]).await?;
    kit.commit(vec![Op::Drop { message: message(4) }]).await?;
    let revive = Op::Revive { message: message(3), expires_at: at(500) };
    let letters = Scan::DeadLetters(DeadLetterScan::default());
    let before = (kit.scan(letters.clone(), 9).await?, kit.view(1).await?);
    kit.reopen().await?;
    let after = (kit.scan(letters.clone(), 9).await?, kit.view(1).await?);
    same("letters and end", &after, &before)?;
    kit.commit(vec![revive]).await?;
    kit.reopen().await?;
    same("the letters", &kit.scan(letters, 9).await?.len(), &1)?;
    let found = kit.read(Read::DeadLetter(message(2))).await?;
    let envelope = match found {
        Some(Found::DeadLetter(letter)) => letter.envelope,
        other => return Err(format!("a letter is read as {other:?}")),
    };
    same("the envelope", &envelope, &Some(Bytes::from_static(b"{\"message\":2}")))?;
    same("the claim", &kit.take(2, 1, 9).await?, &vec![(3, 1)])
}

async fn windows(kit: &mut Kit) -> Checked {
    let limits = RateLimits { per_minute: 1, per_hour: 9 };
    let call = |second| -> Result<Op, String> {
        let class = CounterClass::Control;
        Ok(Op::Count { agent: agent("a")?, class, at: at(second), limits })
    };
    kit.commit(vec![call(0)?]).await?;
    kit.reopen().await?;
    let retry_after = std::time::Duration::from_secs(59);
    let over = StoreError::OverLimit { window: "minute", retry_after };
    kit.refuse(vec![call(1)?], over).await?;
    kit.commit(vec![call(60)?]).await
}

async fn chain(kit: &mut Kit) -> Checked {
    kit.commit(vec![record(1), record(2)]).await?;
    kit.reopen().await?;
    same("the number of entries", &kit.record_count().await?, &2)?;
    kit.commit(vec![record(3)]).await?;
    holds(kit, 3).await?;
    kit.reopen().await?;
    kit.commit(vec![record(4)]).await?;
    holds(kit, 4).await
}
