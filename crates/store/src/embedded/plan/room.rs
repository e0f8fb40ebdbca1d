//! What the operations of a batch so far take of each bound, and whether there is room for more.
//!
//! It is thrown away with the batch; what is there already the state counts.

use std::collections::HashMap;

use gate::types::AgentId;

use crate::bounds::{Kept, Load, Queued};
use crate::embedded::state::State;

/// Growth of the state by the operations so far.
#[derive(Debug, Default)]
pub(super) struct Room(HashMap<Account, Growth>);

/// What something counts towards.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Account {
    Store,
    QueueOf(AgentId),
    ShareOf { sender: AgentId, target: AgentId },
    Sender(AgentId),
    Letters,
    LettersTo(AgentId),
    LettersFrom(AgentId),
}

#[derive(Debug, Clone, Copy, Default)]
struct Growth {
    len: i64,
    bytes: i64,
}

impl Growth {
    const fn on(self, load: Load) -> Load {
        Load {
            len: load.len.saturating_add_signed(self.len),
            bytes: load.bytes.saturating_add_signed(self.bytes),
        }
    }
}

/// One more, or one less.
#[derive(Debug, Clone, Copy)]
enum Step {
    More(u64),
    Less(u64),
}

impl Room {
    /// Takes room for a message; returns what is full if there is none.
    pub(super) fn queue(
        &mut self,
        state: &State,
        (sender, target): (&AgentId, &AgentId),
        size: u64,
    ) -> Result<(), &'static str> {
        let before = state.queues.load(target, sender);
        let store = Load { len: 0, bytes: before.total_bytes };
        let [queue, share, of_sender, all] = self.queued(sender, target, Step::More(size));
        let after = Queued {
            queue: queue.on(before.queue),
            share: share.on(before.share),
            sender: of_sender.on(before.sender),
            total_bytes: all.on(store).bytes,
        };
        state.bounds.refuse_queued(after).map_or(Ok(()), Err)
    }

    /// Gives the room of a queued message back.
    pub(super) fn unqueue(&mut self, sender: &AgentId, target: &AgentId, size: u64) {
        self.queued(sender, target, Step::Less(size));
    }

    /// Takes room for a dead letter; returns what is full if there is none.
    pub(super) fn keep(
        &mut self,
        state: &State,
        (sender, target): (&AgentId, &AgentId),
        size: u64,
    ) -> Result<(), &'static str> {
        let before = state.letters.load(target, sender);
        let [all, to, from] = self.kept(sender, target, Step::More(size));
        let after = Kept {
            all: all.on(before.all),
            target: to.on(before.target),
            sender: from.on(before.sender),
        };
        state.bounds.refuse_kept(after).map_or(Ok(()), Err)
    }

    /// Gives the room of a dead letter back.
    pub(super) fn unkeep(&mut self, sender: &AgentId, target: &AgentId, size: u64) {
        self.kept(sender, target, Step::Less(size));
    }

    fn queued(&mut self, sender: &AgentId, target: &AgentId, step: Step) -> [Growth; 4] {
        let share = Account::ShareOf { sender: sender.clone(), target: target.clone() };
        [
            self.step(Account::QueueOf(target.clone()), step),
            self.step(share, step),
            self.step(Account::Sender(sender.clone()), step),
            self.step(Account::Store, step),
        ]
    }

    fn kept(&mut self, sender: &AgentId, target: &AgentId, step: Step) -> [Growth; 3] {
        [
            self.step(Account::Letters, step),
            self.step(Account::LettersTo(target.clone()), step),
            self.step(Account::LettersFrom(sender.clone()), step),
        ]
    }

    fn step(&mut self, account: Account, step: Step) -> Growth {
        let growth = self.0.entry(account).or_default();
        *growth = match step {
            Step::More(size) => Growth {
                len: growth.len.saturating_add(1),
                bytes: growth.bytes.saturating_add_unsigned(size),
            },
            Step::Less(size) => Growth {
                len: growth.len.saturating_sub(1),
                bytes: growth.bytes.saturating_sub_unsigned(size),
            },
        };
        *growth
    }
}
