//! Circuit breakers: a target that keeps refusing is left alone for a while.
//!
//! Towards each target every sender has its own circuit, so one sender whose messages are
//! refused cannot cut the target off for others; when the circuits of several senders are open
//! the target is failing for everybody, and a circuit of the target opens too.
//! States live in memory and are written to the store whenever they change.

mod breaker;

use std::collections::HashMap;

use bytes::Bytes;
use parking_lot::Mutex;

pub use breaker::{Breaker, State};

use crate::ports::{Expect, Key, Op};
use crate::settings::{CircuitScope, CircuitSettings};
use crate::types::{AgentId, Timestamp};

/// A circuit's place: target, and sender unless it is the target's own.
type Place = (AgentId, Option<AgentId>);

/// All circuits that are not simply closed.
#[derive(Debug)]
pub struct Circuits {
    settings: CircuitSettings,
    open: Mutex<HashMap<Place, Breaker>>,
}

// LIMIT: circuits kept at once; closed ones without recent failures go first.
const CIRCUITS_MAX: usize = 100_000;

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
            self.open.lock().insert((target.clone(), sender.clone()), breaker);
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
    ) -> Result<Probe, std::time::Duration> {
        let mut open = self.open.lock();
        if open.is_empty() {
            return Ok(Probe::default());
        }
        let places = self.places(sender, target);
        for place in &places {
            if let Some(breaker) = open.get_mut(place) {
                breaker.check(&self.settings, now)?;
            }
        }
        let mut probe = Probe::default();
        for place in places {
            if let Some(breaker) = open.get_mut(&place)
                && breaker.start_probe(&self.settings, now)
            {
                probe.places.push(place);
            }
        }
        Ok(probe)
    }

    /// Gives back the probes of a message that a later stage refused.
    pub fn cancel(&self, probe: Probe) {
        let mut open = self.open.lock();
        for place in probe.places {
            if let Some(breaker) = open.get_mut(&place) {
                breaker.cancel_probe();
            }
        }
    }

    /// Takes note that `target` acknowledged a message of `sender`; returns what to store.
    pub fn success(&self, sender: &AgentId, target: &AgentId) -> Vec<Op> {
        let mut open = self.open.lock();
        let mut ops = Vec::new();
        if open.is_empty() {
            return ops;
        }
        for place in self.places(sender, target) {
            let Some(breaker) = open.get_mut(&place) else { continue };
            breaker.success(&self.settings);
            if breaker.is_closed() {
                open.remove(&place);
                ops.push(Op::Delete { key: key_of(place), expect: Expect::Anything });
            } else {
                ops.extend(self.stored(&place, breaker));
            }
        }
        ops
    }

    /// Takes note that `target` refused a message of `sender`; returns what to store.
    pub fn failure(&self, sender: &AgentId, target: &AgentId, now: Timestamp) -> Vec<Op> {
        let mut open = self.open.lock();
        let mut ops = Vec::new();
        self.make_room(&mut open, now);
        match self.settings.scope {
            CircuitScope::Target => {
                let place = (target.clone(), None);
                let breaker = open.entry(place.clone()).or_default();
                breaker.failure(&self.settings, now);
                ops.extend(self.stored(&place, breaker));
            }
            CircuitScope::Sender => {
                let place = (target.clone(), Some(sender.clone()));
                let breaker = open.entry(place.clone()).or_default();
                breaker.failure(&self.settings, now);
                let tripped = breaker.is_open();
                ops.extend(self.stored(&place, breaker));
                let whole = (target.clone(), None);
                if let Some(breaker) = open.get_mut(&whole) {
                    breaker.failure(&self.settings, now);
                    ops.extend(self.stored(&whole, breaker));
                } else if tripped && self.senders_cut_off(&open, target) {
                    let breaker = open.entry(whole.clone()).or_default();
                    breaker.trip(now);
                    ops.extend(self.stored(&whole, breaker));
                }
            }
        }
        ops
    }

    /// Returns the state of the circuit from `sender` to `target`, or of the target's own.
    #[must_use]
    pub fn state(&self, target: &AgentId, sender: Option<&AgentId>) -> State {
        let place = (target.clone(), sender.cloned());
        self.open.lock().get(&place).map_or(State::Closed, Breaker::state)
    }

    fn places(&self, sender: &AgentId, target: &AgentId) -> Vec<Place> {
        match self.settings.scope {
            CircuitScope::Target => vec![(target.clone(), None)],
            CircuitScope::Sender => {
                vec![(target.clone(), Some(sender.clone())), (target.clone(), None)]
            }
        }
    }

    fn senders_cut_off(&self, open: &HashMap<Place, Breaker>, target: &AgentId) -> bool {
        // A scan, but only in the rare moment in which a circuit opens.
        let cut_off = open
            .iter()
            .filter(|((of, sender), breaker)| of == target && sender.is_some() && breaker.is_open())
            .count();
        u32::try_from(cut_off).is_ok_and(|cut_off| cut_off >= self.settings.senders_to_open)
    }

    fn make_room(&self, open: &mut HashMap<Place, Breaker>, now: Timestamp) {
        if open.len() >= CIRCUITS_MAX {
            open.retain(|_, breaker| !breaker.is_stale(&self.settings, now));
        }
    }

    fn stored(&self, place: &Place, breaker: &Breaker) -> Option<Op> {
        let value = serde_json::to_vec(breaker).ok()?;
        let lifetime = self.settings.timeout.max(self.settings.window) * 2;
        let expires_at = Some(breaker.last_change().after(lifetime));
        let key = key_of(place.clone());
        Some(Op::Put { key, value: Bytes::from(value), expect: Expect::Anything, expires_at })
    }
}

fn key_of((target, sender): Place) -> Key {
    Key::Circuit { target, sender }
}

/// The probes that an accepted message stands for; empty while the circuits are closed.
#[derive(Debug, Default)]
#[must_use]
pub struct Probe {
    places: Vec<Place>,
}

#[cfg(test)]
mod tests;
