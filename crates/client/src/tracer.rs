//! Who makes spans of what a client does, where a program wants that.
//!
//! The client hands over names and outcomes, and carries on the trace that it gets; it makes no
//! span itself and knows no exporter. With the feature `telemetry` there is one in this library.

use std::fmt;
use std::sync::Arc;

use tonic::Code;

use crate::cause::Cause;
use crate::error::Error;
use crate::message::{Message, MessageId};
use crate::shared::Shared;
use crate::trace::TraceContext;

/// Makes spans of what a client does.
///
/// It is called on the tasks of the program and of the client, so it must neither wait nor take
/// long.
pub trait Tracer: Send + Sync + fmt::Debug {
    /// Begins a span; `parent` is the trace that led to it.
    fn begin(&self, work: &Work<'_>, parent: Option<&TraceContext>) -> Box<dyn Underway>;
}

/// A span that has begun.
pub trait Underway: Send + Sync + fmt::Debug {
    /// Returns the trace that goes on with the message, or with what it leads to; nothing if the
    /// trace ends here.
    fn trace(&self) -> Option<TraceContext>;

    /// Ends the span.
    fn end(self: Box<Self>, ending: Ending<'_>);
}

/// Says what is being done; never with the payload.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Work<'a> {
    /// What.
    pub operation: Operation,
    /// The own agent.
    pub agent: &'a str,
    /// The own instance.
    pub instance: &'a str,
    /// Where the gate is, as `host:port`.
    pub gate: &'a str,
    /// The gRPC method, as `package.Service/Method`, of what is a call by itself; what goes by the
    /// native session is none.
    pub method: Option<&'static str>,
    /// The other agent: the one that is sent to, or that has sent. Empty for a reply, which goes
    /// to whoever asked, and for what is about no message.
    pub other: &'a str,
    /// The message's type; empty for what is about no message.
    pub message_type: &'a str,
    /// The message's id, of one that was received or is asked about.
    pub message_id: Option<&'a str>,
    /// What ties a request and its reply together, where it is known.
    pub correlation_id: Option<&'a str>,
    /// The size of a payload that is sent, in bytes.
    pub bytes: Option<usize>,
}

/// Names what a client can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Operation {
    /// Sends or publishes it; ends when the gate has it on disk.
    Send,
    /// Sends a request; ends with its reply.
    Request,
    /// Answers a request; ends when the gate has it on disk.
    Reply,
    /// Hands it to the program; ends with the program's answer to the gate.
    Process,
    /// Asks what became of a message.
    Status,
    /// Lists connected agents.
    Discover,
    /// Reads the agent's state.
    ReadState,
    /// Sets fields of it.
    UpdateState,
    /// Deletes it.
    ResetState,
}

impl Operation {
    /// Every operation, in the order of their declaration.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 9] = [
        Self::Send,
        Self::Request,
        Self::Reply,
        Self::Process,
        Self::Status,
        Self::Discover,
        Self::ReadState,
        Self::UpdateState,
        Self::ResetState,
    ];

    /// Tells whether it sends, answers or handles a message.
    pub(crate) const fn is_message(self) -> bool {
        matches!(self, Self::Send | Self::Request | Self::Reply | Self::Process)
    }

    /// Returns the method of a unary call for it; to handle a message there is none.
    pub(crate) const fn method(self) -> Option<&'static str> {
        Some(match self {
            Self::Send => "mas.runtime.v1.RuntimeService/Send",
            Self::Request => "mas.runtime.v1.RuntimeService/Request",
            Self::Reply => "mas.runtime.v1.RuntimeService/Reply",
            Self::Process => return None,
            Self::Status => "palisade.bus.v1.BusService/MessageStatus",
            Self::Discover => "mas.runtime.v1.RuntimeService/Discover",
            Self::ReadState => "mas.runtime.v1.RuntimeService/GetState",
            Self::UpdateState => "mas.runtime.v1.RuntimeService/UpdateState",
            Self::ResetState => "mas.runtime.v1.RuntimeService/ResetState",
        })
    }
}

/// Says how a span ends.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Ending<'a> {
    /// It is done; with the id that the gate gave the message, of one that was sent.
    Done(Option<&'a str>),
    /// It failed.
    Failed {
        /// The stable code, as [`Error::code`] has it.
        code: &'a str,
        /// The status of the call, or the one that a call would have; nothing if a handler failed.
        status: Option<Code>,
    },
}

