//! What a door hands to the pipeline, and what it gets back.
//!
//! Texts are still as the caller wrote them: the validate stage parses them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{CorrelationId, MessageId, Principal, Refusal, TraceContext};
use crate::delivery::{Session, Wanted};
use crate::limits::RateLimits;
use crate::overview::Outlook;
use crate::ports::{DeadLetter, MessageView};
use crate::way::Way;

/// Who a door says is calling.
#[derive(Debug, Clone)]
pub enum Caller {
    /// The credential held.
    Verified(Principal),
    /// The credential did not hold; the pipeline refuses and records it.
    Rejected(Rejection),
}

/// Why a credential did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// A stable code, such as `invalid_spiffe_san`.
    pub code: &'static str,
    /// A sentence for a person.
    pub reason: String,
}

/// One request of one caller.
#[derive(Debug, Clone)]
pub struct Call {
    /// Who asks.
    pub caller: Caller,
    /// Where from, as text; empty if unknown.
    pub peer: String,
    /// The caller's trace, if any.
    pub trace: TraceContext,
    /// What is asked.
    pub action: Action,
}

/// Messages of one caller that are decided together, each by itself.
#[derive(Debug, Clone)]
pub struct Publish {
    /// Who sends.
    pub caller: Caller,
    /// Where from, as text; empty if unknown.
    pub peer: String,
    /// The messages, in their order.
    pub items: Vec<Item>,
}

/// One of the messages that are decided together.
#[derive(Debug, Clone)]
pub struct Item {
    /// A send, a request or a reply; or what a door could not make one of.
    pub action: Action,
    /// The caller's trace, if any.
    pub trace: TraceContext,
    /// By which a retry is known; empty if it should make another message.
    pub key: String,
    /// How long the message is kept for its target, if not as long as others.
    pub ttl: Option<Duration>,
    /// What the sender's session is told about the message.
    pub wanted: Wanted,
}

/// What a session is there to receive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Intake {
    /// The agent's messages, and replies to this instance.
    #[default]
    Everything,
    /// Only replies to this instance: for one that sends or asks and leaves the agent's messages
    /// to others.
    Replies,
}

/// The first event of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hello {
    /// The stream ended without an event.
    Missing,
    /// The first event was another one.
    Unexpected,
    /// A hello that names this instance, and what it is there for.
    Instance(String, Intake),
}

/// A message as its sender wrote it.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// The sender's instance; it must have a live session.
    pub instance: String,
    /// Free text by which receivers choose a handler.
    pub message_type: String,
    /// The payload, JSON text.
    pub payload: String,
    /// How many messages led to this one, in digits; none if absent. A reply need not say it.
    pub hops: Option<String>,
}

/// What can be asked of the gate.
#[derive(Debug, Clone)]
pub enum Action {
    /// Makes a connection; only doors ask for it, and only to have a failed one recorded.
    Connect,
    /// Sends something that the wire refuses to read because it is too large.
    Oversize,
    /// Sends something that is no message of the contract.
    Malformed,
    /// Asks for what a door has no room or time for; doors hand it in to have it recorded.
    Refused(Refusal),
    /// Opens a session.
    Open(Hello),
    /// Sends a one-way message.
    Send {
        /// To whom.
        target: String,
        /// What.
        message: Outgoing,
    },
    /// Sends a message that expects a reply.
    Request {
        /// To whom.
        target: String,
        /// What.
        message: Outgoing,
        /// How long the asker waits; the default if absent.
        timeout: Option<Duration>,
    },
    /// Answers a request.
    Reply {
        /// The request's correlation.
        correlation: String,
        /// What.
        message: Outgoing,
    },
    /// Lists connected agents that the caller may message.
    Discover {
        /// Any of these capabilities; all agents if empty.
        capabilities: Vec<String>,
    },
    /// Reads the caller's state.
    ReadState,
    /// Sets fields of the caller's state.
    UpdateState {
        /// Field to value.
        updates: BTreeMap<String, String>,
    },
    /// Deletes the caller's state.
    ResetState,
    /// Asks what became of a message.
    MessageStatus {
        /// The message's id.
        message: String,
    },
    /// Registers the key to which fields for the caller are encrypted.
    RegisterKey {
        /// X25519 public key, base64url.
        key: String,
    },
    /// Administers the gate.
    Administer(AdminCommand),
}

