//! Why a policy cannot be used: the rule, the field, and what to change.
//!
//! Patterns and names in it are the operator's own words; no message is near.

/// Says which rule or type of a policy cannot be used, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// There are more rules than one policy may have.
    #[error("dlp has {count} rules, at most {max} are taken: join patterns of one type with `|`")]
    TooMany {
        /// The number of rules.
        count: usize,
        /// The limit.
        max: usize,
    },
    /// A field of a rule is empty, too long, or has characters that do not belong there.
    #[error("dlp rule `{rule}`: `{field}` must have 1 to {max} characters{allowed}")]
    BadField {
        /// The rule.
        rule: String,
        /// The field.
        field: &'static str,
        /// The limit.
        max: usize,
        /// Which characters, if not all are allowed.
        allowed: &'static str,
    },
    /// Two rules have one id.
    #[error("dlp rule `{rule}` is there twice: give one of them another `id`")]
    DuplicateId {
        /// The rule.
        rule: String,
    },
    /// A pattern is not a regular expression of the kind that is understood.
    #[error("dlp rule `{rule}`: `pattern` cannot be read at byte {offset}: {reason}")]
    BadPattern {
        /// The rule.
        rule: String,
        /// The place in the pattern.
        offset: usize,
        /// What is wrong there.
        reason: String,
    },
    /// A pattern matches the empty text, and with it everything.
    #[error("dlp rule `{rule}`: `pattern` matches the empty text: require at least one character")]
    MatchesEmpty {
        /// The rule.
        rule: String,
    },
    /// A pattern can match nothing.
    #[error("dlp rule `{rule}`: `pattern` can never match: remove the rule or correct it")]
    MatchesNothing {
        /// The rule.
        rule: String,
    },
    /// A pattern becomes too large an automaton.
    #[error("dlp rule `{rule}`: `pattern` is too large when compiled: lower its repeat counts")]
    TooLarge {
        /// The rule.
        rule: String,
    },
    /// All patterns together become too large an automaton.
    #[error("the dlp rules are too large together when compiled: disable or simplify some")]
    AllTooLarge,
    /// A type is named that no rule looks for.
    #[error("dlp `{field}` names the unknown type `{name}`: known are {known}")]
    UnknownType {
        /// The key of the configuration.
        field: &'static str,
        /// The name.
        name: String,
        /// All types that could be named there.
        known: String,
    },
}
