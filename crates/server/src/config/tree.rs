//! A configuration file as a tree in which every key and value knows where it stands.
//!
//! It knows YAML and no key: what may stand where is the schema's part. The budgets of the
//! parser bound depth, size and what aliases expand to.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Error as YamlError, Location, MessageFormatter, Spanned, UserMessageFormatter};

use super::error::{ConfigError, ConfigErrorCode};
use super::fit;

/// Where a key or value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// A place in the file, from 1.
    File {
        /// The line.
        line: u32,
        /// The character in the line.
        column: u32,
    },
    /// An environment variable.
    Variable(Arc<str>),
}

/// A value and where it comes from.
pub(super) struct Node {
    pub(super) at: Origin,
    pub(super) value: Value,
}

/// A key of a mapping and where it stands.
pub(super) struct Key {
    pub(super) at: Origin,
    pub(super) name: String,
}

/// What stands at a place.
pub(super) enum Value {
    /// Nothing, `null` or `~`.
    Null,
    /// A scalar as YAML understands it, and its text for keys that want a text.
    Scalar(Scalar, String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping; no key is there twice.
    Map(Vec<(Key, Node)>),
}

/// A scalar as YAML understands it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Scalar {
    /// `true` or `false`.
    Flag(bool),
    /// A whole number.
    Whole(i128),
    /// Any other number.
    Fraction(f64),
    /// Anything else.
    Text,
}

impl Node {
    /// Returns the node that these keys and list positions lead to, or the last one on the way.
    pub(super) fn at(&self, path: &[&str]) -> &Self {
        let mut node = self;
        for step in path {
            let next = match &node.value {
                Value::Map(entries) => {
                    entries.iter().find(|(key, _)| key.name == *step).map(|(_, node)| node)
                }
                Value::List(items) => step.parse().ok().and_then(|at: usize| items.get(at)),
                Value::Null | Value::Scalar(..) => None,
            };
            match next {
                Some(next) => node = next,
                None => break,
            }
        }
        node
    }

    /// Returns a word for what the value is, for error messages.
    pub(super) const fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Scalar(Scalar::Flag(_), _) => "true or false",
            Value::Scalar(Scalar::Whole(_), _) => "a whole number",
            Value::Scalar(Scalar::Fraction(_), _) => "a number with a fraction",
            Value::Scalar(Scalar::Text, _) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    /// Says that the node and all below it come from an environment variable.
    pub(super) fn moved_to(mut self, variable: &Arc<str>) -> Self {
        self.at = Origin::Variable(Arc::clone(variable));
        self.value = match self.value {
            Value::List(items) => {
                Value::List(items.into_iter().map(|item| item.moved_to(variable)).collect())
            }
            Value::Map(entries) => Value::Map(
                entries
                    .into_iter()
                    .map(|(key, node)| {
                        let at = Origin::Variable(Arc::clone(variable));
                        (Key { at, name: key.name }, node.moved_to(variable))
                    })
                    .collect(),
            ),
            value @ (Value::Null | Value::Scalar(..)) => value,
        };
        self
    }
}

/// Parses one YAML document.
///
/// # Errors
/// Returns the first place that is not YAML, a key that is there twice, or a budget that is
/// exceeded.
pub(super) fn parse(text: &str, file: &Path) -> Result<Node, ConfigError> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: DEPTH_MAX,
            max_nodes: NODES_MAX,
            max_events: NODES_MAX * 4,
            max_aliases: ALIASES_MAX,
            max_anchors: ALIASES_MAX,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: REPLAYED_MAX,
        },
        strict_booleans: true,
        reject_unsupported_tags: true,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options::<Spanned<Raw>>(text, options)
        .map(|raw| raw.into_node(text))
        .map_err(|error| syntax(&error, file))
}

fn syntax(error: &YamlError, file: &Path) -> ConfigError {
    let mut error = error;
    while let YamlError::AliasError { error: inner, .. } = error {
        error = inner;
    }
    let is_duplicate = matches!(error, YamlError::DuplicateMappingKey { .. });
    let code = if is_duplicate { ConfigErrorCode::DuplicateKey } else { ConfigErrorCode::Syntax };
    let place = error.location().filter(|place| place.line() > 0).map(|place| position(&place));
    ConfigError {
        line: place.map(|(line, _)| line),
        column: place.map(|(_, column)| column),
        ..ConfigError::about(code, file, sentence(error))
    }
}

