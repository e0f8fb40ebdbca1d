//! Reads and scans.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Bound;

use gate::limits::RateLimits;
use gate::ports::{
    CounterClass, DeadLetter, DeadLetterScan, Found, MessageState, MessageView, Read, Scan, Sent,
    Versioned,
};
use gate::types::{AgentId, Timestamp};

use super::{Inner, Letter, State};

impl Inner {
    pub(super) fn read(&mut self, what: Read) -> Option<Found> {
        let state = &mut self.state;
        match what {
            Read::Value(key, now) => {
                let found = state.values.get(&key).filter(|value| value.is_live(now))?;
                let (value, version) = (found.value.clone(), found.version);
                Some(Found::Value(Versioned { key, value, version }))
            }
            Read::Message(message) => {
                let queued = state.messages.values().find(|m| m.entry.message == message);
                let letter = state.letters.values().find(|l| l.entry.message == message);
                let ended = state.statuses.iter().find(|s| s.message == message);
                let view = queued.map(super::Message::view);
                let view = view.or_else(|| letter.map(Letter::view)).or_else(|| ended.cloned());
                view.map(Found::Message)
            }
            Read::DeadLetter(message) => {
                let letter = state.letters.values().find(|l| l.entry.message == message)?;
                let envelope = Some(letter.entry.envelope.clone());
                Some(Found::DeadLetter(DeadLetter { envelope, ..letter.listed() }))
            }
            Read::Window { agent, class, limits, now } => {
                Some(state.window(agent, class, (limits, now)))
            }
            Read::Sent { sender, key, now } => state.sent(&sender, key, now).map(Found::Sent),
            Read::Depth(agent) => {
                let waiting = state.messages.values().filter(|m| m.entry.queue.agent == agent);
                Some(Found::Depth(waiting.count() as u64))
            }
            Read::TotalDepth => Some(Found::Depth(state.messages.len() as u64)),
            Read::RecordCount => Some(Found::RecordCount(self.records.len() as u64)),
        }
    }
}

impl State {
    /// Returns what a key has made, if its time is not over.
    pub(super) fn sent(&self, sender: &AgentId, key: u128, now: Timestamp) -> Option<Sent> {
        let is_it = |sent: &&Sent| sent.sender == *sender && sent.key == key;
        self.sent.iter().filter(is_it).find(|sent| sent.expires_at > now).cloned()
    }

    fn window(
        &mut self,
        agent: AgentId,
        class: CounterClass,
        (limits, now): (RateLimits, Timestamp),
    ) -> Found {
        let window = self.windows.entry((agent, class)).or_default();
        Found::Window(window.view(now, limits))
    }

    fn letters(&self, scan: &DeadLetterScan, count: usize) -> Vec<Found> {
        let after = |(_, letter): &(_, &Letter)| Some(letter.entry.message) == scan.after;
        let from = match self.letters.iter().find(after) {
            Some((order, _)) => Bound::Excluded(*order),
            None => Bound::Unbounded,
        };
        let wanted = |letter: &&Letter| {
            scan.target.as_ref().is_none_or(|target| letter.entry.queue.agent == *target)
        };
        let letters = self.letters.range((from, Bound::Unbounded)).map(|(_, letter)| letter);
        letters.filter(wanted).take(count).map(|l| Found::DeadLetter(l.listed())).collect()
    }
}

impl Inner {
    pub(super) fn scan(&self, what: &Scan, count: usize) -> Vec<Found> {
        let state = &self.state;
        match what {
            Scan::Values { space, after, now } => {
                let wanted = state.values.iter().filter(|(key, value)| {
                    key.space() == *space
                        && after.as_ref().is_none_or(|after| *key > after)
                        && value.is_live(*now)
                });
                let found = wanted.take(count).map(|(key, value)| {
                    let (key, value, version) = (key.clone(), value.value.clone(), value.version);
                    Found::Value(Versioned { key, value, version })
                });
                found.collect()
            }
            Scan::DeadLetters(scan) => state.letters(scan, count),
            Scan::Expired { now } => {
                let mut over: Vec<_> = state
                    .messages
                    .iter()
                    .filter(|(_, m)| m.lease.is_none() && m.entry.expires_at <= *now)
                    .map(|(place, m)| (m.entry.expires_at, place, m))
                    .collect();
                over.sort_by_key(|(expires_at, place, _)| (*expires_at, *place));
                over.into_iter().take(count).map(|(.., m)| Found::Message(m.view())).collect()
            }
            Scan::Queues => {
                let mut depths: BTreeMap<&AgentId, u64> = BTreeMap::new();
                for message in state.messages.values() {
                    *depths.entry(&message.entry.queue.agent).or_default() += 1;
                }
                let mut depths: Vec<_> = depths.into_iter().collect();
                depths.sort_by_key(|(_, depth)| Reverse(*depth));
                let longest = depths.into_iter().take(count);
                longest.map(|(agent, depth)| Found::Queue(agent.clone(), depth)).collect()
            }
            Scan::Records { from } => {
                let wanted = self.records.iter().filter(|entry| entry.link.seq >= *from);
                wanted.take(count).cloned().map(Found::Record).collect()
            }
        }
    }
}

impl Letter {
    fn view(&self) -> MessageView {
        MessageView {
            message: self.entry.message,
            sender: self.entry.sender.clone(),
            target: self.entry.queue.agent.clone(),
            state: MessageState::DeadLettered,
            attempts: self.attempts,
            reason: self.reason.clone(),
        }
    }

    fn listed(&self) -> DeadLetter {
        DeadLetter {
            view: self.view(),
            message_type: self.entry.message_type.clone(),
            died_at: self.died_at,
            size: self.entry.envelope.len(),
            envelope: None,
        }
    }
}
