//! One circuit: closed, open or half-open.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::settings::CircuitSettings;
use crate::types::Timestamp;

/// What a circuit does with messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// All pass.
    #[default]
    Closed,
    /// None pass.
    Open,
    /// A few pass as probes.
    HalfOpen,
}

/// The state machine of one circuit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breaker {
    state: State,
    failure_count: u32,
    success_count: u32,
    last_failure: Timestamp,
    opened_at: Timestamp,
    /// Probes under way and since when the newest one is.
    #[serde(skip)]
    probes: (u32, Timestamp),
}

impl Breaker {
    /// Takes what lies ahead of a clock that went back as happened now, so that the circuit stays
    /// open for its time and not until the clock is there again.
    pub(super) fn pull_back(&mut self, now: Timestamp) {
        self.last_failure = self.last_failure.min(now);
        self.opened_at = self.opened_at.min(now);
        self.probes.1 = self.probes.1.min(now);
    }

    /// Asks whether a message may pass.
    pub(super) fn check(
        &mut self,
        settings: &CircuitSettings,
        now: Timestamp,
    ) -> Result<(), Duration> {
        match self.state {
            State::Closed => Ok(()),
            State::Open => {
                let open_for = now.since(self.opened_at);
                if open_for < settings.timeout {
                    return Err(settings.timeout - open_for);
                }
                self.state = State::HalfOpen;
                self.success_count = 0;
                self.probes = (0, now);
                Ok(())
            }
            State::HalfOpen => {
                // A probe whose answer never came must not keep the circuit shut for ever.
                if now.since(self.probes.1) >= settings.timeout {
                    self.probes = (0, now);
                }
                if self.probes.0 < settings.half_open_max {
                    return Ok(());
                }
                Err(settings.timeout.saturating_sub(now.since(self.probes.1)))
            }
        }
    }

    /// Counts a probe in a half-open circuit; false in a closed one.
    pub(super) fn start_probe(&mut self, settings: &CircuitSettings, now: Timestamp) -> bool {
        let probing = self.state == State::HalfOpen && self.probes.0 < settings.half_open_max;
        if probing {
            self.probes = (self.probes.0 + 1, now);
        }
        probing
    }

    pub(super) fn cancel_probe(&mut self) {
        self.probes.0 = self.probes.0.saturating_sub(1);
    }

    pub(super) fn success(&mut self, settings: &CircuitSettings) {
        match self.state {
            State::Closed => self.failure_count = 0,
            // Acknowledgements of messages from before do not shorten the pause.
            State::Open => {}
            State::HalfOpen => {
                self.cancel_probe();
                self.success_count += 1;
                if self.success_count >= settings.success_threshold {
                    *self = Self::default();
                }
            }
        }
    }

    pub(super) fn failure(&mut self, settings: &CircuitSettings, now: Timestamp) {
        let fresh = now.since(self.last_failure) <= settings.window;
        self.failure_count = if fresh { self.failure_count.saturating_add(1) } else { 1 };
        self.last_failure = now;
        let trips = match self.state {
            State::Closed => self.failure_count >= settings.failure_threshold,
            State::HalfOpen => true,
            // It stays open with its old moment.
            State::Open => false,
        };
        if trips {
            self.trip(now);
        }
    }

    /// Returns how long the circuit stays open from now on; nothing if probes may pass.
    pub(super) fn open_for(&self, settings: &CircuitSettings, now: Timestamp) -> Option<Duration> {
        let since = now.since(self.opened_at);
        (self.state == State::Open && since < settings.timeout).then(|| settings.timeout - since)
    }

    fn trip(&mut self, now: Timestamp) {
        self.state = State::Open;
        self.opened_at = now;
        self.last_failure = now;
        self.success_count = 0;
        self.probes = (0, now);
    }

    pub(super) fn state(&self) -> State {
        self.state
    }

    pub(super) const fn opened_at(&self) -> Timestamp {
        self.opened_at
    }

    pub(super) const fn failure_count(&self) -> u32 {
        self.failure_count
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state == State::Closed && self.failure_count == 0
    }

    pub(super) fn is_stale(&self, settings: &CircuitSettings, now: Timestamp) -> bool {
        now.since(self.last_failure) > settings.window.max(settings.timeout * 2)
    }

    pub(super) fn last_change(&self) -> Timestamp {
        self.last_failure.max(self.opened_at)
    }
}
