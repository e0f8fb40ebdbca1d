//! Regular expressions that stay linear and within a field.
//!
//! It knows no types and no policy.

use regex_automata::MatchKind;
use regex_automata::meta::{self, Regex};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{
    Capture, Class, ClassBytes, ClassBytesRange, ClassUnicode, ClassUnicodeRange, Hir, HirKind,
    Look, Repetition,
};

use super::rule_error::RuleError;
use super::view::{END, KEY_END};

/// Why a pattern cannot be used, before it is known whose it is.
pub(super) enum Fault {
    Unreadable { offset: usize, reason: String },
    MatchesEmpty,
    MatchesNothing,
    TooLarge,
}

impl Fault {
    pub(super) fn of(self, rule: &str) -> RuleError {
        let rule = rule.to_owned();
        match self {
            Self::Unreadable { offset, reason } => RuleError::BadPattern { rule, offset, reason },
            Self::MatchesEmpty => RuleError::MatchesEmpty { rule },
            Self::MatchesNothing => RuleError::MatchesNothing { rule },
            Self::TooLarge => RuleError::TooLarge { rule },
        }
    }
}

/// Reads a pattern; `folds` makes capital and small letters the same.
pub(super) fn parse(pattern: &str, folds: bool) -> Result<Hir, Fault> {
    let parsed =
        ParserBuilder::new().nest_limit(NEST_MAX).case_insensitive(folds).build().parse(pattern);
    match parsed {
        Ok(hir) => Ok(hir),
        Err(regex_syntax::Error::Parse(error)) => Err(Fault::Unreadable {
            offset: error.span().start.offset,
            reason: error.kind().to_string(),
        }),
        Err(regex_syntax::Error::Translate(error)) => Err(Fault::Unreadable {
            offset: error.span().start.offset,
            reason: error.kind().to_string(),
        }),
        Err(error) => Err(Fault::Unreadable { offset: 0, reason: error.to_string() }),
    }
}

/// Rewrites a pattern so that no class matches a separator of the view, and so that word borders
/// are ASCII: the lazy automaton gives up on Unicode ones as soon as a text is not ASCII.
pub(super) fn fenced(hir: &Hir) -> Hir {
    let all = |parts: &[Hir]| parts.iter().map(fenced).collect();
    match hir.kind() {
        HirKind::Empty | HirKind::Literal(_) => hir.clone(),
        HirKind::Class(Class::Unicode(class)) => {
            let mut class = class.clone();
            class.difference(&ClassUnicode::new([ClassUnicodeRange::new(KEY_END, END)]));
            Hir::class(Class::Unicode(class))
        }
        HirKind::Class(Class::Bytes(class)) => {
            let mut class = class.clone();
            class.difference(&ClassBytes::new([ClassBytesRange::new(0x1e, 0x1f)]));
            Hir::class(Class::Bytes(class))
        }
        HirKind::Look(look) => Hir::look(ascii(*look)),
        HirKind::Repetition(repetition) => Hir::repetition(Repetition {
            sub: Box::new(fenced(&repetition.sub)),
            ..repetition.clone()
        }),
        HirKind::Capture(capture) => {
            Hir::capture(Capture { sub: Box::new(fenced(&capture.sub)), ..capture.clone() })
        }
        HirKind::Concat(parts) => Hir::concat(all(parts)),
        HirKind::Alternation(parts) => Hir::alternation(all(parts)),
    }
}

fn ascii(look: Look) -> Look {
    match look {
        Look::WordUnicode => Look::WordAscii,
        Look::WordUnicodeNegate => Look::WordAsciiNegate,
        Look::WordStartUnicode => Look::WordStartAscii,
        Look::WordEndUnicode => Look::WordEndAscii,
        Look::WordStartHalfUnicode => Look::WordStartHalfAscii,
        Look::WordEndHalfUnicode => Look::WordEndHalfAscii,
        Look::Start
        | Look::End
        | Look::StartLF
        | Look::EndLF
        | Look::StartCRLF
        | Look::EndCRLF
        | Look::WordAscii
        | Look::WordAsciiNegate
        | Look::WordStartAscii
        | Look::WordEndAscii
        | Look::WordStartHalfAscii
        | Look::WordEndHalfAscii => look,
    }
}

/// Builds the automaton that finds the matches of one pattern.
pub(super) fn one(hir: &Hir) -> Result<Regex, Fault> {
    match hir.properties().minimum_len() {
        None => return Err(Fault::MatchesNothing),
        Some(0) => return Err(Fault::MatchesEmpty),
        Some(_) => {}
    }
    let config = meta::Config::new()
        .nfa_size_limit(Some(ONE_SIZE_MAX))
        .hybrid_cache_capacity(ONE_CACHE_BYTES);
    // Only the size can be refused here: the pattern has been parsed.
    Regex::builder().configure(config).build_from_hir(hir).ok().ok_or(Fault::TooLarge)
}

/// Builds the automaton that says whether and which of many patterns match.
pub(super) fn gate(hirs: &[Hir]) -> Option<Regex> {
    let config = meta::Config::new()
        .match_kind(MatchKind::All)
        .which_captures(regex_automata::nfa::thompson::WhichCaptures::None)
        .nfa_size_limit(Some(GATE_SIZE_MAX))
        .hybrid_cache_capacity(GATE_CACHE_BYTES);
    Regex::builder().configure(config).build_many_from_hir(hirs).ok()
}

/// LIMIT: groups inside one another in a pattern.
const NEST_MAX: u32 = 50;

/// LIMIT: bytes of one pattern's automaton.
const ONE_SIZE_MAX: usize = 1 << 20;

/// LIMIT: bytes of all patterns' automaton.
const GATE_SIZE_MAX: usize = 1 << 26;

/// With the library's default of 2 MB, hostile text empties the cache of states over and over and
/// the scan falls from hundreds of MB/s to less than one. It is a limit, not what is taken.
const GATE_CACHE_BYTES: usize = 64 << 20;

/// The states of one pattern are few.
const ONE_CACHE_BYTES: usize = 16 << 20;
