//! W3C trace context that comes with messages and goes on with what they lead to.
//!
//! It makes no spans and draws no ids: a program that traces gives its own context, any other hands
//! on what it got.

use std::fmt;

use crate::error::Invalid;

/// Holds the position in a trace, as W3C Trace Context writes it.
#[derive(Clone, PartialEq, Eq)]
pub struct TraceContext {
    parent: Box<str>,
    state: Option<Box<str>>,
}

impl TraceContext {
    /// Takes the texts of the headers `traceparent` (version 00) and `tracestate`.
    ///
    /// # Errors
    /// Returns [`Invalid::Trace`] if they are not of that form, or too long for a gate.
    pub fn new(traceparent: &str, tracestate: Option<&str>) -> Result<Self, Invalid> {
        let is_printable = |text: &str| text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        let fits = |text: &str| text.len() <= STATE_BYTES_MAX && is_printable(text);
        if is_traceparent(traceparent) && tracestate.is_none_or(fits) {
            Ok(Self { parent: traceparent.into(), state: tracestate.map(Into::into) })
        } else {
            Err(Invalid::Trace)
        }
    }

    /// Takes what a gate handed over; nothing if that is no trace context.
    pub(crate) fn arrived(traceparent: Option<&str>, tracestate: Option<&str>) -> Option<Self> {
        Self::new(traceparent?, tracestate).ok()
    }

    /// Returns the text of the header `traceparent`.
    #[must_use]
    pub fn traceparent(&self) -> &str {
        &self.parent
    }

    /// Returns the span whose fields log lines carry: the place in a trace that is kept.
    pub(crate) fn log_span(&self) -> tracing::Span {
        // INVARIANT: it is a traceparent of version 00.
        let mut parts = self.parent.split('-').skip(1);
        match (parts.next(), parts.next(), parts.next()) {
            (Some(trace_id), Some(span_id), Some(flags))
                if u8::from_str_radix(flags, 16).is_ok_and(|flags| flags & 1 == 1) =>
            {
                // Of the highest level, so that it is there whatever is logged.
                tracing::error_span!("message", trace_id, span_id)
            }
            _ => tracing::Span::none(),
        }
    }

    /// Returns the text of the header `tracestate`.
    #[must_use]
    pub fn tracestate(&self) -> Option<&str> {
        self.state.as_deref()
    }
}

impl fmt::Debug for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TraceContext").field(&self.parent).finish()
    }
}

fn is_traceparent(text: &str) -> bool {
    let is_hex = |part: &str| part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    text.split('-').map(str::len).eq([2, 32, 16, 2]) && text.split('-').all(is_hex)
}

/// LIMIT: what a gate takes; the standard asks for 512 bytes at least.
const STATE_BYTES_MAX: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn only_the_form_of_the_standard_is_taken() {
        let trace = TraceContext::new(PARENT, Some("a=1,b=2")).unwrap();
        assert_eq!((trace.traceparent(), trace.tracestate()), (PARENT, Some("a=1,b=2")));
        for parent in
            ["", "00", PARENT.trim_end_matches('1'), &PARENT.to_uppercase(), &format!("{PARENT}-")]
        {
            assert!(matches!(TraceContext::new(parent, None), Err(Invalid::Trace)), "{parent}");
        }
        for state in ["a=\n", &"x".repeat(STATE_BYTES_MAX + 1)] {
            assert!(matches!(TraceContext::new(PARENT, Some(state)), Err(Invalid::Trace)));
        }
        assert_eq!(TraceContext::arrived(None, Some("a=1")), None);
    }
}
