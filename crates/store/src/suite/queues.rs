//! Queues: order, identity, bounds, expiry, ends, waiting.

use std::time::Duration;

use futures::FutureExt as _;
use gate::ports::{
    Claim, Entry, Found, Leased, MessageState, MessageView, Op, QueueKey, Scan, StoreError,
};

use super::Case;
use super::kit::{
    Checked, Kit, ack, agent, at, claim, enqueue, entry, message, queue, retry, same, session,
    sized,
};

pub(super) const CASES: &[(&str, Case)] = &[
    ("messages are leased in the order of acceptance, over both queues", |kit| {
        order(kit).boxed_local()
    }),
    ("a lease carries the message as it was queued", |kit| whole(kit).boxed_local()),
    ("a claim takes at most its count and its bytes, but one at least", |kit| {
        limits(kit).boxed_local()
    }),
    ("the longest queues come first, and all are counted", |kit| longest(kit).boxed_local()),
    ("an id is taken once", |kit| unique(kit).boxed_local()),
    ("a full queue refuses more", |kit| full_queue(kit).boxed_local()),
    ("a full store refuses more", |kit| full_store(kit).boxed_local()),
    ("an expired message is not leased and can be expired", |kit| expired(kit).boxed_local()),
    ("the end of a message is remembered within the bound", |kit| ends(kit).boxed_local()),
    ("a wait ends with a change of the agent's queue", |kit| waits(kit).boxed_local()),
];

async fn order(kit: &mut Kit) -> Checked {
    let to = |number, instance| -> Result<Op, String> {
        Ok(Op::Enqueue(Entry { queue: queue("b", instance)?, ..entry(number)? }))
    };
    let ops = vec![
        to(1, None)?,
        to(2, Some("i"))?,
        to(3, Some("other"))?,
        to(4, Some("i"))?,
        to(5, None)?,
    ];
    kit.commit(ops).await?;
    same("the depth", &kit.depth("b").await?, &5)?;
    same("the first two", &kit.take(1, 1, 2).await?, &vec![(1, 1), (2, 1)])?;
    same("the rest", &kit.take(1, 1, 9).await?, &vec![(4, 1), (5, 1)])
}

async fn whole(kit: &mut Kit) -> Checked {
    let wanted = Entry { queue: queue("b", Some("i"))?, ..entry(7)? };
    kit.commit(vec![Op::Enqueue(wanted.clone())]).await?;
    let leases = kit.lease(claim(1, 1)?).await?;
    let Entry { message, sender, queue, envelope, message_type, .. } = wanted;
    let wanted = Leased { message, sender, queue, envelope, attempt: 1, message_type };
    same("the lease", &leases.messages, &vec![wanted])?;
    let view = MessageView {
        message,
        sender: agent("a")?,
        target: agent("b")?,
        state: MessageState::Delivered,
        attempts: 1,
        reason: String::new(),
    };
    same("the view", &kit.view(7).await?, &Some(view))
}

async fn longest(kit: &mut Kit) -> Checked {
    let to = |number, name, instance| -> Result<Op, String> {
        let queue = QueueKey { agent: agent(name)?, ..queue("b", instance)? };
        Ok(Op::Enqueue(Entry { queue, ..entry(number)? }))
    };
    let ops = vec![
        to(1, "d", None)?,
        to(2, "b", None)?,
        to(3, "b", Some("i"))?,
        to(4, "c", None)?,
        to(5, "c", Some("i"))?,
        to(6, "c", Some("j"))?,
        to(7, "a", None)?,
    ];
    kit.commit(ops).await?;
    // What a session holds is still in its queue.
    kit.take(1, 1, 1).await?;
    let queues = |wanted: &[(&str, u64)]| -> Result<Vec<Found>, String> {
        wanted.iter().map(|(name, depth)| Ok(Found::Queue(agent(name)?, *depth))).collect()
    };
    let all = queues(&[("c", 3), ("b", 2), ("a", 1), ("d", 1)])?;
    same("all queues", &kit.scan(Scan::Queues, 9).await?, &all)?;
    for count in 0..4 {
        let some = kit.scan(Scan::Queues, count).await?;
        same("the longest queues", &some.as_slice(), &all.get(..count).unwrap_or_default())?;
    }
    same("the total", &kit.total_depth().await?, &7)?;
    for number in [1, 7] {
        kit.commit(vec![Op::Expire { message: message(number), at: at(99_999_999) }]).await?;
    }
    let left = queues(&[("c", 3), ("b", 2)])?;
    same("what is left", &kit.scan(Scan::Queues, 9).await?, &left)?;
    same("their total", &kit.total_depth().await?, &5)
}

