//! Data-loss prevention: finds sensitive values in a document and says what becomes of it.
//!
//! It does not know the recipient: whoever calls brings the [`Seal`]. It keeps no state between
//! documents, and nothing that it reports contains what it found.

use std::sync::Arc;

use crate::document::{Document, JsonChars};

mod automata;
mod checks;
mod compile;
mod integral;
mod keys;
mod kinds;
mod mask;
mod path;
mod resolve;
mod rewrite;
mod rule_error;
mod scan;
mod sealed;
mod spec;
mod view;

pub use rule_error::RuleError;
pub use spec::{Action, DlpSpec, MergeStrategy, RuleSpec, Severity};

/// Holds a compiled policy; share it between threads behind an `Arc`.
#[derive(Debug)]
pub struct Dlp {
    plan: compile::Plan,
}

impl Dlp {
    /// Compiles a policy.
    ///
    /// # Errors
    /// Returns the first rule, field or type that cannot be used, and what to do about it.
    pub fn compile(spec: &DlpSpec) -> Result<Self, RuleError> {
        Ok(Self { plan: compile::compile(spec)? })
    }

    /// Looks for sensitive values in keys, strings and numbers and applies the policy to them.
    ///
    /// Without a sealer, or when it fails, what must be sealed is blocked.
    pub fn inspect(&self, doc: &Document, sealer: Option<&dyn Seal>) -> Inspection {
        let view = view::View::of_document(doc, self.plan.has_rules);
        let hits = scan::hits(&self.plan, &view, Some(doc));
        if hits.is_empty() {
            return Inspection { outcome: Outcome::Clean, findings: Vec::new() };
        }
        rewrite::Rewrite { plan: &self.plan, doc, view: &view }.conclude(&hits, sealer)
    }

    /// Looks for sensitive values in a text that is not JSON; a short clean one costs one pass and
    /// is not copied.
    pub fn scan_text(&self, text: &str) -> Vec<TextFinding> {
        let view = view::View::of_text(text);
        let hits = scan::hits(&self.plan, &view, None);
        if hits.is_empty() {
            return Vec::new();
        }
        let spans: Vec<_> = hits.iter().map(|hit| hit.start..hit.end).collect();
        let places = view::locate(JsonChars::plain(text), &spans);
        let policies = hits.iter().filter_map(|hit| self.plan.kinds.get(hit.kind));
        policies
            .zip(places)
            .map(|(policy, place)| TextFinding {
                kind: Arc::clone(&policy.name),
                severity: policy.severity,
                action: policy.action,
                start: place.start.chars,
                end: place.end.chars,
            })
            .collect()
    }
}

/// Says where what was found in a document; never the text itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The type.
    pub kind: Arc<str>,
    /// How grave it is.
    pub severity: Severity,
    /// What the policy does about it.
    pub action: Action,
    /// The way through the keys, as `patient.ssn` or `items[3].card`.
    pub path: String,
    /// The first character in the decoded value or key.
    pub start: usize,
    /// The character after the last.
    pub end: usize,
    /// Whether the key itself is what was found.
    pub in_key: bool,
}

/// Says where what was found in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextFinding {
    /// The type.
    pub kind: Arc<str>,
    /// How grave it is.
    pub severity: Severity,
    /// What the policy does about it.
    pub action: Action,
    /// The first character.
    pub start: usize,
    /// The character after the last.
    pub end: usize,
}

/// Says what becomes of a document; texts are whole JSON objects.
#[derive(Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing was found.
    Clean,
    /// Something was found that may pass as it is.
    Alerted,
    /// This text goes on instead, with masks.
    Redacted(String),
    /// This text goes on instead, with sealed values and perhaps masks.
    Encrypted(String),
    /// Nothing goes on.
    Blocked,
}

impl std::fmt::Debug for Outcome {
    /// Prints the name only: a payload never reaches a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Clean => "Clean",
            Self::Alerted => "Alerted",
            Self::Redacted(_) => "Redacted([payload])",
            Self::Encrypted(_) => "Encrypted([payload])",
            Self::Blocked => "Blocked",
        })
    }
}

/// Holds what was found in a document and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// What becomes of the document: the strictest action of all findings.
    pub outcome: Outcome,
    /// What was found, in the order of the document, at most [`FINDINGS_MAX`].
    pub findings: Vec<Finding>,
}

/// LIMIT: the findings listed for one document; the strictest are kept, all are acted upon.
pub const FINDINGS_MAX: usize = 1_000;

/// Seals a value so that only the recipient can read it.
pub trait Seal {
    /// Returns the token that stands in place of the value, `palisade:sealed:v1:` and base64url.
    ///
    /// # Errors
    /// Returns an error if the value cannot be sealed; the message is then blocked.
    fn seal(&self, plaintext: &str) -> Result<String, SealError>;
}

/// Says that a value could not be sealed; the sealer has logged why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the value could not be sealed for the recipient")]
pub struct SealError;
