//! Spans and metrics arrive as code made from the published definitions reads them.

use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::{metric, number_data_point};
use prost::Message as _;
use telemetry::{
    Attribute, Buckets, Endpoint, Exporter, Family, FamilyKind, Headers, Kind, Masker, Place,
    Point, ReadOut, Reading, Settings, Span, Status, Value,
};

use tokio::time::{Instant, sleep, timeout};

use crate::collector::Collector;

pub(crate) fn settings(url: &str) -> Settings {
    Settings {
        endpoint: Endpoint::parse(url).unwrap(),
        headers: Headers::parse([("x-token", "hunter2")]).unwrap(),
        sample_ratio: 1.0,
        metrics_interval: Some(Duration::from_secs(3600)),
        service_name: "gate".to_owned(),
        service_namespace: "agents".to_owned(),
        environment: "test".to_owned(),
        instance: "one".to_owned(),
        version: "1.2.3",
    }
}

/// Exports spans and a reading, and ends.
async fn export(url: &str, spans: Vec<Span>, read_out: Option<ReadOut>) -> Exporter {
    let (exporter, worker) = Exporter::new(settings(url), Masker::standard());
    let worker = match read_out {
        Some(read_out) => worker.reading(read_out),
        None => worker,
    };
    for span in spans {
        exporter.offer(Box::new(span));
    }
    exporter.close();
    Box::pin(worker.run()).await;
    exporter
}

fn text<'a>(pairs: &'a [KeyValue], key: &str) -> &'a str {
    let found = pairs.iter().find(|pair| pair.key == key);
    match found.and_then(|pair| pair.value.as_ref()) {
        Some(AnyValue { value: Some(Any::StringValue(text)) }) => text,
        other => panic!("{key}: {other:?}"),
    }
}

#[tokio::test]
async fn a_span_arrives_with_all_that_it_says_and_without_secrets() {
    let (collector, url) = Collector::start(&[]).await;
    let parent = Place::root(0xa, 0xb, true);
    let mut span = Span::new(parent.child(0xc), "send", Kind::Producer, (1_000, 3_000));
    span.parent = Some(parent);
    span.of = Some("bob".to_owned());
    span.status = Status::Failed;
    span.links = vec![Place::root(0xd, 0xe, true)];
    span.attributes = vec![
        Attribute::fixed("messaging.system", "palisade"),
        Attribute::text("palisade.message.type", "note for SSN 123-45-6789"),
        Attribute::number("messaging.message.body.size", 256_u64),
        Attribute::fact("palisade.refused", true),
    ];
    let mut other = Span::new(parent.child(0xf), "send", Kind::Server, (5, 4));
    other.of = Some("4111 1111 1111 1111".to_owned());
    let exporter = Box::pin(export(&url, vec![span, other], None)).await;
    assert_eq!((exporter.exported(), exporter.dropped()), (2, 0));

    let posted = collector.posted();
    assert_eq!(posted.len(), 1);
    assert!(posted[0].head.starts_with("post /base/v1/traces http/1.1\r\n"), "{}", posted[0].head);
    assert!(posted[0].head.contains("content-type: application/x-protobuf\r\n"));
    assert!(posted[0].head.contains("x-token: hunter2\r\n"));
    for secret in ["123-45-6789", "4111", "hunter2"] {
        let body = &posted[0].body;
        assert!(!body.windows(secret.len()).any(|part| part == secret.as_bytes()), "{secret}");
    }
    let export = ExportTraceServiceRequest::decode(posted[0].body.as_slice()).unwrap();
    let resource = &export.resource_spans[0];
    let about = &resource.resource.as_ref().unwrap().attributes;
    for (key, value) in [
        ("service.name", "gate"),
        ("service.namespace", "agents"),
        ("service.instance.id", "one"),
        ("service.version", "1.2.3"),
        ("deployment.environment.name", "test"),
        ("deployment.environment", "test"),
    ] {
        assert_eq!(text(about, key), value);
    }
    let spans = &resource.scope_spans[0].spans;
    let sent = &spans[0];
    assert_eq!(sent.trace_id, 0xa_u128.to_be_bytes());
    assert_eq!(sent.span_id, 0xc_u64.to_be_bytes());
    assert_eq!(sent.parent_span_id, 0xb_u64.to_be_bytes());
    assert_eq!((sent.name.as_str(), sent.kind, sent.flags), ("send bob", 4, 1));
    assert_eq!((sent.start_time_unix_nano, sent.end_time_unix_nano), (1_000, 3_000));
    assert_eq!(sent.status.as_ref().unwrap().code, 2);
    assert_eq!(sent.links[0].trace_id, 0xd_u128.to_be_bytes());
    assert_eq!(sent.links[0].span_id, 0xe_u64.to_be_bytes());
    assert_eq!(text(&sent.attributes, "messaging.system"), "palisade");
    assert_eq!(text(&sent.attributes, "palisade.message.type"), "[REDACTED]");
    let values: Vec<_> = sent.attributes[2..].iter().map(|pair| pair.value.clone()).collect();
    let number = Some(AnyValue { value: Some(Any::IntValue(256)) });
    assert_eq!(values, [number, Some(AnyValue { value: Some(Any::BoolValue(true)) })]);
    // A card number as a name, and a clock that was set back.
    assert_eq!(spans[1].name, "send [REDACTED]");
    assert_eq!(spans[1].end_time_unix_nano, 5);
    assert!(spans[1].parent_span_id.is_empty() && spans[1].status.is_none());
}