/// Says what is wrong in words for an operator, on one line whatever the file has there.
fn sentence(error: &YamlError) -> String {
    if let YamlError::DuplicateMappingKey { key, .. } = error {
        let key = fit::below("", key.as_deref().unwrap_or_default());
        return format!("the key `{key}` is there twice; remove one of them");
    }
    let is_budget = matches!(
        error,
        YamlError::Budget { .. }
            | YamlError::AliasReplayLimitExceeded { .. }
            | YamlError::AliasExpansionLimitExceeded { .. }
            | YamlError::AliasReplayStackDepthExceeded { .. }
    );
    if is_budget {
        let limits = format!("{DEPTH_MAX} levels, {NODES_MAX} values or {ALIASES_MAX} aliases");
        return format!("is no configuration of reasonable size: it has more than {limits}");
    }
    let said = UserMessageFormatter.format_message(error);
    // LIMIT: characters of the parser's message; some of them repeat a piece of the file.
    said.chars().take(200).flat_map(char::escape_debug).collect()
}

/// A value as the parser hands it over.
enum Raw {
    Null,
    Scalar(Scalar, Option<String>),
    List(Vec<Spanned<Self>>),
    Map(Vec<(Spanned<String>, Spanned<Self>)>),
}

trait IntoNode {
    fn into_node(self, text: &str) -> Node;
}

impl IntoNode for Spanned<Raw> {
    fn into_node(self, text: &str) -> Node {
        let value = match self.value {
            Raw::Null => Value::Null,
            Raw::Scalar(scalar, Some(decoded)) => Value::Scalar(scalar, decoded),
            Raw::Scalar(scalar, None) => {
                Value::Scalar(scalar, written(&self.defined, text).unwrap_or_default().to_owned())
            }
            Raw::List(items) => {
                Value::List(items.into_iter().map(|item| item.into_node(text)).collect())
            }
            Raw::Map(entries) => Value::Map(
                entries
                    .into_iter()
                    .map(|(key, node)| {
                        let at = origin(&key.referenced);
                        (Key { at, name: key.value }, node.into_node(text))
                    })
                    .collect(),
            ),
        };
        Node { at: origin(&self.referenced), value }
    }
}

/// Returns a plain scalar as it is written: `010` and `1_000` are texts where a text is wanted.
fn written<'a>(place: &Location, text: &'a str) -> Option<&'a str> {
    let start = usize::try_from(place.span().byte_offset()?).ok()?;
    let len = usize::try_from(place.span().byte_len()?).ok()?;
    text.get(start..start.checked_add(len)?)
}

/// Returns the line and the column, from 1.
fn position(place: &Location) -> (u32, u32) {
    let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX).max(1);
    (small(place.line()), small(place.column()))
}

fn origin(place: &Location) -> Origin {
    let (line, column) = position(place);
    Origin::File { line, column }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Scalar(Scalar::Flag(value), None))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Scalar(Scalar::Whole(value.into()), None))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Scalar(Scalar::Whole(value.into()), None))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Raw, E> {
        Ok(Raw::Scalar(Scalar::Whole(value), None))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Raw, E> {
        // Above the range of every key anyway.
        Ok(Raw::Scalar(Scalar::Whole(i128::try_from(value).unwrap_or(i128::MAX)), None))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Scalar(Scalar::Fraction(value), None))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Scalar(Scalar::Text, Some(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}

/// LIMIT: levels of nesting; the deepest key has five, agents' metadata may have more.
const DEPTH_MAX: usize = 32;
/// LIMIT: values in a file; room for some 10,000 agents.
const NODES_MAX: usize = 250_000;
/// LIMIT: values that aliases stand for, all together; aliases of aliases multiply.
const REPLAYED_MAX: usize = 20_000;
/// LIMIT: aliases and anchors in a file.
const ALIASES_MAX: usize = 1_000;
