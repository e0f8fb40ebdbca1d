//! Everything that the server tells in numbers, as one list that each exporter reads.
//!
//! Names, labels and units are given here once. No label has an agent's name or anything else that
//! a caller chooses, so their number is bounded by the program and the configuration. Each metric
//! stands in `docs/metrics.md`.

mod list;
pub(crate) mod text;

use std::sync::{Arc, OnceLock};

use ::telemetry::Exporter;
use gate::Gate;
use gate::observe::HistogramView;
use store::Embedded;
use tokio::sync::watch;

use crate::doors::grpc::DoorMeasures;
use crate::readiness::Readiness;
use crate::trust::{InForce, now_unix};

/// One metric with all its samples.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Metric {
    /// Its name, with its unit and without the `_total` of a counter.
    pub(crate) name: &'static str,
    /// What it says.
    pub(crate) help: &'static str,
    pub(crate) kind: Kind,
    pub(crate) samples: Vec<Sample>,
}

/// How a metric behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Only grows, from the start of the process.
    Counter,
    /// What is now.
    Gauge,
    /// Counts by size.
    Histogram,
}

/// One value of a metric.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sample {
    pub(crate) labels: Vec<(&'static str, String)>,
    pub(crate) value: Value,
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Number(f64),
    Histogram {
        /// The greatest value of each bucket but the last.
        bounds: Vec<f64>,
        /// How many values each bucket has; one more than bounds.
        buckets: Vec<u64>,
        sum: f64,
    },
}

/// Where the numbers come from.
#[derive(Clone)]
pub(crate) struct Metrics {
    pub(crate) gate: Arc<Gate>,
    pub(crate) door: Arc<DoorMeasures>,
    pub(crate) readiness: Readiness,
    pub(crate) tls: watch::Receiver<InForce>,
    /// The store, once it is followed; a server over another store has no numbers of it.
    pub(crate) engine: Arc<OnceLock<Arc<Embedded>>>,
    /// What exports spans; nothing where nobody wants them.
    pub(crate) exporter: Option<Exporter>,
}

impl Metrics {
    pub(crate) fn new(
        gate: &Arc<Gate>,
        door: &Arc<DoorMeasures>,
        readiness: &Readiness,
        tls: watch::Receiver<InForce>,
    ) -> Self {
        let (gate, door, readiness) = (Arc::clone(gate), Arc::clone(door), readiness.clone());
        Self { gate, door, readiness, tls, engine: Arc::default(), exporter: None }
    }

    /// Reads all metrics.
    pub(crate) fn collect(&self) -> Vec<Metric> {
        let mut list = Vec::with_capacity(48);
        list::of_server(&self.readiness.reasons(), &mut list);
        let own_validity = self.tls.borrow().own_validity;
        list::of_certificate(own_validity, now_unix(&self.gate), &mut list);
        list::of_gate(&self.gate.measures(), &mut list);
        list::of_door(&self.door, &mut list);
        if let Some(engine) = self.engine.get() {
            list::of_store(&engine.figures(), &mut list);
        }
        list::of_export(self.exporter.as_ref(), &mut list);
        list
    }
}

impl Value {
    /// Makes a value of a count.
    #[expect(clippy::cast_precision_loss, reason = "exporters have no larger numbers")]
    fn count(count: u64) -> Self {
        Self::Number(count as f64)
    }

    /// Makes a value of a histogram whose numbers are `scale` of what is shown.
    #[expect(clippy::cast_precision_loss, reason = "exporters have no larger numbers")]
    fn histogram(view: HistogramView, scale: f64) -> Self {
        Self::Histogram {
            bounds: view.bounds.iter().map(|bound| *bound as f64 / scale).collect(),
            buckets: view.buckets,
            sum: view.sum as f64 / scale,
        }
    }
}
