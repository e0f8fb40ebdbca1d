//! Leases: one holder, retries, takeover, release, when to look again.

use futures::FutureExt as _;
use gate::ports::{Claim, Entry, MessageState, Op, Retry, Settlement};

use super::Case;
use super::kit::{
    Checked, Kit, RECLAIM, ack, at, claim, enqueue, entry, kill, queue, retry, same, session,
    settle,
};

pub(super) const CASES: &[(&str, Case)] = &[
    ("a leased message is given to nobody else", |kit| exclusive(kit).boxed_local()),
    ("only the holder settles", |kit| holder(kit).boxed_local()),
    ("a retry keeps its place and waits for its time", |kit| retried(kit).boxed_local()),
    ("an attempt that does not count is taken back", |kit| uncounted(kit).boxed_local()),
    ("an idle lease goes to another session, never to its holder", |kit| idle(kit).boxed_local()),
    ("a released session's leases are free at once", |kit| released(kit).boxed_local()),
    ("a queue that is claimed twice gives each message once", |kit| twice(kit).boxed_local()),
    ("wake_at names the earliest delay and the earliest takeover", |kit| wake(kit).boxed_local()),
];

async fn exclusive(kit: &mut Kit) -> Checked {
    kit.commit(vec![enqueue(1)?, enqueue(2)?]).await?;
    same("the first claim", &kit.take(1, 1, 1).await?, &vec![(1, 1)])?;
    same("the second claim", &kit.take(2, 1, 9).await?, &vec![(2, 1)])?;
    same("the third claim", &kit.take(1, 1, 9).await?, &vec![])?;
    kit.commit(vec![ack(1, 1)]).await?;
    same("the fourth claim", &kit.take(3, 1, 9).await?, &vec![])?;
    same("the depth", &kit.depth("b").await?, &1)
}

async fn holder(kit: &mut Kit) -> Checked {
    kit.commit(vec![enqueue(1)?]).await?;
    kit.conflict(0, vec![ack(1, 1)]).await?;
    same("the claim", &kit.take(1, 1, 9).await?, &vec![(1, 1)])?;
    kit.conflict(0, vec![ack(1, 2)]).await?;
    kit.conflict(0, vec![retry(1, 2, 1)]).await?;
    kit.conflict(0, vec![kill(1, 2, 1)]).await?;
    kit.conflict(0, vec![ack(2, 1)]).await?;
    kit.conflict(1, vec![retry(1, 1, 1), ack(1, 1)]).await?;
    kit.commit(vec![ack(1, 1)]).await?;
    kit.conflict(0, vec![ack(1, 1)]).await
}

async fn retried(kit: &mut Kit) -> Checked {
    kit.commit(vec![enqueue(1)?, enqueue(2)?, enqueue(3)?]).await?;
    same("the first claim", &kit.take(1, 1, 2).await?, &vec![(1, 1), (2, 1)])?;
    kit.commit(vec![retry(1, 1, 10), retry(2, 1, 5)]).await?;
    same("the state", &kit.state(1).await?, &Some(MessageState::Queued))?;
    same("the attempts", &kit.view(1).await?.map(|view| view.attempts), &Some(1))?;
    same("before both delays", &kit.take(1, 4, 1).await?, &vec![(3, 1)])?;
    same("before the longer delay", &kit.take(1, 9, 9).await?, &vec![(2, 2)])?;
    kit.commit(vec![retry(2, 1, 9), retry(3, 1, 9)]).await?;
    same("after all delays", &kit.take(1, 10, 9).await?, &vec![(1, 2), (2, 3), (3, 2)])
}

async fn uncounted(kit: &mut Kit) -> Checked {
    kit.commit(vec![enqueue(1)?]).await?;
    let again = Settlement::Retry(Retry { not_before: at(1), counts: false });
    for _ in 0..3 {
        same("the claim", &kit.take(1, 1, 9).await?, &vec![(1, 1)])?;
        kit.commit(vec![settle(1, 1, again.clone(), at(1))]).await?;
        same("the attempts", &kit.view(1).await?.map(|view| view.attempts), &Some(0))?;
    }
    Ok(())
}

