//! A message as it is stored and delivered.
//!
//! The JSON layout is the MAS envelope, so that deployed clients read it; the payload is
//! spliced in as text and never parsed again.

use std::fmt::Write as _;

use super::{AgentId, CorrelationId, InstanceId, MessageId, Timestamp};

/// What a message is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessageKind {
    /// One way.
    Send,
    /// Expects a reply.
    Request {
        /// What the reply will name.
        correlation: CorrelationId,
    },
    /// Answers a request, and goes to the instance that asked.
    Reply {
        /// The request's correlation.
        correlation: CorrelationId,
        /// The instance that asked.
        instance: InstanceId,
    },
}

impl MessageKind {
    /// Returns the correlation of a request or reply.
    #[must_use]
    pub const fn correlation(&self) -> Option<CorrelationId> {
        match self {
            Self::Send => None,
            Self::Request { correlation } | Self::Reply { correlation, .. } => Some(*correlation),
        }
    }
}

/// W3C trace context that a caller sent along.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TraceContext {
    /// The `traceparent` header.
    pub traceparent: Option<String>,
    /// The `tracestate` header.
    pub tracestate: Option<String>,
}

impl TraceContext {
    /// Returns the span whose fields log lines carry: the place in a trace that is kept.
    pub(crate) fn log_span(&self) -> tracing::Span {
        let is_hex = |part: &&str, digits| {
            part.len() == digits && part.bytes().all(|byte| byte.is_ascii_hexdigit())
        };
        let mut parts = self.traceparent.as_deref().unwrap_or_default().split('-').skip(1);
        let trace_id = parts.next().filter(|part| is_hex(part, 32));
        let span_id = parts.next().filter(|part| is_hex(part, 16));
        // The lowest bit of the flags says that it is kept.
        let is_kept = parts
            .next()
            .is_some_and(|flags| u8::from_str_radix(flags, 16).is_ok_and(|flags| flags & 1 == 1));
        match (trace_id, span_id) {
            // Of the highest level, so that it is there whatever is logged.
            (Some(trace_id), Some(span_id)) if is_kept => {
                tracing::error_span!("run", trace_id, span_id)
            }
            _ => tracing::Span::none(),
        }
    }
}

/// A message with everything that the receiver sees.
#[derive(Debug, Clone)]
pub struct Envelope {
    /// The message's id.
    pub id: MessageId,
    /// Who sends, from the credential.
    pub sender: AgentId,
    /// Which instance of the sender.
    pub sender_instance: InstanceId,
    /// Who receives.
    pub target: AgentId,
    /// Free text by which receivers choose a handler.
    pub message_type: String,
    /// Whether it is a request, a reply or neither.
    pub kind: MessageKind,
    /// When the gate took it.
    pub timestamp: Timestamp,
    /// The caller's trace, if any.
    pub trace: TraceContext,
    /// How many messages led to this one.
    pub hops: u32,
}

impl Envelope {
    /// Writes the envelope as JSON around `payload`, which must be the text of a JSON object.
    #[must_use]
    pub fn encode(&self, payload: &str) -> String {
        let mut out = String::with_capacity(payload.len() + 512);
        out.push_str("{\"sender_id\":");
        push_text(&mut out, self.sender.as_str());
        out.push_str(",\"target_id\":");
        push_text(&mut out, self.target.as_str());
        out.push_str(",\"message_type\":");
        push_text(&mut out, &self.message_type);
        out.push_str(",\"data\":");
        out.push_str(payload);
        self.push_meta(&mut out);
        // Writing to a String cannot fail.
        let _ok = write!(out, ",\"timestamp\":{},\"message_id\":\"{}\"}}", self.timestamp, self.id);
        out
    }

    /// Reads the trace back from an envelope that [`encode`](Self::encode) wrote.
    ///
    /// It stands behind the payload, and no text behind it can hold a quote that is not escaped,
    /// so the last place where its names stand is its own.
    #[must_use]
    pub fn trace_of(envelope: &[u8]) -> TraceContext {
        let text = |name: &str| -> Option<String> {
            let tail = std::str::from_utf8(envelope).ok()?.rsplit_once(name)?.1;
            serde_json::Deserializer::from_str(tail).into_iter::<Option<String>>().next()?.ok()?
        };
        TraceContext { traceparent: text(TRACEPARENT), tracestate: text(TRACESTATE) }
    }

