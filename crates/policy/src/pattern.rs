//! Permission patterns: literal text in which `*` stands for any run of characters.
//!
//! A pattern covers the whole text, is case-sensitive and knows no other special
//! character. Matching never backtracks further than the current `*`, so its
//! cost is bounded by pattern length times text length.

/// A compiled permission pattern.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern {
    text: Box<str>,
    shape: Shape,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Shape {
    /// No `*`: equal text only.
    Exact,
    /// Text before the first `*`, texts between, text after the last.
    Wild { first: Box<str>, middle: Vec<Box<str>>, last: Box<str> },
}

/// Says why a text cannot be a permission pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPattern {
    /// The text is empty.
    #[error("is empty; write for example `send:billing-*`")]
    Empty,
    /// The text is too long.
    #[error("is longer than {PATTERN_BYTES_MAX} bytes")]
    TooLong,
    /// The text has a blank or a control character, which no agent id has.
    #[error("has a blank or control character, so it can never match")]
    Blank,
    /// The text names no known action and has no `*` that could stand for one.
    #[error("starts with no known action; use `send:`, `request:`, `reply:`, `discover:` or `*`")]
    UnknownAction,
}

impl Pattern {
    /// Compiles a pattern; any text is one.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut parts: Vec<&str> = text.split('*').collect();
        let last = parts.pop().unwrap_or_default();
        let shape = if parts.is_empty() {
            Shape::Exact
        } else {
            let first = parts.remove(0);
            let middle = parts.into_iter().filter(|part| !part.is_empty()).map(Box::from).collect();
            Shape::Wild { first: first.into(), middle, last: last.into() }
        };
        Self { text: text.into(), shape }
    }

    /// Returns the pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns whether the pattern has no `*`.
    #[must_use]
    pub const fn is_exact(&self) -> bool {
        matches!(self.shape, Shape::Exact)
    }

    /// Returns whether the pattern covers the whole text.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let Shape::Wild { first, middle, last } = &self.shape else {
            return *self.text == *text;
        };
        let Some(rest) = text.strip_prefix(&**first) else { return false };
        let Some(mut rest) = rest.strip_suffix(&**last) else { return false };
        for part in middle {
            let Some((_, after)) = rest.split_once(&**part) else { return false };
            rest = after;
        }
        true
    }
}

/// Checks that a text makes sense as a permission pattern.
///
/// # Errors
/// The first reason why it does not.
pub(crate) fn check(text: &str) -> Result<(), BadPattern> {
    if text.is_empty() {
        return Err(BadPattern::Empty);
    }
    if text.len() > PATTERN_BYTES_MAX {
        return Err(BadPattern::TooLong);
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(BadPattern::Blank);
    }
    let can_match = crate::Action::MESSAGING.iter().any(|action| {
        let word = action.as_str();
        match text.split_once('*') {
            None => {
                text.strip_prefix(word).is_some_and(|rest| rest.len() > 1 && rest.starts_with(':'))
            }
            Some((before, _)) => match before.split_once(':') {
                Some((action_text, _)) => action_text == word,
                None => word.starts_with(before),
            },
        }
    });
    if can_match { Ok(()) } else { Err(BadPattern::UnknownAction) }
}

/// LIMIT: bytes of a pattern; four times the longest agent id that is accepted.
pub(crate) const PATTERN_BYTES_MAX: usize = 512;

#[cfg(test)]
mod tests;
