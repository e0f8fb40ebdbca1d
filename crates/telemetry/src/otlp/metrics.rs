//! Metrics as OTLP has them: cumulative from the start of the process.

use prost::Message;

use super::{KeyValue, Resource, Scope, resource, scope};
use crate::metric::{Family, FamilyKind, Point, Reading, Value};
use crate::settings::Settings;

#[derive(Clone, PartialEq, Message)]
struct Export {
    #[prost(message, repeated, tag = "1")]
    resources: Vec<ResourceMetrics>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceMetrics {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scopes: Vec<ScopeMetrics>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeMetrics {
    #[prost(message, optional, tag = "1")]
    scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    metrics: Vec<Metric>,
}

#[derive(Clone, PartialEq, Message)]
struct Metric {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    description: String,
    #[prost(string, tag = "3")]
    unit: String,
    #[prost(oneof = "Shape", tags = "5, 7, 9")]
    shape: Option<Shape>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Shape {
    #[prost(message, tag = "5")]
    Gauge(Gauge),
    #[prost(message, tag = "7")]
    Sum(Sum),
    #[prost(message, tag = "9")]
    Histogram(Histogram),
}

#[derive(Clone, PartialEq, Message)]
struct Gauge {
    #[prost(message, repeated, tag = "1")]
    points: Vec<NumberPoint>,
}

#[derive(Clone, PartialEq, Message)]
struct Sum {
    #[prost(message, repeated, tag = "1")]
    points: Vec<NumberPoint>,
    #[prost(int32, tag = "2")]
    temporality: i32,
    #[prost(bool, tag = "3")]
    is_monotonic: bool,
}

#[derive(Clone, PartialEq, Message)]
struct Histogram {
    #[prost(message, repeated, tag = "1")]
    points: Vec<HistogramPoint>,
    #[prost(int32, tag = "2")]
    temporality: i32,
}

#[derive(Clone, PartialEq, Message)]
struct NumberPoint {
    #[prost(fixed64, tag = "2")]
    start_time_unix_nano: u64,
    #[prost(fixed64, tag = "3")]
    time_unix_nano: u64,
    #[prost(oneof = "Number", tags = "4, 6")]
    value: Option<Number>,
    #[prost(message, repeated, tag = "7")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Number {
    #[prost(double, tag = "4")]
    Float(f64),
    #[prost(sfixed64, tag = "6")]
    Whole(i64),
}

#[derive(Clone, PartialEq, Message)]
struct HistogramPoint {
    #[prost(fixed64, tag = "2")]
    start_time_unix_nano: u64,
    #[prost(fixed64, tag = "3")]
    time_unix_nano: u64,
    #[prost(fixed64, tag = "4")]
    count: u64,
    #[prost(double, optional, tag = "5")]
    sum: Option<f64>,
    #[prost(fixed64, repeated, tag = "6")]
    bucket_counts: Vec<u64>,
    #[prost(double, repeated, tag = "7")]
    explicit_bounds: Vec<f64>,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
}

/// Writes an `ExportMetricsServiceRequest`.
pub(crate) fn metrics(reading: &Reading, settings: &Settings) -> Vec<u8> {
    let times = (reading.since_ns, reading.at_ns);
    let metrics = reading.families.iter().map(|family| metric(family, times)).collect();
    let scopes = vec![ScopeMetrics { scope: Some(scope(settings)), metrics }];
    let resources = vec![ResourceMetrics { resource: Some(resource(settings)), scopes }];
    Export { resources }.encode_to_vec()
}

fn metric(family: &Family, times: (u64, u64)) -> Metric {
    let numbers = || family.points.iter().filter_map(|point| number(point, times)).collect();
    let shape = match family.kind {
        FamilyKind::Gauge => Shape::Gauge(Gauge { points: numbers() }),
        FamilyKind::Counter => {
            Shape::Sum(Sum { points: numbers(), temporality: CUMULATIVE, is_monotonic: true })
        }
        FamilyKind::Histogram => Shape::Histogram(Histogram {
            points: family.points.iter().filter_map(|point| histogram(point, times)).collect(),
            temporality: CUMULATIVE,
        }),
    };
    Metric {
        name: family.name.clone().into_owned(),
        description: family.help.clone().into_owned(),
        unit: family.unit.to_owned(),
        shape: Some(shape),
    }
}

fn number(point: &Point, (start, at): (u64, u64)) -> Option<NumberPoint> {
    let value = match point.value {
        Value::Whole(number) => Number::Whole(i64::try_from(number).unwrap_or(i64::MAX)),
        Value::Float(number) => Number::Float(number),
        Value::Buckets(_) => return None,
    };
    Some(NumberPoint {
        start_time_unix_nano: start,
        time_unix_nano: at,
        value: Some(value),
        attributes: labels(point),
    })
}

fn histogram(point: &Point, (start, at): (u64, u64)) -> Option<HistogramPoint> {
    let Value::Buckets(buckets) = &point.value else { return None };
    Some(HistogramPoint {
        start_time_unix_nano: start,
        time_unix_nano: at,
        count: buckets.counts.iter().sum(),
        sum: Some(buckets.sum),
        bucket_counts: buckets.counts.clone(),
        explicit_bounds: buckets.bounds.clone(),
        attributes: labels(point),
    })
}

fn labels(point: &Point) -> Vec<KeyValue> {
    point.labels.iter().map(|(key, text)| KeyValue::text(key, text.as_ref())).collect()
}

/// `AGGREGATION_TEMPORALITY_CUMULATIVE`
const CUMULATIVE: i32 = 2;
