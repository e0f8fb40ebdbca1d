//! What goes into which frame, and what is left for the next session.

use std::time::Duration;

use prost::Message as _;
use tokio::sync::oneshot;
use wire::palisade::bus::v1::outcome::Result as Answered;

use super::queue::FRAMES_MAX;
use super::*;
use crate::message::Accepted;

struct Put {
    number: u64,
    outcome: oneshot::Receiver<Result<Accepted, Error>>,
}

fn welcome(publishes_max: u32, publish_credit_bytes: u64) -> bus::Welcome {
    let (frame_bytes_max, payload_bytes_max) = (1000, 900);
    bus::Welcome {
        publishes_max,
        publish_credit_bytes,
        frame_bytes_max,
        payload_bytes_max,
        ..Default::default()
    }
}

async fn put(outbox: &Outbox, payload: &str) -> Result<Put, Error> {
    put_until(outbox, payload, Instant::now() + Duration::from_secs(60)).await
}

async fn put_until(outbox: &Outbox, payload: &str, deadline: Instant) -> Result<Put, Error> {
    let body = bus::Publish { payload: payload.to_owned().into(), ..Default::default() };
    let (answer, outcome) = oneshot::channel();
    let body = body.encode_to_vec();
    let entry = Entry { body, deadline, answer, receipts: None, frame: None, refused: None };
    Ok(Put { number: outbox.put(entry).await?, outcome })
}

/// Returns the payloads of the next frame.
fn frame(outbox: &Outbox, line: &Arc<Line>) -> Vec<String> {
    let mut frame = Vec::new();
    outbox.fill(line, &mut frame);
    let frame = bus::ClientFrame::decode(frame.as_slice()).unwrap();
    frame
        .publishes
        .into_iter()
        .map(|one| String::from_utf8(one.payload.to_vec()).unwrap())
        .collect()
}

fn accepted(item: u64) -> bus::Outcome {
    let accepted = bus::Accepted { message_id: format!("m{item}"), ..Default::default() };
    bus::Outcome { item, result: Some(Answered::Accepted(accepted)) }
}

fn refused(item: u64, code: &str) -> bus::Outcome {
    let refused = bus::Refused { code: code.to_owned(), ..Default::default() };
    bus::Outcome { item, result: Some(Answered::Refused(refused)) }
}

fn opened(welcome: &bus::Welcome) -> (Outbox, Arc<Line>) {
    let (outbox, line) = (Outbox::new(1 << 20), Arc::new(Line::default()));
    outbox.open(&line, welcome);
    (outbox, line)
}

#[tokio::test]
async fn all_that_waits_goes_in_one_frame_and_each_gets_its_outcome() {
    let (outbox, line) = opened(&welcome(100, 10_000));
    let (one, two) = (put(&outbox, "1").await.unwrap(), put(&outbox, "2").await.unwrap());
    let three = put(&outbox, "3").await.unwrap();
    assert_eq!(frame(&outbox, &line), ["1", "2", "3"]);
    assert!(frame(&outbox, &line).is_empty());
    outbox.settle(vec![accepted(two.number), refused(three.number, "no"), accepted(one.number)]);
    assert_eq!(one.outcome.await.unwrap().unwrap().message_id.as_str(), "m1");
    assert_eq!(two.outcome.await.unwrap().unwrap().message_id.as_str(), "m2");
    assert!(matches!(three.outcome.await.unwrap(), Err(Error::Refused(r)) if r.code == "no"));
    outbox.idle().await;
    assert_eq!(outbox.room.available_permits(), 1 << 20);
}

