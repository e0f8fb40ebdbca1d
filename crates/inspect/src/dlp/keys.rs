//! What the name of a key says about its value: `"cvv": 123` is a secret, `123` alone is not.
//!
//! It reads names only; whether the value has the right shape is decided here too, but what
//! happens to it is not.

use std::ops::Range;

use super::checks::{PASSWORD_LEN_MIN, digits, is_placeholder, luhn, ssn_is_plausible};
use super::kinds::Builtin;
use super::view::folded;
use crate::document::{Document, Kind, NONE, Node};

/// The types that a key gives its value, one bit each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Meaning(u16);

impl Meaning {
    fn with(self, builtin: Builtin, applies: bool) -> Self {
        Self(self.0 | (u16::from(applies) << bit(builtin)))
    }

    fn has(self, builtin: Builtin) -> bool {
        self.0 & (1 << bit(builtin)) != 0
    }

    fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

fn bit(builtin: Builtin) -> u16 {
    match builtin {
        Builtin::Ssn => 0,
        Builtin::Phone => 1,
        Builtin::Mrn => 2,
        Builtin::HealthInsurance => 3,
        Builtin::Icd10 => 4,
        Builtin::CreditCard => 5,
        Builtin::Cvv => 6,
        Builtin::ApiKey => 7,
        Builtin::Password => 8,
        Builtin::Email
        | Builtin::AwsKey
        | Builtin::PrivateKey
        | Builtin::Jwt
        | Builtin::Address => 15,
    }
}

/// Reads the keys around values; remembers the last, as the items of an array share theirs.
pub(super) struct KeyReader<'a> {
    doc: &'a Document,
    last: (u32, Meaning),
}

impl<'a> KeyReader<'a> {
    pub(super) fn new(doc: &'a Document) -> Self {
        Self { doc, last: (NONE, Meaning::default()) }
    }

    /// Returns what the key of a value says about it; items of an array have the array's key.
    pub(super) fn meaning(&mut self, node: &Node) -> Meaning {
        let Some(key) = owner(self.doc, node) else { return Meaning::default() };
        if self.last.0 != key {
            self.last = (key, self.read(key));
        }
        self.last.1
    }

    fn read(&self, key: u32) -> Meaning {
        let Some(node) = self.doc.node(key) else { return Meaning::default() };
        let words = words(&folded(self.doc, node));
        let meaning = of_words(&words);
        // {"ssn": {"value": …}}: a key that says nothing leaves it to the one around it.
        let outer = self.doc.node(node.parent).and_then(|object| owner(self.doc, object));
        match outer.and_then(|outer| self.doc.node(outer)) {
            Some(outer) if is_vague(&words) => {
                meaning.and(of_words(&self::words(&folded(self.doc, outer))))
            }
            _ => meaning,
        }
    }
}

/// Returns the key that a value or the arrays around it stand under.
fn owner(doc: &Document, value: &Node) -> Option<u32> {
    let mut node = value;
    loop {
        let parent = doc.node(node.parent)?;
        if parent.kind == Kind::Object {
            return Some(node.slot);
        }
        node = parent;
    }
}

/// Writes a name in small letters with one underscore between words: `apiKey`, `X-API-Key` and
/// `user password 2` become `api_key`, `x_api_key` and `user_password`.
fn words(name: &str) -> String {
    let chars: Vec<char> = name.chars().rev().take(NAME_LEN_MAX).collect();
    let mut out = String::with_capacity(chars.len() + 4);
    let mut before = ' ';
    for (at, c) in chars.iter().enumerate().rev() {
        let after = at.checked_sub(1).and_then(|at| chars.get(at)).copied().unwrap_or(' ');
        let starts_word = c.is_uppercase()
            && (before.is_lowercase() || (before.is_uppercase() && after.is_lowercase()));
        if starts_word || (!c.is_alphabetic() && before.is_alphabetic()) {
            out.push('_');
        }
        if c.is_alphabetic() {
            out.extend(c.to_lowercase());
        }
        before = *c;
    }
    out.truncate(out.trim_end_matches('_').len());
    out
}

fn of_words(words: &str) -> Meaning {
    let parts = || words.split('_');
    let any = |names: &[&str]| parts().any(|part| names.contains(&part));
    let holds = |names: &[&str]| names.iter().any(|name| words.contains(name));
    let numbered = any(&["id", "number", "no", "num", "member", "policy", "card"]);
    Meaning::default()
        .with(Builtin::Ssn, any(&["ssn"]) || holds(&["social_security", "socialsecurity"]))
        .with(Builtin::Phone, holds(&["phone"]) || any(PHONE_WORDS))
        .with(Builtin::Mrn, any(&["mrn"]) || holds(&["medical_record", "medicalrecord"]))
        .with(
            Builtin::HealthInsurance,
            (holds(&["insurance"]) && numbered) || holds(&["policy_n", "policyn"]),
        )
        .with(Builtin::Icd10, any(&["icd", "dx"]) || holds(&["diagnosis", "diagnoses"]))
        .with(Builtin::CreditCard, any(&["card", "cc", "pan"]) || holds(&["cardn", "creditcard"]))
        .with(
            Builtin::Cvv,
            any(&["cvv", "cvc", "cvn"]) || holds(&["security_code", "verification_value"]),
        )
        .with(Builtin::ApiKey, API_KEYS.iter().any(|name| words.ends_with(name)))
        .with(Builtin::Password, names_password(words))
}

fn names_password(words: &str) -> bool {
    let name = VAGUE.iter().fold(words, |name, word| {
        name.strip_suffix(word).and_then(|name| name.strip_suffix('_')).unwrap_or(name)
    });
    let first = name.split('_').next().unwrap_or_default();
    PASSWORDS.iter().any(|word| name.ends_with(word)) && !NOT_PASSWORDS.contains(&first)
}

