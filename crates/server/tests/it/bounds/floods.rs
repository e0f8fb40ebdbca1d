//! Clients that do too much of what costs them nothing: they are slowed down or closed, and
//! others notice nothing.

use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncWriteExt as _;

use crate::raw::{DATA, GOAWAY, HEADERS, Raw, SETTINGS, call, closed, data, end, frame, reset};
use crate::site::{Site, within};

const ENHANCE_YOUR_CALM: [u8; 4] = [0, 0, 0, 11];
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;

/// Writes until all is written or the server is done with this client.
async fn flood(raw: &mut Raw, frames: &[u8]) {
    drop(raw.stream.write_all(frames).await);
}

/// Reads the frame that says that a connection ends because its client does too much.
async fn told_to_calm_down(raw: &mut Raw) {
    let end = raw.find(GOAWAY).await.unwrap();
    assert_eq!(end.payload[4..8], ENHANCE_YOUR_CALM);
    closed(&mut raw.stream).await;
}

#[tokio::test]
async fn a_client_without_settings_is_closed_and_recorded() {
    let site = Site::with_limits("first_settings_timeout_ms: 100").await;
    let mut silent = site.tls("a").await.unwrap();
    let mut half = site.tls("b").await.unwrap();
    half.write_all(b"PRI * HTTP/2.0\r\n").await.unwrap();
    closed(&mut silent).await;
    closed(&mut half).await;
    let record = site.recorded("no_settings").await;
    assert!(record.decided_by.unwrap().contains("first_settings_timeout_ms"));
    // It may have been slow: it can come back at once.
    site.connect("a").await.unwrap();
}

#[tokio::test]
async fn floods_of_frames_without_work_end_their_connection_and_no_other() {
    for (kind, payload) in [(PING, &[7; 8][..]), (WINDOW_UPDATE, &[0, 0, 0, 1]), (0xbe, &[])] {
        let site = Site::with_limits("idle_frames_per_second: 100, penalty_ms: 600000").await;
        let other = site.connect("b").await.unwrap();
        let mut raw = Raw::open(&site, "a").await;
        flood(&mut raw, &frame(kind, 0, 0, payload).repeat(2_000)).await;
        told_to_calm_down(&mut raw).await;
        let record = site.recorded("too_many_idle_frames").await;
        assert_eq!((&*record.agent_id, &*record.decision), ("a", "RATE_LIMITED"));
        assert_eq!(record.event_type, "connection.closed");
        // It has to stay away for a while; others do not.
        assert!(site.connect("a").await.is_err());
        site.recorded("connection_refused").await;
        other.send("a", "note", &json!({})).await.unwrap();
    }
}