async fn limits(kit: &mut Kit) -> Checked {
    let mut ops = Vec::new();
    for number in 1..=4 {
        ops.push(Op::Enqueue(sized(number, 100)?));
    }
    kit.commit(ops).await?;
    let leases = kit.lease(Claim { bytes: 99, or_one: false, ..claim(1, 1)? }).await?;
    same("the messages strictly within 99 bytes", &leases.messages.len(), &0)?;
    let leases = kit.lease(Claim { bytes: 50, ..claim(1, 1)? }).await?;
    same("the messages within 50 bytes", &leases.messages.len(), &1)?;
    let leases = kit.lease(Claim { bytes: 299, ..claim(1, 1)? }).await?;
    same("the messages within 299 bytes", &leases.messages.len(), &2)?;
    let leases = kit.lease(Claim { count: 0, ..claim(1, 1)? }).await?;
    same("the messages of an empty claim", &leases.messages.len(), &0)?;
    same("the rest", &kit.take(1, 1, 9).await?, &vec![(4, 1)])
}

async fn unique(kit: &mut Kit) -> Checked {
    kit.conflict(1, vec![enqueue(1)?, enqueue(1)?]).await?;
    kit.commit(vec![enqueue(1)?]).await?;
    kit.conflict(0, vec![enqueue(1)?]).await?;
    same("the lease", &kit.take(1, 1, 9).await?, &vec![(1, 1)])?;
    kit.conflict(0, vec![enqueue(1)?]).await?;
    kit.commit(vec![ack(1, 1)]).await?;
    kit.conflict(0, vec![enqueue(1)?]).await
}

async fn full_queue(kit: &mut Kit) -> Checked {
    let full = || StoreError::Full { what: "queue of the target" };
    kit.refuse(vec![Op::Enqueue(sized(1, 4_001)?)], full()).await?;
    kit.commit(vec![Op::Enqueue(sized(1, 3_999)?)]).await?;
    kit.refuse(vec![Op::Enqueue(sized(2, 1)?), Op::Enqueue(sized(3, 1)?)], full()).await?;
    kit.commit(vec![Op::Enqueue(sized(2, 1)?)]).await?;
    kit.refuse(vec![Op::Enqueue(sized(3, 1)?)], full()).await?;
    same("the leases", &kit.take(1, 1, 9).await?.len(), &2)?;
    kit.refuse(vec![Op::Enqueue(sized(3, 1)?)], full()).await?;
    // An acknowledgement makes room, also within one batch.
    let mut ops = vec![ack(1, 1)];
    for number in 10..17 {
        ops.push(enqueue(number)?);
    }
    kit.commit(ops).await?;
    kit.refuse(vec![enqueue(20)?], full()).await
}

async fn full_store(kit: &mut Kit) -> Checked {
    kit.commit(vec![Op::Enqueue(sized(1, 4_000)?)]).await?;
    let other = |number, bytes| -> Result<Op, String> {
        Ok(Op::Enqueue(Entry { queue: queue("c", None)?, ..sized(number, bytes)? }))
    };
    kit.refuse(vec![other(2, 2_001)?], StoreError::Full { what: "store" }).await?;
    kit.commit(vec![other(2, 2_000)?]).await
}

