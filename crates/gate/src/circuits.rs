//! Circuit breakers: a target that keeps refusing is left alone for a while.
//!
//! Towards each target every sender has its own circuit, so one sender whose messages are
//! refused cannot cut the target off for others. While the circuits of several senders are open
//! at once the target is failing for everybody, and nobody's messages pass.
//! States live in memory and are written to the store whenever they change.

mod breaker;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

pub use breaker::{Breaker, State};

use crate::ports::{Expect, Key, Op};
use crate::settings::{CircuitScope, CircuitSettings};
use crate::types::{AgentId, Timestamp};

/// A circuit as operators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CircuitView {
    /// The target that keeps refusing.
    pub target: AgentId,
    /// Whose messages it holds back; all senders' if none.
    pub sender: Option<AgentId>,
    /// What it does with messages.
    pub state: State,
    /// When it opened.
    pub since: Timestamp,
    /// Failures in a row.
    pub failures: u32,
}

/// The circuits of one target: by sender, or the one that all senders share.
type OfTarget = BTreeMap<Option<AgentId>, Breaker>;

/// All circuits that are not simply closed.
#[derive(Debug)]
pub struct Circuits {
    settings: CircuitSettings,
    open: Mutex<HashMap<AgentId, OfTarget>>,
}

// LIMIT: targets with circuits, and circuits of one target; stale ones go first, and what is
// over it has no circuit until others are closed.
const TARGETS_MAX: usize = 10_000;
const SENDERS_MAX: usize = 10_000;

impl Circuits {
    /// Makes closed circuits.
    #[must_use]
    pub fn new(settings: CircuitSettings) -> Self {
        Self { settings, open: Mutex::new(HashMap::new()) }
    }

    /// Takes over a circuit as it was stored; unreadable ones are taken as closed.
    pub fn restore(&self, key: &Key, value: &[u8]) {
        let Key::Circuit { target, sender } = key else { return };
        if let Ok(breaker) = serde_json::from_slice(value) {
            self.open.lock().entry(target.clone()).or_default().insert(sender.clone(), breaker);
        }
    }

    /// Asks whether a message may pass; a half-open circuit counts it as a probe.
    ///
    /// # Errors
    ///
    /// Returns how long to wait if a circuit is open, or half-open with all probes out.
    pub fn check(
        &self,
        sender: &AgentId,
        target: &AgentId,
        now: Timestamp,
    ) -> Result<Probe, Duration> {
        let mut open = self.open.lock();
        let Some(of_target) = open.get_mut(target) else { return Ok(Probe::default()) };
        of_target.values_mut().for_each(|breaker| breaker.pull_back(now));
        let own = self.place(sender);
        if !of_target.contains_key(&own) {
            // A sender with a circuit of its own is probing by that one.
            self.check_all(of_target, now)?;
        }
        let Some(breaker) = of_target.get_mut(&own) else { return Ok(Probe::default()) };
        breaker.check(&self.settings, now)?;
        let is_probe = breaker.start_probe(&self.settings, now);
        Ok(Probe(is_probe.then(|| (target.clone(), own))))
    }

    /// Asks whether a target fails for so many senders that it counts as failing for all.
    fn check_all(&self, of_target: &OfTarget, now: Timestamp) -> Result<(), Duration> {
        let waits = of_target.values().filter_map(|breaker| breaker.open_for(&self.settings, now));
        let mut waits: Vec<Duration> = waits.collect();
        let needed = usize::try_from(self.settings.senders_to_open).unwrap_or(usize::MAX);
        if waits.len() < needed {
            return Ok(());
        }
        // Open for all until fewer than `needed` circuits are.
        waits.sort_unstable();
        let over = waits.len() - needed;
        waits.get(over).map_or(Ok(()), |wait| Err(*wait))
    }

    /// Gives back the probe of a message that a later stage refused.
    pub fn cancel(&self, probe: Probe) {
        let Some((target, place)) = probe.0 else { return };
        let mut open = self.open.lock();
        if let Some(breaker) = open.get_mut(&target).and_then(|of| of.get_mut(&place)) {
            breaker.cancel_probe();
        }
    }