#[tokio::test]
async fn slow_cancels_end_their_connection() {
    let site = Site::with_limits("cancels_per_second: 10, penalty_ms: 0").await;
    let mut raw = Raw::open(&site, "a").await;
    let mut number = 1;
    while raw.stream.write_all(&[call(number, "Send", &[]), reset(number)].concat()).await.is_ok() {
        number += 2;
        assert!(number < 20_000, "never cut");
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    site.recorded("too_many_cancels").await;
    site.connect("a").await.unwrap();
}

#[tokio::test]
async fn who_goes_on_with_refused_calls_waits_and_is_closed_in_the_end() {
    let site = Site::with_limits("refusals_per_second: 1, penalty_ms: 0").await;
    let other = site.connect("b").await.unwrap();
    let mut raw = Raw::open(&site, "a").await;
    let refused = |number: u32| [call(number, "Reply", &[]), data(number, b""), end(number)];
    for number in 0..5 {
        raw.write(&refused(2 * number + 1)).await;
        raw.find(HEADERS).await.unwrap();
    }
    let begun = tokio::time::Instant::now();
    raw.write(&refused(11)).await;
    raw.find(HEADERS).await.unwrap();
    assert!(begun.elapsed() > Duration::from_millis(700), "{:?}", begun.elapsed());
    let more: Vec<Vec<u8>> = (6..20).flat_map(|number| refused(2 * number + 1)).collect();
    flood(&mut raw, &more.concat()).await;
    told_to_calm_down(&mut raw).await;
    site.recorded("too_many_refusals").await;
    other.send("a", "note", &json!({})).await.unwrap();
}

#[tokio::test]
async fn calls_over_the_number_are_refused_before_they_are_read() {
    let site = Site::with_limits("calls_per_identity_max: 2, body_idle_timeout_ms: 400").await;
    let mut first = Raw::open(&site, "a").await;
    // Open and never finished, on two connections of one identity.
    first.write(&[call(1, "Send", &[])]).await;
    let mut second = Raw::open(&site, "a").await;
    second.write(&[call(1, "Send", &[]), call(3, "Send", &[])]).await;
    assert_eq!(second.find(HEADERS).await.unwrap().stream, 3);
    let record = site.recorded("backpressure").await;
    assert!(record.decided_by.unwrap().contains("calls_per_identity_max"));
    site.connect("b").await.unwrap();
    // What does not go on is given up, and its place is free again.
    assert_eq!(first.find(HEADERS).await.unwrap().stream, 1);
    assert_eq!(second.find(HEADERS).await.unwrap().stream, 1);
    assert_eq!(site.recorded("call_timeout").await.decision, "INVALID");
    site.connect("a").await.unwrap();
}

#[tokio::test]
async fn bytes_of_calls_under_way_are_bounded() {
    let site = Site::with_limits("call_bytes_per_identity_max: 40000").await;
    let mut raw = Raw::open(&site, "a").await;
    raw.write(&[call(1, "Send", &[]), call(3, "Send", &[])]).await;
    // Each says that a message of a megabyte follows.
    let begin = |stream| frame(DATA, 0, stream, &[&[0, 0, 16, 0, 0][..], &[0; 16_000]].concat());
    raw.write(&[begin(1), begin(3), begin(1)]).await;
    raw.find(HEADERS).await.unwrap();
    let record = site.recorded("backpressure").await;
    assert!(record.decided_by.unwrap().contains("call_bytes_per_identity_max"));
}

#[tokio::test]
async fn headers_that_are_many_or_hold_much_are_refused() {
    let site = Site::with_limits("header_entries_max: 16, binary_header_bytes_max: 64").await;
    let mut raw = Raw::open(&site, "a").await;
    let many: Vec<(&str, &str)> = std::iter::repeat_n(("x-one", "1"), 20).collect();
    let long = "A".repeat(65);
    raw.write(&[call(1, "GetState", &many), call(3, "GetState", &[("x-bin", &long)])]).await;
    for _ in 0..2 {
        raw.find(HEADERS).await.unwrap();
    }
    let records = site.records().await;
    let refused = records.iter().filter(|record| record.reason.as_deref() == Some("invalid_field"));
    assert_eq!(refused.count(), 2);
}

#[tokio::test]
async fn a_call_of_a_few_names_cannot_bring_megabytes_of_empty_fields() {
    let site = Site::with_limits("").await;
    let mut raw = Raw::open(&site, "a").await;
    // `capabilities` as empty texts, two bytes each, which would take a dozen times as many: it
    // is refused by its length, before it has come.
    let length = 200_000_u32.to_be_bytes();
    let begin = [&[0], &length[..], &[0x0a, 0].repeat(8_000)].concat();
    raw.write(&[call(1, "Discover", &[]), frame(DATA, 0, 1, &begin)]).await;
    assert_eq!(raw.find(HEADERS).await.unwrap().stream, 1);
    site.recorded("message_too_large").await;
}

#[tokio::test]
async fn a_session_that_reads_nothing_is_closed_and_its_deliveries_go_to_others() {
    let site = Site::open(crate::site::Plan {
        limits: "stall_timeout_ms: 300",
        more: "delivery: { reclaim_idle_ms: 3600000 }",
        ..crate::site::Plan::default()
    })
    .await;
    let a = site.connect("a").await.unwrap();
    let mut stalled = Raw::open(&site, "b").await;
    // Room for nothing: SETTINGS_INITIAL_WINDOW_SIZE is 40 bytes, enough for the welcome.
    stalled.write(&[frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 40])]).await;
    stalled.hello("one").await;
    let large = json!({ "text": "x".repeat(100_000) });
    let sent = a.send("b", "note", &large).await.unwrap();
    for _ in 0..3 {
        a.send("b", "note", &large).await.unwrap();
    }
    // No ping is due yet, so that only the stall can end it.
    let record = site.recorded("deliveries_unread").await;
    assert_eq!(record.agent_id, "b");
    closed(&mut stalled.stream).await;
    let other = site.connect("b").await.unwrap();
    let incoming = within("it comes again", other.messages().next()).await.unwrap();
    assert_eq!(incoming.message.message_id, sent);
}

