//! A client's frames of the native session, written straight into bytes.
//!
//! A publish is encoded once, also where it is sent again: no copy of it is kept in another form,
//! and its encoded size is what the server's credit counts.

use prost::bytes::BufMut as _;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};
use tonic::Status;
use tonic::codec::{Codec, EncodeBuf, Encoder};
use tonic_prost::{ProstCodec, ProstDecoder};
use wire::palisade::bus::v1::{MessageKind, Nack, ReceiptKind, ServerFrame};

use crate::cause::Cause;

/// Holds what is published, but for the number by which the session names it.
#[derive(Debug)]
pub(crate) struct Publish<'a> {
    pub(crate) key: &'a str,
    pub(crate) kind: MessageKind,
    pub(crate) target: &'a str,
    pub(crate) correlation: &'a str,
    pub(crate) message_type: &'a str,
    pub(crate) payload: &'a str,
    pub(crate) ttl_ms: u32,
    pub(crate) receipts: bool,
}

impl Publish<'_> {
    /// Encodes all fields but the number.
    pub(crate) fn encode(&self, cause: &Cause) -> Vec<u8> {
        let mut body = Vec::with_capacity(self.payload.len() + FIELDS_BYTES);
        put_text(&mut body, 2, self.key);
        put_number(&mut body, 3, i32::from(self.kind).unsigned_abs());
        put_text(&mut body, 4, self.target);
        put_text(&mut body, 5, self.correlation);
        put_text(&mut body, 6, self.message_type);
        put_text(&mut body, 7, self.payload);
        put_number(&mut body, 8, self.ttl_ms);
        put_number(&mut body, 9, cause.hops);
        if let Some(trace) = &cause.trace {
            put_text(&mut body, 10, trace.traceparent());
            put_text(&mut body, 11, trace.tracestate().unwrap_or_default());
        }
        if self.receipts {
            put_bytes(&mut body, 12, RECEIPTS);
        }
        body
    }
}

/// Returns the encoded size of a publish with its number.
pub(crate) fn publish_bytes(number: u64, body: &[u8]) -> usize {
    1 + encoded_len_varint(number) + body.len()
}

/// Adds a publish to a frame.
pub(crate) fn put_publish(frame: &mut Vec<u8>, number: u64, body: &[u8]) {
    encode_key(2, WireType::LengthDelimited, frame);
    put_length(frame, publish_bytes(number, body));
    encode_key(1, WireType::Varint, frame);
    encode_varint(number, frame);
    frame.extend_from_slice(body);
}

/// Adds acknowledgements to a frame.
pub(crate) fn put_acks(frame: &mut Vec<u8>, acks: &[u64]) {
    if acks.is_empty() {
        return;
    }
    encode_key(3, WireType::LengthDelimited, frame);
    put_length(frame, acks.iter().map(|delivery| encoded_len_varint(*delivery)).sum());
    for delivery in acks {
        encode_varint(*delivery, frame);
    }
}

/// Adds a refusal of a delivery to a frame.
pub(crate) fn put_nack(frame: &mut Vec<u8>, nack: &Nack) {
    prost::encoding::message::encode(4, nack, frame);
}

fn put_text(buffer: &mut Vec<u8>, tag: u32, text: &str) {
    put_bytes(buffer, tag, text.as_bytes());
}

fn put_bytes(buffer: &mut Vec<u8>, tag: u32, bytes: &[u8]) {
    if !bytes.is_empty() {
        encode_key(tag, WireType::LengthDelimited, buffer);
        put_length(buffer, bytes.len());
        buffer.extend_from_slice(bytes);
    }
}

fn put_number(buffer: &mut Vec<u8>, tag: u32, number: u32) {
    if number > 0 {
        encode_key(tag, WireType::Varint, buffer);
        encode_varint(u64::from(number), buffer);
    }
}

fn put_length(buffer: &mut Vec<u8>, length: usize) {
    encode_varint(u64::try_from(length).unwrap_or(u64::MAX), buffer);
}

/// Carries frames that are bytes already one way, and decodes the other.
#[derive(Debug, Default)]
pub(crate) struct Frames;

impl Codec for Frames {
    type Encode = Vec<u8>;
    type Decode = ServerFrame;
    type Encoder = Written;
    type Decoder = ProstDecoder<ServerFrame>;

    fn encoder(&mut self) -> Written {
        Written
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<ServerFrame, ServerFrame>::default().decoder()
    }
}

/// Takes a frame as it was written.
#[derive(Debug)]
pub(crate) struct Written;

impl Encoder for Written {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, frame: Vec<u8>, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put_slice(&frame);
        Ok(())
    }
}

/// What is asked for of a message whose way the sender follows; that it was accepted the outcome
/// says.
const RECEIPTS: &[u8] = &[
    ReceiptKind::Queued as u8,
    ReceiptKind::Delivered as u8,
    ReceiptKind::Acknowledged as u8,
    ReceiptKind::Expired as u8,
    ReceiptKind::DeadLettered as u8,
];
/// What the fields around a payload usually take.
const FIELDS_BYTES: usize = 128;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use prost::Message as _;
    use wire::palisade::bus::v1 as bus;

    use super::*;
    use crate::trace::TraceContext;

    #[test]
    fn a_frame_is_what_the_contract_says() {
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let trace = TraceContext::new(parent, Some("a=1")).unwrap();
        let cause = Cause { hops: 300, trace: Some(Arc::new(trace)) };
        let long = format!("{{\"text\":\"{}\"}}", "x".repeat(1000));
        let publish = Publish {
            key: "k",
            kind: MessageKind::Request,
            target: "bob",
            correlation: "c",
            message_type: "t",
            payload: &long,
            ttl_ms: 70_000,
            receipts: true,
        };
        let body = publish.encode(&cause);
        let mut frame = Vec::new();
        put_acks(&mut frame, &[1, 300]);
        put_acks(&mut frame, &[]);
        let nack = Nack { delivery_id: 7, reason: "no".to_owned(), retryable: true };
        put_nack(&mut frame, &nack);
        put_publish(&mut frame, 1_000_000, &body);
        put_publish(&mut frame, 1, &Publish { payload: "", ..publish }.encode(&Cause::default()));
        let read = bus::ClientFrame::decode(frame.as_slice()).unwrap();
        assert_eq!((&read.acks, &read.nacks), (&vec![1, 300], &vec![nack]));
        let expected = bus::Publish {
            item: 1_000_000,
            idempotency_key: "k".to_owned(),
            kind: MessageKind::Request.into(),
            target_id: "bob".to_owned(),
            correlation_id: "c".to_owned(),
            message_type: "t".to_owned(),
            payload: long.clone().into(),
            ttl_ms: 70_000,
            hops: 300,
            traceparent: parent.to_owned(),
            tracestate: "a=1".to_owned(),
            receipts: vec![2, 3, 4, 5, 6],
        };
        assert_eq!(read.publishes[0], expected);
        assert_eq!(expected.encoded_len(), publish_bytes(1_000_000, &body));
        assert_eq!((read.publishes[1].item, read.publishes[1].payload.len()), (1, 0));
        assert_eq!(read.hello, None);
    }
}
