//! From what the operator wrote to a plan for the scanner, or to an error that says what to change.
//!
//! It runs once for each policy revision and never sees a message.

use std::collections::HashSet;
use std::sync::Arc;

use regex_automata::meta::Regex;
use regex_syntax::hir::Hir;

use super::automata::{self, Fault};
use super::checks::Check;
use super::kinds::{Builtin, KEY_WORDS, KINDS, PATTERNS};
use super::rule_error::RuleError;
use super::spec::{Action, DlpSpec, MergeStrategy, RuleSpec, Severity};

/// A type and its policy.
#[derive(Debug)]
pub(super) struct KindPolicy {
    pub(super) name: Arc<str>,
    pub(super) action: Action,
    pub(super) severity: Severity,
    pub(super) builtin: Option<Builtin>,
    /// Whether the built-in patterns and key names of the type are in force.
    pub(super) is_on: bool,
}

/// One pattern, ready to find all its matches.
#[derive(Debug)]
pub(super) struct Detector {
    /// The place of its type among the types.
    pub(super) kind: usize,
    pub(super) regex: Regex,
    /// What a match of a built-in pattern must pass; rules of the operator have none.
    pub(super) check: Option<Check>,
    /// Whether matches have a greatest length.
    pub(super) is_bounded: bool,
}

/// A compiled policy.
#[derive(Debug)]
pub(super) struct Plan {
    /// All types; the built-in ones stand first, in the order of [`Builtin`].
    pub(super) kinds: Vec<KindPolicy>,
    pub(super) detectors: Vec<Detector>,
    /// All patterns but the anchored ones in one automaton, the key words last.
    pub(super) gate: Option<Regex>,
    /// The detector of each pattern of the gate but the last.
    pub(super) gated: Vec<usize>,
    /// The detectors of the patterns that speak of the beginning or end of a text.
    pub(super) anchored: Vec<usize>,
    /// Whether rules of the operator are there, which look at numbers with fractions too.
    pub(super) has_rules: bool,
}

/// Compiles a policy.
pub(super) fn compile(spec: &DlpSpec) -> Result<Plan, RuleError> {
    check_rules(spec)?;
    let rules: Vec<&RuleSpec> = spec.rules.iter().filter(|rule| rule.enabled).collect();
    let kinds = kinds(spec, &rules)?;
    let mut draft = Draft::default();
    for pattern in PATTERNS {
        let named = kinds.iter().enumerate().find(|(_, k)| k.builtin == Some(pattern.builtin));
        if let Some((kind, policy)) = named
            && policy.is_on
        {
            let source = Source { rule: &policy.name, pattern: &pattern.regex(), folds: false };
            draft.add(kind, &source, Some(pattern.check))?;
        }
    }
    for rule in &rules {
        let kind = kinds.iter().position(|kind| *kind.name == *rule.kind).unwrap_or_default();
        let folds = rule.case_insensitive;
        draft.add(kind, &Source { rule: &rule.id, pattern: &rule.pattern, folds }, None)?;
    }
    let words = automata::parse(KEY_WORDS, false).map_err(|fault| fault.of("key words"))?;
    draft.hirs.push(words);
    let gate = automata::gate(&draft.hirs).ok_or(RuleError::AllTooLarge)?;
    let has_gate = !draft.gated.is_empty() || kinds.iter().any(|kind| kind.is_on);
    let Draft { detectors, gated, anchored, .. } = draft;
    let has_rules = !rules.is_empty();
    let gate = has_gate.then_some(gate);
    Ok(Plan { kinds, detectors, gate, gated, anchored, has_rules })
}

/// What a pattern is made from.
struct Source<'a> {
    rule: &'a str,
    pattern: &'a str,
    /// Whether capital and small letters are the same.
    folds: bool,
}

#[derive(Default)]
struct Draft {
    detectors: Vec<Detector>,
    hirs: Vec<Hir>,
    gated: Vec<usize>,
    anchored: Vec<usize>,
}

