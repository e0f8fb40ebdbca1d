//! Credit, receipts and ends of native sessions.

use std::time::Duration;

use hyper::client::conn::http2;
use hyper_util::rt::TokioExecutor;
use wire::palisade::bus::v1 as bus;
use wire::palisade::bus::v1::bus_service_client::BusServiceClient;

use super::{Native, accepted, code, hello, publish, roomy};
use crate::site::{Channel, Engine, Plan, Site, within};

#[tokio::test]
async fn deliveries_never_exceed_the_credit_and_come_together() {
    let site = roomy().await;
    let mut a = Native::open(&site, "a", hello("a1")).await.unwrap();
    let credit = 20_000;
    let hello = bus::Hello { credit_bytes: credit, deliveries_max: 150, ..hello("b1") };
    a.publish((0..500).map(|n| publish(n, "b", "{\"pad\":\"xxxxxxxxxxxxxxxxxxxxxx\"}")).collect())
        .await;
    a.outcomes(500).await;
    let mut b = Native::open(&site, "b", hello).await.unwrap();
    assert_eq!((b.welcome.delivery_credit_bytes, b.welcome.deliveries_max), (credit, 150));
    let frame = b.next().await;
    let first = frame.deliveries.len();
    assert!(first > 30, "{first} deliveries wait for one another");
    let more = tokio::time::timeout(Duration::from_millis(300), b.frames.message()).await;
    assert!(more.is_err(), "beyond the credit: {more:?}");
    b.say(bus::ClientFrame { credit_bytes: credit, ..Default::default() }).await;
    let second = b.next().await.deliveries.len();
    assert!(second > 30, "{second}");
    let mut acks: Vec<u64> = (1..=(first + second) as u64).collect();
    let mut left = 500 - first - second;
    while left > 0 {
        b.ack(std::mem::take(&mut acks)).await;
        let deliveries = b.next().await.deliveries;
        acks.extend(deliveries.iter().map(|delivery| delivery.delivery_id));
        left -= deliveries.len();
    }
}

#[tokio::test]
async fn who_publishes_beyond_its_credit_is_told_goodbye() {
    let site = roomy().await;
    let mut a = Native::open(&site, "a", hello("a1")).await.unwrap();
    a.publish((0..1_025).map(|n| publish(n, "b", "{}")).collect()).await;
    assert_eq!(a.goodbye().await.code, "credit_exceeded");
    let mut a = Native::open(&site, "a", hello("a2")).await.unwrap();
    let large = format!("{{\"text\":\"{}\"}}", "x".repeat(2 << 20));
    a.publish(vec![publish(1, "b", &large)]).await;
    assert_eq!(code(&a.outcomes(1).await[0]), "ok", "one publish is always taken");
    a.publish(vec![publish(2, "b", "{}"), publish(3, "b", &large)]).await;
    assert_eq!(a.goodbye().await.code, "credit_exceeded");
}

#[tokio::test]
async fn a_frame_cannot_bring_a_million_empty_items() {
    let site = roomy().await;
    // Two bytes each, two hundred in memory; one byte each, fifty in memory.
    let publishes = vec![bus::Publish::default(); 1_000_000];
    let (acks, nacks) = (vec![1; 1_000_000], vec![bus::Nack::default(); 1_000_000]);
    for (number, frame) in [
        bus::ClientFrame { publishes, ..Default::default() },
        bus::ClientFrame { acks, ..Default::default() },
        bus::ClientFrame { nacks, ..Default::default() },
    ]
    .into_iter()
    .enumerate()
    {
        let mut a = Native::open(&site, "a", hello(&format!("a{number}"))).await.unwrap();
        a.say(frame).await;
        assert_eq!(a.goodbye().await.code, "malformed_request", "{number}");
    }
}

