//! What was promised and what happened; a promise that is broken is noted with its event.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use gate::delivery::Outcome;
use gate::types::{AgentId, Answer, MessageId, Refusal};
use serde_json::Value;
use tokio::time::Instant;

use crate::network::Heard;

/// Numbers of one run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Messages that the gate acknowledged.
    pub accepted: usize,
    /// Messages whose sender heard nothing.
    pub unknown: usize,
    /// Calls that were refused.
    pub refused: usize,
    /// Deliveries, repeated ones too.
    pub deliveries: usize,
    /// Messages that were delivered.
    pub delivered: usize,
    /// Messages that became dead letters.
    pub dead: usize,
    /// Audit records.
    pub records: usize,
    /// A checksum over all events: equal runs have equal ones.
    pub trace: u32,
}

/// The book of a run.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// By sender, target and number: whether the attempts may have had an effect.
    sent: BTreeMap<Sent, Fate>,
    pub(crate) accepted: BTreeMap<MessageId, Sent>,
    pub(crate) delivered: BTreeMap<MessageId, Received>,
    /// The number of the latest message that was delivered first, by sender and target.
    latest: BTreeMap<(AgentId, AgentId), usize>,
    states: BTreeMap<AgentId, States>,
    refused: usize,
    deliveries: usize,
    started: Option<Instant>,
    pub(crate) events: Vec<String>,
    pub(crate) broken: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Sent {
    pub(crate) sender: AgentId,
    pub(crate) target: AgentId,
    pub(crate) number: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    UnderWay,
    Accepted,
    Unknown,
    Refused,
}

/// What the receiver made of a message.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Received {
    pub(crate) times: usize,
    pub(crate) is_acknowledged: bool,
    pub(crate) is_refused: bool,
}

/// The states that an agent has written.
#[derive(Debug, Clone, Default)]
struct States {
    certain: usize,
    possible: BTreeSet<usize>,
}

// LIMIT: broken promises that are kept; the first one matters.
const BROKEN_MAX: usize = 20;

impl Ledger {
    pub(crate) fn sending(&mut self, sender: &AgentId, target: &AgentId, number: usize) {
        self.event(&format!("{sender} sends {number} to {target}"));
        self.sent.insert(sent(sender, target, number), Fate::UnderWay);
    }

    /// Notes what a sender heard.
    pub(crate) fn heard(&mut self, key: Sent, is_allowed: bool, heard: &Heard) {
        let Sent { sender, target, number } = key.clone();
        let fate = match heard {
            Heard::Yes(Answer::Accepted { message, .. }) => {
                if !is_allowed {
                    self.broken(format!("{sender} may not send to {target} but did"));
                }
                if self.accepted.insert(*message, key.clone()).is_some() {
                    self.broken(format!("the id {message} was given twice"));
                }
                Fate::Accepted
            }
            Heard::Yes(answer) => {
                self.broken(format!("a send was answered with {answer:?}"));
                Fate::Unknown
            }
            // What the store said last is not always what it did.
            Heard::Nothing | Heard::No(Refusal::Unavailable(_)) => Fate::Unknown,
            Heard::No(refusal) => {
                self.refused += 1;
                self.judge(refusal, &key, is_allowed);
                Fate::Refused
            }
        };
        self.event(&format!("{sender} hears of {number} to {target}: {fate:?}"));
        self.sent.insert(key, fate);
    }

    fn judge(&mut self, refusal: &Refusal, key: &Sent, is_allowed: bool) {
        let is_right = if let Refusal::NotAuthorized { .. } = refusal {
            !is_allowed
        } else if let Refusal::CircuitOpen { .. } = refusal {
            is_allowed
        } else {
            // Also what is not allowed: a refusal has to be recorded too.
            let for_now =
                matches!(refusal, Refusal::RateLimited { .. } | Refusal::Backpressure { .. });
            for_now || *refusal == Refusal::SessionNotConnected
        };
        if !is_right {
            self.broken(format!("{key:?} was refused: {refusal}"));
        }
    }

    /// Notes a delivery; returns the message's id.
    pub(crate) fn delivered(
        &mut self,
        receiver: &AgentId,
        envelope: &Bytes,
    ) -> Result<MessageId, ()> {
        match self.read_delivery(receiver, envelope) {
            Ok(message) => Ok(message),
            Err(why) => {
                self.broken(format!("a delivery to {receiver}: {why:#}"));
                Err(())
            }
        }
    }

