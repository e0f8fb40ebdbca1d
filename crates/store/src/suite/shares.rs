//! Shares: one sender cannot fill an agent's queue, all queues, or the room for dead letters.

use futures::FutureExt as _;
use gate::ports::{Entry, Op, StoreError};

use super::Case;
use super::kit::{Checked, Kit, ack, agent, at, kill, message, queue, same, sized};
use crate::Bounds;

pub(super) const CASES: &[(&str, Case)] = &[
    ("a sender holds at most its share of a queue's bytes", |kit| bytes(kit).boxed_local()),
    ("a sender holds at most its share of a queue's messages", |kit| messages(kit).boxed_local()),
    ("a message larger than the share passes when it is the only one", |kit| {
        single(kit).boxed_local()
    }),
    ("a sender holds at most its room in all queues", |kit| rooms(kit).boxed_local()),
    ("shares survive a restart, and are free again when it is emptied", |kit| {
        restarted(kit).boxed_local()
    }),
    ("a target has at most its share of the dead letters", |kit| letters_to(kit).boxed_local()),
    ("a sender has at most its share of the dead letters", |kit| letters_of(kit).boxed_local()),
];

/// The bounds under which these cases run: shares are smaller than what they are shares of.
pub(super) const fn bounds() -> Bounds {
    Bounds {
        queue_bytes_max: 4_000,
        queue_len_max: 8,
        share_bytes_max: 1_000,
        share_len_max: 3,
        sender_bytes_max: 2_000,
        total_bytes_max: 60_000,
        dead_letters_max: 8,
        dead_letter_bytes_max: 4_000,
        agent_letters_max: 2,
        agent_letter_bytes_max: 1_000,
        statuses_max: 3,
        sent_max: 3,
    }
}

fn full(what: &'static str) -> StoreError {
    StoreError::Full { what }
}

const SHARE: &str = "share of the sender in the queue of the target";
const SENDER: &str = "room of the sender in all queues";

/// A message from one agent to another.
fn from(sender: &str, target: &str, number: u128, bytes: usize) -> Result<Op, String> {
    let (sender, queue) = (agent(sender)?, queue(target, None)?);
    Ok(Op::Enqueue(Entry { sender, queue, ..sized(number, bytes)? }))
}

async fn bytes(kit: &mut Kit) -> Checked {
    kit.commit(vec![from("a", "b", 1, 600)?]).await?;
    kit.refuse(vec![from("a", "b", 2, 401)?], full(SHARE)).await?;
    // Also over both queues of the target, and within one batch.
    let to_instance = Entry { queue: queue("b", Some("i"))?, ..sized(2, 401)? };
    kit.refuse(vec![Op::Enqueue(to_instance)], full(SHARE)).await?;
    kit.refuse(vec![from("a", "b", 2, 200)?, from("a", "b", 3, 201)?], full(SHARE)).await?;
    kit.commit(vec![from("c", "b", 4, 1_000)?]).await?;
    kit.commit(vec![from("a", "d", 5, 600)?]).await?;
    kit.commit(vec![from("a", "b", 2, 400)?]).await?;
    same("the depth", &kit.depth("b").await?, &3)
}

async fn messages(kit: &mut Kit) -> Checked {
    for number in 1..=3 {
        kit.commit(vec![from("a", "b", number, 1)?]).await?;
    }
    kit.refuse(vec![from("a", "b", 4, 1)?], full(SHARE)).await?;
    kit.commit(vec![from("c", "b", 5, 1)?]).await?;
    same("the claim", &kit.take(1, 1, 1).await?, &vec![(1, 1)])?;
    // What is leased is still there.
    kit.refuse(vec![from("a", "b", 4, 1)?], full(SHARE)).await?;
    kit.commit(vec![ack(1, 1), from("a", "b", 4, 1)?]).await?;
    kit.refuse(vec![from("a", "b", 6, 1)?], full(SHARE)).await
}

