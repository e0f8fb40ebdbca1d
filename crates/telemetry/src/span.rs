//! One piece of work with its times and attributes.
//!
//! Names and attributes follow OpenTelemetry's semantic conventions where there are any, else
//! they begin with `palisade.`.

use crate::context::Place;

/// A finished piece of work.
#[derive(Debug, Clone)]
pub struct Span {
    /// Its own place.
    pub place: Place,
    /// The span that it is a part of.
    pub parent: Option<Place>,
    /// What is done, such as `send`.
    pub name: &'static str,
    /// To what it is done, such as the agent that is sent to; follows the name.
    pub of: Option<String>,
    /// Which part the process has in it.
    pub kind: Kind,
    /// Nanoseconds since 1970 at its begin.
    pub start_ns: u64,
    /// Nanoseconds since 1970 at its end.
    pub end_ns: u64,
    /// What is known about it.
    pub attributes: Vec<Attribute>,
    /// How it ended.
    pub status: Status,
    /// Other spans that it has to do with.
    pub links: Vec<Place>,
}

impl Span {
    /// Makes a span without attributes that says nothing about its outcome.
    #[must_use]
    pub const fn new(place: Place, name: &'static str, kind: Kind, times: (u64, u64)) -> Self {
        let (start_ns, end_ns) = times;
        Self {
            place,
            parent: None,
            name,
            of: None,
            kind,
            start_ns,
            end_ns,
            attributes: Vec::new(),
            status: Status::Unset,
            links: Vec::new(),
        }
    }
}

/// Which part a process has in a piece of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It is done within the process.
    Internal,
    /// It answers somebody's request.
    Server,
    /// It asks somebody.
    Client,
    /// It begins something that goes on later.
    Producer,
    /// It goes on with what somebody began.
    Consumer,
}

/// How a piece of work ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Nothing is said; the work is done.
    Unset,
    /// It failed.
    Failed,
}

/// Says one thing about a span.
#[derive(Debug, Clone, PartialEq)]
pub struct Attribute {
    /// The name, as OpenTelemetry's conventions have it.
    pub key: &'static str,
    /// The value.
    pub value: AttributeValue,
}

/// What an attribute says.
#[derive(Debug, Clone, PartialEq)]
pub enum AttributeValue {
    /// A text of the program's own.
    Fixed(&'static str),
    /// An id that the gate made: it says nothing.
    Id(String),
    /// A text from outside: it is masked before it leaves the process.
    Text(String),
    /// A number.
    Number(i64),
    /// A fact.
    Fact(bool),
}

impl Attribute {
    /// Says a text of the program's own.
    #[must_use]
    pub const fn fixed(key: &'static str, text: &'static str) -> Self {
        Self { key, value: AttributeValue::Fixed(text) }
    }

    /// Says an id that the gate made.
    #[must_use]
    pub fn id(key: &'static str, id: impl Into<String>) -> Self {
        Self { key, value: AttributeValue::Id(id.into()) }
    }

    /// Says a text from outside.
    #[must_use]
    pub fn text(key: &'static str, text: impl Into<String>) -> Self {
        Self { key, value: AttributeValue::Text(text.into()) }
    }

    /// Says a number; one beyond what OTLP holds is its largest.
    #[must_use]
    pub fn number(key: &'static str, number: impl TryInto<i64>) -> Self {
        Self { key, value: AttributeValue::Number(number.try_into().unwrap_or(i64::MAX)) }
    }

    /// Says whether something is so.
    #[must_use]
    pub const fn fact(key: &'static str, fact: bool) -> Self {
        Self { key, value: AttributeValue::Fact(fact) }
    }
}
