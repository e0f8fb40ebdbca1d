//! Attacks by the native session: by what its frames say, in HTTP/2 without fault.

use std::future::poll_fn;
use std::ops::Range;
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use h2::client::ResponseFuture;
use h2::{RecvStream, SendStream};
use prost::Message as _;
use tokio::time::timeout;
use wire::palisade::bus::v1 as bus;

use super::frames::over_and_over;
use super::ground::{INTRUDERS, intruder, mallory};
use super::grpc::{Line, Written, message, read, write};
use super::tally::Tally;
use super::wire::Target;

const SESSION: &str = "/palisade.bus.v1.BusService/Session";

/// Opens a session; nothing if the connection has ended.
async fn open(line: &mut Line, number: u32) -> Option<(ResponseFuture, SendStream<Bytes>)> {
    let (response, mut sending) = line.call(SESSION).await?;
    let instance_id = format!("{}-{number}", std::process::id());
    let hello =
        bus::Hello { instance_id, intake: bus::Intake::Replies.into(), ..Default::default() };
    let hello = bus::ClientFrame { hello: Some(hello), ..Default::default() };
    let written = write(&mut sending, message(&hello.encode_to_vec())).await;
    (written == Written::Whole).then_some((response, sending))
}

/// Makes a frame of so many messages to an agent that is not there, each with a text of so many
/// bytes.
fn publishes(items: Range<u64>, bytes: usize) -> Bytes {
    let payload = Bytes::from(format!("{{\"text\":\"{}\"}}", "x".repeat(bytes)));
    let publish = |item| {
        let (target_id, payload) = ("sink".to_owned(), payload.clone());
        bus::Publish { item, target_id, payload, ..Default::default() }
    };
    let publishes = items.map(publish).collect();
    message(&bus::ClientFrame { publishes, ..Default::default() }.encode_to_vec())
}

/// Publishes for as long as the gate reads, and reads nothing of what it answers.
pub(super) async fn unread_outcomes(target: Target, tally: Tally) {
    over_and_over(4, move |task| {
        let (target, tally) = (target.clone(), tally.clone());
        async move {
            let Some(mut line) = Line::open(&target, &tally, &mallory(task)).await else { return };
            for number in 0.. {
                let Some((response, mut sending)) = open(&mut line, number).await else { return };
                let mut item = 0;
                let written = loop {
                    match write(&mut sending, publishes(item..item + 100, 1_000)).await {
                        Written::Whole => item += 100,
                        ended @ (Written::Stalled | Written::Ended) => break ended,
                    }
                };
                tally.add("published", item);
                if written == Written::Stalled {
                    tally.one("stalled");
                }
                // Held, and never read.
                let ended = timeout(PATIENCE, poll_fn(|context| sending.poll_reset(context))).await;
                if ended.is_ok() {
                    tally.one("ended");
                }
                drop(response);
            }
        }
    })
    .await;
}

/// LIMIT: longer than a gate keeps a session that reads nothing.
const PATIENCE: Duration = Duration::from_secs(5);

/// Publishes more at once than may be unanswered, in session after session.
pub(super) async fn credit_overrun(target: Target, tally: Tally) {
    over_and_over(INTRUDERS, move |task| {
        let (target, tally) = (target.clone(), tally.clone());
        async move { frames(&target, &tally, task, &[publishes(0..1_100, 0)]).await }
    })
    .await;
}

/// Frames as large as may be of items as small as may be: publishes of two bytes, answers of one,
/// refusals of two.
pub(super) async fn tiny_items(target: Target, tally: Tally) {
    let packed = |bytes: usize| {
        let mut acks = vec![0x1a];
        prost::encoding::encode_varint(bytes as u64, &mut acks);
        acks.resize(acks.len() + bytes, 1);
        acks
    };
    let all: [Bytes; 3] = [
        message(&[0x12, 0].repeat(FRAME_BYTES / 2)),
        message(&packed(FRAME_BYTES)),
        message(&[0x22, 0].repeat(FRAME_BYTES / 2)),
    ];
    over_and_over(INTRUDERS, move |task| {
        let (target, tally, all) = (target.clone(), tally.clone(), all.clone());
        async move { frames(&target, &tally, task, &all).await }
    })
    .await;
}

/// Below the four megabytes that a frame may have.
const FRAME_BYTES: usize = 4_000_000;

/// Sends one of the frames in each session, and counts how the gate ends that.
async fn frames(target: &Target, tally: &Tally, task: usize, all: &[Bytes]) {
    let Some(mut line) = Line::open(target, tally, &intruder(task)).await else { return };
    for (number, frame) in (0..).zip(all.iter().cycle()) {
        let Some((response, mut sending)) = open(&mut line, number).await else { break };
        let writing = write(&mut sending, frame.clone());
        let reading = farewell(response, tally);
        let (written, farewell) = tokio::join!(writing, reading);
        if written == Written::Whole {
            tally.one("pieces");
        }
        match farewell {
            Some(code) => tally.one(&code),
            None => break,
        }
    }
    tally.one("closed");
}

/// Reads a session to its end; returns why the gate ended it, if it did and says so.
async fn farewell(response: ResponseFuture, tally: &Tally) -> Option<String> {
    let mut body: RecvStream = response.await.ok()?.into_body();
    let mut bytes = BytesMut::new();
    loop {
        // What came of the frame before is told with what is told now; five seconds are enough.
        let piece = timeout(PATIENCE, read(&mut body)).await.ok()??;
        bytes.extend_from_slice(&piece);
        while let Some(frame) = next(&mut bytes) {
            for outcome in frame.outcomes {
                match outcome.result {
                    Some(bus::outcome::Result::Accepted(_)) => tally.one("accepted"),
                    Some(bus::outcome::Result::Refused(refused)) => tally.one(&refused.decision),
                    None => {}
                }
            }
            if let Some(goodbye) = frame.goodbye {
                return Some(goodbye.code);
            }
        }
    }
}

/// Takes the first frame out, if all of it has come.
fn next(bytes: &mut BytesMut) -> Option<bus::ServerFrame> {
    let length = bytes.get(1..5)?.try_into().ok()?;
    let length = usize::try_from(u32::from_be_bytes(length)).ok()?;
    if bytes.len() < 5 + length {
        return None;
    }
    bytes.advance(5);
    bus::ServerFrame::decode(bytes.split_to(length)).ok()
}
