//! Spans as OTLP has them.

use prost::Message;

use super::{Any, KeyValue, Resource, Scope, resource, scope};
use crate::mask::Masker;
use crate::settings::Settings;
use crate::span::{Attribute, AttributeValue, Kind, Span, Status};

#[derive(Clone, PartialEq, Message)]
struct Export {
    #[prost(message, repeated, tag = "1")]
    resources: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scopes: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeSpans {
    #[prost(message, optional, tag = "1")]
    scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    spans: Vec<WireSpan>,
}

#[derive(Clone, PartialEq, Message)]
struct WireSpan {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(int32, tag = "6")]
    kind: i32,
    #[prost(fixed64, tag = "7")]
    start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    end_time_unix_nano: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
    #[prost(message, repeated, tag = "13")]
    links: Vec<Link>,
    #[prost(message, optional, tag = "15")]
    status: Option<WireStatus>,
    #[prost(fixed32, tag = "16")]
    flags: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Link {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct WireStatus {
    #[prost(int32, tag = "3")]
    code: i32,
}

/// Writes an `ExportTraceServiceRequest`; every text from outside passes the masker.
pub(crate) fn traces(spans: &[Span], settings: &Settings, masker: &Masker) -> Vec<u8> {
    let spans = spans.iter().map(|span| wire(span, masker)).collect();
    let scopes = vec![ScopeSpans { scope: Some(scope(settings)), spans }];
    let resources = vec![ResourceSpans { resource: Some(resource(settings)), scopes }];
    Export { resources }.encode_to_vec()
}

fn wire(span: &Span, masker: &Masker) -> WireSpan {
    let name = match &span.of {
        Some(of) => format!("{} {}", span.name, masker.mask(of)),
        None => span.name.to_owned(),
    };
    let link = |place: &crate::Place| Link {
        trace_id: place.trace_id().to_be_bytes().to_vec(),
        span_id: place.span_id().to_be_bytes().to_vec(),
    };
    let parent = span.parent.map(|parent| parent.span_id().to_be_bytes().to_vec());
    WireSpan {
        trace_id: span.place.trace_id().to_be_bytes().to_vec(),
        span_id: span.place.span_id().to_be_bytes().to_vec(),
        parent_span_id: parent.unwrap_or_default(),
        name,
        kind: match span.kind {
            Kind::Internal => 1,
            Kind::Server => 2,
            Kind::Client => 3,
            Kind::Producer => 4,
            Kind::Consumer => 5,
        },
        start_time_unix_nano: span.start_ns,
        // A clock that was set back in between gives no time below zero.
        end_time_unix_nano: span.end_ns.max(span.start_ns),
        attributes: span.attributes.iter().map(|one| attribute(one, masker)).collect(),
        links: span.links.iter().map(link).collect(),
        status: match span.status {
            Status::Unset => None,
            Status::Failed => Some(WireStatus { code: 2 }),
        },
        // W3C: sampled. What is not sampled is not exported.
        flags: 1,
    }
}

fn attribute(attribute: &Attribute, masker: &Masker) -> KeyValue {
    let value = match &attribute.value {
        AttributeValue::Fixed(text) => Any::Text((*text).to_owned()),
        AttributeValue::Id(text) => Any::Text(text.clone()),
        AttributeValue::Text(text) => Any::Text(masker.mask(text).into_owned()),
        AttributeValue::Number(number) => Any::Number(*number),
        AttributeValue::Fact(fact) => Any::Fact(*fact),
    };
    KeyValue::new(attribute.key, value)
}
