//! Values: versions, expectations, expiry, order.

use bytes::Bytes;
use futures::FutureExt as _;
use gate::ports::{Expect, Found, Key, Op, Scan, Space};
use gate::types::{CorrelationId, Timestamp};

use super::Case;
use super::kit::{Checked, Kit, agent, at, enqueue, put, same};

pub(super) const CASES: &[(&str, Case)] = &[
    ("a written value is read until it is deleted", |kit| written(kit).boxed_local()),
    ("versions grow over all keys", |kit| versions(kit).boxed_local()),
    ("a write that expects another version is a conflict", |kit| expectations(kit).boxed_local()),
    ("an operation sees those before it in its batch", |kit| within(kit).boxed_local()),
    ("a refused batch changes nothing", |kit| atomic(kit).boxed_local()),
    ("a value is absent from the moment it expires", |kit| expiry(kit).boxed_local()),
    ("a scan lists one space in key order, page by page", |kit| pages(kit).boxed_local()),
    ("an empty batch is accepted", |kit| kit.commit(Vec::new()).boxed_local()),
];

fn state_of(name: &str) -> Result<Key, String> {
    agent(name).map(Key::State)
}

async fn written(kit: &mut Kit) -> Checked {
    let key = state_of("a")?;
    same("a value never written", &kit.value(&key, 0).await?, &None)?;
    kit.commit(vec![put(&key, "one", Expect::Absent)]).await?;
    let found = kit.value(&key, 0).await?.map(|found| (found.key, found.value));
    same("the value", &found, &Some((key.clone(), Bytes::from_static(b"one"))))?;
    kit.commit(vec![put(&key, "two", Expect::Anything)]).await?;
    let found = kit.value(&key, 0).await?.map(|found| found.value);
    same("the value", &found, &Some(Bytes::from_static(b"two")))?;
    let delete = || Op::Delete { key: key.clone(), expect: Expect::Anything };
    kit.commit(vec![delete()]).await?;
    same("a deleted value", &kit.value(&key, 0).await?, &None)?;
    kit.commit(vec![delete()]).await
}

async fn versions(kit: &mut Kit) -> Checked {
    let (one, two) = (state_of("a")?, Key::Role("a".to_owned()));
    let mut last = 0;
    for key in [&one, &two, &one] {
        kit.commit(vec![put(key, "x", Expect::Anything)]).await?;
        let version = kit.version(key, 0).await?;
        if version <= last {
            return Err(format!("version {version} follows {last}"));
        }
        last = version;
    }
    Ok(())
}

async fn expectations(kit: &mut Kit) -> Checked {
    let key = state_of("a")?;
    let with = |expect| vec![put(&key, "x", expect)];
    kit.conflict(0, with(Expect::Version(1))).await?;
    kit.commit(with(Expect::Absent)).await?;
    kit.conflict(0, with(Expect::Absent)).await?;
    let version = kit.version(&key, 0).await?;
    kit.conflict(0, with(Expect::Version(version + 1))).await?;
    kit.commit(with(Expect::Version(version))).await?;
    kit.conflict(0, with(Expect::Version(version))).await?;
    let delete = |expect| vec![Op::Delete { key: key.clone(), expect }];
    kit.conflict(0, delete(Expect::Version(version))).await?;
    kit.conflict(0, delete(Expect::Absent)).await?;
    kit.commit(delete(Expect::Version(kit.version(&key, 0).await?))).await?;
    kit.commit(delete(Expect::Absent)).await
}

async fn within(kit: &mut Kit) -> Checked {
    let key = state_of("a")?;
    kit.conflict(1, vec![put(&key, "x", Expect::Absent), put(&key, "y", Expect::Absent)]).await?;
    let delete = Op::Delete { key: key.clone(), expect: Expect::Anything };
    let ops = vec![put(&key, "x", Expect::Absent), delete, put(&key, "z", Expect::Absent)];
    kit.commit(ops).await?;
    let found = kit.value(&key, 0).await?.map(|found| found.value);
    same("the value", &found, &Some(Bytes::from_static(b"z")))
}

async fn atomic(kit: &mut Kit) -> Checked {
    let (key, other) = (state_of("a")?, state_of("b")?);
    kit.commit(vec![put(&other, "x", Expect::Anything)]).await?;
    let ops = vec![
        put(&key, "x", Expect::Anything),
        Op::Delete { key: other.clone(), expect: Expect::Anything },
        enqueue(1)?,
        Op::record("{\"a\":1}"),
        put(&key, "y", Expect::Absent),
    ];
    kit.conflict(4, ops).await?;
    same("the value", &kit.value(&key, 0).await?, &None)?;
    same("the deleted value's presence", &kit.value(&other, 0).await?.is_some(), &true)?;
    same("the queue's depth", &kit.depth("b").await?, &0)?;
    same("the message", &kit.state(1).await?, &None)?;
    same("the records", &kit.scan(Scan::Records { from: 1 }, 10).await?, &Vec::new())
}

async fn expiry(kit: &mut Kit) -> Checked {
    let key = Key::Pending(CorrelationId::from_random(1));
    let until = |seconds, expect| {
        let expires_at = Some(at(seconds));
        Op::Put { key: key.clone(), value: Bytes::from_static(b"x"), expect, expires_at }
    };
    kit.commit(vec![until(10, Expect::Absent)]).await?;
    same("a live value's presence", &kit.value(&key, 9).await?.is_some(), &true)?;
    same("an expired value", &kit.value(&key, 10).await?, &None)?;
    let scan = |now| Scan::Values { space: Space::Pending, after: None, now: at(now) };
    same("the live values", &kit.scan(scan(9), 10).await?.len(), &1)?;
    same("the live values", &kit.scan(scan(10), 10).await?.len(), &0)?;
    // A batch is judged by the latest moment that it names itself.
    let mut later = super::kit::entry(1)?;
    later.accepted_at = at(10);
    kit.commit(vec![Op::Enqueue(later), until(20, Expect::Absent)]).await?;
    same("the new value's presence", &kit.value(&key, 19).await?.is_some(), &true)
}

async fn pages(kit: &mut Kit) -> Checked {
    let mut ops = vec![put(&Key::Role("x".to_owned()), "x", Expect::Anything)];
    for name in ["d", "a", "c", "b"] {
        ops.push(put(&state_of(name)?, "x", Expect::Anything));
    }
    kit.commit(ops).await?;
    let mut after = None;
    let mut seen = Vec::new();
    loop {
        let scan =
            Scan::Values { space: Space::State, after: after.clone(), now: Timestamp::default() };
        let page = kit.scan(scan, 3).await?;
        for found in &page {
            let Found::Value(value) = found else { return Err(format!("listed {found:?}")) };
            seen.push(value.key.clone());
        }
        if page.len() < 3 {
            break;
        }
        after = seen.last().cloned();
    }
    let wanted = ["a", "b", "c", "d"].map(state_of).into_iter().collect::<Result<Vec<_>, _>>()?;
    same("the listed keys", &seen, &wanted)
}
