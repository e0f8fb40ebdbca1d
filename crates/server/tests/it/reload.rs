//! New certificates and authorities without a restart.

use identity::{DevCa, Overwrite};
use palisade_client::Client;
use rustls::pki_types::CertificateDer;
use serde_json::json;

use super::raw::{GOAWAY, Raw, closed};
use super::site::{Site, day, issue, issue_server, now, within};

/// Returns the certificate that the server shows.
async fn shown(site: &Site) -> CertificateDer<'static> {
    let stream = site.tls("a").await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

/// Waits until a new connection to the server is what it should be.
async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asked = async {
        loop {
            if let Some(found) = ask().await {
                return found;
            }
            tokio::task::yield_now().await;
        }
    };
    within(what, asked).await
}

#[tokio::test]
async fn a_new_certificate_is_shown_and_disturbs_nobody() {
    let site = Site::with_limits("").await;
    let before = shown(&site).await;
    let (a, mut raw) = (site.connect("a").await.unwrap(), Raw::open(&site, "b").await);
    raw.hello("one").await;
    issue_server(&site.ca, site.folder());
    until("the new certificate", async || (shown(&site).await != before).then_some(())).await;
    let record = site.recorded("config.tls_reloaded").await;
    assert_eq!(record.detail["trust_changed"], "false");
    assert!(record.detail["changed"].contains("cert"), "{:?}", record.detail);
    a.send("b", "note", &json!({})).await.unwrap();
    raw.event().await;
}

#[tokio::test]
async fn a_broken_file_leaves_what_is_in_force_until_it_is_mended() {
    let site = Site::with_limits("").await;
    let before = shown(&site).await;
    let cert = site.folder().join("server.pem");
    let good = std::fs::read(&cert).unwrap();
    std::fs::write(&cert, "-----BEGIN CERTIFICATE-----\nno").unwrap();
    // Long enough for several looks at the file.
    let looks = tokio::time::sleep(std::time::Duration::from_millis(800));
    looks.await;
    assert_eq!(shown(&site).await, before);
    assert!(site.records().await.iter().all(|one| one.event_type != "config.tls_reloaded"));
    std::fs::write(&cert, good).unwrap();
    site.recorded("config.tls_reloaded").await;
    assert_eq!(shown(&site).await, before);
}

#[tokio::test]
async fn a_removed_authority_ends_the_connections_that_it_let_in() {
    let site = Site::with_limits("drain_timeout_ms: 100").await;
    let mut raw = Raw::open(&site, "a").await;
    raw.hello("one").await;
    let new = DevCa::create("new CA", now()).unwrap();
    let elsewhere = tempfile::TempDir::new().unwrap();
    new.save(elsewhere.path(), Overwrite::Refuse).unwrap();
    issue(&new, "b", day(), elsewhere.path());
    // Clients go on trusting the server's certificate, which the old authority signed.
    let old = elsewhere.path().join("old.pem");
    std::fs::copy(site.folder().join("ca.pem"), &old).unwrap();
    std::fs::write(site.folder().join("ca.pem"), new.cert_pem()).unwrap();
    let record = site.recorded("config.tls_reloaded").await;
    assert_eq!(record.detail["trust_changed"], "true");
    assert_eq!(record.detail["changed"], "client_ca");
    assert!(raw.find(GOAWAY).await.is_some());
    closed(&mut raw.stream).await;
    let mut of_old = site.options("a");
    of_old.ca.clone_from(&old);
    Client::connect(of_old).await.unwrap_err();
    let mut of_new = site.options("b");
    of_new.ca = old;
    of_new.cert = elsewhere.path().join("b.pem");
    of_new.key = elsewhere.path().join("b.key");
    let connecting = Box::pin(Client::connect(of_new));
    within("a client of the new authority", connecting).await.unwrap();
    let refused = site.recorded("tls_handshake_failed").await.decided_by.unwrap();
    assert!(refused.contains("UnknownIssuer"), "{refused}");
}