#[tokio::test]
async fn a_connection_is_asked_to_end_when_it_is_old() {
    let site = Site::with_limits("connection_age_max_seconds: 0.5, drain_timeout_ms: 100").await;
    let mut raw = Raw::open(&site, "a").await;
    raw.hello("one").await;
    let end = raw.find(GOAWAY).await.unwrap();
    assert_eq!(end.payload[4..8], [0; 4]);
    closed(&mut raw.stream).await;
}

#[tokio::test]
async fn handshakes_over_the_rate_of_an_address_are_late_or_refused() {
    let limits = "handshakes_per_second_per_ip: 1, handshake_timeout_ms: 500";
    let site = Site::with_limits(limits).await;
    let agents = (0..8).map(|_| site.tls("a"));
    let done = futures::future::join_all(agents).await;
    assert_eq!(done.iter().filter(|one| one.is_ok()).count(), 5);
    let record = site.recorded("tls_handshake_failed").await;
    assert!(record.decided_by.unwrap().contains("handshakes_per_second"));
}

#[tokio::test]
async fn without_memory_nobody_new_comes_in_and_no_message_is_taken() {
    let site = Site::with_limits("memory_bytes_max: 1").await;
    let refused = async { while site.connect("a").await.is_ok() {} };
    within("connections are refused", refused).await;
    site.recorded("memory_short").await;
    site.recorded("server.memory").await;
}

#[tokio::test]
async fn while_memory_is_short_messages_are_refused_and_who_connects_still_comes_in() {
    // Other tests of this process take memory, too: it may be another share of it than was meant.
    for _ in 0..50 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let used = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let used: u64 = used.trim().strip_suffix(" kB").unwrap().parse().unwrap();
        let limits = format!("memory_bytes_max: {}", used * 1_024 * 100 / 85);
        let site = Site::with_limits(limits.leak()).await;
        let Ok(client) = site.connect("a").await else { continue };
        let Err(refused) = client.send("b", "note", &json!({})).await else { continue };
        assert_eq!(refused.code(), "backpressure", "{refused}");
        assert!(refused.to_string().contains("memory_bytes_max"), "{refused}");
        return;
    }
    panic!("memory was never short in the way that was meant");
}

#[tokio::test]
async fn a_reset_of_a_few_calls_is_no_flood() {
    let site = Site::with_limits("").await;
    let mut raw = Raw::open(&site, "a").await;
    for number in 0..15 {
        let stream = 2 * number + 1;
        raw.write(&[call(stream, "GetState", &[])]).await;
        tokio::task::yield_now().await;
        raw.write(&[reset(stream)]).await;
    }
    raw.write(&[call(201, "GetState", &[]), data(201, b""), end(201)]).await;
    while raw.find(HEADERS).await.unwrap().stream != 201 {}
}