async fn expired(kit: &mut Kit) -> Checked {
    let until = |number, seconds| -> Result<Op, String> {
        Ok(Op::Enqueue(Entry { expires_at: at(seconds), ..entry(number)? }))
    };
    kit.commit(vec![until(1, 10)?, until(2, 5)?, until(3, 99)?]).await?;
    let expire = |number, when| vec![Op::Expire { message: message(number), at: at(when) }];
    kit.conflict(0, expire(1, 9)).await?;
    let over = async |now| -> Result<Vec<u128>, String> {
        let mut numbers = Vec::new();
        for found in kit.scan(Scan::Expired { now: at(now) }, 9).await? {
            let Found::Message(view) = found else { return Err(format!("listed {found:?}")) };
            numbers.push(view.message.number());
        }
        Ok(numbers)
    };
    same("those over at 4 s", &over(4).await?, &vec![])?;
    same("those over at 10 s", &over(10).await?, &vec![2, 1])?;
    same("the lease", &kit.take(1, 9, 1).await?, &vec![(1, 1)])?;
    same("those over while one is leased", &over(10).await?, &vec![2])?;
    kit.conflict(0, expire(1, 10)).await?;
    same("the lease", &kit.take(1, 10, 9).await?, &vec![(3, 1)])?;
    kit.commit(vec![retry(1, 1, 1)]).await?;
    same("those over at 10 s", &over(10).await?, &vec![2, 1])?;
    same("the lease after the end", &kit.take(2, 10, 9).await?, &vec![])?;
    kit.commit(expire(1, 10)).await?;
    kit.conflict(0, expire(1, 10)).await?;
    same("the end", &kit.state(1).await?, &Some(MessageState::Expired))?;
    same("the depth", &kit.depth("b").await?, &2)
}

async fn ends(kit: &mut Kit) -> Checked {
    let mut ops = Vec::new();
    for number in 1..=4 {
        ops.push(enqueue(number)?);
    }
    kit.commit(ops).await?;
    same("the state before", &kit.state(1).await?, &Some(MessageState::Queued))?;
    same("the leases", &kit.take(1, 1, 9).await?.len(), &4)?;
    for number in 1..=4 {
        kit.commit(vec![ack(number, 1)]).await?;
        same("the end", &kit.state(number).await?, &Some(MessageState::Acknowledged))?;
    }
    same("the oldest of four ends", &kit.state(1).await?, &None)?;
    same("the attempts", &kit.view(2).await?.map(|view| view.attempts), &Some(1))
}

async fn waits(kit: &mut Kit) -> Checked {
    let store = kit.store();
    let seen = kit.lease(claim(1, 1)?).await?.seen;
    let changed = async |ops: Vec<Op>, seen: u64| -> Result<u64, String> {
        let mut wait = std::pin::pin!(store.wait(agent("b")?, seen));
        if futures::poll!(&mut wait).is_ready() {
            return Err("a wait ended without a change".to_owned());
        }
        let mut other = entry(100)?;
        other.queue = queue("c", None)?;
        other.message = message(1_000 + u128::from(seen));
        kit.commit(vec![Op::Enqueue(other)]).await?;
        if futures::poll!(&mut wait).is_ready() {
            return Err("a wait ended with a change of another agent's queue".to_owned());
        }
        kit.commit(ops).await?;
        ended(wait).await
    };
    let seen = changed(vec![enqueue(1)?], seen).await?;
    // What changed before the wait began ends it at once.
    ended(store.wait(agent("b")?, 0)).await?;
    same("the lease", &kit.take(1, 1, 9).await?, &vec![(1, 1)])?;
    changed(vec![retry(1, 1, 5)], seen).await?;
    same("the lease", &kit.take(1, 5, 9).await?, &vec![(1, 2)])?;
    let seen = kit.lease(claim(1, 5)?).await?.seen;
    let mut wait = std::pin::pin!(store.wait(agent("b")?, seen));
    if futures::poll!(&mut wait).is_ready() {
        return Err("a wait ended without a change".to_owned());
    }
    kit.lease(Claim { count: 0, release: vec![session(1)], ..claim(2, 5)? }).await?;
    ended(wait).await.map(drop)
}

/// Awaits what must end by itself, but not for ever.
async fn ended(wait: impl Future<Output = u64>) -> Result<u64, String> {
    let limit = Duration::from_secs(10);
    tokio::time::timeout(limit, wait).await.map_err(|late| format!("a wait did not end: {late}"))
}
