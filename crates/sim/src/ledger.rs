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
    /// Items that the gate knew by their key.
    pub repeats: usize,
    /// Requests that never arrived.
    pub lost: usize,
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
    sent: BTreeMap<Sent, Tried>,
    pub(crate) accepted: BTreeMap<MessageId, Sent>,
    pub(crate) delivered: BTreeMap<MessageId, Received>,
    states: BTreeMap<AgentId, States>,
    refused: usize,
    repeats: usize,
    lost: usize,
    /// Messages that came in one frame.
    frames: Vec<Vec<Sent>>,
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

/// What a sender tried, and what is known of it.
#[derive(Debug, Clone, Default)]
struct Tried {
    is_keyed: bool,
    /// Whether it may have been taken.
    is_possible: bool,
    /// Which message it has made, once that was seen.
    made: Option<MessageId>,
    /// When it began: how many events there were. What came to nothing for certain does not count.
    begun: usize,
    /// When nothing of it was under way any more.
    over: Option<usize>,
    /// When it was handed over first.
    handed: Option<usize>,
}

impl Tried {
    fn begin(&mut self, now: usize, is_keyed: bool) {
        if !self.is_possible {
            self.begun = now;
        }
        (self.is_keyed, self.over) = (is_keyed, None);
    }

    fn is_handed_after(&self, other: &Self) -> bool {
        self.handed.zip(other.handed).is_some_and(|(own, other)| own > other)
    }
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
    /// Notes that a message is under way, for the first time or again.
    pub(crate) fn sending(&mut self, key: &Sent, is_keyed: bool) {
        let Sent { sender, target, number } = key;
        self.event(&format!("{sender} sends {number} to {target}"));
        let now = self.events.len();
        self.sent.entry(key.clone()).or_default().begin(now, is_keyed);
    }

    /// Notes what a sender heard; of each copy, where there were several.
    pub(crate) fn heard(&mut self, key: &Sent, is_allowed: bool, heard: &Heard) {
        let Sent { sender, target, number } = key;
        let fate = match heard {
            Heard::Yes(Answer::Accepted { message, duplicate, .. }) => {
                if !is_allowed {
                    self.broken(format!("{sender} may not send to {target} but did"));
                }
                self.accepted(key, *message, *duplicate);
                "accepted"
            }
            Heard::Yes(answer) => {
                self.broken(format!("a send was answered with {answer:?}"));
                "unknown"
            }
            // What the store said last is not always what it did.
            Heard::Nothing { may_be_done: true } | Heard::No(Refusal::Unavailable(_)) => {
                self.sent.entry(key.clone()).or_default().is_possible = true;
                "unknown"
            }
            Heard::Nothing { may_be_done: false } => {
                self.lost += 1;
                "lost"
            }
            Heard::No(refusal) => {
                self.refused += 1;
                self.judge(refusal, key, is_allowed);
                "refused"
            }
        };
        self.event(&format!("{sender} hears of {number} to {target}: {fate}"));
    }

    fn accepted(&mut self, key: &Sent, message: MessageId, is_repeat: bool) {
        self.repeats += usize::from(is_repeat);
        let tried = self.sent.entry(key.clone()).or_default();
        let is_keyed = tried.is_keyed;
        tried.is_possible = true;
        if is_repeat && !is_keyed {
            self.broken(format!("{key:?} is a repeat of nothing"));
        }
        let known = self.accepted.insert(message, key.clone());
        if known.is_some_and(|known| known != *key || !is_keyed) {
            self.broken(format!("the id {message} was given twice"));
        }
        self.made(key, message);
    }

    /// Notes which message a send has made; with a key it is one.
    fn made(&mut self, key: &Sent, message: MessageId) {
        let tried = self.sent.entry(key.clone()).or_default();
        let known = *tried.made.get_or_insert(message);
        if tried.is_keyed && known != message {
            self.broken(format!("{key:?} has made two messages with one key"));
        }
    }

    /// Notes that nothing of a message is under way any more.
    pub(crate) fn over(&mut self, key: &Sent) {
        let now = self.events.len();
        self.sent.entry(key.clone()).or_default().over = Some(now);
    }

    /// Notes that messages came to the gate once, in this order.
    pub(crate) fn in_order(&mut self, messages: &[Sent]) {
        let is_taken = |key: &&Sent| self.sent.get(key).is_some_and(|tried| tried.made.is_some());
        let taken: Vec<Sent> = messages.iter().filter(is_taken).cloned().collect();
        self.frames.push(taken);
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
        self.event(&format!("{receiver} gets {number} of {sender}"));
        let now = self.events.len();
        let tried = self.sent.get_mut(&key).with_context(|| format!("{key:?} was never sent"))?;
        if tried.over.is_some() && !tried.is_possible {
            bail!("{key:?} was refused, or never arrived");
        }
        tried.handed.get_or_insert(now);
        self.made(&key, message);
        self.deliveries += 1;
        self.delivered.entry(message).or_default().times += 1;
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

    /// Checks that messages of one agent to another were handed over in their order first: those
    /// of one frame, and those that began when others were over.
    pub(crate) fn check_order(&mut self) {
        let mut broken = Vec::new();
        for (first, tried) in &self.sent {
            let to_same = |(key, _): &(&Sent, &Tried)| {
                (&key.sender, &key.target) == (&first.sender, &first.target)
            };
            for (second, later) in self.sent.iter().filter(to_same) {
                let is_later = tried.over.is_some_and(|over| over <= later.begun);
                if is_later && tried.is_handed_after(later) {
                    broken.push(format!("{first:?} comes behind {}", second.number));
                }
            }
        }
        for frame in &self.frames {
            for (place, first) in frame.iter().enumerate() {
                let rest = frame.iter().skip(place + 1);
                for second in rest.filter(|second| second.target == first.target) {
                    let pair = self.sent.get(first).zip(self.sent.get(second));
                    if pair.is_some_and(|(first, second)| first.is_handed_after(second)) {
                        broken
                            .push(format!("{first:?} comes behind {} of its frame", second.number));
                    }
                }
            }
        }
        broken.into_iter().for_each(|what| self.broken(what));
    }

    /// Tells of how many messages nobody knows whether there are any.
    pub(crate) fn unknown(&self) -> usize {
        self.sent.values().filter(|tried| tried.is_possible && tried.made.is_none()).count()
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
            repeats: self.repeats,
            lost: self.lost,
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
mod tests;
