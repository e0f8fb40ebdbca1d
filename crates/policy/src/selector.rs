//! Whom or what a rule is about, as one text: `agent:planner`, `group:workers`, `table:orders.*`.

use std::fmt;

use crate::Pattern;
use crate::change::is_name;

/// What kind of thing is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// An agent; principal and resource.
    Agent,
    /// A person.
    User,
    /// A program that is no agent.
    ServiceAccount,
    /// A set of principals.
    Group,
    /// A set of rights that principals hold.
    Role,
    /// A partition of principals and resources.
    Workspace,
    /// The type of a message.
    MessageType,
    /// A channel that is published to and subscribed.
    Channel,
    /// A shared table.
    Table,
    /// A tool.
    Tool,
    /// A space of embeddings that can be queried.
    EmbeddingSpace,
    /// A user-defined function.
    Udf,
}

impl Kind {
    /// Every kind, in the order of their declaration.
    pub const ALL: [Self; 12] = [
        Self::Agent,
        Self::User,
        Self::ServiceAccount,
        Self::Group,
        Self::Role,
        Self::Workspace,
        Self::MessageType,
        Self::Channel,
        Self::Table,
        Self::Tool,
        Self::EmbeddingSpace,
        Self::Udf,
    ];

    /// Returns the word for the kind in a selector.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::User => "user",
            Self::ServiceAccount => "service_account",
            Self::Group => "group",
            Self::Role => "role",
            Self::Workspace => "workspace",
            Self::MessageType => "message_type",
            Self::Channel => "channel",
            Self::Table => "table",
            Self::Tool => "tool",
            Self::EmbeddingSpace => "embedding_space",
            Self::Udf => "udf",
        }
    }

    /// Returns whether something of this kind can ask.
    #[must_use]
    pub const fn is_principal(self) -> bool {
        matches!(self, Self::Agent | Self::User | Self::ServiceAccount)
    }

    /// Returns whether it is a set that the policy itself defines.
    #[must_use]
    pub const fn is_set(self) -> bool {
        matches!(self, Self::Group | Self::Role | Self::Workspace)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whom or what a rule is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Selector {
    /// Everybody, or everything: `*`.
    Any,
    /// Whoever has this name: `agent:planner`, `agent:worker-*`, `role:leader`.
    Named {
        /// The kind of thing.
        kind: Kind,
        /// Its name; only names of sets have no `*`.
        name: Pattern,
    },
    /// Whoever's certificate has this SPIFFE ID: `spiffe:spiffe://mas/agent/worker-*`.
    Spiffe(Pattern),
    /// Whoever's token has this claim: `claim:department=finance`.
    Claim {
        /// The name of the claim.
        name: Box<str>,
        /// Its value, or one of them.
        value: Pattern,
    },
}

/// Says why a text is no selector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSelector {
    /// There is no known word before the colon.
    #[error(
        "starts with no known word; write `agent:`, `user:`, `service_account:`, `group:`, \
         `role:`, `workspace:`, `spiffe:`, `claim:NAME=VALUE`, `message_type:`, `channel:`, \
         `table:`, `tool:`, `embedding_space:`, `udf:` or `*`"
    )]
    UnknownWord,
    /// The name cannot be one.
    #[error("has no name of 1 to 512 printing characters without a blank")]
    BadName,
    /// A set is named by a pattern.
    #[error("names a group, role or workspace by a pattern; name it in full")]
    PatternOfSets,
    /// A SPIFFE ID has another scheme.
    #[error("is no SPIFFE ID; write `spiffe:spiffe://TRUST-DOMAIN/PATH`")]
    NotSpiffe,
    /// A trust domain is a pattern: `spiffe://mas*` would also be `spiffe://mas.evil`.
    #[error("has no trust domain, or one with `*`; name it in full")]
    TrustDomain,
    /// A claim has no value.
    #[error("has no value; write `claim:NAME=VALUE`")]
    NoValue,
}

