//! What has just happened, in memory: the times of recent runs and hand-overs, and the last
//! refusals.
//!
//! It is there to be looked at; the record of it all is the audit log. It sees no payload.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::case::shortened;
use crate::observe::{Marks, MessageStep, Observed, Stage, StepKind};
use crate::ports::Observer;
use crate::types::{Decision, InstanceId, MessageId, Timestamp};

/// The memory of recent runs; the oldest go first.
#[derive(Debug)]
pub(crate) struct Recent {
    events: Mutex<Events>,
    refusals: Mutex<VecDeque<PastRefusal>>,
}

/// A run whose times are still in memory.
#[derive(Debug, Clone, Copy)]
pub struct PastRun {
    /// The id that its record carries.
    pub id: MessageId,
    /// When it began.
    pub started: Timestamp,
    /// When its stages ended.
    pub marks: Marks,
    /// The stage that refused, if one did.
    pub refused_at: Option<Stage>,
    /// The id of the W3C trace that it belongs to.
    pub trace: Option<u128>,
}

/// What happened to a message behind the pipeline, as far as it is still in memory.
#[derive(Debug, Clone)]
pub struct PastStep {
    /// What.
    pub kind: StepKind,
    /// To which message.
    pub message: MessageId,
    /// When.
    pub at: Timestamp,
    /// When the message had been handed over, where this is an answer to that.
    pub handed_over: Option<Timestamp>,
    /// The how-many-eth hand-over this is about, from 1.
    pub attempt: u32,
    /// The receiver's instance.
    pub instance: Option<InstanceId>,
}

/// One of the last refusals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastRefusal {
    /// The id that its record carries.
    pub id: MessageId,
    /// When the call came.
    pub at: Timestamp,
    /// The kind of call.
    pub event_type: &'static str,
    /// Who asked; empty if nobody was authenticated.
    pub caller: String,
    /// The target as the caller named it; empty if none.
    pub target: String,
    /// What was decided.
    pub decision: Decision,
    /// The stable code.
    pub code: &'static str,
    /// A sentence for a person.
    pub reason: String,
}

// LIMIT: refusals that are remembered.
const REFUSALS_MAX: usize = 100;

// Events that are kept and forgotten together: so that who looks for one does not hold up those
// who add some.
const CHUNK: usize = 256;

#[derive(Debug, Clone)]
enum Event {
    Run(PastRun),
    Step(PastStep),
}

#[derive(Debug)]
struct Events {
    full: VecDeque<Arc<Vec<Event>>>,
    open: Vec<Event>,
    chunks_max: usize,
}

impl Recent {
    /// Makes an empty memory of at most so many bytes; with less than it takes for anything
    /// useful, only refusals are remembered.
    pub(crate) fn new(bytes_max: usize) -> Self {
        // LIMIT: delivery.trace_bytes_max
        let chunks_max = bytes_max / (CHUNK * size_of::<Event>());
        let events = Events { full: VecDeque::new(), open: Vec::new(), chunks_max };
        Self { events: Mutex::new(events), refusals: Mutex::default() }
    }

    /// Returns the last refusals, the newest first.
    pub(crate) fn refusals(&self) -> Vec<PastRefusal> {
        self.refusals.lock().iter().rev().cloned().collect()
    }

    /// Returns what is known of a run or message, in the order in which it happened.
    pub(crate) fn find(&self, id: MessageId) -> (Option<PastRun>, Vec<PastStep>) {
        let events = self.events.lock();
        let full: Vec<_> = events.full.iter().map(Arc::clone).collect();
        let newest: Vec<_> =
            events.open.iter().filter(|event| event.is_about(id)).cloned().collect();
        drop(events);
        let older = full.iter().flat_map(|chunk| chunk.iter()).filter(|event| event.is_about(id));
        let (mut run, mut steps) = (None, Vec::new());
        for event in older.cloned().chain(newest) {
            match event {
                Event::Run(one) => run = Some(one),
                Event::Step(step) => steps.push(step),
            }
        }
        (run, steps)
    }

    fn add(&self, event: Event) {
        let mut events = self.events.lock();
        if events.chunks_max == 0 {
            return;
        }
        if events.open.len() >= CHUNK {
            let full = std::mem::replace(&mut events.open, Vec::with_capacity(CHUNK));
            events.full.push_back(Arc::new(full));
            if events.full.len() >= events.chunks_max {
                events.full.pop_front();
            }
        }
        events.open.push(event);
    }
}

impl Event {
    fn is_about(&self, id: MessageId) -> bool {
        match self {
            Self::Run(run) => run.id == id,
            Self::Step(step) => step.message == id,
        }
    }
}

