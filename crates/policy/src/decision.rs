//! What is asked of the policy and what it answers, with the rule that decided.
//!
//! A denial is an answer, not an error; nothing here fails.

use std::fmt;

use crate::{Kind, Request, Ruling};

/// What a principal wants to do with a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Sends a message that expects no answer.
    Send,
    /// Sends a message that expects a reply.
    Request,
    /// Answers a request.
    Reply,
    /// Learns that the target exists.
    Discover,
    /// Reads what a resource holds.
    Read,
    /// Changes what a resource holds.
    Write,
    /// Is told of changes or messages as they come.
    Subscribe,
    /// Tells all subscribers.
    Publish,
    /// Puts something to a vote.
    Propose,
    /// Votes.
    Vote,
    /// Searches, computes or calls.
    Query,
    /// Changes how a resource is run.
    Administer,
}

impl Action {
    /// Every action, in the order of their declaration.
    pub const ALL: [Self; 12] = [
        Self::Send,
        Self::Request,
        Self::Reply,
        Self::Discover,
        Self::Read,
        Self::Write,
        Self::Subscribe,
        Self::Publish,
        Self::Propose,
        Self::Vote,
        Self::Query,
        Self::Administer,
    ];

    /// The actions between agents, which ACL sets and roles of the rule book are about.
    pub const MESSAGING: [Self; 4] = [Self::Send, Self::Request, Self::Reply, Self::Discover];

    /// Returns the word that stands for the action in rules and permission patterns.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Request => "request",
            Self::Reply => "reply",
            Self::Discover => "discover",
            Self::Read => "read",
            Self::Write => "write",
            Self::Subscribe => "subscribe",
            Self::Publish => "publish",
            Self::Propose => "propose",
            Self::Vote => "vote",
            Self::Query => "query",
            Self::Administer => "administer",
        }
    }

    /// Returns the actions whose permission in a role of the rule book allows this one.
    ///
    /// Whoever may send to a target may also ask it, answer it and know of it.
    pub(crate) const fn granted_by(self) -> &'static [Self] {
        match self {
            Self::Send => &[Self::Send],
            Self::Request => &[Self::Send, Self::Request],
            Self::Reply => &[Self::Send, Self::Reply],
            Self::Discover => &[Self::Send, Self::Discover],
            Self::Read
            | Self::Write
            | Self::Subscribe
            | Self::Publish
            | Self::Propose
            | Self::Vote
            | Self::Query
            | Self::Administer => &[],
        }
    }

    /// Returns whether it hands a message to an agent that did not ask for it.
    pub(crate) const fn is_asking(self) -> bool {
        matches!(self, Self::Send | Self::Request)
    }

    /// Returns the kinds of resources that the action can be done with.
    #[must_use]
    pub const fn resources(self) -> &'static [Kind] {
        match self {
            Self::Send | Self::Reply | Self::Discover => &[Kind::Agent],
            Self::Request => &[Kind::Agent, Kind::Tool, Kind::Udf],
            Self::Read | Self::Write => &[Kind::Table],
            Self::Subscribe | Self::Publish => &[Kind::Channel, Kind::MessageType, Kind::Table],
            Self::Propose | Self::Vote => &[Kind::Channel, Kind::Workspace],
            Self::Query => &[Kind::EmbeddingSpace, Kind::Table, Kind::Tool, Kind::Udf],
            Self::Administer => &[
                Kind::Agent,
                Kind::Workspace,
                Kind::Channel,
                Kind::Table,
                Kind::Tool,
                Kind::EmbeddingSpace,
                Kind::Udf,
            ],
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The answer of the policy, with what decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision<'a> {
    /// The sender may do it.
    Allowed {
        /// The rule that allows it.
        by: Reason<'a>,
    },
    /// The sender may not do it.
    Denied {
        /// The rule that forbids it, or that there is none.
        by: Reason<'a>,
    },
}

impl<'a> Decision<'a> {
    /// Returns whether the sender may do it.
    #[must_use]
    pub const fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed { .. })
    }

    /// Returns what decided.
    #[must_use]
    pub const fn by(&self) -> Reason<'a> {
        match self {
            Self::Allowed { by } | Self::Denied { by } => *by,
        }
    }
}

