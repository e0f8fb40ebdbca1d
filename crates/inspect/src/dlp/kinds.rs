//! The built-in types: their names, default policies and patterns.
//!
//! Patterns only propose; what `checks` refuses is no finding.

use super::checks::{self, Check};
use super::spec::{Action, Severity};

/// Names a built-in type; the number is its place in [`KINDS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Builtin {
    Ssn,
    Email,
    Phone,
    Mrn,
    HealthInsurance,
    Icd10,
    CreditCard,
    Cvv,
    ApiKey,
    AwsKey,
    PrivateKey,
    Jwt,
    Password,
    Address,
}

/// A built-in type with its default policy.
pub(super) struct BuiltinKind {
    pub(super) builtin: Builtin,
    pub(super) name: &'static str,
    pub(super) action: Action,
    pub(super) severity: Severity,
}

const fn kind(
    builtin: Builtin,
    name: &'static str,
    action: Action,
    severity: Severity,
) -> BuiltinKind {
    BuiltinKind { builtin, name, action, severity }
}

/// All built-in types, in the order of [`Builtin`].
pub(super) const KINDS: [BuiltinKind; 14] = [
    kind(Builtin::Ssn, "ssn", Action::Redact, Severity::High),
    kind(Builtin::Email, "email", Action::Alert, Severity::Low),
    kind(Builtin::Phone, "phone", Action::Alert, Severity::Low),
    kind(Builtin::Mrn, "mrn", Action::Block, Severity::Critical),
    kind(Builtin::HealthInsurance, "health_insurance", Action::Block, Severity::Critical),
    kind(Builtin::Icd10, "icd10", Action::Alert, Severity::Medium),
    kind(Builtin::CreditCard, "credit_card", Action::Block, Severity::Critical),
    kind(Builtin::Cvv, "cvv", Action::Block, Severity::Critical),
    kind(Builtin::ApiKey, "api_key", Action::Block, Severity::Critical),
    kind(Builtin::AwsKey, "aws_key", Action::Block, Severity::Critical),
    kind(Builtin::PrivateKey, "private_key", Action::Block, Severity::Critical),
    kind(Builtin::Jwt, "jwt", Action::Block, Severity::High),
    kind(Builtin::Password, "password", Action::Block, Severity::Critical),
    // No pattern of its own: operators bring one, and the type's policy is here.
    kind(Builtin::Address, "address", Action::Alert, Severity::Medium),
];

/// One pattern of a built-in type; its first group is what is reported.
pub(super) struct Pattern {
    pub(super) builtin: Builtin,
    source: &'static str,
    pub(super) check: Check,
}

impl Pattern {
    /// Returns the regular expression with the shorthands written out.
    pub(super) fn regex(&self) -> String {
        SHORTHANDS.iter().fold(self.source.to_owned(), |text, (from, to)| text.replace(from, to))
    }
}

const fn pattern(builtin: Builtin, source: &'static str, check: Check) -> Pattern {
    Pattern { builtin, source, check }
}