async fn idle(kit: &mut Kit) -> Checked {
    kit.commit(vec![enqueue(1)?, enqueue(2)?]).await?;
    same("the first claim", &kit.take(1, 10, 1).await?, &vec![(1, 1)])?;
    same("its holder, late", &kit.take(1, 1_000, 0).await?, &vec![])?;
    same("just before", &kit.take(2, 39, 0).await?, &vec![])?;
    same("another session, in order", &kit.take(2, 40, 9).await?, &vec![(1, 2), (2, 1)])?;
    kit.conflict(0, vec![ack(1, 1)]).await?;
    same("the first holder again, too early", &kit.take(1, 69, 9).await?, &vec![])?;
    same("the first holder again", &kit.take(1, 70, 1).await?, &vec![(1, 3)])?;
    kit.conflict(0, vec![ack(1, 2)]).await?;
    kit.commit(vec![ack(2, 2), ack(1, 1)]).await
}

async fn released(kit: &mut Kit) -> Checked {
    kit.commit(vec![enqueue(1)?, enqueue(2)?, enqueue(3)?]).await?;
    same("the first claim", &kit.take(1, 1, 2).await?, &vec![(1, 1), (2, 1)])?;
    let release = Claim { release: vec![session(1), session(9)], ..claim(2, 1)? };
    let leases = kit.lease(release).await?;
    let got: Vec<_> = leases.messages.iter().map(|m| (m.message.number(), m.attempt)).collect();
    same("the claim that releases", &got, &vec![(1, 2), (2, 2), (3, 1)])?;
    kit.conflict(0, vec![ack(1, 1)]).await?;
    kit.commit(vec![ack(1, 2)]).await?;
    // A release reaches leases of every queue, not only of those that are claimed.
    let elsewhere = [queue("c", None)?, queue("c", Some("i"))?];
    let release = vec![session(2)];
    kit.lease(Claim { queues: elsewhere, count: 0, release, ..claim(3, 1)? }).await?;
    same("after the second release", &kit.take(3, 1, 9).await?, &vec![(2, 3), (3, 2)])
}

/// As a session does that is there for replies only: both queues are that of its instance.
async fn twice(kit: &mut Kit) -> Checked {
    let own = queue("b", Some("i"))?;
    for number in 1..4 {
        kit.commit(vec![Op::Enqueue(Entry { queue: own.clone(), ..entry(number)? })]).await?;
    }
    kit.commit(vec![enqueue(4)?]).await?;
    let take = async |holder, now, count| -> Result<Vec<_>, String> {
        let queues = [own.clone(), own.clone()];
        let leases = kit.lease(Claim { queues, count, ..claim(holder, now)? }).await?;
        Ok(leases.messages.iter().map(|m| (m.message.number(), m.attempt)).collect())
    };
    same("the first claim", &take(1, 1, 2).await?, &vec![(1, 1), (2, 1)])?;
    same("the second claim", &take(1, 1, 9).await?, &vec![(3, 1)])?;
    same("the third claim", &take(1, 1, 9).await?, &vec![])?;
    kit.commit(vec![ack(1, 1), retry(2, 1, 2)]).await?;
    same("after the delay", &take(1, 2, 9).await?, &vec![(2, 2)])?;
    same("a takeover", &take(2, 40, 9).await?, &vec![(2, 3), (3, 2)])?;
    kit.commit(vec![ack(2, 2), ack(3, 2)]).await?;
    same("the shared queue", &kit.take(3, 40, 9).await?, &vec![(4, 1)])
}

async fn wake(kit: &mut Kit) -> Checked {
    let wake_at = async |holder, now| -> Result<_, String> {
        Ok(kit.lease(Claim { count: 0, ..claim(holder, now)? }).await?.wake_at)
    };
    same("an empty queue's", &wake_at(1, 1).await?, &None)?;
    kit.commit(vec![enqueue(1)?, enqueue(2)?]).await?;
    same("a ready message's", &wake_at(1, 1).await?, &None)?;
    same("the claim", &kit.take(1, 10, 9).await?, &vec![(1, 1), (2, 1)])?;
    same("the holder's own", &wake_at(1, 10).await?, &None)?;
    same("another's", &wake_at(2, 10).await?, &Some(at(10).after(RECLAIM)))?;
    kit.commit(vec![retry(1, 1, 50)]).await?;
    same("the holder's with a delay", &wake_at(1, 10).await?, &Some(at(50)))?;
    same("another's with both", &wake_at(2, 10).await?, &Some(at(40)))?;
    same("another's after the takeover", &wake_at(2, 45).await?, &Some(at(50)))?;
    same("after all", &wake_at(2, 50).await?, &None)
}