/// The rule behind a decision; it borrows, and becomes text only when displayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason<'a> {
    /// The sender's allow list has the entry.
    AllowList {
        /// Whose list it is.
        agent: &'a str,
        /// The entry: the target, or `*`.
        entry: &'a str,
    },
    /// A role of the sender grants it.
    Role {
        /// The role's name.
        role: &'a str,
        /// The permission pattern that matched.
        permission: &'a str,
    },
    /// The sender's block list has the entry.
    BlockList {
        /// Whose list it is.
        agent: &'a str,
        /// The entry: the target, or `*`.
        entry: &'a str,
    },
    /// Rules of the policy files allow or deny it.
    Rules(Ruling<'a>),
    /// A rule of the policy files could not be computed, so nothing is allowed.
    Failed(Ruling<'a>),
    /// Only the agent itself may change what is in its namespace.
    Namespace {
        /// Who asked.
        principal: &'a str,
        /// The table that it wanted to change.
        table: &'a str,
    },
    /// The credential does not carry the capability.
    Capability {
        /// Who asked.
        principal: &'a str,
        /// What for.
        action: Action,
        /// At what it was aimed.
        resource: &'a str,
    },
    /// Principal and resource are not in the same workspace, and no rule lets it cross.
    Workspace {
        /// Who asked.
        principal: &'a str,
        /// At what it was aimed.
        resource: &'a str,
    },
    /// The target does not take such messages.
    Undeclared {
        /// The target.
        target: &'a str,
        /// What it has not declared: `message type`, `domain` or `skill`.
        what: &'static str,
    },
    /// Nothing allows it.
    NoRule {
        /// Who asked.
        sender: &'a str,
        /// What for.
        action: Action,
        /// At whom it was aimed.
        target: &'a str,
    },
}

impl<'a> Reason<'a> {
    /// Returns the stable name of the kind of reason, as records carry it for a denial.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::BlockList { .. } => "blocked",
            Self::AllowList { .. } | Self::Role { .. } | Self::NoRule { .. } => "denied",
            Self::Rules(_) => "denied_by_rule",
            Self::Failed(_) => "policy_failed",
            Self::Namespace { .. } => "namespace",
            Self::Capability { .. } => "capability",
            Self::Workspace { .. } => "workspace",
            Self::Undeclared { .. } => "undeclared",
        }
    }

    pub(crate) const fn no_rule(request: &Request<'a>) -> Self {
        Self::NoRule {
            sender: request.principal.id,
            action: request.action,
            target: request.resource.id,
        }
    }
}

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AllowList { agent, entry } => write!(f, "allow list of {agent} has {entry}"),
            Self::Role { role, permission } => write!(f, "role {role} grants {permission}"),
            Self::BlockList { agent, entry } => write!(f, "block list of {agent} has {entry}"),
            Self::Rules(ruling) => write!(f, "{ruling}"),
            Self::Failed(ruling) => {
                ruling.write_names(f)?;
                f.write_str(" could not be computed")
            }
            Self::Namespace { principal, table } => {
                write!(f, "{principal} may change agents.state.{principal}.* and not {table}")
            }
            Self::Capability { principal, action, resource } => {
                write!(f, "the credential of {principal} has no capability to {action} {resource}")
            }
            Self::Workspace { principal, resource } => {
                write!(f, "no rule lets {principal} reach {resource} across workspaces")
            }
            Self::Undeclared { target, what } => {
                write!(f, "{target} does not declare the {what}")
            }
            Self::NoRule { sender, action, target } => {
                let preposition = match action {
                    Action::Send | Action::Reply | Action::Publish | Action::Subscribe => " to",
                    Action::Propose | Action::Vote => " in",
                    Action::Request
                    | Action::Discover
                    | Action::Read
                    | Action::Write
                    | Action::Query
                    | Action::Administer => "",
                };
                write!(f, "no rule allows {sender} to {action}{preposition} {target}")
            }
        }
    }
}
