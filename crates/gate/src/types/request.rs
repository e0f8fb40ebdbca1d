//! A call whose texts are parsed: what the stages behind validation work with.

use std::collections::BTreeMap;
use std::time::Duration;

use inspect::Document;
use serde::{Deserialize, Serialize};

use super::{AdminCommand, AgentId, InstanceId, MessageId, MessageKind, Timestamp};
use crate::delivery::Reservation;
use crate::ports::Sent;

/// A valid request.
#[derive(Debug)]
pub(crate) enum Request {
    /// Open a session; the instance's place is held.
    Open(Reservation),
    /// Deliver a message.
    Message(Box<Message>),
    /// Tell once more what became of a message: the key made it before.
    Repeat(Sent),
    /// List agents with any of these capabilities.
    Discover(Vec<String>),
    /// Read the caller's state.
    ReadState,
    /// Set fields of the caller's state.
    UpdateState(BTreeMap<String, String>),
    /// Delete the caller's state.
    ResetState,
    /// Tell what became of a message; nothing can have become of a malformed id.
    MessageStatus(Option<MessageId>),
    /// Register the caller's public key.
    RegisterKey(String),
    /// Administer the gate.
    Administer(AdminCommand),
}

/// A valid message.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) sender: AgentId,
    pub(crate) instance: InstanceId,
    pub(crate) target: AgentId,
    pub(crate) message_type: String,
    pub(crate) kind: MessageKind,
    /// How many messages led to this one.
    pub(crate) hops: u32,
    pub(crate) document: Document,
    /// How long the asker of a request waits.
    pub(crate) timeout: Duration,
    /// The version of the open request that a reply uses up.
    pub(crate) answers: Option<u64>,
}

/// An open request as the store keeps it; the layout is that of the MAS server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Pending {
    /// Who asked.
    pub(crate) agent_id: AgentId,
    /// Which instance asked.
    pub(crate) instance_id: InstanceId,
    /// Who was asked.
    pub(crate) target_id: AgentId,
    /// Until when, in Unix seconds.
    pub(crate) expires_at: f64,
    /// How many messages led to the request; not known of one that an older version took.
    #[serde(default)]
    pub(crate) hops: u32,
}

impl Pending {
    /// Returns whether the time for a reply is over.
    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        Duration::from_micros(now.micros()).as_secs_f64() >= self.expires_at
    }
}
