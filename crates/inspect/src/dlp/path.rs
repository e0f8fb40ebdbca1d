//! Where a finding is, in words for a record: `patient.ssn`, `items[3].card`.
//!
//! A key that is itself a finding is named by its type, so that no record repeats it.

use std::collections::HashMap;

use super::view::folded;
use crate::document::{Document, Kind, Node};

/// The keys that must not be named, with what is said instead.
pub(super) type Hidden = HashMap<u32, String>;

/// Returns the way to a value, or to the member that a key names.
pub(super) fn path(doc: &Document, node: u32, hidden: &Hidden) -> String {
    let mut steps = Vec::new();
    let mut next = doc.node(node);
    if let Some(key) = next.filter(|node| node.kind == Kind::Key) {
        steps.push(named(doc, node, hidden));
        next = doc.node(key.parent);
    }
    while let Some(node) = next {
        let Some(parent) = doc.node(node.parent) else { break };
        steps.push(step(doc, parent, node, hidden));
        next = Some(parent);
    }
    let mut path = String::new();
    for step in steps.iter().rev() {
        if path.len() + step.len() > PATH_LEN_MAX {
            path.push('…');
            break;
        }
        let follows_key = !path.is_empty() && !step.starts_with('[');
        path.push_str(if follows_key { "." } else { "" });
        path.push_str(step);
    }
    path
}

fn step(doc: &Document, parent: &Node, node: &Node, hidden: &Hidden) -> String {
    if parent.kind == Kind::Array {
        format!("[{}]", node.slot)
    } else {
        named(doc, node.slot, hidden)
    }
}

fn named(doc: &Document, key: u32, hidden: &Hidden) -> String {
    if let Some(name) = hidden.get(&key) {
        return format!("<{name}>");
    }
    let name: String = doc
        .node(key)
        .map(|key| folded(doc, key))
        .unwrap_or_default()
        .chars()
        .take(NAME_MAX)
        .collect();
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
    if !name.is_empty() && name.chars().all(is_plain) {
        return name;
    }
    format!("[{}]", serde_json::to_string(&name).unwrap_or_default())
}

/// LIMIT: characters shown of one key.
const NAME_MAX: usize = 64;

/// LIMIT: bytes of a path.
const PATH_LEN_MAX: usize = 512;
