//! The place in a trace that W3C Trace Context carries from process to process.
//!
//! It makes no random numbers: who begins a span hands them in.

use std::fmt;

/// Names a span and the trace that it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    trace: u128,
    span: u64,
    sampled: bool,
}

impl Place {
    /// Begins a trace with these random numbers.
    #[must_use]
    pub const fn root(trace: u128, span: u64, sampled: bool) -> Self {
        // W3C: all zeros name nothing.
        let trace = if trace == 0 { 1 } else { trace };
        Self { trace, span: nonzero(span), sampled }
    }

    /// Returns the place of a span below this one, with a random number for its name.
    #[must_use]
    pub const fn child(&self, span: u64) -> Self {
        Self { trace: self.trace, span: nonzero(span), sampled: self.sampled }
    }

    /// Reads a `traceparent` header of W3C Trace Context.
    ///
    /// Returns nothing for a text that is none; a later version than 00 is read as far as version
    /// 00 goes, as the recommendation asks for.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let mut hex = |digits: usize| {
            let part = parts.next()?;
            let is_hex = part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            (part.len() == digits && is_hex).then(|| u128::from_str_radix(part, 16).ok())?
        };
        let (version, trace, span, flags) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
        let is_last = parts.next().is_none();
        if version == 0xff || (version == 0 && !is_last) || trace == 0 || span == 0 {
            return None;
        }
        Some(Self { trace, span: u64::try_from(span).ok()?, sampled: flags & 1 == 1 })
    }

    /// Returns the trace's id.
    #[must_use]
    pub const fn trace_id(&self) -> u128 {
        self.trace
    }

    /// Returns the span's id.
    #[must_use]
    pub const fn span_id(&self) -> u64 {
        self.span
    }

    /// Returns whether the trace is kept.
    #[must_use]
    pub const fn is_sampled(&self) -> bool {
        self.sampled
    }
}

/// Writes the `traceparent` header, version 00.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = u8::from(self.sampled);
        write!(f, "00-{:032x}-{:016x}-{flags:02x}", self.trace, self.span)
    }
}

const fn nonzero(span: u64) -> u64 {
    if span == 0 { 1 } else { span }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_traceparent_is_read_and_written_as_it_was() {
        let place = Place::parse(TEXT).unwrap();
        assert_eq!(place.to_string(), TEXT);
        assert!(place.is_sampled());
        assert_eq!(place.span_id(), 0xb7ad_6b71_6920_3331);
        let child = place.child(7);
        assert_eq!(child.trace_id(), place.trace_id());
        assert_eq!(child.to_string(), "00-0af7651916cd43dd8448eb211c80319c-0000000000000007-01");
    }

    #[test]
    fn what_is_no_traceparent_names_no_place() {
        for text in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "0-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(Place::parse(text), None, "{text}");
        }
        // A later version may have more, and only the lowest flag is known.
        let later = "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03-more";
        assert_eq!(Place::parse(later).unwrap().to_string(), TEXT);
    }

    #[test]
    fn zeros_name_nothing() {
        assert!(Place::parse(&Place::root(0, 0, false).to_string()).is_some());
    }
}
