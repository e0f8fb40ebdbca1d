//! What the policy says of messages by their type.

use crate::{Document, Pattern};

/// The types that are patterns, the longest first; the others are found by their name.
#[derive(Debug)]
pub(super) struct Types {
    patterns: Vec<Pattern>,
}

/// What is said of a type, all entries together.
#[derive(Debug, Default)]
pub(super) struct Said<'d> {
    /// Those of every entry: an entry that says more must not take away a label that denies.
    pub(super) labels: Vec<&'d str>,
    pub(super) domain: Option<&'d str>,
    pub(super) skill: Option<&'d str>,
}

impl Types {
    pub(super) fn new(document: &Document) -> Self {
        let patterns = document.message_types.keys().map(|name| Pattern::new(name));
        let mut patterns: Vec<_> = patterns.filter(|pattern| !pattern.is_exact()).collect();
        patterns.sort_by_key(|pattern| std::cmp::Reverse(pattern.as_str().len()));
        Self { patterns }
    }

    /// Returns what is said of a type: the labels of all entries that match, domain and skill of
    /// the one with its name, else of the longest pattern that has one.
    pub(super) fn find<'d>(&self, document: &'d Document, name: &str) -> Option<Said<'d>> {
        if name.is_empty() || document.message_types.is_empty() {
            return None;
        }
        // A type that is called as a pattern is written is not that pattern.
        let exact = if name.contains('*') { None } else { document.message_types.get(name) };
        let matching = self.patterns.iter().filter(|pattern| pattern.matches(name));
        let matching = matching.filter_map(|pattern| document.message_types.get(pattern.as_str()));
        let mut found = None;
        for entry in exact.into_iter().chain(matching) {
            let said: &mut Said<'d> = found.get_or_insert_default();
            said.labels.extend(entry.labels.iter().map(String::as_str));
            said.domain = said.domain.or(entry.domain.as_deref());
            said.skill = said.skill.or(entry.skill.as_deref());
        }
        found
    }
}
