//! From a view to matches: one pass that says whether there is anything, then, only if so, which
//! patterns, and then those patterns alone.
//!
//! Each step is linear in the text; a clean message pays for the first only.

use std::ops::Range;

use regex_automata::util::captures::Captures;
use regex_automata::{Anchored, Input, PatternID, PatternSet};

use super::checks::{Candidate, Check};
use super::compile::{Detector, KindPolicy, Plan};
use super::keys::{self, KeyReader};
use super::resolve::{Hit, resolve};
use super::sealed::is_sealed;
use super::view::{Field, View};
use crate::document::{Document, Kind};

/// Returns what the policy finds in a view; a document adds what its keys say.
pub(super) fn hits(plan: &Plan, view: &View<'_>, doc: Option<&Document>) -> Vec<Hit> {
    let mut scan = Scan { plan, view, hits: Vec::new(), rescans_left: RESCANS_MAX };
    for detector in plan.anchored.iter().filter_map(|at| plan.detectors.get(*at)) {
        scan.field_by_field(detector);
    }
    scan.gated(doc);
    resolve(scan.hits)
}

struct Scan<'a> {
    plan: &'a Plan,
    view: &'a View<'a>,
    hits: Vec<Hit>,
    rescans_left: usize,
}

impl Scan<'_> {
    fn gated(&mut self, doc: Option<&Document>) {
        let Some(gate) = &self.plan.gate else { return };
        let input = Input::new(&*self.view.text);
        if !gate.is_match(input.clone()) {
            return;
        }
        let mut patterns = PatternSet::new(gate.pattern_len());
        gate.which_overlapping_matches(&input, &mut patterns);
        for (at, detector) in self.plan.gated.iter().enumerate() {
            let is_in = PatternID::new(at).is_ok_and(|pattern| patterns.contains(pattern));
            if let Some(detector) = self.plan.detectors.get(*detector).filter(|_| is_in) {
                self.everywhere(detector);
            }
        }
        let words = PatternID::new(self.plan.gated.len());
        if let Some(doc) = doc
            && words.is_ok_and(|words| patterns.contains(words))
        {
            self.by_key(doc);
        }
    }

    fn everywhere(&mut self, detector: &Detector) {
        let text = &*self.view.text;
        let mut captures = detector.regex.create_captures();
        let mut at = 0;
        while let Some((found, is_cut)) = self.next(detector, text, at) {
            at = found.end;
            let Some(index) = self.view.field_of(&found) else { continue };
            let Some(field) = self.view.fields.get(index) else { continue };
            let Some(check) = detector.check else {
                at = if is_cut { field.range().end } else { found.end };
                self.hit(detector.kind, index, found.start..at);
                continue;
            };
            captures.clear();
            let input = Input::new(text).span(found.clone()).anchored(Anchored::Yes);
            detector.regex.search_captures(&input, &mut captures);
            match self.checked(check, &captures, field, &found) {
                Some(value) => {
                    at = at.max(value.end);
                    self.hit(detector.kind, index, value);
                }
                // What was refused may hide a true one that begins inside it.
                None if detector.is_bounded => at = next_boundary(text, found.start + 1),
                None => {}
            }
        }
    }

    /// Applies a check to a match; ranges are bytes of the view.
    fn checked(
        &self,
        check: Check,
        captures: &Captures,
        field: &Field,
        found: &Range<usize>,
    ) -> Option<Range<usize>> {
        if field.kind == Kind::Float {
            return None;
        }
        let base = field.range().start;
        let value = captures.get_group(1).map_or_else(|| found.clone(), |span| span.range());
        let inside = |range: &Range<usize>| range.start - base..range.end - base;
        let text = self.view.slice(field.range());
        let candidate = Candidate { text, matched: inside(found), value: inside(&value) };
        check(&candidate).map(|range| range.start + base..range.end + base)
    }

    fn field_by_field(&mut self, detector: &Detector) {
        for (index, field) in self.view.fields.iter().enumerate() {
            let base = field.range().start;
            let text = self.view.slice(field.range());
            let mut at = 0;
            while let Some((found, is_cut)) = self.next(detector, text, at) {
                at = if is_cut { text.len() } else { found.end };
                self.hit(detector.kind, index, found.start + base..at + base);
            }
        }
    }

    /// Finds the next match of a pattern. The built-in ones fail fast. One of an operator may look
    /// far beyond each of its matches (`a.*b|a`), which over many matches is quadratic: so it first
    /// looks a little beyond where a match is certain, and all the way only a few times.
    /// Also says whether a match was cut short, so that all after it must count as found.
    fn next(&mut self, detector: &Detector, text: &str, at: usize) -> Option<(Range<usize>, bool)> {
        let input = Input::new(text).span(at..text.len());
        if detector.check.is_some() {
            return detector.regex.search(&input).map(|found| (found.range(), false));
        }
        let certain = detector.regex.search_half(&input.clone().earliest(true))?.offset();
        let limit = next_boundary(text, certain.saturating_add(LOOK_BEYOND).min(text.len()));
        let near = Input::new(text).span(at..limit);
        let found = detector.regex.search(&near)?.range();
        if found.end < limit || limit == text.len() {
            return Some((found, false));
        }
        if self.rescans_left == 0 {
            return Some((found, true));
        }
        self.rescans_left -= 1;
        detector.regex.search(&input).map(|found| (found.range(), false))
    }

    fn by_key(&mut self, doc: &Document) {
        let mut reader = KeyReader::new(doc);
        for (index, field) in self.view.fields.iter().enumerate() {
            if field.kind == Kind::Key {
                continue;
            }
            let Some(node) = doc.node(field.node) else { continue };
            if field.kind == Kind::Text && is_sealed(doc.raw(node)) {
                continue;
            }
            let meaning = reader.meaning(node);
            let base = field.range().start;
            let text = self.view.slice(field.range());
            for (builtin, span) in keys::findings(meaning, field.kind, text) {
                let named = |kind: &KindPolicy| kind.builtin == Some(builtin);
                let kind = self.plan.kinds.iter().position(named);
                let is_on = |kind: &usize| self.plan.kinds.get(*kind).is_some_and(|k| k.is_on);
                if let Some(kind) = kind.filter(is_on) {
                    self.hit(kind, index, span.start + base..span.end + base);
                }
            }
        }
    }

    fn hit(&mut self, kind: usize, field: usize, range: Range<usize>) {
        if let Some(policy) = self.plan.kinds.get(kind) {
            let (field, range) = self.view.reported(field, range);
            let (start, end, action) = (range.start, range.end, policy.action);
            self.hits.push(Hit { field, start, end, kind, action, is_mixed: false });
        }
    }
}