impl<'a> From<&'a Error> for Ending<'a> {
    fn from(error: &'a Error) -> Self {
        Self::Failed { code: error.code(), status: Some(error.status()) }
    }
}

/// A span of a message under way, or nothing where nobody traces.
#[derive(Debug, Default)]
pub(crate) struct Tracing(Option<Box<dyn Underway>>);

impl Tracing {
    /// Ends the span of a message that was sent.
    pub(crate) fn sent(self, outcome: Result<&MessageId, &Error>) {
        match outcome {
            Ok(id) => self.end(Ending::Done(Some(id.as_str()))),
            Err(error) => self.end(error.into()),
        }
    }

    /// Tells whether somebody traces.
    pub(crate) const fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Ends the span of what has no id.
    pub(crate) fn ended<T>(self, outcome: &Result<T, Error>) {
        match outcome {
            Ok(_) => self.end(Ending::Done(None)),
            Err(error) => self.end(error.into()),
        }
    }

    pub(crate) fn end(mut self, ending: Ending<'_>) {
        if let Some(underway) = self.0.take() {
            underway.end(ending);
        }
    }
}

impl Drop for Tracing {
    /// Whoever waited for it went away.
    fn drop(&mut self) {
        if let Some(underway) = self.0.take() {
            underway.end(Ending::Failed { code: "dropped", status: Some(Code::Cancelled) });
        }
    }
}

impl Shared {
    /// Begins the span of a message that is sent, and puts it into the trace that goes on.
    pub(crate) fn trace_sending(
        &self,
        operation: Operation,
        (other, message_type, bytes): (&str, &str, usize),
        cause: &mut Cause,
    ) -> Tracing {
        let work = Work { message_type, bytes: Some(bytes), ..self.work(operation, other) };
        self.begin(&work, &mut cause.trace)
    }

    /// Begins the span of a call that is about no message that is sent.
    pub(crate) fn trace_call(
        &self,
        operation: Operation,
        message_id: Option<&str>,
        cause: &mut Cause,
    ) -> Tracing {
        let work = Work { message_id, ..self.work(operation, "") };
        self.begin(&work, &mut cause.trace)
    }

    /// Begins the span of a message that the program gets.
    pub(crate) fn trace_processing(&self, message: &mut Message) -> Tracing {
        let mut trace = message.trace.take();
        let work = Work {
            message_type: &message.message_type,
            message_id: Some(message.message_id.as_str()),
            correlation_id: message.correlation_id.as_deref(),
            ..self.work(Operation::Process, &message.sender_id)
        };
        let tracing = self.begin(&work, &mut trace);
        message.trace = trace;
        tracing
    }

    fn work<'a>(&'a self, operation: Operation, other: &'a str) -> Work<'a> {
        // Messages are calls by themselves only where there is no native session.
        let is_call = !(operation.is_message() && self.has_outbox());
        Work {
            operation,
            agent: self.agent(),
            instance: &self.instance,
            gate: self.dialer.addr(),
            method: operation.method().filter(|_| is_call),
            other,
            message_type: "",
            message_id: None,
            correlation_id: None,
            bytes: None,
        }
    }

    fn begin(&self, work: &Work<'_>, trace: &mut Option<Arc<TraceContext>>) -> Tracing {
        let Some(tracer) = &self.tracer else { return Tracing::default() };
        let underway = tracer.begin(work, trace.as_deref());
        *trace = underway.trace().map(Arc::new);
        Tracing(Some(underway))
    }
}

#[cfg(test)]
mod tests {
    use super::Operation as O;

    #[test]
    fn each_method_is_one_of_the_contracts() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../proto");
        let read = |file: &str| std::fs::read_to_string(format!("{root}/{file}")).unwrap();
        let contracts = [
            ("mas.runtime.v1.RuntimeService/", read("mas/runtime/v1/runtime.proto")),
            ("palisade.bus.v1.BusService/", read("palisade/bus/v1/bus.proto")),
        ];
        for operation in O::ALL {
            let method = operation.method();
            assert_eq!(method.is_none(), operation == O::Process, "{operation:?}");
            let Some(method) = method else { continue };
            let is_there = contracts.iter().any(|(service, contract)| {
                let name = method.strip_prefix(service);
                name.is_some_and(|name| contract.contains(&format!("rpc {name}(")))
            });
            assert!(is_there, "{method}");
        }
    }
}
