//! From matches to an outcome: masks and sealed values are spliced into the text that arrived,
//! and every other byte stays.
//!
//! It looks for nothing; what it is given is final.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use super::compile::{KindPolicy, Plan};
use super::path::{Hidden, path};
use super::resolve::Hit;
use super::spec::Action;
use super::view::{Field, Place, View, locate};
use super::{FINDINGS_MAX, Finding, Inspection, Outcome, Seal, mask};
use crate::document::{Document, JsonChars, Kind, Node};

pub(super) struct Rewrite<'a> {
    pub(super) plan: &'a Plan,
    pub(super) doc: &'a Document,
    pub(super) view: &'a View<'a>,
}

/// All matches in one field, with their places in the source.
struct Marked<'a> {
    field: &'a Field,
    node: &'a Node,
    hits: &'a [Hit],
    places: Vec<Range<Place>>,
}

/// A replacement of bytes of the document's text.
struct Edit {
    range: Range<usize>,
    text: String,
}

/// One mask in a field, for one finding or several that overlap.
struct Cover {
    source: Range<usize>,
    folded: Range<usize>,
    hit: Hit,
}

/// Says that a value cannot be sealed or that the text would become too long: nothing goes on.
struct Unfit;

impl Rewrite<'_> {
    /// Applies the policy; `hits` are sorted and there is at least one.
    pub(super) fn conclude(&self, hits: &[Hit], sealer: Option<&dyn Seal>) -> Inspection {
        let marked: Vec<Marked<'_>> =
            hits.chunk_by(|a, b| a.field == b.field).filter_map(|hits| self.mark(hits)).collect();
        let findings = self.findings(&marked);
        let strictest = hits.iter().map(|hit| hit.action).max().unwrap_or(Action::Alert);
        let outcome = match strictest {
            Action::Alert => Outcome::Alerted,
            Action::Redact => {
                self.rewritten(&marked, None).map_or(Outcome::Blocked, Outcome::Redacted)
            }
            Action::Encrypt if sealer.is_some() => {
                self.rewritten(&marked, sealer).map_or(Outcome::Blocked, Outcome::Encrypted)
            }
            Action::Encrypt => Outcome::Blocked,
            Action::Block => Outcome::Blocked,
        };
        Inspection { outcome, findings }
    }

    fn mark<'a>(&'a self, hits: &'a [Hit]) -> Option<Marked<'a>> {
        let field = self.view.fields.get(hits.first()?.field)?;
        let node = self.doc.node(field.node)?;
        let base = field.range().start;
        let spans: Vec<_> = hits.iter().map(|hit| hit.start - base..hit.end - base).collect();
        let raw = self.doc.raw(node);
        let places = if field.is_expanded {
            let all = Place { chars: raw.len(), bytes: raw.len() };
            vec![Place::default()..all; hits.len()]
        } else {
            locate(JsonChars::escaped(raw), &spans)
        };
        Some(Marked { field, node, hits, places })
    }

    fn findings(&self, marked: &[Marked<'_>]) -> Vec<Finding> {
        let mut hidden = Hidden::new();
        for one in marked.iter().filter(|one| one.field.kind == Kind::Key) {
            let policy = one.hits.first().and_then(|hit| self.policy(hit));
            let name = policy.map_or_else(String::new, |policy| policy.name.to_string());
            hidden.insert(one.field.node, name);
        }
        let mut all: Vec<(&Marked<'_>, &Hit, &Range<Place>)> = marked
            .iter()
            .flat_map(|one| one.hits.iter().zip(&one.places).map(move |(hit, at)| (one, hit, at)))
            .collect();
        if all.len() > FINDINGS_MAX {
            all.sort_by_key(|(_, hit, _)| std::cmp::Reverse(hit.action));
            all.truncate(FINDINGS_MAX);
            all.sort_by_key(|(_, hit, _)| hit.start);
        }
        let finding = |(one, hit, at): (&Marked<'_>, &Hit, &Range<Place>)| {
            let policy = self.policy(hit)?;
            Some(Finding {
                kind: Arc::clone(&policy.name),
                severity: policy.severity,
                action: policy.action,
                path: path(self.doc, one.field.node, &hidden),
                start: at.start.chars,
                end: at.end.chars,
                in_key: one.field.kind == Kind::Key,
            })
        };
        all.into_iter().filter_map(finding).collect()
    }

    fn policy(&self, hit: &Hit) -> Option<&KindPolicy> {
        self.plan.kinds.get(hit.kind)
    }

    /// Returns the text with all masks and sealed values in it.
    fn rewritten(&self, marked: &[Marked<'_>], sealer: Option<&dyn Seal>) -> Result<String, Unfit> {
        let mut spare = TEXT_LEN_MAX.max(self.doc.text().len());
        let mut edits = Vec::new();
        let mut renamed = Vec::new();
        for one in marked {
            let is_sealed = one.hits.iter().any(|hit| hit.action == Action::Encrypt);
            if one.field.kind == Kind::Key {
                // A sealed key could not be asked for by any name, so it is masked as well.
                let text = self.masked(one, &[Action::Redact, Action::Encrypt], &mut spare)?;
                renamed.extend(text.map(|text| (one.node, text)));
                continue;
            }
            let masked = self.masked(one, &[Action::Redact], &mut spare)?;
            let range = one.node.range();
            if is_sealed {
                let source = masked.as_deref().unwrap_or_else(|| self.doc.raw(one.node));
                let token = sealer.and_then(|sealer| sealer.seal(&decoded(source)).ok());
                let token = token.ok_or(Unfit)?;
                spare = spare.checked_sub(token.len()).ok_or(Unfit)?;
                edits.push(Edit { range, text: quoted(&token, one.node.kind) });
            } else if let Some(text) = masked {
                let is_text = one.node.kind == Kind::Text;
                edits
                    .push(Edit { range, text: if is_text { text } else { format!("\"{text}\"") } });
            }
        }
        edits.extend(self.new_keys(renamed));
        edits.sort_by_key(|edit| edit.range.start);
        Ok(splice(self.doc.text(), &edits))
    }

    /// Returns the source of a field with masks for all findings that have one of the actions, or
    /// nothing if none has; takes the length of the masks from what is to spare.
    fn masked(
        &self,
        one: &Marked<'_>,
        actions: &[Action],
        spare: &mut usize,
    ) -> Result<Option<String>, Unfit> {
        let mut covers: Vec<Cover> = Vec::new();
        for (hit, place) in one.hits.iter().zip(&one.places) {
            if !actions.contains(&hit.action) {
                continue;
            }
            let source = place.start.bytes..place.end.bytes;
            match covers.last_mut().filter(|cover| hit.start < cover.folded.end) {
                Some(cover) => self.widen(cover, hit, &source),
                None => covers.push(Cover { source, folded: hit.start..hit.end, hit: *hit }),
            }
        }
        let mut edits = Vec::with_capacity(covers.len());
        for cover in covers {
            let text = self.mask(&cover);
            *spare = spare.checked_sub(text.len()).ok_or(Unfit)?;
            edits.push(Edit { text, range: cover.source });
        }
        Ok((!edits.is_empty()).then(|| splice(self.doc.raw(one.node), &edits)))
    }

    /// Lets a mask cover one more finding; the graver of the two names it.
    fn widen(&self, cover: &mut Cover, hit: &Hit, source: &Range<usize>) {
        cover.source.end = cover.source.end.max(source.end);
        cover.folded.end = cover.folded.end.max(hit.end);
        let severity = |hit: &Hit| self.policy(hit).map(|policy| policy.severity);
        if severity(hit) > severity(&cover.hit) {
            cover.hit = *hit;
        }
        cover.hit.is_mixed = true;
    }

    fn mask(&self, cover: &Cover) -> String {
        let Some(policy) = self.policy(&cover.hit) else { return mask::general("") };
        let matched = self.view.slice(cover.folded.clone());
        let text = if cover.hit.is_mixed {
            mask::general(&policy.name)
        } else {
            mask::specific(policy.builtin, &policy.name, matched)
        };
        escaped(&text)
    }

    /// Gives renamed keys names that their objects do not have yet.
    fn new_keys(&self, renamed: Vec<(&Node, String)>) -> Vec<Edit> {
        let parents: HashSet<u32> = renamed.iter().map(|(node, _)| node.parent).collect();
        if parents.is_empty() {
            return Vec::new();
        }
        let mut taken: HashSet<(u32, String)> = HashSet::new();
        for node in self.doc.nodes() {
            if node.kind == Kind::Key && parents.contains(&node.parent) {
                taken.insert((node.parent, decoded(self.doc.raw(node))));
            }
        }
        let mut last: HashMap<(u32, String), usize> = HashMap::new();
        let mut edits = Vec::with_capacity(renamed.len());
        for (node, source) in renamed {
            let name = decoded(&source);
            let number = last.entry((node.parent, name.clone())).or_insert(0);
            let suffix = loop {
                *number += 1;
                let suffix = if *number == 1 { String::new() } else { format!("#{number}") };
                if taken.insert((node.parent, format!("{name}{suffix}"))) {
                    break suffix;
                }
            };
            edits.push(Edit { range: node.range(), text: format!("{source}{suffix}") });
        }
        edits
    }
}

/// Replaces ranges of a text; they are sorted and lie apart.
fn splice(text: &str, edits: &[Edit]) -> String {
    let added: usize = edits.iter().map(|edit| edit.text.len()).sum();
    let mut out = String::with_capacity(text.len() + added);
    let mut at = 0;
    for edit in edits {
        out.push_str(text.get(at..edit.range.start).unwrap_or_default());
        out.push_str(&edit.text);
        at = edit.range.end;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    out
}

fn decoded(source: &str) -> String {
    JsonChars::escaped(source).map(|c| c.value).collect()
}

/// Returns what stands between the quotes of a JSON string.
fn escaped(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or_default().to_owned()
}

/// Returns a token as it replaces the inside of a string, or a whole number.
fn quoted(token: &str, replaced: Kind) -> String {
    let inside = escaped(token);
    if replaced == Kind::Text { inside } else { format!("\"{inside}\"") }
}

/// LIMIT: the bytes that masks and sealed values may add to a document, or its own length if that
/// is more. Receivers of the wire take 4 MiB, envelope included.
const TEXT_LEN_MAX: usize = 4_000_000;