impl Draft {
    fn add(
        &mut self,
        kind: usize,
        source: &Source<'_>,
        check: Option<Check>,
    ) -> Result<(), RuleError> {
        let refused = |fault: Fault| fault.of(source.rule);
        let hir = automata::parse(source.pattern, source.folds).map_err(refused)?;
        let hir = automata::fenced(&hir);
        let regex = automata::one(&hir).map_err(refused)?;
        let properties = hir.properties();
        let is_bounded = properties.maximum_len().is_some();
        if properties.look_set().contains_anchor() {
            self.anchored.push(self.detectors.len());
        } else {
            self.gated.push(self.detectors.len());
            self.hirs.push(hir);
        }
        self.detectors.push(Detector { kind, regex, check, is_bounded });
        Ok(())
    }
}

/// Settles the policy of every type: built-in, then the rules in order, then the overrides.
fn kinds(spec: &DlpSpec, rules: &[&RuleSpec]) -> Result<Vec<KindPolicy>, RuleError> {
    let builtin_names: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
    for name in &spec.disable_defaults {
        known("disable_defaults", name, &builtin_names)?;
    }
    let mut kinds: Vec<KindPolicy> = KINDS
        .iter()
        .map(|kind| KindPolicy {
            name: Arc::from(kind.name),
            action: kind.action,
            severity: kind.severity,
            builtin: Some(kind.builtin),
            is_on: spec.merge_strategy == MergeStrategy::Append
                && !spec.disable_defaults.iter().any(|name| name == kind.name),
        })
        .collect();
    for rule in rules {
        let (action, severity) = (rule.action, rule.severity);
        if let Some(kind) = kinds.iter_mut().find(|kind| *kind.name == *rule.kind) {
            (kind.action, kind.severity) = (action, severity);
            continue;
        }
        let name = Arc::from(rule.kind.as_str());
        kinds.push(KindPolicy { name, action, severity, builtin: None, is_on: false });
    }
    let mut names = builtin_names;
    names.extend(spec.rules.iter().map(|rule| rule.kind.as_str()));
    names.sort_unstable();
    names.dedup();
    for (name, action) in &spec.policy_overrides {
        known("policy_overrides", name, &names)?;
        if let Some(kind) = kinds.iter_mut().find(|kind| *kind.name == **name) {
            kind.action = *action;
        }
    }
    Ok(kinds)
}

fn known(field: &'static str, name: &str, names: &[&str]) -> Result<(), RuleError> {
    if names.contains(&name) {
        return Ok(());
    }
    Err(RuleError::UnknownType { field, name: name.to_owned(), known: names.join(", ") })
}

/// Checks what does not need an automaton, in rules that are switched off too.
fn check_rules(spec: &DlpSpec) -> Result<(), RuleError> {
    let count = spec.rules.len();
    if count > RULES_MAX {
        return Err(RuleError::TooMany { count, max: RULES_MAX });
    }
    let mut ids = HashSet::new();
    for rule in &spec.rules {
        let is_name = |text: &str| {
            text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
        };
        let fields = [
            ("id", &rule.id, NAME_LEN_MAX, ""),
            ("type", &rule.kind, NAME_LEN_MAX, NAME_CHARACTERS),
            ("pattern", &rule.pattern, PATTERN_LEN_MAX, ""),
        ];
        for (field, text, max, allowed) in fields {
            let has_length = (1..=max).contains(&text.chars().count());
            if !has_length || (!allowed.is_empty() && !is_name(text)) {
                let rule = rule.id.clone();
                return Err(RuleError::BadField { rule, field, max, allowed });
            }
        }
        if !ids.insert(rule.id.as_str()) {
            return Err(RuleError::DuplicateId { rule: rule.id.clone() });
        }
    }
    Ok(())
}

/// LIMIT: rules of one policy.
const RULES_MAX: usize = 1_000;

/// LIMIT: characters of an id or a type.
const NAME_LEN_MAX: usize = 128;

/// LIMIT: characters of a pattern.
const PATTERN_LEN_MAX: usize = 4_096;

/// Types stand in masks and in records.
const NAME_CHARACTERS: &str = ", letters, digits, `_`, `-` and `.` only";
