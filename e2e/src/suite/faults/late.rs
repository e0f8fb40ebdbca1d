//! Messages that end without a word of their target that would end them: their time is over before
//! anybody takes them, or their target asks for another attempt once too often.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use palisade_client::{Client, HandlerError, MessageId, MessageState, Outgoing};
use serde_json::json;

use super::records::{Books, differing};
use crate::eventually;

/// The agents of such messages, and what became of each that the gate has taken.
#[derive(Debug)]
pub(super) struct Late {
    sender: Client,
    refuser: Client,
    /// The messages that the gate has taken, by their targets.
    taken: RefCell<BTreeMap<&'static str, Vec<String>>>,
}

/// What became of them, at the end.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ends {
    pub(super) expired: u64,
    pub(super) dead: u64,
    /// Taken, and not known to the gate any more.
    pub(super) lost: u64,
    /// Ended in another way than they had to.
    pub(super) astray: u64,
}

impl Late {
    /// Takes the clients of [`SENDER`] and [`REFUSER`].
    pub(super) fn new(sender: Client, refuser: Client) -> Self {
        Self { sender, refuser, taken: RefCell::default() }
    }

    /// Sends to both targets until it is told that the time is over.
    pub(super) async fn send(&self, is_over: &Cell<bool>) -> Result<()> {
        while !is_over.get() {
            for target in [ABSENT, REFUSER] {
                let message = Outgoing::new(target, "note", &json!({}))?;
                let message = match target {
                    ABSENT => message.expires_after(EXPIRES_AFTER),
                    _ => message,
                };
                // What is refused, or not answered, is not promised.
                if let Ok(mut sent) = self.sender.publish(message).await
                    && let Ok(accepted) = sent.accepted().await
                {
                    let id = accepted.message_id.as_str().to_owned();
                    self.taken.borrow_mut().entry(target).or_default().push(id);
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Asks for another attempt at each message; ends only if its client does.
    pub(super) async fn refuse(&self) -> Result<()> {
        let mut messages = self.refuser.messages();
        loop {
            let incoming = messages.next().await.context("the client that refuses has ended")?;
            // The answer that a crash meets is lost: the message comes again.
            let _heard_or_not = incoming.nack(HandlerError::retryable("not now")).await;
        }
    }

    /// Waits until each message that the gate has taken has ended; returns how.
    pub(super) async fn ends(&self) -> Result<Ends> {
        let taken = self.taken.borrow().clone();
        let all = taken.iter().flat_map(|(target, ids)| ids.iter().map(move |id| (*target, id)));
        let states = try_join_all(
            all.map(|(target, id)| async move { anyhow::Ok((target, self.end(id).await?)) }),
        );
        let states = tokio::select! {
            states = states => states?,
            ended = self.refuse() => return ended.map(|()| Ends::default()),
        };
        let mut ends = Ends::default();
        for state in states {
            match state {
                (ABSENT, MessageState::Expired) => ends.expired += 1,
                (REFUSER, MessageState::DeadLettered) => ends.dead += 1,
                (_, MessageState::Unknown) => ends.lost += 1,
                _ => ends.astray += 1,
            }
        }
        Ok(ends)
    }

    async fn end(&self, id: &str) -> Result<MessageState> {
        let message = MessageId::new(id);
        eventually(&format!("{id} has ended"), async || {
            let state = self.sender.status(&message).await?.state;
            Ok((state.is_final() || state == MessageState::Unknown).then_some(state))
        })
        .await
    }

    /// Holds the records and the dead letters against what was taken; returns how many have no
    /// counterpart. A message whose answer was lost may be there or not, but must be whole.
    pub(super) fn differs(&self, books: &Books) -> Result<u64> {
        let none = BTreeSet::new();
        let of = |what: &'static str, target| books.by_target.get(&(what, target)).unwrap_or(&none);
        let mut differences = 0;
        for (target, end) in [(ABSENT, "expired"), (REFUSER, "dead_letter")] {
            let (sent, ended) = (of("message.send", target), of(end, target));
            let taken = self.taken.borrow();
            let taken = taken.get(target).into_iter().flatten();
            differences += taken.filter(|id| !sent.contains(id.as_str())).count() as u64;
            differences += differing(sent, ended);
        }
        differences += differing(of("dead_letter", REFUSER), of("letter", REFUSER));
        ensure!(books.exhausted >= of("dead_letter", REFUSER).len(), "letters for other reasons");
        Ok(differences)
    }

    /// Counts dead letters that a sender was told of and that are not there.
    pub(super) fn letters_lost(&self, books: &Books) -> u64 {
        let letters = books.by_target.get(&("letter", REFUSER));
        let taken = self.taken.borrow();
        let expected = taken.get(REFUSER).into_iter().flatten();
        let lost = expected.filter(|id| letters.is_none_or(|letters| !letters.contains(*id)));
        lost.count() as u64
    }
}

/// Sends what ends late.
pub(super) const SENDER: &str = "gina";
/// Never connects.
pub(super) const ABSENT: &str = "frank";
/// Asks for another attempt each time.
pub(super) const REFUSER: &str = "heidi";
/// Attempts at a message; more than crashes bring about while it is under way.
pub(super) const ATTEMPTS_MAX: u32 = 8;
const EXPIRES_AFTER: Duration = Duration::from_millis(300);
const PAUSE: Duration = Duration::from_millis(25);
