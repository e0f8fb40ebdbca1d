//! Who is let in, and who is cut, by bundles of trust domains and revocation lists.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use identity::{DevCa, Overwrite, SpiffeId, Validity};
use palisade_client::{Client, Error, Options};
use serde_json::json;
use tokio::task::JoinSet;

use super::raw::{GOAWAY, Raw, closed};
use super::site::{Plan, Site, day, issue, now, within};

/// No limit of messages is in the way here.
const BUSY: &str = "gateway: { rate_limit: { per_minute: 1000000, per_hour: 1000000 } }\n";

/// Clients that send one message after the other until they are told to stop.
struct Busy {
    tasks: JoinSet<Result<u32, Error>>,
    stop: Arc<AtomicBool>,
}

impl Busy {
    async fn start(options: impl Iterator<Item = Options>) -> Self {
        let mut busy = Self { tasks: JoinSet::new(), stop: Arc::default() };
        for options in options {
            let client = Box::pin(Client::connect(options)).await.unwrap();
            let stop = Arc::clone(&busy.stop);
            busy.tasks.spawn(async move {
                let mut sent = 0;
                while !stop.load(Ordering::Relaxed) {
                    client.send("b", "note", &json!({})).await?;
                    sent += 1;
                }
                Ok(sent)
            });
        }
        busy
    }

    /// Stops all of them; none may have seen an error.
    async fn stop(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            assert!(ended.unwrap().unwrap() > 0);
        }
    }
}

/// Returns what agent `a` connects with if its pair lies in another folder.
fn from(site: &Site, folder: &Path) -> Options {
    let mut options = site.options("a");
    // The server's certificate does not change authority.
    options.ca = folder.join("server-ca.pem");
    options.cert = folder.join("a.pem");
    options.key = folder.join("a.key");
    options
}

/// Makes a second authority with a certificate for `a` in a folder of its own.
fn second_authority(site: &Site) -> (DevCa, tempfile::TempDir) {
    let folder = tempfile::TempDir::new().unwrap();
    let ca = DevCa::create("second CA", now()).unwrap();
    issue(&ca, "a", day(), folder.path());
    std::fs::write(folder.path().join("server-ca.pem"), site.ca.cert_pem()).unwrap();
    (ca, folder)
}

async fn cut(connections: &mut [Raw]) {
    for raw in connections {
        assert!(raw.find(GOAWAY).await.is_some());
        closed(&mut raw.stream).await;
    }
}

#[tokio::test]
async fn a_removed_authority_costs_the_connections_of_others_nothing() {
    let site = Site::open(Plan { more: BUSY, ..Plan::default() }).await;
    let (second, folder) = second_authority(&site);
    let both = format!("{}{}", site.ca.cert_pem(), second.cert_pem());
    std::fs::write(site.folder().join("ca.pem"), both).unwrap();
    // An authority more cuts nobody.
    let mut of_old = Vec::new();
    for _connection in 0..5 {
        of_old.push(Raw::open(&site, "b").await);
    }
    of_old[0].hello("one").await;
    assert_eq!(site.recorded("config.tls_reloaded").await.detail["trust_changed"], "true");
    let busy = Busy::start((0..5).map(|_| from(&site, folder.path()))).await;
    of_old[0].event().await;
    std::fs::write(site.folder().join("ca.pem"), second.cert_pem()).unwrap();
    within("the cut", cut(&mut of_old)).await;
    let record = site.recorded("connection.cut").await;
    assert_eq!(record.detail["spiffe_id"], "spiffe://mas/agent/b");
    assert_eq!(record.detail["code"], "certificate_untrusted");
    busy.stop().await;
    let cuts = site.records().await.into_iter().filter(|one| one.event_type == "connection.cut");
    let cuts: Vec<_> = cuts.collect();
    assert_eq!(cuts.len(), 5);
    assert!(cuts.iter().all(|one| one.detail["spiffe_id"] == "spiffe://mas/agent/b"));
    // What the cut session held is delivered again.
    issue(&second, "b", day(), folder.path());
    let mut b = from(&site, folder.path());
    b.cert = folder.path().join("b.pem");
    b.key = folder.path().join("b.key");
    let b = Box::pin(Client::connect(b)).await.unwrap();
    within("the message again", b.messages().next()).await.unwrap().ack().await.unwrap();
}

