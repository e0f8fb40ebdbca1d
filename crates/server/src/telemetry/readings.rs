//! The list of the server's metrics as a collector takes them: the same names, labels and values.

use ::telemetry::{Buckets, Family, FamilyKind, Point, Value};

use crate::metrics::{self, Kind, Metric, Sample};

/// Returns a metric in the form of the export.
pub(super) fn family(metric: Metric) -> Family {
    let unit = match metric.name.rsplit('_').next() {
        Some("seconds") => "s",
        Some("bytes") => "By",
        _ => "",
    };
    Family {
        name: metric.name.into(),
        help: metric.help.into(),
        unit,
        kind: match metric.kind {
            Kind::Counter => FamilyKind::Counter,
            Kind::Gauge => FamilyKind::Gauge,
            Kind::Histogram => FamilyKind::Histogram,
        },
        points: metric.samples.into_iter().map(point).collect(),
    }
}

fn point(sample: Sample) -> Point {
    let labels = sample.labels.into_iter().map(|(key, text)| (key, text.into()));
    let value = match sample.value {
        metrics::Value::Number(number) => Value::Float(number),
        metrics::Value::Histogram { bounds, buckets, sum } => {
            Value::Buckets(Buckets { bounds, counts: buckets, sum })
        }
    };
    Point { labels: labels.collect(), value }
}
