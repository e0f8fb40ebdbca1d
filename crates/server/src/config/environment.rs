//! Environment variables that override single keys of the file.
//!
//! A variable sets one key and leaves its neighbours alone; sections cannot be set whole. No
//! `.env` file is read.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::{ConfigErrorCode, Report};
use super::keys::{Keys, Kind, closest};
use super::tree::{self, Key, Node, Origin, Scalar, Value};

/// The variables whose names start with `PALISADE_` or `GATEWAY_`, in capitals.
///
/// Made by collecting pairs, such as those of [`std::env::vars_os`].
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, OsString>,
}

impl<K: Into<OsString>, V: Into<OsString>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let mut variables = BTreeMap::new();
        for (name, value) in pairs {
            let name = name.into().to_string_lossy().to_ascii_uppercase();
            if name.starts_with(OURS) || name.starts_with(GATEWAY) {
                variables.insert(name, value.into());
            }
        }
        Self { variables }
    }
}

impl fmt::Debug for Environment {
    /// Prints the names only: values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}

impl Environment {
    /// Returns the configuration file that the environment names, and by which variable.
    pub(super) fn file(&self) -> Option<(&'static str, PathBuf)> {
        let named = |name| {
            self.variables
                .get(name)
                .filter(|value| !value.is_empty())
                .map(|value| (name, value.into()))
        };
        named(CONFIG).or_else(|| named(GATEWAY_CONFIG))
    }

    /// Returns the variables of one section alone, such as `gateway.telemetry`.
    pub(super) fn only(&self, section: &[&str]) -> Self {
        let below = section.get(1..).unwrap_or_default().join("_").to_ascii_uppercase();
        let long = format!("{OURS}{}__", section.join("__").to_ascii_uppercase());
        let short = format!("{GATEWAY}{below}_");
        let is_meant = |name: &str| name.starts_with(&long) || name.starts_with(&short);
        let variables = self.variables.iter().filter(|(name, _)| is_meant(name));
        Self { variables: variables.map(|(name, value)| (name.clone(), value.clone())).collect() }
    }

    /// Returns whether this is the file that the variable of a MAS gateway names.
    pub(super) fn names_gateway_file(&self, path: &Path) -> bool {
        self.variables.get(GATEWAY_CONFIG).is_some_and(|named| Path::new(named) == path)
    }

