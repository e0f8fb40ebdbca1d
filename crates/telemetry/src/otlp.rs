//! The messages of OTLP 1.x, as much of them as is sent, after their published field numbers.
//!
//! It only arranges; what may leave the process is decided by `mask`. Field numbers: the protocol
//! buffer definitions of `opentelemetry-proto`; a test reads what is written here with the code
//! generated from them.

use prost::Message;

mod metrics;
mod traces;

pub(crate) use metrics::metrics;
pub(crate) use traces::traces;

/// Says of which process the data is.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Resource {
    #[prost(message, repeated, tag = "1")]
    pub(crate) attributes: Vec<KeyValue>,
}

/// Says which part of a program made the data.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Scope {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, tag = "2")]
    pub(crate) version: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct KeyValue {
    #[prost(string, tag = "1")]
    pub(crate) key: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) value: Option<AnyValue>,
}

impl KeyValue {
    pub(crate) fn text(key: &str, text: impl Into<String>) -> Self {
        Self::new(key, Any::Text(text.into()))
    }

    pub(crate) fn new(key: &str, value: Any) -> Self {
        Self { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }) }
    }
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct AnyValue {
    #[prost(oneof = "Any", tags = "1, 2, 3")]
    pub(crate) value: Option<Any>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum Any {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(bool, tag = "2")]
    Fact(bool),
    #[prost(int64, tag = "3")]
    Number(i64),
}

/// The answer to either export: how much of it was not taken.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Answer {
    #[prost(message, optional, tag = "1")]
    partial: Option<Partial>,
}

#[derive(Clone, PartialEq, Message)]
struct Partial {
    #[prost(int64, tag = "1")]
    rejected: i64,
}

/// Returns how many spans or points the collector says it did not take.
pub(crate) fn rejected(answer: &[u8]) -> u64 {
    // An answer that cannot be read says nothing; the collector has said yes in its status.
    let partial = Answer::decode(answer).unwrap_or_default().partial;
    partial.and_then(|partial| u64::try_from(partial.rejected).ok()).unwrap_or(0)
}

/// Returns what the data of one process has in common.
pub(crate) fn resource(settings: &crate::Settings) -> Resource {
    let text = |key, text: &str| KeyValue::text(key, text);
    Resource {
        attributes: vec![
            text("service.name", &settings.service_name),
            text("service.namespace", &settings.service_namespace),
            text("service.instance.id", &settings.instance),
            text("service.version", settings.version),
            text("deployment.environment.name", &settings.environment),
            // The name that a MAS gateway gives it, which was the convention's before.
            text("deployment.environment", &settings.environment),
            text("telemetry.sdk.language", "rust"),
            text("telemetry.sdk.name", "palisade"),
            text("telemetry.sdk.version", settings.version),
        ],
    }
}

pub(crate) fn scope(settings: &crate::Settings) -> Scope {
    Scope { name: "palisade".to_owned(), version: settings.version.to_owned() }
}
