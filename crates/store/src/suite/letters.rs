//! Dead letters: kept, listed, revived, dropped, bounded.

use bytes::Bytes;
use futures::FutureExt as _;
use gate::ports::{
    DeadLetter, DeadLetterScan, Entry, Found, MessageState, MessageView, Op, Read, Scan, StoreError,
};

use super::Case;
use super::kit::{Checked, Kit, agent, at, enqueue, entry, kill, message, queue, same, sized};

pub(super) const CASES: &[(&str, Case)] = &[
    ("a dead letter keeps its envelope and its reason", |kit| kept(kit).boxed_local()),
    ("dead letters are listed oldest first, page by page", |kit| listed(kit).boxed_local()),
    ("a revived message goes to the end of its queue, as new", |kit| revived(kit).boxed_local()),
    ("a revival into a full queue is refused", |kit| no_room(kit).boxed_local()),
    ("a dropped letter is gone", |kit| dropped(kit).boxed_local()),
    ("no letter is lost when there is no room for it", |kit| full(kit).boxed_local()),
];

/// Queues and kills messages, each at the second of its number.
async fn bury(kit: &Kit, numbers: &[u128]) -> Checked {
    for number in numbers {
        kit.commit(vec![enqueue(*number)?]).await?;
        same("the claim", &kit.take(1, 1, 9).await?.len(), &1)?;
        let second = u64::try_from(*number).map_err(|error| error.to_string())?;
        kit.commit(vec![kill(*number, 1, second)]).await?;
    }
    Ok(())
}

async fn kept(kit: &mut Kit) -> Checked {
    bury(kit, &[5]).await?;
    let view = MessageView {
        message: message(5),
        sender: agent("a")?,
        target: agent("b")?,
        state: MessageState::DeadLettered,
        attempts: 1,
        reason: "because 5".to_owned(),
    };
    same("the view", &kit.view(5).await?.as_ref(), &Some(&view))?;
    let envelope = Bytes::from_static(b"{\"message\":5}");
    let letter = DeadLetter {
        view,
        message_type: "type-5".to_owned(),
        died_at: at(5),
        size: envelope.len(),
        envelope: Some(envelope),
    };
    let found = kit.read(Read::DeadLetter(message(5))).await?;
    same("the letter", &found, &Some(Found::DeadLetter(letter.clone())))?;
    let found = kit.scan(Scan::DeadLetters(DeadLetterScan::default()), 9).await?;
    let letter = DeadLetter { envelope: None, ..letter };
    same("the list", &found, &vec![Found::DeadLetter(letter)])?;
    same("the depth", &kit.depth("b").await?, &0)?;
    same("another letter", &kit.read(Read::DeadLetter(message(6))).await?, &None)?;
    kit.conflict(0, vec![enqueue(5)?]).await
}

async fn numbers(kit: &Kit, scan: DeadLetterScan, count: usize) -> Result<Vec<u128>, String> {
    let mut numbers = Vec::new();
    for found in kit.scan(Scan::DeadLetters(scan), count).await? {
        let Found::DeadLetter(letter) = found else { return Err(format!("listed {found:?}")) };
        numbers.push(letter.view.message.number());
    }
    Ok(numbers)
}

async fn listed(kit: &mut Kit) -> Checked {
    bury(kit, &[9, 3, 6]).await?;
    let after = |number| DeadLetterScan { after: Some(message(number)), target: None };
    same("the first page", &numbers(kit, DeadLetterScan::default(), 2).await?, &vec![9, 3])?;
    same("the second page", &numbers(kit, after(3), 2).await?, &vec![6])?;
    same("behind the last", &numbers(kit, after(6), 2).await?, &vec![])?;
    let to = |name| -> Result<_, String> {
        Ok(DeadLetterScan { after: None, target: Some(agent(name)?) })
    };
    same("those to b", &numbers(kit, to("b")?, 9).await?.len(), &3)?;
    same("those to c", &numbers(kit, to("c")?, 9).await?, &vec![])
}

async fn revived(kit: &mut Kit) -> Checked {
    bury(kit, &[5]).await?;
    kit.commit(vec![enqueue(6)?]).await?;
    let revive = || vec![Op::Revive { message: message(5), expires_at: at(2_000) }];
    kit.commit(revive()).await?;
    kit.conflict(0, revive()).await?;
    same("the state", &kit.state(5).await?, &Some(MessageState::Queued))?;
    same("the letters", &numbers(kit, DeadLetterScan::default(), 9).await?, &vec![])?;
    same("the lease before the old end", &kit.take(1, 1, 1).await?, &vec![(6, 1)])?;
    let leases = kit.lease(super::kit::claim(1, 1_500)?).await?;
    let got: Vec<_> = leases.messages.iter().map(|m| (m.message.number(), m.attempt)).collect();
    same("the lease after the old end", &got, &vec![(5, 1)])?;
    let envelope = leases.messages.into_iter().next().map(|leased| leased.envelope);
    same("the envelope", &envelope, &Some(entry(5)?.envelope))?;
    kit.commit(vec![kill(5, 1, 7)]).await?;
    same("the state", &kit.state(5).await?, &Some(MessageState::DeadLettered))
}

async fn no_room(kit: &mut Kit) -> Checked {
    bury(kit, &[5]).await?;
    kit.commit(vec![Op::Enqueue(sized(6, 4_000)?)]).await?;
    let revive = vec![Op::Revive { message: message(5), expires_at: at(9) }];
    kit.refuse(revive, StoreError::Full { what: "queue of the target" }).await?;
    same("the letters", &numbers(kit, DeadLetterScan::default(), 9).await?, &vec![5])
}

async fn dropped(kit: &mut Kit) -> Checked {
    bury(kit, &[5]).await?;
    let drop = || vec![Op::Drop { message: message(5) }];
    kit.commit(drop()).await?;
    kit.conflict(0, drop()).await?;
    same("the message", &kit.view(5).await?, &None)?;
    same("the letter", &kit.read(Read::DeadLetter(message(5))).await?, &None)?;
    kit.commit(vec![enqueue(5)?]).await
}

async fn full(kit: &mut Kit) -> Checked {
    bury(kit, &[1, 2]).await?;
    let refused = || StoreError::Full { what: "dead letters" };
    let big = Entry { queue: queue("b", Some("i"))?, ..sized(3, 2_490)? };
    kit.commit(vec![Op::Enqueue(big), enqueue(4)?, enqueue(5)?]).await?;
    same("the claim", &kit.take(1, 1, 9).await?.len(), &3)?;
    kit.refuse(vec![kill(3, 1, 3)], refused()).await?;
    kit.refuse(vec![kill(4, 1, 3), kill(5, 1, 3)], refused()).await?;
    kit.commit(vec![kill(4, 1, 3)]).await?;
    kit.refuse(vec![kill(5, 1, 3)], refused()).await?;
    same("the refused one", &kit.state(5).await?, &Some(MessageState::Delivered))?;
    kit.commit(vec![Op::Drop { message: message(1) }, kill(5, 1, 3)]).await?;
    let left = numbers(kit, DeadLetterScan::default(), 9).await?;
    same("the letters", &left, &vec![2, 4, 5])
}
