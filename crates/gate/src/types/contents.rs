//! What is in an envelope that the gate wrote, without reading its payload.
//!
//! Only for doors that hand a message over in another form than the envelope.

use serde::Deserialize;

use super::Timestamp;

/// The parts of an envelope that a delivery does not know otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// Where in the envelope the payload begins, and where it ends.
    pub payload: (usize, usize),
    /// Which instance of the sender.
    pub sender_instance: String,
    /// Whether a reply is expected.
    pub expects_reply: bool,
    /// Whether it is a reply.
    pub is_reply: bool,
    /// The correlation of a request or reply.
    pub correlation: Option<String>,
    /// How many messages led to this one.
    pub hops: u32,
    /// The `traceparent` of the sender.
    pub traceparent: Option<String>,
    /// The `tracestate` of the sender.
    pub tracestate: Option<String>,
    /// When the gate took it.
    pub accepted_at: Timestamp,
}

#[derive(Deserialize)]
struct Meta {
    sender_instance_id: Option<String>,
    expects_reply: bool,
    is_reply: bool,
    correlation_id: Option<String>,
    traceparent: Option<String>,
    tracestate: Option<String>,
    // Not known of what an older version took.
    #[serde(default)]
    hops: u32,
}

// In a text of JSON no quote stands by itself, so these are in no text around a payload.
const DATA: &str = ",\"data\":";
const META: &str = ",\"meta\":{\"version\":";
const TIMESTAMP: &str = ",\"timestamp\":";

impl Contents {
    /// Reads an envelope; nothing if the gate cannot have written it.
    #[must_use]
    pub fn read(envelope: &str) -> Option<Self> {
        let begin = envelope.find(DATA)?.checked_add(DATA.len())?;
        // The payload may look like anything, but what follows it cannot.
        let end = envelope.rfind(META)?;
        let tail = envelope.get(end.checked_add(",\"meta\":".len())?..)?;
        envelope.get(begin..end)?;
        let mut metas = serde_json::Deserializer::from_str(tail).into_iter::<Meta>();
        let meta = metas.next()?.ok()?;
        let behind = tail.get(metas.byte_offset()..)?.strip_prefix(TIMESTAMP)?;
        Some(Self {
            payload: (begin, end),
            sender_instance: meta.sender_instance_id.unwrap_or_default(),
            expects_reply: meta.expects_reply,
            is_reply: meta.is_reply,
            correlation: meta.correlation_id,
            hops: meta.hops,
            traceparent: meta.traceparent,
            tracestate: meta.tracestate,
            accepted_at: moment(behind.split(',').next()?)?,
        })
    }
}

/// Reads seconds with six decimals.
fn moment(text: &str) -> Option<Timestamp> {
    let (seconds, micros) = text.split_once('.')?;
    if micros.len() != 6 {
        return None;
    }
    let seconds: u64 = seconds.parse().ok()?;
    let micros: u64 = micros.parse().ok()?;
    Some(Timestamp::from_micros(seconds.checked_mul(1_000_000)?.checked_add(micros)?))
}

#[cfg(test)]
mod tests {
    use super::super::{
        AgentId, CorrelationId, Envelope, InstanceId, MessageId, MessageKind, TraceContext,
    };
    use super::*;

    fn envelope(kind: MessageKind, message_type: &str) -> Envelope {
        Envelope {
            id: MessageId::from_random(7),
            sender: AgentId::parse("a").unwrap(),
            sender_instance: InstanceId::parse("i1").unwrap(),
            target: AgentId::parse("b").unwrap(),
            message_type: message_type.to_owned(),
            kind,
            timestamp: Timestamp::from_micros(1_700_000_000_000_001),
            trace: TraceContext {
                traceparent: Some("00-a-b-01".to_owned()),
                tracestate: Some(",\"meta\":{\"version\":,\"data\":".to_owned()),
            },
            hops: 3,
        }
    }

    #[test]
    fn what_was_written_is_read_whatever_the_texts_look_like() {
        let correlation = CorrelationId::from_random(1);
        let instance = InstanceId::parse("asker").unwrap();
        let kinds = [
            (MessageKind::Send, (false, false)),
            (MessageKind::Request { correlation }, (true, false)),
            (MessageKind::Reply { correlation, instance }, (false, true)),
        ];
        let fakes = [
            "{}",
            "{\"a\":1,\"data\":{\"b\":2},\"meta\":{\"version\":1},\"timestamp\":1.000000}",
            "{\"meta\":\",\\\"meta\\\":{\\\"version\\\":\"}",
        ];
        for (kind, (expects_reply, is_reply)) in kinds {
            for payload in fakes {
                let one = envelope(kind.clone(), ",\"data\":");
                let text = one.encode(payload);
                let read = Contents::read(&text).unwrap();
                assert_eq!(text.get(read.payload.0..read.payload.1), Some(payload));
                assert_eq!((read.expects_reply, read.is_reply), (expects_reply, is_reply));
                assert_eq!(read.correlation, kind.correlation().map(|id| id.to_string()));
                assert_eq!((read.sender_instance.as_str(), read.hops), ("i1", 3));
                assert_eq!(
                    (read.traceparent, read.tracestate),
                    (one.trace.traceparent.clone(), one.trace.tracestate.clone())
                );
                assert_eq!(read.accepted_at, one.timestamp);
            }
        }
    }

    #[test]
    fn an_envelope_of_an_older_version_has_no_hops() {
        let text = envelope(MessageKind::Send, "t").encode("{}").replace(",\"hops\":3", "");
        assert_eq!(Contents::read(&text).unwrap().hops, 0);
    }

    #[test]
    fn what_the_gate_did_not_write_is_nothing() {
        let text = envelope(MessageKind::Send, "t").encode("{}");
        for broken in ["", "{}", text.get(..text.len() / 2).unwrap(), &text.replace("000001", "1")]
        {
            assert_eq!(Contents::read(broken), None, "{broken}");
        }
    }
}