#[tokio::test]
async fn what_has_no_outcome_goes_again_in_order_and_once() {
    let (outbox, line) = opened(&welcome(100, 10_000));
    let mut waiting = Vec::new();
    for payload in ["1", "2", "3"] {
        waiting.push(put(&outbox, payload).await.unwrap());
    }
    assert_eq!(frame(&outbox, &line), ["1", "2", "3"]);
    outbox.settle(vec![accepted(2), refused(3, "draining")]);
    outbox.rewind();
    assert!(frame(&outbox, &line).is_empty(), "by a session that is over");
    waiting.push(put(&outbox, "4").await.unwrap());
    let next = Arc::new(Line::default());
    outbox.open(&next, &welcome(100, 10_000));
    assert_eq!(frame(&outbox, &next), ["1", "3", "4"]);
    outbox.settle(vec![accepted(1), accepted(1), accepted(3), accepted(4), accepted(9)]);
    for one in waiting {
        one.outcome.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn the_gates_credit_bounds_what_is_unanswered() {
    let (outbox, line) = opened(&welcome(2, 10_000));
    for payload in ["1", "2", "3"] {
        put(&outbox, payload).await.unwrap();
    }
    assert_eq!(frame(&outbox, &line), ["1", "2"]);
    assert!(frame(&outbox, &line).is_empty());
    outbox.settle(vec![accepted(2)]);
    assert_eq!(frame(&outbox, &line), ["3"]);

    let (outbox, line) = opened(&welcome(100, 5));
    put(&outbox, "larger than the credit").await.unwrap();
    put(&outbox, "2").await.unwrap();
    // One may always be unanswered, or it could never be sent.
    assert_eq!(frame(&outbox, &line), ["larger than the credit"]);
    assert!(frame(&outbox, &line).is_empty());
    outbox.grant(100);
    assert_eq!(frame(&outbox, &line), ["2"]);
}

#[tokio::test]
async fn frames_are_bounded_in_bytes_and_in_number() {
    let (outbox, line) = opened(&welcome(100, 100_000));
    let long = "x".repeat(600);
    for _ in 0..=FRAMES_MAX {
        put(&outbox, &long).await.unwrap();
    }
    for _ in 0..FRAMES_MAX {
        assert_eq!(frame(&outbox, &line).len(), 1);
    }
    assert!(frame(&outbox, &line).is_empty());
    outbox.settle(vec![accepted(2), accepted(1)]);
    assert_eq!(frame(&outbox, &line).len(), 1);
    let too_large = put(&outbox, &"x".repeat(1000)).await;
    assert!(matches!(too_large, Err(Error::Invalid(Invalid::TooLarge { max: 900, .. }))));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_sent_in_its_time_is_given_up() {
    let outbox = Outbox::new(1 << 20);
    let soon = Instant::now() + Duration::from_secs(1);
    let late = put_until(&outbox, "1", soon).await.unwrap();
    let other = put(&outbox, "2").await.unwrap();
    tokio::time::advance(Duration::from_secs(2)).await;
    outbox.rewind();
    assert!(matches!(late.outcome.await.unwrap(), Err(Error::Timeout)));
    assert!(outbox.abandon(other.number).is_none());
    assert_eq!(outbox.room.available_permits(), 1 << 20);
    let line = Arc::new(Line::default());
    outbox.open(&line, &welcome(100, 10_000));
    assert!(frame(&outbox, &line).is_empty());
}

#[tokio::test(start_paused = true)]
async fn who_finds_no_room_waits_for_it_until_its_time_is_over() {
    let outbox = Outbox::new(600);
    let line = Arc::new(Line::default());
    outbox.open(&line, &welcome(100, 10_000));
    put(&outbox, "1").await.unwrap();
    put(&outbox, "2").await.unwrap();
    let soon = Instant::now() + Duration::from_secs(1);
    assert!(matches!(put_until(&outbox, "3", soon).await, Err(Error::Timeout)));
    assert_eq!(frame(&outbox, &line), ["1", "2"]);
    outbox.settle(vec![accepted(1)]);
    put(&outbox, "4").await.unwrap();
}

#[tokio::test]
async fn the_end_answers_everybody() {
    let (outbox, line) = opened(&welcome(100, 10_000));
    let sent = put(&outbox, "1").await.unwrap();
    assert_eq!(frame(&outbox, &line), ["1"]);
    let unsent = put(&outbox, "2").await.unwrap();
    outbox.fail(&Error::Closed, true);
    assert!(matches!(sent.outcome.await.unwrap(), Err(Error::Closed)));
    assert!(matches!(unsent.outcome.await.unwrap(), Err(Error::Closed)));
    assert!(matches!(put(&outbox, "3").await, Err(Error::Closed)));
    outbox.idle().await;
}

#[test]
fn keys_are_short_and_differ() {
    let (one, other) = (Outbox::new(1), Outbox::new(1));
    let keys = [one.key(), one.key(), other.key()];
    assert!(keys.iter().all(|key| key.len() <= 64));
    assert!(keys[0] != keys[1] && keys[0] != keys[2] && keys[1] != keys[2]);
}