/// Word borders are ASCII, so that a letter of another script before a secret does not hide it
/// and the automaton stays fast on every text.
const SHORTHANDS: [(&str, &str); 6] = [
    // beginning and end of a word; an underscore joins words and does not make them one
    ("<B>", r"(?:(?-u:\b)|_)"),
    ("<E>", r"(?:(?-u:\b)|_)"),
    // what stands between groups of digits
    ("<S>", r"[-. \t]{0,3}"),
    // quotes, and backslashes before them in JSON within a string
    ("<Q>", r#"[\\"'`]{0,4}"#),
    // what stands between a name and its value
    ("<IS>", r"[ \t]{0,3}(?::=|=>|[:=]|(?i-u:is|was)[ \t:])[ \t]{0,3}"),
    ("<NO>", r"(?i-u:number|num|no\b\.?|id|#)"),
];

/// All patterns of the built-in types.
pub(super) const PATTERNS: &[Pattern] = &[
    pattern(Builtin::Ssn, r"<B>([0-9]{3}[-. \t][0-9]{2}[-. \t][0-9]{4})<E>", checks::ssn_parted),
    pattern(
        Builtin::Ssn,
        concat!(
            r"<B>(?i-u:ssn|social[ _-]?security|soc\.? ?sec)[^0-9]{0,24}",
            r"([0-9]{3}[-. ]?[0-9]{2}[-. ]?[0-9]{4})<E>",
        ),
        checks::ssn_named,
    ),
    pattern(
        Builtin::Ssn,
        r"<B>([0-9]{9})<E>[^0-9]{1,16}(?i-u:ssn|social security)<E>",
        checks::ssn_named,
    ),
    pattern(
        Builtin::Email,
        concat!(
            r"([A-Za-z0-9_%+\x{C0}-\x{24F}][A-Za-z0-9._%+\x{C0}-\x{24F}-]*",
            r"@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,})",
        ),
        checks::email,
    ),
    pattern(
        Builtin::Phone,
        r"((?:\+?1[-. ]?)?(?:\([0-9]{3}\)[-. ]?|[0-9]{3}[-. ])[0-9]{3}[-. ][0-9]{4})<E>",
        checks::phone,
    ),
    pattern(
        Builtin::Phone,
        r"(\+[1-9][0-9]{0,2}(?:[-. ]?\(?[0-9]{1,4}\)?){2,6})<E>",
        checks::phone_international,
    ),
    pattern(
        Builtin::Phone,
        concat!(
            r"<B>(?i-u:phone|telephone|tel|mobile|cell|fax|call|whatsapp|sms|contact)",
            r"(?:[^0-9A-Za-z][^0-9]{0,20})?((?:\+?1)?[2-9][0-9]{2}[2-9][0-9]{6})<E>",
        ),
        checks::whole,
    ),
    pattern(
        Builtin::Mrn,
        concat!(
            r"<B>(?i-u:mrn|medical[ _-]record)s?(?:[ _-]?<NO>)?",
            r"<Q>(?:<IS>)?[\s:#=.-]{0,4}<Q>([0-9]{6,10})<E>",
        ),
        checks::whole,
    ),
    pattern(
        Builtin::HealthInsurance,
        concat!(
            r"<B>(?i-u:health[ _-]?insurance)(?:[ _-](?:(?i-u:policy|plan|member|card)|<NO>)){0,3}",
            r"<Q>(?:<IS>)?[\s:#=-]{0,4}<Q>([0-9]{8,12})<E>",
        ),
        checks::whole,
    ),
    pattern(
        Builtin::HealthInsurance,
        r"<B>(?i-u:policy)[ _-]?(?:<NO>)<Q>(?:<IS>)?[\s:#=]{0,3}<Q>([0-9]{8,12})<E>",
        checks::whole,
    ),
    pattern(
        Builtin::HealthInsurance,
        r"<B>(?i-u:policy)[ \t]?[:#=][\s:#=]{0,3}([0-9]{8,12})<E>",
        checks::not_a_date,
    ),
    pattern(Builtin::Icd10, r"<B>([A-TV-Z][0-9]{2}\.[0-9][0-9A-Z]{0,3})<E>", checks::whole),
    pattern(
        Builtin::Icd10,
        concat!(
            r"<B>(?i-u:icd(?:-?10)?(?:-?cm)?|diagnos[ei]s|diagnosed|dx)<E>",
            r"[^.;0-9]{0,24}<B>([A-TV-Z][0-9]{2})<E>",
        ),
        checks::whole,
    ),
    pattern(
        Builtin::CreditCard,
        concat!(
            r"<B>((?:4[0-9]{3}|5[1-5][0-9]{2}|2[2-7][0-9]{2}|6011|65[0-9]{2}|",
            r"64[4-9][0-9]|35[2-8][0-9])<S>[0-9]{4}<S>[0-9]{4}<S>[0-9]{4})<E>",
        ),
        checks::card,
    ),
    pattern(
        Builtin::CreditCard,
        r"<B>(3[47][0-9]{2}<S>(?:[0-9]{6}<S>[0-9]{5}|[0-9]{4}<S>[0-9]{4}<S>[0-9]{3}))<E>",
        checks::card,
    ),
    pattern(
        Builtin::CreditCard,
        r"<B>(3(?:0[0-5]|[68][0-9])[0-9]<S>[0-9]{6}<S>[0-9]{4})<E>",
        checks::card,
    ),
    pattern(
        Builtin::Cvv,
        concat!(
            r"<B>(?i-u:cvv|cvc|card security code|card verification value)2?",
            r"(?: ?(?i-u:code|number))?<Q>(?:<IS>|[\s:=#-]{1,3})<Q>([0-9]{3,4})<E>",
        ),
        checks::whole,
    ),
    pattern(
        Builtin::ApiKey,
        concat!(
            r"(?i-u:api[ _-]?key|secret[ _-]?(?:access[ _-]?)?key|client[ _-]?secret",
            r"|(?:access|auth|api|refresh)[ _-]?token)<Q>(?:<IS>|[ \t]{1,3})<Q>",
            r"([A-Za-z0-9_+/=.-]{16,})",
        ),
        checks::api_key,
    ),
    pattern(Builtin::AwsKey, r"<B>((?:AKIA|ASIA)[A-Z0-9]{16})<E>", checks::whole),
    pattern(
        Builtin::PrivateKey,
        r"(-{4,5} ?(?i-u:BEGIN (?:[A-Z0-9]+ ){0,4}PRIVATE KEY(?: BLOCK)?) ?-{4,5})",
        checks::private_key,
    ),
    pattern(
        Builtin::Jwt,
        r"<B>(eyJ[A-Za-z0-9_-]{4,}\.eyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]*)",
        checks::whole,
    ),
    pattern(
        Builtin::Password,
        r#"(?i-u:password|passwd|passphrase|passcode|pwd)s?<Q><IS><Q>([^\s"'`\\]{6,})"#,
        checks::password,
    ),
];

/// Finds out whether a document has a key that gives its value a meaning; `keys` reads such keys
/// closely. The last character ends a key, so words in values do not count.
pub(super) const KEY_WORDS: &str = concat!(
    r"(?i-u:ssn|social|phone|mobile|whatsapp|msisdn|mrn|medical|insurance|policy[ _.-]?n|icd",
    r"|diagnos|card|cvv|cvc|cvn|security[ _.-]?code|verification[ _.-]?value|api[ _.-]?key|secret",
    r"|passw|passp|passc|pwd|(?:db|user|admin|root)[ _.-]?pass",
    r"|(?:access|auth|refresh|bearer|private|api)[ _.-]?(?:token|key)",
    r"|(?:(?-u:\b)|_)(?:cc|tel|pan|dx|cell|fax)(?:(?-u:\b)|_))",
    r"[^\x1e\x1f]*\x1e",
);