fn next_boundary(text: &str, at: usize) -> usize {
    (at..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len())
}

/// How far beyond a certain match an operator's pattern may look for a longer one.
const LOOK_BEYOND: usize = 256;

/// LIMIT: searches of one message that may look further; after that the rest of the field counts
/// as found.
const RESCANS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::super::compile::compile;
    use super::super::spec::DlpSpec;
    use super::*;
    use crate::document::Limits;

    #[test]
    fn ordinary_messages_are_let_go_after_the_first_pass() {
        let plan = compile(&DlpSpec::default()).unwrap();
        let table = [
            r#"{"id":"7f9c24e8-3b12-4f5a-9d21-0c4be1a7d3f6","ts":1777965382000,"ok":true}"#,
            r#"{"task":"summarise","max_tokens":4096,"temperature":0.4111111111111111}"#,
            r#"{"rows":[{"account":123456789,"order":1234567890,"day":"2026-01-31"}]}"#,
            r#"{"text":"Room B12 is free; the policy was renewed, passwords expire in May."}"#,
            r#"{"commit":"d41d8cd98f00b204e9800998ecf8427e","version":"1.2.3-rc.4"}"#,
        ];
        for json in table {
            let doc = Document::parse(json, &Limits::default()).unwrap();
            let view = View::of_document(&doc, plan.has_rules);
            assert!(!plan.gate.as_ref().unwrap().is_match(&*view.text), "{json}");
        }
    }
}
