//! The server's own certificate: how long it lasts, that it has run out, and that there is another.

use identity::{Overwrite, Validity};

use crate::operations::{LISTEN, ask, samples};
use crate::readiness::{all_say, health};
use crate::site::{Plan, Site, issue_server, now};

/// Returns for how long the certificate lasts on and how long it lasts in all, in seconds.
async fn lasts(site: &Site) -> (f64, f64) {
    let (_, _, text) = ask(site.running.operations().unwrap(), "GET /metrics").await;
    let samples = samples(&text);
    let of = |name: &str| samples[&format!("palisade_certificate_{name}_seconds")];
    (of("remaining"), of("lifetime"))
}

#[tokio::test]
async fn a_server_whose_certificate_ran_out_is_not_ready_until_there_is_another() {
    let site = Site::open(Plan { server: LISTEN, ..Plan::default() }).await;
    let mut health = health(&site).await;
    all_say(&site, &mut health, &[]).await;
    let (remaining, lifetime) = lasts(&site).await;
    assert!((86_000.0..=86_400.0).contains(&remaining), "{remaining}");
    // A day, and what it begins earlier for clocks that are behind.
    assert_eq!(lifetime, 86_700.0);
    // Time enough to be taken: one that has run out already would be refused.
    let short = Validity { not_before_unix: now() - 10, not_after_unix: now() + 5 };
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let short = site.ca.issue_server(&names, None, short).unwrap();
    short.save(site.folder(), "server", Overwrite::Replace).unwrap();
    let reasons = all_say(&site, &mut health, &["certificate_expired"]).await;
    assert!(reasons[0].contains("certificate has expired"), "{reasons:?}");
    let (remaining, lifetime) = lasts(&site).await;
    assert!((-20.0..0.0).contains(&remaining), "{remaining}");
    assert_eq!(lifetime, 15.0);
    site.recorded("config.own_certificate_expired").await;
    site.connect("a").await.unwrap_err();
    issue_server(&site.ca, site.folder());
    all_say(&site, &mut health, &[]).await;
    site.connect("a").await.unwrap();
    let is_meant = |one: &&audit::Record<'_>| one.event_type == "config.own_certificate_expired";
    assert_eq!(site.records().await.iter().filter(is_meant).count(), 1);
}
