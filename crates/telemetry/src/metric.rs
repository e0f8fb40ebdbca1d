//! Counters, gauges and histograms as they are read out.

use std::borrow::Cow;

/// Everything that was counted, at one moment.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    /// Nanoseconds since 1970 at which counting began.
    pub since_ns: u64,
    /// Nanoseconds since 1970 of the moment.
    pub at_ns: u64,
    /// What was counted.
    pub families: Vec<Family>,
}

/// Metrics of one name.
#[derive(Debug, Clone)]
pub struct Family {
    /// The name.
    pub name: Cow<'static, str>,
    /// What it means.
    pub help: Cow<'static, str>,
    /// The unit as UCUM has it, such as `s` or `By`; empty for a plain number.
    pub unit: &'static str,
    /// Whether it only grows.
    pub kind: FamilyKind,
    /// The values, one for each set of labels.
    pub points: Vec<Point>,
}

/// How values of a metric change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FamilyKind {
    /// Only grows, from the start of the process on.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts values by their size, from the start of the process on.
    Histogram,
}

/// One value of a metric.
#[derive(Debug, Clone)]
pub struct Point {
    /// Tells it from others of the same name.
    pub labels: Vec<(&'static str, Cow<'static, str>)>,
    /// The value.
    pub value: Value,
}

/// The value of a metric.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A whole number.
    Whole(u64),
    /// A number.
    Float(f64),
    /// How many values of which size.
    Buckets(Buckets),
}

/// How many values of which size there were.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Buckets {
    /// The largest value of each bucket, growing; the last bucket has none.
    pub bounds: Vec<f64>,
    /// How many values each bucket holds: one more than there are bounds.
    pub counts: Vec<u64>,
    /// The sum of all values.
    pub sum: f64,
}
