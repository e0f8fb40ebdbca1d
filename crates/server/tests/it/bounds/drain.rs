//! How a server ends: it says so, and it does not wait for those who do not end.

use std::time::Duration;

use serde_json::json;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::raw::Raw;
use crate::site::{Plan, Site, within};

#[tokio::test]
async fn a_draining_server_says_that_it_does_not_serve() {
    let site = Site::with_limits("drain_timeout_ms: 1000").await;
    let origin = http::Uri::from_static("https://localhost");
    let mut health = HealthClient::with_origin(site.channel("a").await, origin);
    let request = HealthCheckRequest::default();
    let mut watched = health.watch(request).await.unwrap().into_inner();
    let mut next = async || within("a status", watched.message()).await.unwrap().unwrap().status();
    assert_eq!(next().await, ServingStatus::Serving);
    let (told, ()) = tokio::join!(next(), site.running.stop());
    assert_eq!(told, ServingStatus::NotServing);
}

#[tokio::test]
async fn a_drain_waits_no_longer_than_it_may() {
    let site = Site::open(Plan { limits: "drain_timeout_ms: 200", ..Plan::default() }).await;
    let a = site.connect("a").await.unwrap();
    let mut holder = Raw::open(&site, "b").await;
    holder.hello("one").await;
    a.send("b", "note", &json!({})).await.unwrap();
    holder.event().await;
    // It neither acknowledges nor reads on, and a socket of its own says nothing at all.
    let _silent = site.tcp().await;
    let stopped = tokio::time::timeout(Duration::from_secs(3), site.running.stop()).await;
    assert!(stopped.is_ok());
}
