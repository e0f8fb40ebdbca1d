//! What the agents were told and what they got: the truth that a gate is held against.
//!
//! It lives in the process that plays the agents, so no fault of the gate or its disk reaches it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use anyhow::{Result, ensure};
use palisade_client::{MessageId, MessageState};

/// Who sends to whom.
pub(super) type Pair = (String, String);

/// One strand of messages, each sent after the answer to the one before.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Lane {
    pub(super) pair: Pair,
    pub(super) strand: u64,
}

/// What the sender of a message knows about it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Told {
    /// The gate has it on disk, under this id.
    Accepted(String),
    /// The gate has not taken it.
    Refused,
    /// The answer did not come.
    Nothing,
}

/// What the sender of a message was told, what its target got, and what is settled.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    told: BTreeMap<Lane, Vec<Told>>,
    /// The first delivery of each message, in order, with its number in its lane.
    got: BTreeMap<Pair, Vec<(Lane, u64, String)>>,
    seen: HashSet<String>,
    /// Messages of which the gate said that they are done with.
    settled: HashMap<String, MessageState>,
    /// The fields that agents have set.
    counted: BTreeMap<String, Counted>,
    /// Changes of states that were confirmed and found to be gone.
    pub(super) states_lost: u64,
    /// How often each refusal was heard, by its code.
    refusals: BTreeMap<String, u64>,
    /// Deliveries of a message that had been delivered before.
    pub(super) redelivered: u64,
    /// Of these, deliveries of a message that the gate had called settled.
    pub(super) duplicated_acked: u64,
}

/// A field that an agent sets to ever higher numbers.
#[derive(Debug, Default, Clone, Copy)]
struct Counted {
    /// The last number that was confirmed, and how many were.
    last: u64,
    confirmed: u64,
    tried: u64,
}

/// What is wrong when a ledger is held against a gate.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Balance {
    pub(super) acknowledged: u64,
    pub(super) lost: u64,
    /// Delivered though it was refused, or never sent.
    pub(super) forged: u64,
    pub(super) out_of_order: u64,
}

impl Ledger {
    /// Notes that a message is about to be sent; returns its number.
    pub(super) fn sending(&mut self, lane: &Lane) -> u64 {
        let told = self.told.entry(lane.clone()).or_default();
        told.push(Told::Nothing);
        told.len() as u64 - 1
    }

    /// Notes that the gate has taken it.
    pub(super) fn accepted(&mut self, lane: &Lane, number: u64, id: &MessageId) {
        self.tell(lane, number, Told::Accepted(id.as_str().to_owned()));
    }

    /// Notes that the gate has refused it. Whether a store that fails has taken it, nobody knows;
    /// otherwise it has certainly not.
    pub(super) fn refused(&mut self, lane: &Lane, number: u64, code: &str) {
        *self.refusals.entry(code.to_owned()).or_default() += 1;
        if code != "store_unavailable" {
            self.tell(lane, number, Told::Refused);
        }
    }

    /// Returns how often a refusal was heard.
    pub(super) fn refusals(&self, code: &str) -> u64 {
        self.refusals.get(code).copied().unwrap_or_default()
    }

    fn tell(&mut self, lane: &Lane, number: u64, what: Told) {
        let place = usize::try_from(number).unwrap_or(usize::MAX);
        if let Some(told) = self.told.get_mut(lane).and_then(|told| told.get_mut(place)) {
            *told = what;
        }
    }

    /// Notes a delivery.
    pub(super) fn delivered(&mut self, lane: Lane, number: u64, id: &MessageId) {
        if self.seen.insert(id.as_str().to_owned()) {
            let got = self.got.entry(lane.pair.clone()).or_default();
            got.push((lane, number, id.as_str().to_owned()));
            return;
        }
        self.redelivered += 1;
        self.duplicated_acked += u64::from(self.settled.contains_key(id.as_str()));
    }

    /// Notes that the gate calls a message settled, for good.
    pub(super) fn settled(&mut self, id: &str, state: MessageState) -> Result<()> {
        let before = self.settled.insert(id.to_owned(), state);
        ensure!(
            before.is_none_or(|before| before == state),
            "{id} was {before:?} and is {state:?} now"
        );
        Ok(())
    }

    /// Returns the messages of a sender that were delivered and are not known to be settled.
    pub(super) fn unsettled(&self, sender: &str) -> Vec<(String, MessageState)> {
        let of_sender = self.got.iter().filter(|(pair, _)| pair.0 == sender);
        let messages = of_sender.flat_map(|(_, got)| got);
        messages
            .filter(|(_, _, id)| !self.settled.contains_key(id))
            .map(|(lane, number, id)| (id.clone(), fate(lane, *number)))
            .collect()
    }

    /// Returns the newest message of a lane that the gate has taken.
    pub(super) fn newest(&self, lane: &Lane) -> Option<(String, MessageState)> {
        let told = self.told.get(lane)?;
        told.iter().enumerate().rev().skip(QUESTION_LAG).find_map(|(number, told)| match told {
            Told::Accepted(id) if !self.settled.contains_key(id) => {
                Some((id.clone(), fate(lane, number as u64)))
            }
            Told::Accepted(_) | Told::Refused | Told::Nothing => None,
        })
    }

    /// Notes that an agent is about to set its counter; returns the number.
    pub(super) fn counting(&mut self, agent: &str) -> u64 {
        let counted = self.counted.entry(agent.to_owned()).or_default();
        counted.tried += 1;
        counted.tried
    }

    /// Notes that the gate has confirmed it.
    pub(super) fn counted(&mut self, agent: &str, number: u64) {
        let counted = self.counted.entry(agent.to_owned()).or_default();
        counted.last = number;
        counted.confirmed += 1;
    }

