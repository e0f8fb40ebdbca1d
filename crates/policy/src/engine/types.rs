//! What the policy says of messages by their type.

use crate::{Document, MessageType, Pattern};

/// The types that are patterns; the others are found by their name.
#[derive(Debug)]
pub(super) struct Types {
    patterns: Vec<Pattern>,
}

impl Types {
    pub(super) fn new(document: &Document) -> Self {
        let patterns = document.message_types.keys().map(|name| Pattern::new(name));
        Self { patterns: patterns.filter(|pattern| !pattern.is_exact()).collect() }
    }

    /// Returns what is said of a type: by its name, else by the first pattern in their order.
    pub(super) fn find<'d>(&self, document: &'d Document, name: &str) -> Option<&'d MessageType> {
        if name.is_empty() || document.message_types.is_empty() {
            return None;
        }
        // A type that is called as a pattern is written is not that pattern.
        let exact = if name.contains('*') { None } else { document.message_types.get(name) };
        exact.or_else(|| {
            let pattern = self.patterns.iter().find(|pattern| pattern.matches(name))?;
            document.message_types.get(pattern.as_str())
        })
    }
}