#[tokio::test]
async fn a_revoked_certificate_is_cut_and_its_neighbours_are_not() {
    let site = Site::open(Plan {
        more: BUSY,
        tls: "crl: crl.pem",
        files: Box::new(|ca| vec![("crl.pem", ca.revocation_list(&[], day()).unwrap())]),
        ..Plan::default()
    })
    .await;
    let bad = std::fs::read_to_string(site.folder().join("b.pem")).unwrap();
    let mut of_bad = vec![Raw::open(&site, "b").await, Raw::open(&site, "b").await];
    let busy = Busy::start((0..5).map(|_| site.options("a"))).await;
    let list = site.ca.revocation_list(&[&bad], day()).unwrap();
    std::fs::write(site.folder().join("crl.pem"), list).unwrap();
    within("the cut", cut(&mut of_bad)).await;
    assert_eq!(site.recorded("config.tls_reloaded").await.detail["changed"], "crl");
    assert_eq!(site.recorded("connection.cut").await.detail["code"], "certificate_revoked");
    site.connect("b").await.unwrap_err();
    let refused = site.recorded("tls_handshake_failed").await.decided_by.unwrap();
    assert!(refused.contains("Revoked"), "{refused}");
    busy.stop().await;
    // The same agent with a new certificate is welcome.
    issue(&site.ca, "b", day(), site.folder());
    site.connect("b").await.unwrap();
}

#[tokio::test]
async fn a_list_that_runs_out_cuts_its_issuers_connections_and_is_reported() {
    let site = Site::open(Plan {
        tls: "crl: crl.pem",
        files: Box::new(|ca| {
            let short = Validity { not_before_unix: now() - 5, not_after_unix: now() + 3 };
            vec![("crl.pem", ca.revocation_list(&[], short).unwrap())]
        }),
        ..Plan::default()
    })
    .await;
    let mut raw = Raw::open(&site, "b").await;
    raw.hello("one").await;
    within("the end of the list", cut(std::slice::from_mut(&mut raw))).await;
    site.recorded("config.crl_out_of_date").await;
    site.connect("a").await.unwrap_err();
    let list = site.ca.revocation_list(&[], day()).unwrap();
    std::fs::write(site.folder().join("crl.pem"), list).unwrap();
    site.recorded("config.tls_reloaded").await;
    site.connect("a").await.unwrap();
}

#[tokio::test]
async fn half_a_bundle_that_is_still_being_written_cuts_nobody() {
    let site = Site::with_limits("").await;
    let (second, _folder) = second_authority(&site);
    let mut raw = Raw::open(&site, "b").await;
    raw.hello("one").await;
    let bundle = site.folder().join("ca.pem");
    // Without the authority of `b` for some looks, as of a writer that is slow.
    for text in [String::new(), second.cert_pem().to_owned()] {
        std::fs::write(&bundle, text).unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(8)).await;
    }
    std::fs::write(&bundle, format!("{}{}", second.cert_pem(), site.ca.cert_pem())).unwrap();
    site.recorded("config.tls_reloaded").await;
    site.connect("a").await.unwrap().send("b", "note", &json!({})).await.unwrap();
    raw.event().await;
    assert!(site.records().await.iter().all(|one| one.event_type != "connection.cut"));
}

#[tokio::test]
async fn agents_of_two_trust_domains_meet_and_neither_authority_speaks_for_the_other() {
    let other = DevCa::create("other CA", now()).unwrap();
    let pem = other.cert_pem().to_owned();
    let site = Site::open(Plan {
        server: "  spiffe: { federated: { other.org: other.pem } }\n",
        agents: "  partner: { spiffe_id: 'spiffe://other.org/billing', allow: [a] }\n".to_owned(),
        files: Box::new(move |_ca| vec![("other.pem", pem)]),
        ..Plan::default()
    })
    .await;
    let connect = async |ca: &DevCa, id: &str| {
        let issued = ca.issue_agent(&SpiffeId::parse(id).unwrap(), day()).unwrap();
        issued.save(site.folder(), "somebody", Overwrite::Replace).unwrap();
        site.connect("somebody").await
    };
    let partner = connect(&other, "spiffe://other.org/billing").await.unwrap();
    assert_eq!(partner.agent_id(), "partner");
    partner.send("a", "note", &json!({})).await.unwrap();
    let a = site.connect("a").await.unwrap();
    let message = within("the partner's message", a.messages().next()).await.unwrap();
    assert_eq!(message.message.sender_id, "partner");
    for (ca, id, code) in [
        (&site.ca, "spiffe://other.org/billing", "tls_handshake"),
        (&other, "spiffe://mas/agent/a", "tls_handshake"),
        (&other, "spiffe://mas/operator/boss", "tls_handshake"),
        (&site.ca, "spiffe://mas/agent/partner", "invalid_spiffe_format"),
        (&other, "spiffe://other.org/agent/a", "invalid_spiffe_format"),
        (&other, "spiffe://other.org/operator/boss", "invalid_spiffe_format"),
        (&site.ca, "spiffe://third.org/agent/a", "invalid_spiffe_format"),
    ] {
        let refused = connect(ca, id).await.unwrap_err();
        assert_eq!(refused.code(), code, "{id}: {refused}");
    }
    // Without its bundle the domain is cut, and nobody else.
    std::fs::write(site.folder().join("other.pem"), "").unwrap();
    let cut = site.recorded("connection.cut").await;
    assert_eq!(cut.detail["spiffe_id"], "spiffe://other.org/billing");
    a.state().await.unwrap();
}
