//! The gate's runs and deliveries as spans, and its numbers, on their way to a collector.
//!
//! On the task that does the work it only decides whether the trace is kept, and copies names and
//! times of one that is; everything else is the exporter's own task. It sees no payload.

mod readings;
mod run;
mod step;

use std::fmt;
use std::sync::Arc;

use ::telemetry::{Exporter, Masker, Place, Reading, Settings, Worker};
use gate::Parts;
use gate::observe::{MessageStep, Observed};
use gate::ports::{Clock as _, Ids as _, Observer, Tracer};
use gate::types::{Timestamp, TraceContext};

use crate::ids::RandomIds;
use crate::metrics::Metrics;
use crate::parts::SystemClock;

/// Gives runs their place in a trace, and exports what they did.
pub(crate) struct Spans {
    exporter: Exporter,
    ids: RandomIds,
}

impl fmt::Debug for Spans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spans").field("exporter", &self.exporter).finish_non_exhaustive()
    }
}

impl Spans {
    /// Makes the spans' way to a collector and the work that goes with it.
    pub(crate) fn new(settings: &Settings, dlp: inspect::Dlp) -> (Arc<Self>, Worker) {
        let ids = RandomIds;
        let instance = format!("{:032x}", ids.random());
        let settings = Settings { instance, ..settings.clone() };
        let (exporter, worker) = Exporter::new(settings, Masker::new(Arc::new(dlp)));
        (Arc::new(Self { exporter, ids }), worker)
    }

    /// Puts the spans' maker into the parts of a gate.
    pub(crate) fn attach(self: &Arc<Self>, parts: &mut Parts) {
        parts.observers.push(Arc::clone(self) as Arc<dyn Observer>);
        parts.tracer = Some(Arc::clone(self) as Arc<dyn Tracer>);
    }

    /// Returns what exports them.
    pub(crate) fn exporter(&self) -> Exporter {
        self.exporter.clone()
    }

    /// Returns the work of the export, which reads the server's numbers out too.
    pub(crate) fn work(worker: Worker, metrics: Metrics) -> Worker {
        let since = SystemClock.now();
        worker.reading(Box::new(move || {
            let families = metrics.collect().into_iter().map(readings::family).collect();
            Reading { since_ns: nanos(since), at_ns: nanos(SystemClock.now()), families }
        }))
    }

    /// Lets the export end with what waits for it.
    pub(crate) fn close(&self) {
        self.exporter.close();
    }
}

impl Tracer for Spans {
    fn begin(&self, given: &TraceContext) -> TraceContext {
        let parent = place(given);
        let place = self.exporter.place(parent, || self.ids.random());
        TraceContext {
            traceparent: Some(place.to_string()),
            // Vendors' own words about a trace mean nothing in another.
            tracestate: parent.and_then(|_| given.tracestate.clone()),
        }
    }
}

impl Observer for Spans {
    fn finished(&self, run: &Observed<'_>) {
        if let Some(place) = kept(run.trace) {
            self.exporter.offer(Box::new(run::Run::of(run, place)));
        }
    }

    fn moved(&self, step: &MessageStep<'_>) {
        if let Some(place) = kept(step.trace) {
            self.exporter.offer(Box::new(step::Step::of(step, place)));
        }
    }
}

fn place(trace: &TraceContext) -> Option<Place> {
    trace.traceparent.as_deref().and_then(Place::parse)
}

/// Returns the place of a trace that is kept.
fn kept(trace: &TraceContext) -> Option<Place> {
    place(trace).filter(Place::is_sampled)
}

/// Returns the place of the `number`-th span below one, the same each time: so a span can name
/// another that was made elsewhere.
fn below(place: &Place, number: u64) -> Place {
    // SplitMix64: neighbours get numbers that have nothing to do with one another.
    let mut mixed = place.span_id().wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    place.child(mixed ^ (mixed >> 31))
}

/// Returns how an instance of an agent is named, the same as in the spans of the agent itself.
fn client_id(agent: &str, instance: &str) -> String {
    format!("{agent}/{instance}")
}

fn nanos(at: Timestamp) -> u64 {
    at.micros().saturating_mul(1_000)
}

#[cfg(test)]
mod tests;
