//! The list of metrics as Prometheus reads it: its text format 0.0.4, or `OpenMetrics` 1.0.

use std::fmt::Write as _;

use super::{Kind, Metric, Sample, Value};

/// Which of both formats is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Prometheus,
    OpenMetrics,
}

impl Format {
    /// Returns the format that a client's `Accept` header asks for.
    pub(crate) fn wanted(accept: &str) -> Self {
        let is_named = accept.split(',').any(|one| {
            let name = one.split(';').next().unwrap_or_default();
            name.trim().eq_ignore_ascii_case("application/openmetrics-text")
        });
        if is_named { Self::OpenMetrics } else { Self::Prometheus }
    }

    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Writes all metrics.
pub(crate) fn write(metrics: &[Metric], format: Format) -> String {
    // Writing to a String cannot fail.
    let mut out = String::with_capacity(32 * 1024);
    for metric in metrics {
        let total = if metric.kind == Kind::Counter { "_total" } else { "" };
        // OpenMetrics names the family, the older format each sample.
        let family = if format == Format::OpenMetrics { "" } else { total };
        let (name, kind) = (metric.name, kind(metric.kind));
        let _ok = writeln!(out, "# HELP {name}{family} {}", metric.help);
        let _ok = writeln!(out, "# TYPE {name}{family} {kind}");
        for sample in &metric.samples {
            write_sample(&mut out, metric.name, total, sample);
        }
    }
    if format == Format::OpenMetrics {
        out.push_str("# EOF\n");
    }
    out
}

const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    }
}

fn write_sample(out: &mut String, name: &str, total: &str, sample: &Sample) {
    match &sample.value {
        Value::Number(number) => {
            let _ok = writeln!(out, "{name}{total}{} {number}", labels(sample, None));
        }
        Value::Histogram { bounds, buckets, sum } => {
            let ends = bounds.iter().map(ToString::to_string).chain(["+Inf".to_owned()]);
            let mut count = 0_u64;
            for (end, bucket) in ends.zip(buckets) {
                count = count.saturating_add(*bucket);
                let _ok = writeln!(out, "{name}_bucket{} {count}", labels(sample, Some(&end)));
            }
            let _ok = writeln!(out, "{name}_sum{} {sum}", labels(sample, None));
            let _ok = writeln!(out, "{name}_count{} {count}", labels(sample, None));
        }
    }
}

fn labels(sample: &Sample, end: Option<&str>) -> String {
    let own = sample.labels.iter().map(|(name, value)| (*name, value.as_str()));
    let pairs = own.chain(end.map(|end| ("le", end))).map(|(name, value)| {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        format!("{name}=\"{value}\"")
    });
    let text = pairs.collect::<Vec<_>>().join(",");
    if text.is_empty() { text } else { format!("{{{text}}}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics() -> Vec<Metric> {
        let sample = |labels, value| Sample { labels, value };
        let named = vec![("code", "a\"b\\c\nd".to_owned())];
        let times = Value::Histogram { bounds: vec![0.5, 1.0], buckets: vec![1, 2, 3], sum: 7.5 };
        vec![
            Metric {
                name: "x",
                help: "X.",
                kind: Kind::Counter,
                samples: vec![sample(named, Value::Number(3.0))],
            },
            Metric {
                name: "t_seconds",
                help: "T.",
                kind: Kind::Histogram,
                samples: vec![sample(vec![], times)],
            },
        ]
    }

    #[test]
    fn counters_and_histograms_are_written_in_both_formats() {
        let histogram = "# HELP t_seconds T.\n# TYPE t_seconds histogram\n\
                         t_seconds_bucket{le=\"0.5\"} 1\nt_seconds_bucket{le=\"1\"} 3\n\
                         t_seconds_bucket{le=\"+Inf\"} 6\nt_seconds_sum 7.5\nt_seconds_count 6\n";
        let sample = "x_total{code=\"a\\\"b\\\\c\\nd\"} 3\n";
        let old = format!("# HELP x_total X.\n# TYPE x_total counter\n{sample}{histogram}");
        assert_eq!(write(&metrics(), Format::Prometheus), old);
        let new = format!("# HELP x X.\n# TYPE x counter\n{sample}{histogram}# EOF\n");
        assert_eq!(write(&metrics(), Format::OpenMetrics), new);
    }

    #[test]
    fn openmetrics_is_written_for_those_who_name_it() {
        let both = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";
        assert_eq!(Format::wanted(both), Format::OpenMetrics);
        for accept in ["", "*/*", "text/plain"] {
            assert_eq!(Format::wanted(accept), Format::Prometheus);
        }
    }
}
