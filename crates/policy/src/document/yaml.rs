//! A policy file as it is written: every name knows its place, nothing is resolved.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_saphyr::Spanned;

/// One policy file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct File {
    #[serde(deserialize_with = "given")]
    pub(super) version: Option<Spanned<u64>>,
    pub(super) workspaces: Entries<Option<Workspace>>,
    pub(super) roles: Entries<Option<Role>>,
    pub(super) groups: Entries<Option<Group>>,
    pub(super) agents: Entries<Option<Member>>,
    pub(super) users: Entries<Option<Member>>,
    pub(super) service_accounts: Entries<Option<Member>>,
    pub(super) message_types: Entries<Option<MessageType>>,
    pub(super) networks: Entries<Vec<Text>>,
    pub(super) time_windows: Entries<Window>,
    pub(super) rules: Option<Vec<Spanned<Rule>>>,
    #[serde(deserialize_with = "given")]
    pub(super) cedar: Option<Text>,
}

/// A text and where it stands.
pub(super) type Text = Spanned<String>;

/// A partition of agents and resources.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Workspace {
    pub(super) description: String,
    #[serde(deserialize_with = "filled")]
    pub(super) members: Vec<Text>,
}

/// A set of rights that can be held.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Role {
    pub(super) description: String,
    #[serde(deserialize_with = "filled")]
    pub(super) inherits: Vec<Text>,
    #[serde(deserialize_with = "filled")]
    pub(super) members: Vec<Text>,
}

/// A set of principals.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Group {
    pub(super) description: String,
    #[serde(deserialize_with = "filled")]
    pub(super) members: Vec<Text>,
    #[serde(deserialize_with = "filled")]
    pub(super) roles: Vec<Text>,
}

/// What the policy says of one principal.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Member {
    pub(super) description: String,
    #[serde(deserialize_with = "given")]
    pub(super) workspace: Option<Text>,
    #[serde(deserialize_with = "filled")]
    pub(super) roles: Vec<Text>,
    #[serde(deserialize_with = "filled")]
    pub(super) groups: Vec<Text>,
    #[serde(deserialize_with = "given")]
    pub(super) domains: Option<Vec<Text>>,
    #[serde(deserialize_with = "given")]
    pub(super) message_types: Option<Vec<Text>>,
    #[serde(deserialize_with = "given")]
    pub(super) skills: Option<Vec<Text>>,
}

/// What the policy says of all messages of a type.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct MessageType {
    pub(super) description: String,
    #[serde(deserialize_with = "filled")]
    pub(super) labels: Vec<Text>,
    #[serde(deserialize_with = "given")]
    pub(super) domain: Option<Text>,
    #[serde(deserialize_with = "given")]
    pub(super) skill: Option<Text>,
}

/// A time of the week, in a zone.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Window {
    pub(super) zone: Text,
    #[serde(default, deserialize_with = "filled")]
    pub(super) days: Vec<Text>,
    pub(super) from: Text,
    pub(super) until: Text,
}

/// A rule.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
    #[serde(default, deserialize_with = "given")]
    pub(super) id: Option<Text>,
    #[serde(default)]
    pub(super) description: String,
    pub(super) effect: Text,
    #[serde(deserialize_with = "filled")]
    pub(super) principals: Vec<Text>,
    #[serde(deserialize_with = "filled")]
    pub(super) actions: Vec<Text>,
    #[serde(deserialize_with = "filled")]
    pub(super) resources: Vec<Text>,
    #[serde(default, deserialize_with = "given")]
    pub(super) when: Option<Spanned<Conditions>>,
    #[serde(default, deserialize_with = "given")]
    pub(super) unless: Option<Spanned<Conditions>>,
    #[serde(default)]
    pub(super) cross_workspace: bool,
    #[serde(default, deserialize_with = "given")]
    pub(super) not_before: Option<Text>,
    #[serde(default, deserialize_with = "given")]
    pub(super) expires: Option<Text>,
}

/// What must hold besides who, what and whom.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Conditions {
    #[serde(deserialize_with = "given")]
    pub(super) message_types: Option<Vec<Text>>,
    #[serde(deserialize_with = "given")]
    pub(super) payload_bytes_min: Option<Spanned<u64>>,
    #[serde(deserialize_with = "given")]
    pub(super) payload_bytes_max: Option<Spanned<u64>>,
    #[serde(deserialize_with = "given")]
    pub(super) labels_any: Option<Vec<Text>>,
    #[serde(deserialize_with = "given")]
    pub(super) labels_all: Option<Vec<Text>>,
    #[serde(deserialize_with = "given")]
    pub(super) labels_none: Option<Vec<Text>>,
    #[serde(deserialize_with = "given")]
    pub(super) domains: Option<Vec<Text>>,
    #[serde(deserialize_with = "given")]
    pub(super) time_windows: Option<Vec<Text>>,
    #[serde(deserialize_with = "given")]
    pub(super) networks: Option<Vec<Text>>,
    #[serde(deserialize_with = "given")]
    pub(super) authentication_min: Option<Text>,
    #[serde(deserialize_with = "given")]
    pub(super) delegation_depth_max: Option<Spanned<u64>>,
    #[serde(deserialize_with = "given")]
    pub(super) approved_by: Option<Vec<Text>>,
}

/// Refuses a key with nothing behind it: a limit whose value was forgotten must not be no limit.
fn filled<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(from)?
        .ok_or_else(|| D::Error::custom("nothing stands behind the key; give a value or remove it"))
}

/// As [`filled`], of a key that can be left out.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    filled(from).map(Some)
}

/// A mapping in the order of the file, whose keys know their place.
#[derive(Debug)]
pub(super) struct Entries<T>(pub(super) Vec<(Text, T)>);

impl<T> Default for Entries<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Entries<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Nothing behind a key is an empty mapping.
        deserializer.deserialize_option(EntriesVisitor(PhantomData))
    }
}

struct EntriesVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for EntriesVisitor<T> {
    type Value = Entries<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping from names")
    }

    fn visit_none<E>(self) -> Result<Entries<T>, E> {
        Ok(Entries::default())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Entries<T>, D::Error> {
        deserializer.deserialize_map(self)
    }

    fn visit_unit<E>(self) -> Result<Entries<T>, E> {
        Ok(Entries::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<T>, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Entries(entries))
    }
}
