//! What several of the tests need: the default policy, compiled once, and short ways to ask.

use std::sync::LazyLock;

use inspect::{Dlp, DlpSpec, Document, Inspection, Limits, Seal, SealError};

static DEFAULT: LazyLock<Dlp> = LazyLock::new(|| Dlp::compile(&DlpSpec::default()).unwrap());

pub(crate) fn default_policy() -> &'static Dlp {
    &DEFAULT
}

pub(crate) fn policy(yaml_like: serde_json::Value) -> Dlp {
    let spec: DlpSpec = serde_json::from_value(yaml_like).unwrap();
    Dlp::compile(&spec).unwrap()
}

pub(crate) fn document(text: &str) -> Document {
    Document::parse(text, &Limits::default()).unwrap()
}

pub(crate) fn inspected(json: &str) -> Inspection {
    default_policy().inspect(&document(json), None)
}

/// Returns the types found in a text, with what each finding covers.
pub(crate) fn found(text: &str) -> Vec<(String, String)> {
    let chars: Vec<char> = text.chars().collect();
    let covered = |start, end| chars.get(start..end).unwrap().iter().collect();
    default_policy()
        .scan_text(text)
        .into_iter()
        .map(|one| (one.kind.to_string(), covered(one.start, one.end)))
        .collect()
}

/// Returns the types found in a document with their paths, as `type path`.
pub(crate) fn places(json: &str) -> Vec<String> {
    inspected(json)
        .findings
        .into_iter()
        .map(|one| format!("{} {}{}", one.kind, one.path, if one.in_key { " key" } else { "" }))
        .collect()
}

/// Seals by counting characters, so that a test sees what was sealed without reading it.
#[derive(Debug)]
pub(crate) struct Counting;

impl Seal for Counting {
    fn seal(&self, plaintext: &str) -> Result<String, SealError> {
        Ok(format!("palisade:sealed:v1:{}", plaintext.chars().count()))
    }
}

#[derive(Debug)]
pub(crate) struct Broken;

impl Seal for Broken {
    fn seal(&self, _plaintext: &str) -> Result<String, SealError> {
        Err(SealError)
    }
}