    fn push_meta(&self, out: &mut String) {
        let (expects_reply, is_reply, reply_to) = match &self.kind {
            MessageKind::Send => (false, false, None),
            MessageKind::Request { .. } => (true, false, None),
            MessageKind::Reply { instance, .. } => (false, true, Some(instance.as_str())),
        };
        out.push_str(",\"meta\":{\"version\":1,\"correlation_id\":");
        match self.kind.correlation() {
            Some(correlation) => {
                let _ok = write!(out, "\"{correlation}\"");
            }
            None => out.push_str("null"),
        }
        let _ok = write!(out, ",\"expects_reply\":{expects_reply},\"is_reply\":{is_reply}");
        for (name, value) in [
            (",\"sender_instance_id\":", Some(self.sender_instance.as_str())),
            (",\"reply_to_instance_id\":", reply_to),
            (TRACEPARENT, self.trace.traceparent.as_deref()),
            (TRACESTATE, self.trace.tracestate.as_deref()),
        ] {
            out.push_str(name);
            match value {
                Some(text) => push_text(out, text),
                None => out.push_str("null"),
            }
        }
        // MAS clients pass over fields that they do not know.
        let _ok = write!(out, ",\"hops\":{}}}", self.hops);
    }
}

const TRACEPARENT: &str = ",\"traceparent\":";
const TRACESTATE: &str = ",\"tracestate\":";

/// Appends a JSON string.
fn push_text(out: &mut String, text: &str) {
    let plain = text.bytes().all(|b| b >= 0x20 && b != b'"' && b != b'\\');
    if plain {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        out.push_str(&serde_json::Value::from(text).to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(kind: MessageKind) -> Envelope {
        Envelope {
            id: MessageId::from_random(7),
            sender: AgentId::parse("a").unwrap(),
            sender_instance: InstanceId::parse("i1").unwrap(),
            target: AgentId::parse("b").unwrap(),
            message_type: "say \"hi\"\n".to_owned(),
            kind,
            timestamp: Timestamp::from_micros(1_700_000_000_000_001),
            trace: TraceContext::default(),
            hops: 3,
        }
    }

    #[test]
    fn a_reply_has_the_fields_of_the_mas_envelope_in_their_order() {
        let kind = MessageKind::Reply {
            correlation: CorrelationId::from_random(1),
            instance: InstanceId::parse("asker").unwrap(),
        };
        let text = envelope(kind).encode("{\"x\": 1.0}");
        assert_eq!(
            text,
            "{\"sender_id\":\"a\",\"target_id\":\"b\",\"message_type\":\"say \\\"hi\\\"\\n\",\
             \"data\":{\"x\": 1.0},\"meta\":{\"version\":1,\
             \"correlation_id\":\"00000000000000000000000000000001\",\"expects_reply\":false,\
             \"is_reply\":true,\"sender_instance_id\":\"i1\",\"reply_to_instance_id\":\"asker\",\
             \"traceparent\":null,\"tracestate\":null,\"hops\":3},\"timestamp\":1700000000.000001,\
             \"message_id\":\"00000000000000000000000000000007\"}"
        );
        let parsed: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(parsed["message_type"], "say \"hi\"\n");
    }

    #[test]
    fn the_trace_is_read_back_whatever_the_payload_says() {
        let payload = r#"{"x":1,"traceparent":"evil","tracestate":"evil"}"#;
        let mut envelope = envelope(MessageKind::Send);
        assert_eq!(Envelope::trace_of(envelope.encode(payload).as_bytes()), envelope.trace);
        envelope.trace.traceparent = Some("00-0af7-b7-01".to_owned());
        for state in ["a=1", r#"a=",\"traceparent\":\"evil",\"#] {
            envelope.trace.tracestate = Some(state.to_owned());
            assert_eq!(Envelope::trace_of(envelope.encode(payload).as_bytes()), envelope.trace);
        }
        assert_eq!(Envelope::trace_of(b"something else"), TraceContext::default());
    }

    #[test]
    fn a_request_expects_a_reply() {
        let kind = MessageKind::Request { correlation: CorrelationId::from_random(2) };
        let parsed: serde_json::Value = serde_json::from_str(&envelope(kind).encode("{}")).unwrap();
        assert_eq!(parsed["meta"]["expects_reply"], true);
        assert_eq!(parsed["meta"]["reply_to_instance_id"], serde_json::Value::Null);
    }
}