impl Action {
    /// Returns the event type that records of this action carry.
    #[must_use]
    pub const fn event_type(&self) -> &'static str {
        match self {
            Self::Connect => "authentication",
            Self::Oversize => "request.oversize",
            Self::Malformed => "request.malformed",
            Self::Refused(Refusal::ConnectionCut { .. }) => "connection.closed",
            Self::Refused(_) => "request.refused",
            Self::Open(_) => "session.open",
            Self::Send { .. } => "message.send",
            Self::Request { .. } => "message.request",
            Self::Reply { .. } => "message.reply",
            Self::Discover { .. } => "discover",
            Self::ReadState => "state.read",
            Self::UpdateState { .. } => "state.update",
            Self::ResetState => "state.reset",
            Self::MessageStatus { .. } => "message.status",
            Self::RegisterKey { .. } => "key.register",
            Self::Administer(command) => command.event_type(),
        }
    }
}

/// What an operator can ask.
#[derive(Debug, Clone)]
pub enum AdminCommand {
    /// Asks for something that makes no sense; refused like any malformed field.
    Malformed {
        /// Which field.
        field: &'static str,
        /// A sentence for a person.
        reason: &'static str,
    },
    /// Lists registered agents.
    ListAgents,
    /// Changes an access rule.
    ChangePolicy(Vec<policy::Change>),
    /// Sets or clears an agent's own limits.
    SetLimits {
        /// Whose.
        agent: String,
        /// The limits; absent clears them.
        limits: Option<RateLimits>,
    },
    /// Lists dead letters, oldest first.
    ListDeadLetters {
        /// Behind this message; from the oldest if empty.
        after: String,
        /// At most this many.
        count: usize,
        /// Only those to this agent; all if empty.
        target: String,
    },
    /// Returns a dead letter with its payload.
    ShowDeadLetter(String),
    /// Puts a dead letter back into its queue.
    ReplayDeadLetter(String),
    /// Deletes a dead letter.
    DropDeadLetter(String),
    /// Looks on for a while.
    Overview,
    /// Asks for the way of a message.
    TraceMessage {
        /// The message's id, or that of a refused call.
        message: String,
        /// How many records are searched; a usual number if zero.
        records_max: u64,
    },
}

impl AdminCommand {
    /// Returns the event type that records of this command carry.
    #[must_use]
    pub const fn event_type(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "admin.malformed",
            Self::ListAgents => "admin.list_agents",
            Self::ChangePolicy(_) => "policy.changed",
            Self::SetLimits { .. } => "policy.limits_changed",
            Self::ListDeadLetters { .. } => "admin.list_dead_letters",
            Self::ShowDeadLetter(_) => "admin.show_dead_letter",
            Self::ReplayDeadLetter(_) => "admin.replay_dead_letter",
            Self::DropDeadLetter(_) => "admin.drop_dead_letter",
            Self::Overview => "admin.overview",
            Self::TraceMessage { .. } => "admin.trace_message",
        }
    }
}

/// An agent as others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentView {
    /// The agent's id.
    pub agent: String,
    /// What it says it can do.
    pub capabilities: Vec<String>,
    /// Configured metadata, the text of a JSON object.
    pub metadata_json: String,
    /// Its connected instances.
    pub instances: Vec<String>,
}

/// What an accepted call is answered with.
#[derive(Debug)]
pub enum Answer {
    /// The session is open.
    Opened(Session),
    /// The message is durable.
    Accepted {
        /// Its id.
        message: MessageId,
        /// The correlation of a request or reply.
        correlation: Option<CorrelationId>,
        /// Whether an earlier call with the same idempotency key made it.
        duplicate: bool,
    },
    /// Connected agents.
    Agents(Vec<AgentView>),
    /// The caller's state.
    State(BTreeMap<String, String>),
    /// What became of a message; nothing if it is not the caller's or forgotten.
    Status(Option<MessageView>),
    /// Done and durable.
    Done,
    /// The answer to an operator.
    Admin(AdminAnswer),
}

/// What an operator's command is answered with.
#[derive(Debug)]
pub enum AdminAnswer {
    /// Registered agents with rules and limits.
    Agents(Vec<crate::registry::AgentStatus>),
    /// Whether a policy change changed anything; the revision in force.
    Policy {
        /// False when the rules already were as asked.
        changed: bool,
        /// The revision in force now.
        revision: String,
    },
    /// A page of dead letters.
    DeadLetters(Vec<DeadLetter>),
    /// One dead letter and its envelope.
    DeadLetter(Box<DeadLetter>, String),
    /// The permission to look on.
    Overview(Outlook),
    /// The way of a message.
    Way(Box<Way>),
    /// Done and durable.
    Done,
}
