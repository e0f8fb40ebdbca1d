//! What one connection may do in HTTP/2.

use http::StatusCode;
use tonic::body::Body;
use tower::Service as _;

use crate::raw::{GOAWAY, RESET, Raw, SETTINGS, call, end, reset};
use crate::site::{Site, within};

const REFUSED_STREAM: [u8; 4] = [0, 0, 0, 7];
const ENHANCE_YOUR_CALM: [u8; 4] = [0, 0, 0, 11];

#[tokio::test]
async fn a_stream_over_the_limit_is_refused_and_the_others_go_on() {
    let site = Site::with_limits("streams_per_connection_max: 2").await;
    let mut raw = Raw::open(&site, "a").await;
    // The limit is said; a client that keeps to it never meets it.
    let settings = raw.find(SETTINGS).await.unwrap().payload;
    assert!(settings.chunks(6).any(|one| one == [0, 3, 0, 0, 0, 2]), "{settings:?}");
    raw.hello("one").await;
    raw.write(&[call(3, "GetState", &[]), call(5, "GetState", &[])]).await;
    let refused = raw.find(RESET).await.unwrap();
    assert_eq!((refused.stream, refused.payload.as_slice()), (5, REFUSED_STREAM.as_slice()));
    let agent = gate::types::AgentId::parse("a").unwrap();
    assert!(site.running.gate().hub().is_active(&agent));
}

#[tokio::test]
async fn headers_over_the_limit_are_refused() {
    let site = Site::with_limits("header_bytes_max: 1024").await;
    let mut channel = site.channel("a").await;
    let mut ask = |bytes: usize| {
        let request =
            http::Request::post("https://localhost/mas.runtime.v1.RuntimeService/GetState");
        let request = request.header("content-type", "application/grpc");
        channel.call(request.header("x-large", "x".repeat(bytes)).body(Body::empty()).unwrap())
    };
    let small = within("an answer", ask(100)).await.unwrap();
    assert_eq!(small.status(), StatusCode::OK);
    let large = within("an answer", ask(1_400)).await.unwrap();
    assert_eq!(large.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    // What is far too large is no mistake any more; it ends the connection.
    within("an answer", ask(8_000)).await.unwrap_err();
    within("the end", ask(100)).await.unwrap_err();
    site.connect("b").await.unwrap();
}

#[tokio::test]
async fn a_flood_of_resets_ends_its_connection_and_no_other() {
    let site = Site::with_limits("").await;
    let other = site.connect("b").await.unwrap();
    let mut raw = Raw::open(&site, "a").await;
    let flood: Vec<Vec<u8>> = (0..500)
        .map(|number| 2 * number + 1)
        .flat_map(|stream| [call(stream, "GetState", &[]), reset(stream)])
        .collect();
    // The server may be done with this client before all is written.
    let written = tokio::io::AsyncWriteExt::write_all(&mut raw.stream, &flood.concat()).await;
    let end = raw.find(GOAWAY).await;
    assert!(written.is_err() || end.is_some());
    if let Some(end) = end {
        assert_eq!(end.payload[4..8], ENHANCE_YOUR_CALM);
    }
    other.send("a", "note", &serde_json::json!({})).await.unwrap();
    site.connect("a").await.unwrap();
}

#[tokio::test]
async fn a_body_that_ends_before_its_message_does_is_refused() {
    let site = Site::with_limits("").await;
    let mut raw = Raw::open(&site, "a").await;
    raw.write(&[call(1, "Send", &[]), crate::raw::frame(0, 0, 1, &[0, 0, 0, 1, 0, 7]), end(1)])
        .await;
    assert!(raw.find(crate::raw::HEADERS).await.is_some());
    site.connect("a").await.unwrap();
}
