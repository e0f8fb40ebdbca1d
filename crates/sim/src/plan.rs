//! What a run consists of, drawn from its seed: every run has another mix of faults, also none.

use std::collections::BTreeMap;
use std::time::Duration;

use gate::limits::RateLimits;
use gate::registry::Registration;
use gate::settings::{
    CircuitScope, CircuitSettings, DeliverySettings, Offline, Settings, Validation,
};
use gate::types::AgentId;
use policy::RuleBook;

use crate::chance::Chance;
use crate::disk::Trouble;

/// A run before it has happened.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) agents: Vec<AgentId>,
    pub(crate) rules: RuleBook,
    pub(crate) limits: RateLimits,
    /// Messages that each agent sends.
    pub(crate) messages: usize,
    /// The longest that a call or its answer is under way.
    pub(crate) lag: Duration,
    /// Answers in a hundred that are lost, which tells the caller nothing.
    pub(crate) lost_percent: u32,
    /// Requests in a hundred that never reach the gate, which tells the caller nothing either.
    pub(crate) lost_requests_percent: u32,
    /// How many messages in a hundred go by the native session, with a key.
    pub(crate) keyed_percent: u32,
    /// Frames of the native session in a hundred that reach the gate twice, some time apart.
    pub(crate) twice_percent: u32,
    /// How many sends of one agent are under way at once, at most.
    pub(crate) at_once_max: usize,
    /// Times in a hundred that a connection breaks under a delivery or its answer.
    pub(crate) cut_percent: u32,
    /// The longest that a receiver works on a message.
    pub(crate) work: Duration,
    pub(crate) receivers: Receivers,
    pub(crate) events: Vec<(Duration, Event)>,
}

/// What receivers do with messages, times in a hundred; they acknowledge the rest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Receivers {
    pub(crate) refuse_percent: u32,
    pub(crate) refuse_for_good_percent: u32,
    pub(crate) disconnect_percent: u32,
    pub(crate) ignore_percent: u32,
}

/// Something that happens to the gate.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Event {
    /// It is killed, and started again after this time.
    Crash { down: Duration },
    /// The clock is set.
    Jump { by: Duration, is_forward: bool },
    /// The disk is in trouble from now on; or no longer.
    Disk(Trouble),
}

impl Plan {
    pub(crate) fn draw(seed: u64) -> Self {
        let mut chance = Chance::of(seed, PLANNER);
        let agents: Vec<AgentId> = (0..3 + chance.below(8)).filter_map(agent).collect();
        let mut rules = RuleBook::default();
        for sender in &agents {
            let rule = rules.agents.entry(sender.to_string()).or_default();
            // Itself too: an agent may be its own target.
            rule.allow = agents.iter().filter(|_| chance.percent(60)).map(name).collect();
            rule.block = agents.iter().filter(|_| chance.percent(10)).map(name).collect();
        }
        let per_minute = 20 + chance.below(400) as u64;
        let some = |chance: &mut Chance, max: u32| {
            if chance.percent(50) {
                u32::try_from(chance.below(max as usize)).unwrap_or(0)
            } else {
                0
            }
        };
        let receivers = Receivers {
            refuse_percent: some(&mut chance, 20),
            refuse_for_good_percent: some(&mut chance, 5),
            disconnect_percent: some(&mut chance, 10),
            ignore_percent: some(&mut chance, 5),
        };
        Self {
            agents,
            rules,
            limits: RateLimits { per_minute, per_hour: per_minute * 20 },
            messages: 5 + chance.below(30),
            lag: Duration::from_millis(1 + chance.below(400) as u64),
            lost_percent: some(&mut chance, 15),
            work: Duration::from_millis(1 + chance.below(2_000) as u64),
            receivers,
            events: events(&mut chance),
            lost_requests_percent: some(&mut chance, 15),
            keyed_percent: some(&mut chance, 101),
            twice_percent: some(&mut chance, 50),
            at_once_max: 1 + chance.below(4),
            cut_percent: some(&mut chance, 10),
        }
    }

    /// Returns whether an agent may send to another.
    pub(crate) fn allows(&self, sender: &AgentId, target: &AgentId) -> bool {
        let rule = self.rules.agents.get(sender.as_str());
        rule.is_some_and(|rule| {
            rule.allow.contains(target.as_str()) && !rule.block.contains(target.as_str())
        })
    }

