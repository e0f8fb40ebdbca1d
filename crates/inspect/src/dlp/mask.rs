//! What is put in place of a finding.
//!
//! A mask shows at most what a reader needs to recognise their own value: the last four digits,
//! the domain of an address.

use super::checks::digits;
use super::kinds::Builtin;

/// Returns the mask for one finding of a type.
pub(super) fn specific(builtin: Option<Builtin>, name: &str, matched: &str) -> String {
    let digits = digits(matched);
    let last_four = digits.len().checked_sub(4).and_then(|at| digits.get(at..));
    // A few digits in a match of an operator's own pattern are not a tail, they are all of it.
    let tail = last_four.filter(|_| digits.len() >= TAIL_OF_MIN);
    match (builtin, tail) {
        (Some(Builtin::Ssn), Some(tail)) => format!("XXX-XX-{tail}"),
        (Some(Builtin::CreditCard), Some(tail)) => format!("**** **** **** {tail}"),
        (Some(Builtin::Phone), Some(tail)) => format!("(XXX) XXX-{tail}"),
        (Some(Builtin::Email), _) => email(matched).unwrap_or_else(|| general(name)),
        _ => general(name),
    }
}

/// Returns the mask that shows nothing but the type.
pub(super) fn general(name: &str) -> String {
    format!("[REDACTED {}]", name.to_uppercase())
}

fn email(matched: &str) -> Option<String> {
    let (local, domain) = matched.split_once('@')?;
    let first = local.chars().next()?;
    Some(format!("{first}***@{domain}"))
}

/// A tail of four is shown of numbers at least this long.
const TAIL_OF_MIN: usize = 7;
