//! What is asked of a policy: who, what, on what, and under which circumstances.
//!
//! Everything here is verified by whoever asks; the policy trusts it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::{Action, Kind};

/// One question to the policy.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Who asks.
    pub principal: Principal<'a>,
    /// What it wants to do.
    pub action: Action,
    /// On what.
    pub resource: Resource<'a>,
    /// Under which circumstances.
    pub context: Context<'a>,
}

impl<'a> Request<'a> {
    /// Asks whether an agent may do something to another one, under no special circumstances.
    #[must_use]
    pub fn between(sender: &'a str, action: Action, target: &'a str) -> Self {
        Self {
            principal: Principal::agent(sender),
            action,
            resource: Resource { kind: Kind::Agent, id: target },
            context: Context::default(),
        }
    }
}

/// Who asks, as a credential proves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Principal<'a> {
    /// An agent, a user or a service account; nothing is granted to other kinds.
    pub kind: Kind,
    /// Its name.
    pub id: &'a str,
    /// The SPIFFE ID of its certificate; empty without one.
    pub spiffe_id: &'a str,
    /// The claims of its token, if it has one.
    pub claims: Option<&'a Claims>,
}

impl<'a> Principal<'a> {
    /// Returns an agent of which only the name is known.
    #[must_use]
    pub const fn agent(id: &'a str) -> Self {
        Self { kind: Kind::Agent, id, spiffe_id: "", claims: None }
    }
}

/// What a verified token says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Claims {
    workspace_id: Option<String>,
    capabilities: Option<BTreeSet<String>>,
    others: BTreeMap<String, BTreeSet<String>>,
}

impl Claims {
    /// Takes the claims of a verified token: the workspace that it is for, what it is limited to,
    /// and all other claims that rules may name, each with its values.
    ///
    /// Without capabilities it limits nothing; with an empty set it allows nothing.
    #[must_use]
    pub const fn new(
        workspace_id: Option<String>,
        capabilities: Option<BTreeSet<String>>,
        others: BTreeMap<String, BTreeSet<String>>,
    ) -> Self {
        Self { workspace_id, capabilities, others }
    }

    /// Returns the workspace that the token is for.
    #[must_use]
    pub fn workspace_id(&self) -> Option<&str> {
        self.workspace_id.as_deref()
    }

    /// Returns what the token is limited to, such as `neuralbus.read:orders.*`.
    #[must_use]
    pub const fn capabilities(&self) -> Option<&BTreeSet<String>> {
        self.capabilities.as_ref()
    }

    /// Returns all other claims.
    #[must_use]
    pub const fn others(&self) -> &BTreeMap<String, BTreeSet<String>> {
        &self.others
    }
}

/// On what something is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resource<'a> {
    /// What kind of thing it is.
    pub kind: Kind,
    /// Its name.
    pub id: &'a str,
}

/// The circumstances of a request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Context<'a> {
    /// The type of the message; empty if there is none.
    pub message_type: &'a str,
    /// The size of the payload.
    pub payload_bytes: u64,
    /// The tags and classification labels of the message.
    pub labels: &'a [&'a str],
    /// The domain that the message is about; empty if it has none.
    pub domain: &'a str,
    /// What is asked of the target; empty if that is not said.
    pub skill: &'a str,
    /// The time, in seconds of the Unix epoch.
    pub now: i64,
    /// From which address the request comes, where that is known.
    pub source: Option<IpAddr>,
    /// How the principal has proved who it is.
    pub authentication: Authentication,
    /// How many others have passed the request on.
    pub delegation_depth: u32,
    /// Who has approved it.
    pub approved_by: &'a [&'a str],
}

/// How a principal has proved who it is, from weak to strong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Authentication {
    /// Not at all.
    #[default]
    None,
    /// By a token that whoever holds it can use.
    Bearer,
    /// By a token that is bound to a key.
    Bound,
    /// By a client certificate.
    Mtls,
}

impl Authentication {
    /// Every strength, from weak to strong.
    pub const ALL: [Self; 4] = [Self::None, Self::Bearer, Self::Bound, Self::Mtls];

    /// Returns the word for it in a policy.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Bearer => "bearer",
            Self::Bound => "bound",
            Self::Mtls => "mtls",
        }
    }

    /// Returns the rank of the strength, from 0.
    #[must_use]
    pub const fn rank(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Bearer => 1,
            Self::Bound => 2,
            Self::Mtls => 3,
        }
    }
}