    /// Tells whether the clock is set during the run.
    pub(crate) fn has_jumps(&self) -> bool {
        self.events.iter().any(|(_, event)| matches!(event, Event::Jump { .. }))
    }

    /// Tells whether a refusal of a receiver, its silence or its loss can end a message.
    pub(crate) fn has_losers(&self) -> bool {
        let Receivers {
            refuse_percent,
            refuse_for_good_percent,
            disconnect_percent,
            ignore_percent,
        } = self.receivers;
        refuse_percent + refuse_for_good_percent + disconnect_percent + ignore_percent > 0
            || self.cut_percent > 0
            || self.events.iter().any(|(_, event)| matches!(event, Event::Crash { .. }))
    }

    pub(crate) fn registrations(&self) -> BTreeMap<AgentId, Registration> {
        self.agents.iter().map(|agent| (agent.clone(), Registration::default())).collect()
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings {
            limits: self.limits,
            dlp: true,
            circuit: Some(CircuitSettings {
                failure_threshold: 5,
                success_threshold: 2,
                timeout: Duration::from_secs(60),
                window: Duration::from_secs(300),
                half_open_max: 1,
                scope: CircuitScope::Sender,
                senders_to_open: 3,
            }),
            validation: Validation {
                payload: inspect::Limits::default(),
                message_type_bytes_max: 64,
                state_field_bytes_max: 600,
                state_bytes_max: 1_000,
            },
            delivery: DeliverySettings {
                hops_max: 16,
                // A retry is known over all jumps of a run.
                idempotency: EXPIRE_AFTER,
                idempotency_keys_max: 1_000,
                max_in_flight: 10,
                in_flight_bytes_max: 1 << 20,
                reclaim_idle: Duration::from_secs(30),
                max_attempts: 5,
                offline: Offline::Queue,
                expire_after: EXPIRE_AFTER,
                retry_backoff: Duration::from_secs(1),
                retry_backoff_max: Duration::from_secs(60),
                request_timeout: Duration::from_secs(60),
                envelope_bytes_max: 4 << 20,
                sessions_per_agent_max: 4,
                trace_bytes_max: 1 << 20,
            },
        }
    }
}

/// Longer than all jumps of a run together, so that nothing may expire.
const EXPIRE_AFTER: Duration = Duration::from_secs(30 * 24 * 3_600);
/// The span in which things happen; calls that are held up last longer.
const SPAN: Duration = Duration::from_secs(120);
/// The number of the actor that plans.
const PLANNER: u64 = 0;

fn agent(number: usize) -> Option<AgentId> {
    AgentId::parse(&format!("agent-{number}")).ok()
}

fn name(agent: &AgentId) -> String {
    agent.to_string()
}

fn events(chance: &mut Chance) -> Vec<(Duration, Event)> {
    let mut events = Vec::new();
    let at = |chance: &mut Chance| SPAN.mul_f64(chance.below(1_000) as f64 / 1_000.0);
    for _ in 0..chance.below(7) {
        let down = Duration::from_millis(chance.below(5_000) as u64);
        events.push((at(chance), Event::Crash { down }));
    }
    if chance.percent(40) {
        for _ in 0..1 + chance.below(4) {
            let seconds = [1, 60, 3_600, 24 * 3_600].get(chance.below(4)).copied().unwrap_or(1);
            let by = Duration::from_secs(seconds);
            events.push((at(chance), Event::Jump { by, is_forward: chance.percent(60) }));
        }
    }
    if chance.percent(50) {
        for _ in 0..1 + chance.below(4) {
            let trouble = Trouble {
                is_full: chance.percent(40),
                sync: Duration::from_millis(chance.below(3_000) as u64),
                busy_percent: u32::try_from(chance.below(30)).unwrap_or(0),
            };
            let from = at(chance);
            events.push((from, Event::Disk(trouble)));
            let calm = Event::Disk(Trouble::default());
            events.push((from + Duration::from_secs(1 + chance.below(20) as u64), calm));
        }
    }
    events.sort_by_key(|(at, _)| *at);
    events
}
