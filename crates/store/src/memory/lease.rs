//! Who gets which message.

use std::collections::BTreeSet;

use gate::ports::{Claim, Leased, Leases};
use gate::types::Timestamp;

use super::State;

impl State {
    pub(super) fn lease(&mut self, claim: &Claim) -> Leases {
        self.release(claim);
        let mut leases = Leases { seen: self.changes, ..Leases::default() };
        let (mut bytes, mut is_full) = (0, claim.count == 0);
        // Places are in the order of acceptance, over both queues.
        for message in self.messages.values_mut() {
            let entry = &message.entry;
            if !claim.queues.contains(&entry.queue) || entry.expires_at <= claim.now {
                continue;
            }
            let free_at = match message.lease {
                Some((holder, _)) if holder == claim.holder => continue,
                Some((_, since)) => since.after(claim.reclaim_after),
                None => message.not_before,
            };
            if free_at > claim.now {
                leases.wake_at =
                    Some(leases.wake_at.map_or(free_at, |at: Timestamp| at.min(free_at)));
                continue;
            }
            let taken = leases.messages.len();
            is_full |= taken == claim.count;
            let is_first = claim.or_one && taken == 0;
            is_full |= !is_first && bytes + entry.envelope.len() > claim.bytes;
            if is_full {
                continue;
            }
            bytes += entry.envelope.len();
            message.attempts += 1;
            message.lease = Some((claim.holder, claim.now));
            leases.messages.push(Leased {
                message: entry.message,
                sender: entry.sender.clone(),
                queue: entry.queue.clone(),
                envelope: entry.envelope.clone(),
                attempt: message.attempts,
                message_type: entry.message_type.clone(),
            });
        }
        leases
    }

    fn release(&mut self, claim: &Claim) {
        let mut touched = BTreeSet::new();
        for message in self.messages.values_mut() {
            if message.lease.is_some_and(|(holder, _)| claim.release.contains(&holder)) {
                message.lease = None;
                message.not_before = Timestamp::default();
                touched.insert(message.entry.queue.agent.clone());
            }
        }
        self.touch(touched);
    }
}