async fn single(kit: &mut Kit) -> Checked {
    kit.commit(vec![from("a", "b", 1, 3_000)?]).await?;
    kit.refuse(vec![from("a", "b", 2, 1)?], full(SHARE)).await?;
    kit.refuse(vec![from("c", "b", 2, 1_001)?], full("queue of the target")).await?;
    kit.commit(vec![from("c", "b", 2, 1_000)?]).await
}

async fn rooms(kit: &mut Kit) -> Checked {
    kit.commit(vec![from("a", "b", 1, 1_000)?, from("a", "c", 2, 900)?]).await?;
    kit.refuse(vec![from("a", "d", 3, 101)?], full(SENDER)).await?;
    kit.commit(vec![from("b", "d", 4, 1_000)?]).await?;
    kit.commit(vec![from("a", "d", 3, 100)?]).await?;
    kit.refuse(vec![from("a", "e", 5, 1)?], full(SENDER)).await?;
    same("the claim", &kit.take(1, 1, 1).await?, &vec![(1, 1)])?;
    kit.commit(vec![ack(1, 1)]).await?;
    kit.commit(vec![from("a", "e", 5, 1_000)?]).await
}

async fn restarted(kit: &mut Kit) -> Checked {
    kit.commit(vec![from("a", "b", 1, 900)?, from("a", "c", 2, 1_000)?]).await?;
    kit.reopen().await?;
    kit.refuse(vec![from("a", "b", 3, 101)?], full(SHARE)).await?;
    kit.refuse(vec![from("a", "d", 3, 101)?], full(SENDER)).await?;
    same("the claim", &kit.take(1, 1, 1).await?, &vec![(1, 1)])?;
    kit.commit(vec![kill(1, 1, 1)]).await?;
    kit.reopen().await?;
    kit.commit(vec![from("a", "b", 3, 1_000)?]).await?;
    // An operator who revives a letter meets the same bounds.
    let revive = || vec![Op::Revive { message: message(1), expires_at: at(50) }];
    kit.refuse(revive(), full(SHARE)).await?;
    same("the claim", &kit.take(1, 1, 1).await?, &vec![(3, 1)])?;
    kit.commit(vec![ack(3, 1)]).await?;
    kit.commit(revive()).await
}

/// Queues messages for `b` and makes dead letters of them.
async fn bury(kit: &Kit, sender: &str, letters: &[(u128, usize)]) -> Checked {
    for (number, bytes) in letters {
        kit.commit(vec![from(sender, "b", *number, *bytes)?]).await?;
        same("the claim", &kit.take(1, 1, 9).await?.len(), &1)?;
        kit.commit(vec![kill(*number, 1, 1)]).await?;
    }
    Ok(())
}

async fn letters_to(kit: &mut Kit) -> Checked {
    bury(kit, "a", &[(1, 10)]).await?;
    bury(kit, "c", &[(2, 10)]).await?;
    kit.reopen().await?;
    kit.commit(vec![from("d", "b", 3, 10)?]).await?;
    same("the claim", &kit.take(1, 1, 9).await?, &vec![(3, 1)])?;
    kit.refuse(vec![kill(3, 1, 1)], full("dead letters of the target")).await?;
    kit.commit(vec![Op::Drop { message: message(1) }, kill(3, 1, 1)]).await
}

async fn letters_of(kit: &mut Kit) -> Checked {
    bury(kit, "a", &[(1, 700)]).await?;
    kit.reopen().await?;
    // To another target, so that the target's share is not what is full.
    kit.commit(vec![from("a", "c", 2, 301)?]).await?;
    let mut claim = super::kit::claim(1, 1)?;
    claim.queues = [queue("c", None)?, queue("c", Some("i"))?];
    same("the claim", &kit.lease(claim).await?.messages.len(), &1)?;
    kit.refuse(vec![kill(2, 1, 1)], full("dead letters of the sender")).await?;
    kit.commit(vec![Op::Drop { message: message(1) }]).await?;
    kit.commit(vec![kill(2, 1, 1)]).await
}
