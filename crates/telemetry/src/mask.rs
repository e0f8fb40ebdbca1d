//! What is taken out of free text before it leaves the process.
//!
//! The same detectors as those for payloads look at it. A text with a finding is replaced whole:
//! what stands around a secret is often part of it.

use std::borrow::Cow;
use std::sync::Arc;

use inspect::Dlp;

/// Masks texts from outside.
#[derive(Debug, Clone)]
pub struct Masker(Option<Arc<Dlp>>);

impl Masker {
    /// Masks whatever these rules find.
    #[must_use]
    pub const fn new(dlp: Arc<Dlp>) -> Self {
        Self(Some(dlp))
    }

    /// Masks whatever the rules find that are in force without a setting; everything if they
    /// cannot be had.
    #[must_use]
    pub fn standard() -> Self {
        Self(Dlp::compile(&inspect::DlpSpec::default()).ok().map(Arc::new))
    }

    /// Returns the text as it may leave the process: with a finding in it, nothing of it does.
    #[must_use]
    pub fn mask<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let cut = cut(text);
        match &self.0 {
            Some(dlp) if dlp.scan_text(text).is_empty() => Cow::Borrowed(cut),
            _ => Cow::Borrowed(HIDDEN),
        }
    }
}

/// Returns the first characters of a text.
fn cut(text: &str) -> &str {
    match text.char_indices().nth(TEXT_CHARS_MAX) {
        Some((end, _)) => text.split_at_checked(end).map_or("", |(start, _)| start),
        None => text,
    }
}

/// What stands for a text that may not leave the process.
const HIDDEN: &str = "[REDACTED]";
/// LIMIT: characters of one text from outside.
const TEXT_CHARS_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_with_a_secret_does_not_leave() {
        let masker = Masker::standard();
        assert_eq!(masker.mask("refused: SSN 123-45-6789 is unknown"), HIDDEN);
        assert_eq!(masker.mask("order.created"), "order.created");
        assert_eq!(Masker(None).mask("order.created"), HIDDEN);
    }

    #[test]
    fn a_long_text_is_cut_after_it_was_looked_at() {
        let masker = Masker::standard();
        let long = "ü".repeat(300);
        assert_eq!(masker.mask(&long).chars().count(), TEXT_CHARS_MAX);
        assert_eq!(masker.mask(&format!("{long} 123-45-6789")), HIDDEN);
    }
}