#[tokio::test]
async fn who_is_sent_away_again_and_again_waits() {
    let site = roomy().await;
    let begun = tokio::time::Instant::now();
    for number in 0..7 {
        let mut a = Native::open(&site, "a", hello(&format!("a{number}"))).await.unwrap();
        a.publish(vec![publish(1, "b", "{}"); 1_025]).await;
        assert_eq!(a.goodbye().await.code, "credit_exceeded");
    }
    // Five at once, and one in a second.
    assert!(begun.elapsed() > Duration::from_millis(1_500), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_session_begins_with_one_hello_and_ends_with_a_reason() {
    let site = roomy().await;
    let begin = Native::begin(&site, "a", bus::ClientFrame::default()).await;
    assert_eq!(begin.err().unwrap().message(), "expected_hello");
    let bad = Native::open(&site, "a", hello("no good")).await;
    assert_eq!(bad.err().unwrap().message(), "invalid_instance_id");
    let mut a = Native::open(&site, "a", hello("a1")).await.unwrap();
    a.say(bus::ClientFrame { hello: Some(hello("a1")), ..Default::default() }).await;
    assert_eq!(a.goodbye().await.code, "malformed_request");
    let mut a = Native::open(&site, "a", hello("a2")).await.unwrap();
    let (goodbye, ()) = tokio::join!(a.goodbye(), site.running.stop());
    assert_eq!(goodbye.code, "draining");
    assert!(goodbye.retry_after_ms > 0);
}

#[tokio::test]
async fn what_was_published_is_answered_also_when_the_client_ends_its_side() {
    let site = roomy().await;
    let a = Native::open(&site, "a", hello("a1")).await.unwrap();
    a.publish((0..50).map(|n| publish(n, "b", "{}")).collect()).await;
    let Native { mut frames, out, .. } = a;
    drop(out);
    let mut count = 0;
    while let Some(frame) = within("the end", frames.message()).await.unwrap() {
        count += frame.outcomes.len();
        assert_eq!(frame.goodbye, None);
    }
    assert_eq!(count, 50);
}

/// Reads until there are so many receipts, each behind its outcome.
async fn read_receipts(
    session: &mut Native,
    known: &mut Vec<String>,
    seen: &mut Vec<(usize, bus::ReceiptKind)>,
    count: usize,
) {
    while seen.len() < count {
        let frame = session.next().await;
        let ids = frame.outcomes.iter().filter_map(|outcome| outcome.result.as_ref());
        known.extend(ids.map(|outcome| accepted(outcome).message_id.clone()));
        for receipt in frame.receipts {
            let number = known.iter().position(|id| *id == receipt.message_id);
            seen.push((number.expect("a receipt before its outcome"), receipt.kind()));
        }
    }
}

#[tokio::test]
async fn receipts_come_behind_their_outcome() {
    let site = roomy().await;
    let mut a = Native::open(&site, "a", hello("a1")).await.unwrap();
    let kinds = [
        bus::ReceiptKind::Accepted,
        bus::ReceiptKind::Queued,
        bus::ReceiptKind::Delivered,
        bus::ReceiptKind::Acknowledged,
        bus::ReceiptKind::DeadLettered,
    ];
    let receipts: Vec<i32> = kinds.map(i32::from).to_vec();
    let with = |item| bus::Publish { receipts: receipts.clone(), ..publish(item, "b", "{}") };
    a.publish(vec![with(1), with(2)]).await;
    let (mut known, mut seen) = (Vec::new(), Vec::new());
    read_receipts(&mut a, &mut known, &mut seen, 4).await;
    let mut b = Native::open(&site, "b", hello("b1")).await.unwrap();
    let deliveries = b.deliveries(2).await;
    b.ack(vec![deliveries[0].delivery_id]).await;
    let nack = bus::Nack { delivery_id: deliveries[1].delivery_id, ..Default::default() };
    b.say(bus::ClientFrame { nacks: vec![nack], ..Default::default() }).await;
    read_receipts(&mut a, &mut known, &mut seen, 8).await;
    for (number, last) in [(0, bus::ReceiptKind::Acknowledged), (1, bus::ReceiptKind::DeadLettered)]
    {
        let own: Vec<_> =
            seen.iter().filter(|(of, _)| *of == number).map(|(_, kind)| *kind).collect();
        let wanted = [
            bus::ReceiptKind::Accepted,
            bus::ReceiptKind::Queued,
            bus::ReceiptKind::Delivered,
            last,
        ];
        assert_eq!(own, wanted);
    }
    let origin = format!("https://{}", site.running.address()).parse().unwrap();
    let mut client = BusServiceClient::with_origin(site.channel("a").await, origin);
    let asked = bus::MessageStatusRequest { message_id: known[0].clone() };
    let status = client.message_status(asked).await.unwrap().into_inner();
    assert_eq!(status.state(), bus::MessageState::Acknowledged);
}

/// Connects with the windows that HTTP/2 has by default: all that a peer may send unasked.
///
/// Each frame in them may cost its receiver some hundred bytes of bookkeeping, so that a few
/// hundred small frames that nobody reads are the end of a connection.
async fn small_windows(site: &Site, agent: &str) -> Channel {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(WINDOW).initial_connection_window_size(WINDOW);
    site.channel_by(agent, &builder).await
}

const WINDOW: u32 = 65_535;

#[tokio::test]
async fn a_reader_that_pauses_keeps_its_connection_and_slows_nobody() {
    let more = "gateway: { rate_limit: { per_minute: 1000000, per_hour: 1000000 } }\n\
                delivery: { max_in_flight: 3000 }\n";
    let site = Site::open(Plan { more, engine: Engine::Embedded, ..Plan::default() }).await;
    let mut a = Native::open(&site, "a", hello("a1")).await.unwrap();
    let first = bus::ClientFrame { hello: Some(hello("b1")), ..Default::default() };
    let channel = small_windows(&site, "b").await;
    let mut paused = Native::over(&site, channel, first).await.unwrap();
    let payload = format!("{{\"p\":\"{}\"}}", "x".repeat(64));
    let mut sent = 0_usize;
    for round in 0..30 {
        let items = (0..100).map(|n| publish(round * 100 + n, "b", &payload));
        a.publish(items.collect()).await;
        // Each frame by itself, so that a server that does not gather would leave many small ones.
        sent += a.outcomes(100).await.iter().filter(|outcome| code(outcome) == "ok").count();
    }
    assert_eq!(sent, 3_000);
    // What its connection has no room for reaches another session of the same agent.
    let few = bus::Hello { deliveries_max: 100, ..hello("b2") };
    let mut other = Native::open(&site, "b", few).await.unwrap();
    let taken = other.deliveries(100).await.len();
    // It is alive: it gets the rest, and what it acknowledges makes room.
    let (mut held, mut acks) = (0, Vec::new());
    while held + taken < 3_000 {
        let deliveries = paused.next().await.deliveries;
        held += deliveries.len();
        acks.extend(deliveries.iter().map(|delivery| delivery.delivery_id));
    }
    paused.ack(acks).await;
    drop(other);
    a.publish(vec![publish(3_000, "b", "{}")]).await;
    assert!(!paused.next().await.deliveries.is_empty());
}

#[tokio::test]
async fn a_publisher_that_reads_nothing_for_a_while_keeps_its_connection_too() {
    let site = roomy().await;
    let first = bus::ClientFrame { hello: Some(hello("a1")), ..Default::default() };
    let channel = small_windows(&site, "a").await;
    let mut a = Native::over(&site, channel, first).await.unwrap();
    let mut b = Native::open(&site, "b", hello("b1")).await.unwrap();
    let all =
        [bus::ReceiptKind::Accepted, bus::ReceiptKind::Delivered, bus::ReceiptKind::Acknowledged];
    for item in 0..500 {
        let receipts = all.map(i32::from).to_vec();
        a.publish(vec![bus::Publish { receipts, ..publish(item, "b", "{}") }]).await;
        let delivery = b.deliveries(1).await[0].delivery_id;
        b.ack(vec![delivery]).await;
    }
    let (mut outcomes, mut receipts) = (0, 0);
    while outcomes < 500 || receipts < 500 * all.len() {
        let frame = a.next().await;
        outcomes += frame.outcomes.len();
        receipts += frame.receipts.len() + usize::try_from(frame.receipts_dropped).unwrap();
    }
    assert_eq!((outcomes, receipts), (500, 500 * all.len()));
}