    /// Takes note that `target` acknowledged a message of `sender`; returns what to store.
    pub fn success(&self, sender: &AgentId, target: &AgentId) -> Option<Op> {
        let mut open = self.open.lock();
        let of_target = open.get_mut(target)?;
        let place = self.place(sender);
        let breaker = of_target.get_mut(&place)?;
        breaker.success(&self.settings);
        if !breaker.is_closed() {
            return self.stored(target, place.as_ref(), breaker);
        }
        of_target.remove(&place);
        if of_target.is_empty() {
            open.remove(target);
        }
        let key = Key::Circuit { target: target.clone(), sender: place };
        Some(Op::Delete { key, expect: Expect::Anything })
    }

    /// Takes note that `target` refused a message of `sender`; returns what to store.
    pub fn failure(&self, sender: &AgentId, target: &AgentId, now: Timestamp) -> Option<Op> {
        let mut open = self.open.lock();
        if open.len() >= TARGETS_MAX && !open.contains_key(target) {
            open.retain(|_, of_target| {
                of_target.retain(|_, breaker| !breaker.is_stale(&self.settings, now));
                !of_target.is_empty()
            });
            if open.len() >= TARGETS_MAX {
                return None;
            }
        }
        let of_target = open.entry(target.clone()).or_default();
        let place = self.place(sender);
        if of_target.len() >= SENDERS_MAX && !of_target.contains_key(&place) {
            of_target.retain(|_, breaker| !breaker.is_stale(&self.settings, now));
            if of_target.len() >= SENDERS_MAX {
                return None;
            }
        }
        let breaker = of_target.entry(place.clone()).or_default();
        breaker.failure(&self.settings, now);
        self.stored(target, place.as_ref(), breaker)
    }

    /// Returns the state of the circuit from `sender` to `target`.
    #[must_use]
    pub fn state(&self, sender: &AgentId, target: &AgentId) -> State {
        let open = self.open.lock();
        let breaker = open.get(target).and_then(|of_target| of_target.get(&self.place(sender)));
        breaker.map_or(State::Closed, Breaker::state)
    }

    /// Returns up to `count` circuits that are not closed, the one that opened last first.
    #[must_use]
    pub fn not_closed(&self, count: usize) -> Vec<CircuitView> {
        let open = self.open.lock();
        let all = open.iter().flat_map(|(target, of)| of.iter().map(move |it| (target, it)));
        let mut views: Vec<_> = all
            .filter(|(_, (_, breaker))| breaker.state() != State::Closed)
            .map(|(target, (sender, breaker))| CircuitView {
                target: target.clone(),
                sender: sender.clone(),
                state: breaker.state(),
                since: breaker.opened_at(),
                failures: breaker.failure_count(),
            })
            .collect();
        drop(open);
        views.sort_by(|one, other| other.since.cmp(&one.since).then(one.target.cmp(&other.target)));
        views.truncate(count);
        views
    }

    /// Returns how many circuits are open, and how many half-open.
    #[must_use]
    pub fn levels(&self) -> (usize, usize) {
        let open = self.open.lock();
        let states = open.values().flat_map(BTreeMap::values).map(Breaker::state);
        states.fold((0, 0), |(open, half_open), state| match state {
            State::Closed => (open, half_open),
            State::Open => (open + 1, half_open),
            State::HalfOpen => (open, half_open + 1),
        })
    }

    fn place(&self, sender: &AgentId) -> Option<AgentId> {
        match self.settings.scope {
            CircuitScope::Target => None,
            CircuitScope::Sender => Some(sender.clone()),
        }
    }

    fn stored(&self, target: &AgentId, place: Option<&AgentId>, breaker: &Breaker) -> Option<Op> {
        let value = Bytes::from(serde_json::to_vec(breaker).ok()?);
        let lifetime = self.settings.timeout.max(self.settings.window) * 2;
        let expires_at = Some(breaker.last_change().after(lifetime));
        let key = Key::Circuit { target: target.clone(), sender: place.cloned() };
        Some(Op::Put { key, value, expect: Expect::Anything, expires_at })
    }
}

/// The probe that an accepted message stands for; empty while the circuit is closed.
#[derive(Debug, Default)]
#[must_use]
pub struct Probe(Option<(AgentId, Option<AgentId>)>);

#[cfg(test)]
mod tests;