#[tokio::test]
async fn metrics_arrive_with_their_kinds() {
    let (collector, url) = Collector::start(&[]).await;
    let read_out = || {
        let family = |name: &'static str, kind, value| Family {
            name: name.into(),
            help: "What it means.".into(),
            unit: "s",
            kind,
            points: vec![Point { labels: vec![("kind", "a".into())], value }],
        };
        let buckets = Buckets { bounds: vec![0.1, 1.0], counts: vec![1, 2, 3], sum: 9.5 };
        Reading {
            since_ns: 5,
            at_ns: 7,
            families: vec![
                family("sent", FamilyKind::Counter, Value::Whole(42)),
                family("load", FamilyKind::Gauge, Value::Float(0.5)),
                family("time", FamilyKind::Histogram, Value::Buckets(buckets)),
            ],
        }
    };
    Box::pin(export(&url, Vec::new(), Some(Box::new(read_out)))).await;
    let posted = collector.posted();
    assert_eq!(posted.len(), 1);
    assert!(posted[0].head.starts_with("post /base/v1/metrics "));
    let export = ExportMetricsServiceRequest::decode(posted[0].body.as_slice()).unwrap();
    let metrics = &export.resource_metrics[0].scope_metrics[0].metrics;
    assert_eq!(metrics[0].unit, "s");
    assert_eq!(metrics[0].description, "What it means.");
    let Some(metric::Data::Sum(sum)) = &metrics[0].data else { panic!("no sum") };
    assert!(sum.is_monotonic && sum.aggregation_temporality == 2);
    let point = &sum.data_points[0];
    assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (5, 7));
    assert_eq!(point.value, Some(number_data_point::Value::AsInt(42)));
    assert_eq!(text(&point.attributes, "kind"), "a");
    let Some(metric::Data::Gauge(gauge)) = &metrics[1].data else { panic!("no gauge") };
    assert_eq!(gauge.data_points[0].value, Some(number_data_point::Value::AsDouble(0.5)));
    let Some(metric::Data::Histogram(times)) = &metrics[2].data else { panic!("no histogram") };
    let point = &times.data_points[0];
    assert_eq!((point.count, point.sum), (6, Some(9.5)));
    assert_eq!(point.bucket_counts, [1, 2, 3]);
    assert_eq!(point.explicit_bounds, [0.1, 1.0]);
    assert_eq!(text(&point.attributes, "kind"), "a");
}

/// Exports metrics at an interval; returns where they arrive.
#[expect(clippy::disallowed_methods, reason = "it ends with its test")]
async fn metrics_every(every: Duration) -> (Collector, Exporter) {
    let (collector, url) = Collector::start(&[]).await;
    let settings = Settings { metrics_interval: Some(every), ..settings(&url) };
    let (exporter, worker) = Exporter::new(settings, Masker::standard());
    let worker = worker.reading(Box::new(|| Reading { since_ns: 5, at_ns: 7, families: vec![] }));
    drop(tokio::task::spawn(worker.run()));
    (collector, exporter)
}

#[tokio::test]
async fn metrics_come_at_the_interval_that_is_set() {
    let begun = Instant::now();
    let (often, seldom) = (Duration::from_millis(200), Duration::from_secs(1));
    let (quick, _quick) = metrics_every(often).await;
    let (slow, _slow) = metrics_every(seldom).await;
    let two = async {
        for count in 1..=2 {
            while slow.posted().len() < count {
                sleep(Duration::from_millis(1)).await;
            }
            assert!(begun.elapsed() >= seldom * u32::try_from(count).unwrap(), "too early");
        }
    };
    timeout(Duration::from_secs(10), two).await.unwrap();
    let (count, passed) = (quick.posted().len(), begun.elapsed());
    assert!(often * u32::try_from(count).unwrap() <= passed, "{count} in {passed:?}");
    // A busy machine delays an export; it does not halve their number.
    assert!(count >= 5, "{count} in {passed:?}");
    assert!(quick.posted().iter().all(|one| one.head.starts_with("post /base/v1/metrics ")));
}
