//! Who is verified to be asking.

use super::{AgentId, Timestamp};

/// What kind of principal a credential speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PrincipalKind {
    /// An agent; its id came from the credential.
    Agent(AgentId),
    /// A person or program that administers the gate, by name.
    Operator(String),
}

/// A verified identity; made by a door from a credential, never from a field of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Whom the credential speaks for.
    pub kind: PrincipalKind,
    /// The full SPIFFE ID of the credential.
    pub spiffe_id: String,
    /// When the credential ends; a longer-lived connection does not outlive it.
    pub valid_until: Timestamp,
}

impl Principal {
    /// Returns the agent's id or the operator's name.
    #[must_use]
    pub fn name(&self) -> &str {
        match &self.kind {
            PrincipalKind::Agent(agent) => agent.as_str(),
            PrincipalKind::Operator(name) => name,
        }
    }

    /// Returns whether the credential speaks for an agent.
    #[must_use]
    pub const fn is_agent(&self) -> bool {
        matches!(self.kind, PrincipalKind::Agent(_))
    }
}