    /// Puts the values of the variables into the tree.
    pub(super) fn overlay(&self, keys: &Keys, root: &mut Node, report: &mut Report) {
        let leaves = keys.leaves();
        let mut set: BTreeMap<Vec<String>, &str> = BTreeMap::new();
        for (name, value) in &self.variables {
            if RESERVED.contains(&name.as_str()) {
                continue;
            }
            let variable: Arc<str> = Arc::from(name.as_str());
            let at = Origin::Variable(Arc::clone(&variable));
            let Some(text) = value.to_str().filter(|text| text.len() <= VALUE_BYTES_MAX) else {
                let message = format!("must be UTF-8 text of at most {VALUE_BYTES_MAX} bytes");
                report.add(ConfigErrorCode::Value, &at, "", message);
                continue;
            };
            let way = match find(keys, root, name) {
                Found::Key(way) => way,
                Found::Section(way) => {
                    let message = "is a section; set its keys one by one, two underscores apart";
                    report.add(ConfigErrorCode::Value, &at, &way.join("."), message);
                    continue;
                }
                Found::NoEntry(way) => {
                    let message = "is not in the file; a variable changes entries of the file only";
                    report.add(ConfigErrorCode::Value, &at, &way.join("."), message);
                    continue;
                }
                Found::Nothing => {
                    let meant = meant(name, &leaves);
                    let message = ("", "names no key".to_owned());
                    report.suggest(ConfigErrorCode::UnknownVariable, &at, message, meant);
                    continue;
                }
            };
            if let Some(other) = set.insert(way.clone(), name) {
                let message = format!("is also set by {other}; remove one of them");
                report.add(ConfigErrorCode::DuplicateKey, &at, &way.join("."), message);
                continue;
            }
            if let Some(node) = parse(keys, &way, text, (&variable, report)) {
                put(root, &way, node);
            }
        }
    }
}

/// What a variable's name stands for.
enum Found {
    Key(Vec<String>),
    Section(Vec<String>),
    NoEntry(Vec<String>),
    Nothing,
}

/// Finds what a name stands for: keys two underscores apart, or one apart below `GATEWAY_`.
fn find(keys: &Keys, root: &Node, name: &str) -> Found {
    let steps = match (name.strip_prefix(OURS), name.strip_prefix(GATEWAY)) {
        (Some(rest), _) => rest.to_ascii_lowercase(),
        (None, Some(rest)) => format!("gateway__{}", rest.to_ascii_lowercase()),
        (None, None) => return Found::Nothing,
    };
    let found = follow(keys, root, &steps.split("__").collect::<Vec<_>>());
    if matches!(found, Found::Nothing)
        && let Some(rest) = name.strip_prefix(GATEWAY)
    {
        let rest = rest.to_ascii_lowercase().replace("__", "_");
        let single = |way: &Vec<String>| {
            way.split_first()
                .is_some_and(|(first, below)| first == "gateway" && below.join("_") == rest)
        };
        return keys.leaves().into_iter().find(single).map_or(found, Found::Key);
    }
    found
}

fn follow(keys: &Keys, root: &Node, steps: &[&str]) -> Found {
    let mut schema = keys.root();
    let mut way: Vec<String> = Vec::new();
    for step in steps {
        match keys.shape(schema).kind {
            Kind::Section { keys, .. } => {
                let Some(below) = keys.get(*step) else { return Found::Nothing };
                schema = below;
                way.push((*step).to_owned());
            }
            Kind::Named { value, names } => {
                let here: Vec<&str> = way.iter().map(String::as_str).collect();
                let entry = entry(root.at(&here), step);
                way.push(entry.clone().unwrap_or_else(|| (*step).to_owned()));
                if names.is_some() && entry.is_none() {
                    return Found::NoEntry(way);
                }
                schema = value;
            }
            Kind::List(_)
            | Kind::Text { .. }
            | Kind::Whole { .. }
            | Kind::Fraction { .. }
            | Kind::Flag
            | Kind::Any => return Found::Nothing,
        }
    }
    match keys.shape(schema).kind {
        Kind::Section { .. } | Kind::Named { names: Some(_), .. } => Found::Section(way),
        Kind::Named { names: None, .. }
        | Kind::List(_)
        | Kind::Text { .. }
        | Kind::Whole { .. }
        | Kind::Fraction { .. }
        | Kind::Flag
        | Kind::Any => Found::Key(way),
    }
}

/// Returns the one key of a mapping that a variable can mean: names have no small letters and
/// no `-` there.
fn entry(node: &Node, step: &str) -> Option<String> {
    let Value::Map(entries) = &node.value else { return None };
    let is_meant = |name: &str| name.to_ascii_lowercase().replace('-', "_") == step;
    let mut meant = entries.iter().filter(|(key, _)| is_meant(&key.name));
    let first = meant.next().map(|(key, _)| key.name.clone());
    first.filter(|_| meant.next().is_none())
}

/// Reads a value: as it is where a text is wanted, as YAML anywhere else.
fn parse(
    keys: &Keys,
    way: &[String],
    text: &str,
    (variable, report): (&Arc<str>, &mut Report),
) -> Option<Node> {
    let at = Origin::Variable(Arc::clone(variable));
    if let Kind::Text { .. } = shape_at(keys, way) {
        let value = match text {
            "" | "null" | "~" => Value::Null,
            text => Value::Scalar(Scalar::Text, text.to_owned()),
        };
        return Some(Node { at, value });
    }
    match tree::parse(text, Path::new("")) {
        Ok(node) => Some(node.moved_to(variable)),
        Err(error) => {
            report.add(ConfigErrorCode::Value, &at, &way.join("."), error.message);
            None
        }
    }
}

fn shape_at<'a>(keys: &'a Keys, way: &[String]) -> Kind<'a> {
    let mut schema = keys.root();
    for step in way {
        schema = match keys.shape(schema).kind {
            Kind::Section { keys, .. } => keys.get(step).unwrap_or(schema),
            Kind::Named { value, .. } => value,
            Kind::List(_)
            | Kind::Text { .. }
            | Kind::Whole { .. }
            | Kind::Fraction { .. }
            | Kind::Flag
            | Kind::Any => schema,
        };
    }
    keys.shape(schema).kind
}

/// Puts a node where the way leads, making the mappings on the way.
fn put(root: &mut Node, way: &[String], node: Node) {
    let Some((first, rest)) = way.split_first() else {
        *root = node;
        return;
    };
    if !matches!(root.value, Value::Map(_)) {
        // Anything else here is reported when the file is checked; nothing is a mapping to be.
        if !matches!(root.value, Value::Null) {
            return;
        }
        root.value = Value::Map(Vec::new());
    }
    let Value::Map(entries) = &mut root.value else { return };
    if let Some((_, below)) = entries.iter_mut().find(|(key, _)| key.name == *first) {
        put(below, rest, node);
        return;
    }
    let at = node.at.clone();
    let mut below = Node { at: at.clone(), value: Value::Null };
    put(&mut below, rest, node);
    entries.push((Key { at, name: first.clone() }, below));
}

/// Returns the variable that was probably meant.
fn meant(name: &str, leaves: &[Vec<String>]) -> Option<String> {
    let long = leaves.iter().map(|way| format!("{OURS}{}", way.join("__").to_ascii_uppercase()));
    let short = leaves.iter().filter_map(|way| {
        let (first, below) = way.split_first()?;
        (first == "gateway").then(|| format!("{GATEWAY}{}", below.join("__").to_ascii_uppercase()))
    });
    let known: Vec<String> = long.chain(short).chain(RESERVED.map(str::to_owned)).collect();
    closest(name, known.iter().map(String::as_str)).map(str::to_owned)
}

const OURS: &str = "PALISADE_";
const GATEWAY: &str = "GATEWAY_";
const CONFIG: &str = "PALISADE_CONFIG";
const GATEWAY_CONFIG: &str = "GATEWAY_CONFIG_FILE";
/// Names that start like ours and set no key.
const RESERVED: [&str; 8] = [
    CONFIG,
    "PALISADE_ADDR",
    "PALISADE_CA",
    "PALISADE_CERT",
    "PALISADE_KEY",
    "PALISADE_LOG",
    "PALISADE_INTEROP_VENV",
    GATEWAY_CONFIG,
];
/// LIMIT: bytes of a variable's value.
const VALUE_BYTES_MAX: usize = 65_536;