    fn read_delivery(&mut self, receiver: &AgentId, envelope: &Bytes) -> anyhow::Result<MessageId> {
        let envelope: Value = serde_json::from_slice(envelope)?;
        let text = |name: &str| envelope.pointer(name).and_then(Value::as_str);
        let message = text("/message_id").and_then(|id| MessageId::parse(id).ok());
        let message = message.context("no id")?;
        let sender = text("/data/from").and_then(|name| AgentId::parse(name).ok());
        let sender = sender.context("no sender in the payload")?;
        let number =
            envelope.pointer("/data/number").and_then(Value::as_u64).context("no number")?;
        let number = usize::try_from(number)?;
        if text("/sender_id") != Some(sender.as_str()) {
            bail!("the envelope names another sender: {envelope}");
        }
        let key = sent(&sender, receiver, number);
        match self.sent.get(&key) {
            Some(Fate::UnderWay | Fate::Accepted | Fate::Unknown) => {}
            Some(Fate::Refused) => bail!("{key:?} was refused"),
            None => bail!("{key:?} was never sent"),
        }
        self.event(&format!("{receiver} gets {number} of {sender}"));
        self.deliveries += 1;
        let received = self.delivered.entry(message).or_default();
        received.times += 1;
        if received.times == 1 {
            let latest = self.latest.insert((sender.clone(), receiver.clone()), number);
            if latest.is_some_and(|latest| latest > number) {
                bail!("{number} of {sender} comes behind {latest:?}");
            }
        }
        Ok(message)
    }

    /// Notes what a receiver says about a message.
    pub(crate) fn answered(&mut self, message: MessageId, outcome: &Outcome) {
        self.event(&format!("{message} is answered: {outcome:?}"));
        let received = self.delivered.entry(message).or_default();
        match outcome {
            Outcome::Acknowledged => received.is_acknowledged = true,
            Outcome::Refused { .. } => received.is_refused = true,
        }
    }

    pub(crate) fn writing_state(&mut self, agent: &AgentId, number: usize) {
        self.states.entry(agent.clone()).or_default().possible.insert(number);
    }

    pub(crate) fn wrote_state(&mut self, agent: &AgentId, number: usize) {
        self.event(&format!("{agent} has written {number}"));
        let states = self.states.entry(agent.clone()).or_default();
        states.certain = number;
        states.possible.retain(|possible| *possible > number);
    }

    /// Checks the state that an agent has in the end.
    pub(crate) fn check_state(&mut self, agent: &AgentId, found: Option<usize>) {
        let states = self.states.get(agent).cloned().unwrap_or_default();
        let found = found.unwrap_or(0);
        if found != states.certain && !states.possible.contains(&found) {
            self.broken(format!("{agent}: the state is {found}, written was {states:?}"));
        }
    }

    /// Tells whether messages that nobody heard of are possible.
    pub(crate) fn unknown(&self) -> usize {
        self.sent.values().filter(|fate| **fate == Fate::Unknown).count()
    }

    pub(crate) fn broken(&mut self, what: String) {
        if self.broken.len() < BROKEN_MAX {
            self.broken.push(what);
        }
    }

    /// Notes an event with its time in milliseconds.
    pub(crate) fn event(&mut self, what: &str) {
        let now = Instant::now();
        let started = *self.started.get_or_insert(now);
        self.events.push(format!("{:>9} {what}", now.duration_since(started).as_millis()));
    }

    pub(crate) fn figures(&self, dead: usize, records: usize) -> Figures {
        Figures {
            accepted: self.accepted.len(),
            unknown: self.unknown(),
            refused: self.refused,
            deliveries: self.deliveries,
            delivered: self.delivered.len(),
            dead,
            records,
            trace: crc32fast::hash(self.events.join("\n").as_bytes()),
        }
    }
}

pub(crate) fn sent(sender: &AgentId, target: &AgentId, number: usize) -> Sent {
    Sent { sender: sender.clone(), target: target.clone(), number }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn agent(name: &str) -> AgentId {
        AgentId::parse(name).unwrap()
    }

    fn envelope(number: usize) -> Bytes {
        let id = MessageId::from_random(number as u128).to_string();
        let data = json!({ "from": "a", "number": number });
        Bytes::from(json!({ "message_id": id, "sender_id": "a", "data": data }).to_string())
    }

    fn ledger(numbers: &[usize]) -> Ledger {
        let mut ledger = Ledger::default();
        for number in numbers {
            ledger.sending(&agent("a"), &agent("b"), *number);
        }
        ledger
    }

    #[test]
    fn a_delivery_out_of_order_is_noted() {
        let mut ledger = ledger(&[1, 2]);
        ledger.delivered(&agent("b"), &envelope(2)).unwrap();
        ledger.delivered(&agent("b"), &envelope(2)).unwrap();
        assert!(ledger.broken.is_empty(), "{:?}", ledger.broken);
        ledger.delivered(&agent("b"), &envelope(1)).unwrap_err();
        assert_eq!(ledger.broken.len(), 1);
    }

    #[test]
    fn a_delivery_that_nobody_sent_or_to_another_is_noted() {
        let mut ledger = ledger(&[1]);
        ledger.delivered(&agent("b"), &envelope(2)).unwrap_err();
        ledger.delivered(&agent("c"), &envelope(1)).unwrap_err();
        assert_eq!(ledger.broken.len(), 2);
    }

    #[test]
    fn a_state_that_was_confirmed_may_not_be_gone() {
        let mut ledger = Ledger::default();
        for number in [1, 2] {
            ledger.writing_state(&agent("a"), number);
        }
        ledger.wrote_state(&agent("a"), 1);
        for (found, broken) in [(Some(1), 0), (Some(2), 0), (None, 1), (Some(3), 2)] {
            ledger.check_state(&agent("a"), found);
            assert_eq!(ledger.broken.len(), broken, "{found:?}");
        }
    }
}
