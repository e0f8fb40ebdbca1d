//! Traces and metrics in OpenTelemetry's form, exported over OTLP/HTTP.
//!
//! It knows nothing of gates and clients: they hand over finished spans and read-outs of their
//! counters. Nothing here can hold a message up: what does not fit into the queue is dropped and
//! counted, and all work but the sampling decision is done by the exporter's own task.
//!
//! | module | holds |
//! |---|---|
//! | `settings` | what an operator sets, checked |
//! | `context` | the place in a trace that W3C Trace Context carries |
//! | `sampler` | which traces are kept |
//! | `span` | one piece of work with its times and attributes |
//! | `rpc` | what the conventions say of a call over gRPC |
//! | `mask` | what is taken out of free text before it leaves the process |
//! | `metric` | counters, gauges and histograms as they are read out |
//! | `exporter` | the bounded queue, batches, repeated attempts, the end |
//! | `post` | HTTP requests to the collector, on connections that are kept |
//! | `otlp` | the messages of OTLP, written after their published field numbers |

mod context;
mod exporter;
mod mask;
mod metric;
mod otlp;
mod post;
pub mod rpc;
mod sampler;
mod settings;
mod span;

pub use context::Place;
pub use exporter::{Exporter, ReadOut, Source, Worker};
pub use mask::Masker;
pub use metric::{Buckets, Family, FamilyKind, Point, Reading, Value};
pub use sampler::Sampler;
pub use settings::{Endpoint, Headers, Settings, SettingsError};
pub use span::{Attribute, AttributeValue, Kind, Span, Status};
