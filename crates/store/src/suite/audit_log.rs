//! The audit chain: numbered without gaps, linked, readable from any number.

use bytes::Bytes;
use futures::FutureExt as _;
use gate::ports::{Found, Op, Scan};

use super::Case;
use super::kit::{Checked, Kit, ack, same};

pub(super) const CASES: &[(&str, Case)] = &[
    ("records are numbered and chained in their order", |kit| chained(kit).boxed_local()),
    ("a refused batch leaves no number out", |kit| gapless(kit).boxed_local()),
];

pub(super) fn record(number: u64) -> Op {
    Op::record(format!("{{\"n\":{number}}}"))
}

/// Returns the entries from a number on.
pub(super) async fn entries(
    kit: &Kit,
    from: u64,
    count: usize,
) -> Result<Vec<audit::Entry>, String> {
    let found = kit.scan(Scan::Records { from }, count).await?;
    let entry = |found| {
        let Found::Record(entry) = found else { return Err(format!("listed {found:?}")) };
        Ok(entry)
    };
    found.into_iter().map(entry).collect()
}

/// Checks that the log holds the records 1 to `count`, chained.
pub(super) async fn holds(kit: &Kit, count: u64) -> Checked {
    let entries = entries(kit, 1, 1_000).await?;
    let mut chain = audit::Chain::genesis();
    let mut wanted = Vec::new();
    for number in 1..=count {
        let body = Bytes::from(format!("{{\"n\":{number}}}"));
        wanted.push(audit::Entry { link: chain.append(&body), body });
    }
    same("the log", &entries, &wanted)
}

async fn chained(kit: &mut Kit) -> Checked {
    same("the number of entries of an empty log", &kit.record_count().await?, &0)?;
    kit.commit(vec![record(1), record(2)]).await?;
    kit.commit(vec![record(3)]).await?;
    holds(kit, 3).await?;
    let page = entries(kit, 2, 1).await?;
    same("the number of entries", &kit.record_count().await?, &3)?;
    same("one entry from 2 on", &page.iter().map(|e| e.link.seq).collect(), &vec![2])?;
    same("the entries from 4 on", &entries(kit, 4, 9).await?, &vec![])
}

async fn gapless(kit: &mut Kit) -> Checked {
    kit.commit(vec![record(1)]).await?;
    kit.conflict(1, vec![record(9), ack(1, 1)]).await?;
    same("the number of entries", &kit.record_count().await?, &1)?;
    kit.commit(vec![record(2)]).await?;
    holds(kit, 2).await
}