impl Observer for Recent {
    fn finished(&self, run: &Observed<'_>) {
        if let Some(code) = run.code {
            let refusal = PastRefusal {
                id: run.id,
                at: run.started,
                event_type: run.event_type,
                caller: shortened(run.caller),
                target: shortened(run.target.unwrap_or_default()),
                decision: run.decision,
                code,
                reason: shortened(run.reason.unwrap_or_default()),
            };
            let mut refusals = self.refusals.lock();
            if refusals.len() >= REFUSALS_MAX {
                refusals.pop_front();
            }
            refusals.push_back(refusal);
        } else if !run.is_message {
            return;
        }
        self.add(Event::Run(PastRun {
            id: run.id,
            started: run.started,
            marks: run.marks,
            refused_at: run.refused_at,
            trace: run.trace.traceparent.as_deref().and_then(trace_id),
        }));
    }

    fn moved(&self, step: &MessageStep<'_>) {
        self.add(Event::Step(PastStep {
            kind: step.kind,
            message: step.message,
            at: step.at,
            handed_over: step.handed_over,
            attempt: step.attempt,
            instance: step.instance.cloned(),
        }));
    }
}

/// Reads the trace's id out of a `traceparent`.
fn trace_id(traceparent: &str) -> Option<u128> {
    u128::from_str_radix(traceparent.get(3..35)?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{AgentId, TraceContext};

    const ROOM: usize = 4 * CHUNK * size_of::<Event>();

    fn id(number: u128) -> MessageId {
        MessageId::from_random(number)
    }

    fn run(recent: &Recent, number: u128, code: Option<&'static str>) {
        let trace = TraceContext {
            traceparent: Some("00-0000000000000000000000000000002a-00f067aa0ba902b7-01".to_owned()),
            tracestate: None,
        };
        recent.finished(&Observed {
            is_published: false,
            refusal: None,
            id: id(number),
            event_type: "message.send",
            is_message: true,
            caller: "a",
            is_agent: true,
            peer: "",
            instance: None,
            target: Some("b"),
            message_type: None,
            correlation: None,
            decision: Decision::Allowed,
            code,
            reason: code.map(|_| "no"),
            decided_by: None,
            refused_at: code.map(|_| Stage::Authorize),
            policy_revision: "",
            started: Timestamp::from_micros(7),
            marks: Marks::begin(std::time::Duration::ZERO),
            given: &trace,
            trace: &trace,
            payload_bytes: 0,
            findings: 0,
        });
    }

    fn step(recent: &Recent, number: u128, kind: StepKind) {
        let agent = AgentId::parse("b").unwrap();
        recent.moved(&MessageStep {
            kind,
            message: id(number),
            sender: &agent,
            target: &agent,
            message_type: "",
            instance: None,
            session: None,
            attempt: 1,
            at: Timestamp::from_micros(9),
            handed_over: None,
            bytes: 0,
            trace: &TraceContext::default(),
        });
    }

    #[test]
    fn a_message_is_found_with_its_steps_until_newer_ones_take_its_room() {
        let recent = Recent::new(ROOM);
        run(&recent, 1, None);
        step(&recent, 1, StepKind::Delivered);
        for other in 2..u128::try_from(3 * CHUNK - 3).unwrap() {
            run(&recent, other, None);
        }
        step(&recent, 1, StepKind::Acknowledged);
        let (found, steps) = recent.find(id(1));
        assert_eq!((found.unwrap().started.micros(), found.unwrap().trace), (7, Some(42)));
        let kinds: Vec<_> = steps.iter().map(|step| step.kind).collect();
        assert_eq!(kinds, [StepKind::Delivered, StepKind::Acknowledged]);
        for other in 0..u128::try_from(2 * CHUNK).unwrap() {
            run(&recent, 10_000 + other, None);
        }
        let (found, steps) = recent.find(id(1));
        assert!(found.is_none());
        assert_eq!(steps.len(), 1);
    }

    #[test]
    fn it_never_holds_more_than_its_bytes() {
        let recent = Recent::new(ROOM);
        for number in 0..u128::try_from(20 * CHUNK).unwrap() {
            run(&recent, number, None);
        }
        let events = recent.events.lock();
        assert_eq!((events.full.len(), events.open.capacity()), (3, CHUNK));
        drop(events);
        let off = Recent::new(0);
        run(&off, 1, Some("denied"));
        assert!(off.find(id(1)).0.is_none());
        assert_eq!(off.refusals().len(), 1);
    }

    #[test]
    fn the_last_refusals_are_kept_newest_first() {
        let recent = Recent::new(ROOM);
        for number in 0..u128::try_from(REFUSALS_MAX + 5).unwrap() {
            run(&recent, number, Some("denied"));
        }
        run(&recent, 999, None);
        let refusals = recent.refusals();
        assert_eq!(refusals.len(), REFUSALS_MAX);
        assert_eq!((refusals[0].id, refusals[99].id), (id(104), id(5)));
        assert_eq!((refusals[0].code, refusals[0].reason.as_str()), ("denied", "no"));
    }
}