impl Selector {
    /// Reads a selector.
    ///
    /// # Errors
    /// Says why the text is none.
    pub fn parse(text: &str) -> Result<Self, BadSelector> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let (word, rest) = text.split_once(':').ok_or(BadSelector::UnknownWord)?;
        if !is_pattern(rest) {
            return Err(BadSelector::BadName);
        }
        match word {
            "spiffe" => {
                let id = rest.strip_prefix("spiffe://").ok_or(BadSelector::NotSpiffe)?;
                let domain = id.split('/').next().unwrap_or_default();
                if domain.is_empty() || domain.contains('*') {
                    return Err(BadSelector::TrustDomain);
                }
                Ok(Self::Spiffe(Pattern::new(rest)))
            }
            "claim" => {
                let (name, value) = rest.split_once('=').ok_or(BadSelector::NoValue)?;
                if !is_name(name) || value.is_empty() {
                    return Err(BadSelector::NoValue);
                }
                Ok(Self::Claim { name: name.into(), value: Pattern::new(value) })
            }
            _ => {
                let kind = Kind::ALL.into_iter().find(|kind| kind.as_str() == word);
                let kind = kind.ok_or(BadSelector::UnknownWord)?;
                if kind.is_set() && !is_name(rest) {
                    return Err(BadSelector::PatternOfSets);
                }
                Ok(Self::Named { kind, name: Pattern::new(rest) })
            }
        }
    }

    /// Returns whether it can stand where principals are named.
    #[must_use]
    pub const fn is_principal(&self) -> bool {
        match self {
            Self::Any | Self::Spiffe(_) | Self::Claim { .. } => true,
            Self::Named { kind, .. } => kind.is_principal() || kind.is_set(),
        }
    }

    /// Returns whether it can stand where resources are named.
    #[must_use]
    pub const fn is_resource(&self) -> bool {
        match self {
            Self::Any => true,
            Self::Spiffe(_) | Self::Claim { .. } => false,
            Self::Named { kind, .. } => !matches!(kind, Kind::User | Kind::ServiceAccount),
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Named { kind, name } => write!(f, "{kind}:{}", name.as_str()),
            Self::Spiffe(pattern) => write!(f, "spiffe:{}", pattern.as_str()),
            Self::Claim { name, value } => write!(f, "claim:{name}={}", value.as_str()),
        }
    }
}

/// Returns whether a text can be a name with `*`.
pub(crate) fn is_pattern(text: &str) -> bool {
    (1..=crate::pattern::PATTERN_BYTES_MAX).contains(&text.len())
        && !text.chars().any(|c| c.is_whitespace() || c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_is_read_and_written_alike_or_refused_with_the_reason() {
        for text in [
            "*",
            "agent:planner",
            "agent:worker-*",
            "user:alice@example.org",
            "service_account:ci",
            "group:workers",
            "role:leader",
            "workspace:acme",
            "spiffe:spiffe://mas/agent/*",
            "claim:department=finance",
            "claim:roles=a=b",
            "table:agents.state.a.*",
            "embedding_space:docs",
        ] {
            assert_eq!(Selector::parse(text).map(|it| it.to_string()), Ok(text.to_owned()));
        }
        for (text, why) in [
            ("", BadSelector::UnknownWord),
            ("planner", BadSelector::UnknownWord),
            ("Agent:planner", BadSelector::UnknownWord),
            ("agents:planner", BadSelector::UnknownWord),
            ("agent:", BadSelector::BadName),
            ("agent:a b", BadSelector::BadName),
            ("group:work*", BadSelector::PatternOfSets),
            ("spiffe:http://mas/agent/a", BadSelector::NotSpiffe),
            ("spiffe:spiffe://mas*", BadSelector::TrustDomain),
            ("spiffe:spiffe://*/agent/a", BadSelector::TrustDomain),
            ("spiffe:spiffe:///agent/a", BadSelector::TrustDomain),
            ("claim:department", BadSelector::NoValue),
            ("claim:=a", BadSelector::NoValue),
            ("claim:a=", BadSelector::NoValue),
        ] {
            assert_eq!(Selector::parse(text), Err(why), "{text}");
        }
    }

    #[test]
    fn each_kind_stands_only_where_it_makes_sense() {
        for (text, principal, resource) in [
            ("*", true, true),
            ("agent:a", true, true),
            ("user:a", true, false),
            ("group:a", true, true),
            ("spiffe:spiffe://a/b", true, false),
            ("table:a", false, true),
            ("message_type:a", false, true),
        ] {
            let selector = Selector::parse(text).unwrap();
            assert_eq!((selector.is_principal(), selector.is_resource()), (principal, resource));
        }
    }
}
