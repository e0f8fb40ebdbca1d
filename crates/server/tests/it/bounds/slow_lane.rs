//! Clients that are served behind others: what they may do still works, and they come back.

use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, sleep};

use crate::raw::{DATA, GOAWAY, HEADERS, Raw, call, closed, data, end, frame, reset};
use crate::site::{Site, within};

/// Cancels as many calls as send a client to the slow lane, and as no limit stops.
async fn cancel(raw: &mut Raw, first: u32) {
    for number in first..first + 80 {
        let stream = 2 * number + 1;
        raw.write(&[call(stream, "GetState", &[])]).await;
        sleep(Duration::from_millis(1)).await;
        raw.write(&[reset(stream)]).await;
        // Cancels that come faster than they are read end a connection (h2: more than 20 at once).
        if number % 8 == 0 {
            raw.write(&[frame(PING, 0, 0, &[0; 8])]).await;
            raw.find(PING).await.unwrap();
        }
    }
}

const PING: u8 = 6;

#[tokio::test]
async fn in_the_slow_lane_calls_are_answered_and_sessions_get_their_deliveries() {
    for slow_lane in ["slow_lane_ms: 600000", "slow_lane_ms: 50", "slow_lane_ms: 0"] {
        let site = Site::with_limits(slow_lane).await;
        let other = site.connect("a").await.unwrap();
        let mut raw = Raw::open(&site, "b").await;
        cancel(&mut raw, 1).await;
        // Another one of the same identity: it begins there.
        let mut second = Raw::open(&site, "b").await;
        second.hello("one").await;
        other.send("b", "note", &json!({ "fill": "x".repeat(50_000) })).await.unwrap();
        within("a delivery", second.find(DATA)).await.unwrap();
        for number in [501, 503] {
            raw.write(&[call(number, "GetState", &[]), data(number, b""), end(number)]).await;
            while raw.find(HEADERS).await.unwrap().stream != number {}
            sleep(Duration::from_millis(60)).await;
        }
    }
}

/// Floods with frames until the connection is closed; returns how long the identity is kept out.
async fn kept_out(site: &Site) -> Duration {
    let mut raw = Raw::open(site, "a").await;
    drop(raw.stream.write_all(&frame(PING, 0, 0, &[7; 8]).repeat(2_000)).await);
    raw.find(GOAWAY).await.unwrap();
    closed(&mut raw.stream).await;
    let since = Instant::now();
    let back = async { while site.connect("a").await.is_err() {} };
    within("it comes back", back).await;
    since.elapsed()
}

#[tokio::test]
async fn who_does_it_again_stays_away_for_longer() {
    let limits =
        "idle_frames_per_second: 100, penalty_ms: 1000, handshakes_per_second_per_ip: 9999";
    let site = Site::with_limits(limits).await;
    let first = kept_out(&site).await;
    let second = kept_out(&site).await;
    assert!(first > Duration::from_millis(400) && second > Duration::from_millis(1_300));
}