fn is_vague(words: &str) -> bool {
    VAGUE.contains(&words)
}

/// Returns what a value is under a key of this meaning, with the bytes to report.
pub(super) fn findings(meaning: Meaning, kind: Kind, value: &str) -> Vec<(Builtin, Range<usize>)> {
    let mut found = Vec::new();
    if meaning == Meaning::default() || kind == Kind::Float {
        return found;
    }
    let lead = value.len() - value.trim_start().len();
    let trimmed = value.trim();
    let span = lead..lead + trimmed.len();
    for (builtin, has_shape) in SHAPES {
        if meaning.has(*builtin) && trimmed.len() <= VALUE_LEN_MAX && has_shape(trimmed) {
            found.push((*builtin, span.clone()));
        }
    }
    if meaning.has(Builtin::Icd10) {
        found.extend(diagnoses(value).map(|code| (Builtin::Icd10, code)));
    }
    found
}

/// Says whether a value looks like one of a type whose name its key has.
type Shape = fn(&str) -> bool;

const SHAPES: &[(Builtin, Shape)] = &[
    (Builtin::Ssn, |value| consists(value, "-. ") && ssn_is_plausible(&digits(value))),
    (Builtin::Phone, |value| {
        let len_min = if value.len() == digits(value).len() { 10 } else { 7 };
        consists(value, "-. +()/") && (len_min..=15).contains(&digits(value).len())
    }),
    (Builtin::Mrn, |value| is_number(value, 5, 12)),
    (Builtin::HealthInsurance, |value| is_number(value, 6, 16)),
    (Builtin::CreditCard, |value| {
        let digits = digits(value);
        consists(value, "-. ") && (12..=19).contains(&digits.len()) && luhn(&digits)
    }),
    (Builtin::Cvv, |value| matches!(value.len(), 3 | 4) && consists(value, "")),
    (Builtin::ApiKey, |value| {
        let has_digit = value.bytes().any(|b| b.is_ascii_digit());
        let is_long = value.len() >= 16 || (value.len() >= 8 && has_digit);
        is_long && is_secret(value) && !value.contains(char::is_whitespace)
    }),
    (Builtin::Password, |value| value.chars().count() >= PASSWORD_LEN_MIN && is_secret(value)),
];

fn is_secret(value: &str) -> bool {
    // `pwd` is also the working directory, and a link leads to a form
    let is_place = value.contains("://") || value.starts_with('/') || value.starts_with(r"C:\");
    !is_place && !is_placeholder(value)
}

/// Says whether a text has digits and the given separators only.
fn consists(value: &str, separators: &str) -> bool {
    value.chars().all(|c| c.is_ascii_digit() || separators.contains(c))
}

/// Says whether a text is one word with digits in it, as numbers of records are.
fn is_number(value: &str, digits_min: usize, len_max: usize) -> bool {
    let is_word = value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'#'));
    is_word && value.len() <= len_max && digits(value).len() >= digits_min
}

/// Returns the ICD-10 codes in a text that is known to speak of diagnoses.
fn diagnoses(value: &str) -> impl Iterator<Item = Range<usize>> {
    let is_code = |token: &str| {
        let bytes = token.as_bytes();
        let (head, tail) = bytes.split_at(bytes.len().min(3));
        let tail = tail.strip_prefix(b".").unwrap_or(tail);
        matches!(head, [b'A'..=b'T' | b'V'..=b'Z', b'0'..=b'9', b'0'..=b'9' | b'A' | b'B'])
            && tail.len() <= 4
            && tail.iter().all(u8::is_ascii_alphanumeric)
    };
    let mut at = 0;
    value.split_inclusive(|c: char| !c.is_ascii_alphanumeric() && c != '.').filter_map(
        move |part| {
            let start = at;
            at += part.len();
            let end = |c: char| !c.is_ascii_alphanumeric();
            let token = part.trim_end_matches(end);
            is_code(token).then(|| start..start + token.len())
        },
    )
}

/// LIMIT: of longer names only the end is read.
const NAME_LEN_MAX: usize = 64;

/// LIMIT: longer values are texts about something, not the thing itself.
const VALUE_LEN_MAX: usize = 4_096;

const PHONE_WORDS: &[&str] = &["mobile", "cell", "fax", "tel", "whatsapp", "msisdn"];

const API_KEYS: &[&str] = &[
    "api_key",
    "apikey",
    "secret_key",
    "secretkey",
    "access_key",
    "client_secret",
    "api_secret",
    "access_token",
    "auth_token",
    "refresh_token",
    "bearer_token",
    "private_token",
    "api_token",
];

const PASSWORDS: &[&str] = &[
    "password",
    "passwords",
    "passwd",
    "passphrase",
    "passcode",
    "pwd",
    "db_pass",
    "user_pass",
    "admin_pass",
    "root_pass",
];

/// `forgot_password`, `has_password` and the like are about passwords.
const NOT_PASSWORDS: &[&str] = &[
    "has",
    "is",
    "forgot",
    "reset",
    "require",
    "requires",
    "required",
    "no",
    "needs",
    "show",
    "hide",
    "change",
    "min",
    "max",
    "allow",
    "enable",
    "disable",
    "hashed",
    "encrypted",
];

/// Names that say nothing about what they name.
const VAGUE: &[&str] = &[
    "value",
    "val",
    "text",
    "raw",
    "plain",
    "plaintext",
    "data",
    "content",
    "number",
    "current",
    "old",
    "new",
];
