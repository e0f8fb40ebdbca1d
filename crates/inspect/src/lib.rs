//! Payload validation and data-loss prevention for messages between agents.
//!
//! Pure computation: no I/O, no clock, no shared state, and no knowledge of who sent a message or
//! where it goes. Two jobs, each usable on its own:
//!
//! - `document`: decides whether a text is a JSON object that may travel, and indexes it.
//! - `dlp`: finds sensitive values in such a document and masks, seals or blocks them.

mod dlp;
mod document;

pub use dlp::{
    Action, Dlp, DlpSpec, FINDINGS_MAX, Finding, Inspection, MergeStrategy, Outcome, RuleError,
    RuleSpec, Seal, SealError, Severity, TextFinding,
};
pub use document::{Document, Invalid, Limits};