    /// Checks the counter that an agent reads; what is missing of it is lost.
    pub(super) fn check_count(&mut self, agent: &str, found: Option<&str>) -> Result<()> {
        let Counted { last, tried, .. } = self.counted.get(agent).copied().unwrap_or_default();
        let number = found.map_or(Ok(0), str::parse)?;
        self.states_lost += last.saturating_sub(number);
        ensure!(
            (last..=tried).contains(&number),
            "{agent} set its state up to {last} (tried {tried}), and it is {number}"
        );
        Ok(())
    }

    /// Returns how often each agent was told that its state is set, and how often it tried.
    pub(super) fn updates(&self) -> impl Iterator<Item = (&str, u64, u64)> {
        self.counted.iter().map(|(agent, it)| (agent.as_str(), it.confirmed, it.tried))
    }

    /// Returns the ids of what was delivered, by pair, in order.
    pub(super) fn got(&self) -> BTreeMap<Pair, Vec<&str>> {
        self.got
            .iter()
            .map(|(pair, got)| (pair.clone(), got.iter().map(|(_, _, id)| id.as_str()).collect()))
            .collect()
    }

    /// Returns the ids of what was delivered and refused by its target for good.
    pub(super) fn letters(&self) -> BTreeSet<&str> {
        let got = self.got.values().flatten();
        let dead =
            got.filter(|(lane, number, _)| fate(lane, *number) == MessageState::DeadLettered);
        dead.map(|(_, _, id)| id.as_str()).collect()
    }

    /// Holds what was told against what was got.
    pub(super) fn balance(&self) -> Balance {
        let mut balance = Balance::default();
        for told in self.told.values().flatten() {
            if let Told::Accepted(id) = told {
                balance.acknowledged += 1;
                balance.lost += u64::from(!self.seen.contains(id));
            }
        }
        let mut last: HashMap<&Lane, u64> = HashMap::new();
        for (lane, number, id) in self.got.values().flatten() {
            let place = usize::try_from(*number).unwrap_or(usize::MAX);
            let told = self.told.get(lane).and_then(|told| told.get(place));
            let is_right = match told {
                Some(Told::Accepted(accepted)) => accepted == id,
                Some(Told::Nothing) => true,
                Some(Told::Refused) | None => false,
            };
            balance.forged += u64::from(!is_right);
            let before = last.insert(lane, *number);
            balance.out_of_order += u64::from(before.is_some_and(|before| before >= *number));
        }
        balance
    }
}

impl Balance {
    /// Returns an error unless everything is as it should be.
    pub(super) fn check(self) -> Result<()> {
        let faults = self.lost + self.forged + self.out_of_order;
        ensure!(faults == 0, "{self:?}");
        Ok(())
    }
}

/// Returns what the target does with a message: each sixteenth becomes a dead letter.
pub(super) fn fate(lane: &Lane, number: u64) -> MessageState {
    if (number + lane.strand) % 16 == 7 {
        MessageState::DeadLettered
    } else {
        MessageState::Acknowledged
    }
}

/// How far behind the newest message one is asked about, so that it has a chance to be settled.
const QUESTION_LAG: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    fn lane() -> Lane {
        Lane { pair: ("alice".to_owned(), "bob".to_owned()), strand: 0 }
    }

    fn id(text: &str) -> MessageId {
        MessageId::new(text)
    }

    #[test]
    fn a_ledger_notices_what_is_lost_forged_and_out_of_order() {
        let mut ledger = Ledger::default();
        for name in ["a", "b", "c"] {
            let number = ledger.sending(&lane());
            ledger.accepted(&lane(), number, &id(name));
        }
        let number = ledger.sending(&lane());
        ledger.refused(&lane(), number, "disk_full");
        let unknown = ledger.sending(&lane());
        ledger.delivered(lane(), 1, &id("b"));
        ledger.delivered(lane(), 0, &id("a"));
        ledger.delivered(lane(), 3, &id("d"));
        ledger.delivered(lane(), unknown, &id("e"));
        let expected = Balance { acknowledged: 3, lost: 1, forged: 1, out_of_order: 1 };
        assert_eq!(ledger.balance(), expected);
        assert!(ledger.balance().check().is_err());
        ledger.delivered(lane(), 99, &id("never sent"));
        assert_eq!(ledger.balance().forged, 2);
    }

    #[test]
    fn a_delivery_of_what_was_settled_counts_apart_from_other_second_ones() {
        let mut ledger = Ledger::default();
        for _ in 0..3 {
            ledger.delivered(lane(), 0, &id("a"));
        }
        assert_eq!((ledger.redelivered, ledger.duplicated_acked), (2, 0));
        ledger.settled("a", MessageState::Acknowledged).unwrap();
        ledger.delivered(lane(), 0, &id("a"));
        assert_eq!((ledger.redelivered, ledger.duplicated_acked), (3, 1));
        assert!(ledger.settled("a", MessageState::DeadLettered).is_err());
    }

    #[test]
    fn a_counter_may_be_anything_from_the_last_confirmed_to_the_last_tried() {
        let mut ledger = Ledger::default();
        let number = ledger.counting("alice");
        ledger.counted("alice", number);
        assert_eq!(ledger.counting("alice"), 2);
        for (found, is_right) in [(None, false), (Some("1"), true), (Some("2"), true)] {
            assert_eq!(ledger.check_count("alice", found).is_ok(), is_right, "{found:?}");
        }
        assert!(ledger.check_count("alice", Some("3")).is_err());
        assert_eq!(ledger.states_lost, 1, "of what was confirmed, only the first look missed it");
        assert!(ledger.updates().eq([("alice", 1, 2)]));
    }
}
