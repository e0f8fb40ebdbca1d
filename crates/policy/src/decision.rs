//! What is asked of the policy and what it answers, with the rule that decided.
//!
//! A denial is an answer, not an error; nothing here fails.

use std::fmt;

/// What a sender wants to do with a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Sends a message that expects no answer.
    Send,
    /// Sends a message that expects a reply.
    Request,
    /// Answers a request.
    Reply,
    /// Learns that the target exists.
    Discover,
}

impl Action {
    /// Every action, in the order of their declaration.
    pub const ALL: [Self; 4] = [Self::Send, Self::Request, Self::Reply, Self::Discover];

    /// Returns the word that stands for the action in a permission pattern.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Request => "request",
            Self::Reply => "reply",
            Self::Discover => "discover",
        }
    }

    /// Returns the actions whose permission allows this one.
    ///
    /// Whoever may send to a target may also ask it, answer it and know of it.
    pub(crate) const fn granted_by(self) -> &'static [Self] {
        match self {
            Self::Send => &[Self::Send],
            Self::Request => &[Self::Send, Self::Request],
            Self::Reply => &[Self::Send, Self::Reply],
            Self::Discover => &[Self::Send, Self::Discover],
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

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AllowList { agent, entry } => write!(f, "allow list of {agent} has {entry}"),
            Self::Role { role, permission } => write!(f, "role {role} grants {permission}"),
            Self::BlockList { agent, entry } => write!(f, "block list of {agent} has {entry}"),
            Self::NoRule { sender, action, target } => {
                let preposition = match action {
                    Action::Send | Action::Reply => " to",
                    Action::Request | Action::Discover => "",
                };
                write!(f, "no rule allows {sender} to {action}{preposition} {target}")
            }
        }
    }
}
