//! A server that cannot keep a record, or whose history is not what was signed: it says so, and
//! refuses what it cannot keep; it goes on by itself only when a full disk has room again.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use audit::{Disk, RealDisk};
use palisade_client::admin::OverviewRequest;
use palisade_client::{Error, Operator};
use serde_json::{Value, json};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::operations::{LISTEN, ask, samples};
use crate::site::{Channel, Engine, Plan, Site, within};

/// A disk on which no file grows while it is full, and no sync succeeds while it is broken.
#[derive(Debug, Default)]
struct Small {
    is_full: AtomicBool,
    is_broken: AtomicBool,
}

impl Disk for Small {
    fn make_folder(&self, path: &Path) -> io::Result<()> {
        RealDisk.make_folder(path)
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        RealDisk.open(path)
    }

    fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        let end = offset + bytes.len() as u64;
        if self.is_full.load(Ordering::SeqCst) && end > file.metadata()?.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        RealDisk.write(file, bytes, offset)
    }

    fn truncate(&self, file: &File, bytes: u64) -> io::Result<()> {
        RealDisk.truncate(file, bytes)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        if self.is_broken.load(Ordering::SeqCst) {
            return Err(io::Error::other("the disk is broken"));
        }
        RealDisk.sync(file)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        RealDisk.sync_folder(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }
}

#[tokio::test]
async fn health_answers_for_the_names_of_the_contract_and_no_other() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol.md");
    let text = std::fs::read_to_string(path).unwrap();
    let chapter = text.split("## Health\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let quoted = chapter.split('`').skip(1).step_by(2);
    let documented: BTreeSet<&str> = quoted.filter(|name| name.ends_with("Service")).collect();
    let site = Site::open(Plan::default()).await;
    let mut health = health(&site).await;
    let mut answered = BTreeSet::new();
    for service in [
        "mas.runtime.v1.RuntimeService",
        "mas.v1.MasService",
        "palisade.bus.v1.BusService",
        "palisade.admin.v1.AdminService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "SpiffeWorkloadAPI",
    ]
    .into_iter()
    .chain(documented.iter().copied())
    {
        match health.check(HealthCheckRequest { service: service.to_owned() }).await {
            Ok(answer) => {
                assert_eq!(answer.into_inner().status(), ServingStatus::Serving, "{service}");
                answered.insert(service);
            }
            Err(refused) => assert_eq!(refused.code(), tonic::Code::NotFound, "{service}"),
        }
    }
    assert_eq!(answered, documented);
    assert_eq!(status(&mut health).await, ServingStatus::Serving, "without a name");
}

#[tokio::test]
async fn a_server_with_a_full_disk_does_not_serve_until_there_is_room() {
    let disk = Arc::new(Small::default());
    let engine = Engine::On(Arc::<Small>::clone(&disk));
    let limits = "drain_timeout_ms: 200";
    let more = "gateway: { rate_limit: { per_minute: 100000, per_hour: 100000 } }\n";
    let site = Site::open(Plan { engine, limits, more, ..Plan::default() }).await;
    let mut health = health(&site).await;
    let mut watched = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    let mut next = async || within("a status", watched.message()).await.unwrap().unwrap().status();
    assert_eq!(next().await, ServingStatus::Serving);
    let a = site.connect("a").await.unwrap();
    let body = json!({ "text": "x".repeat(10_000) });
    disk.is_full.store(true, Ordering::SeqCst);
    let mut accepted = 0;
    let refused = loop {
        match a.send("b", "note", &body).await {
            Ok(_) => accepted += 1,
            Err(Error::Refused(refused)) => break refused,
            Err(other) => panic!("{other:?}"),
        }
        assert!(accepted < 100, "the disk never got full");
    };
    assert_eq!(refused.code, "disk_full");
    assert_eq!(next().await, ServingStatus::NotServing);
    // What is there can still be asked for.
    let depth = gate::ports::Read::Depth(gate::types::AgentId::parse("b").unwrap());
    let found = site.store.read(depth).await.unwrap();
    assert_eq!(found, Some(gate::ports::Found::Depth(accepted)));
    disk.is_full.store(false, Ordering::SeqCst);
    // Nobody sends meanwhile.
    assert_eq!(next().await, ServingStatus::Serving);
    a.send("b", "note", &body).await.unwrap();
    let (told, ()) = tokio::join!(next(), site.running.stop());
    assert_eq!(told, ServingStatus::NotServing);
}

#[tokio::test]
async fn a_server_whose_sync_failed_refuses_and_never_serves_again() {
    let disk = Arc::new(Small::default());
    let engine = Engine::On(Arc::<Small>::clone(&disk));
    let limits = "drain_timeout_ms: 200";
    let site = Site::open(Plan { engine, limits, ..Plan::default() }).await;
    let mut health = health(&site).await;
    assert_eq!(status(&mut health).await, ServingStatus::Serving);
    let a = site.connect("a").await.unwrap();
    a.send("b", "note", &json!({})).await.unwrap();
    disk.is_broken.store(true, Ordering::SeqCst);
    assert_eq!(refused(&a).await, "store_unavailable");
    // It is told a moment after the refusal.
    let told = async { while status(&mut health).await != ServingStatus::NotServing {} };
    within("not serving", told).await;
    // A disk that works again says nothing about what was lost.
    disk.is_broken.store(false, Ordering::SeqCst);
    assert_eq!(refused(&a).await, "store_unavailable");
    assert_eq!(status(&mut health).await, ServingStatus::NotServing);
    site.running.stop().await;
}

#[tokio::test]
async fn whoever_asks_whether_calls_are_taken_hears_the_same() {
    let disk = Arc::new(Small::default());
    let plan = Plan {
        engine: Engine::On(Arc::<Small>::clone(&disk)),
        limits: "drain_timeout_ms: 200",
        more: "gateway: { rate_limit: { per_minute: 100000, per_hour: 100000 } }\n",
        server: LISTEN,
        ..Plan::default()
    };
    let site = Site::open(plan).await;
    let mut health = health(&site).await;
    let operator = Operator::connect(site.options("boss")).await.unwrap();
    let looking = OverviewRequest { interval_ms: 100, rows_max: 0 };
    let mut pictures = operator.overview(looking).await.unwrap();
    let a = site.connect("a").await.unwrap();
    let body = json!({ "text": "x".repeat(10_000) });
    all_say(&site, &mut health, &[]).await;
    disk.is_full.store(true, Ordering::SeqCst);
    while a.send("b", "note", &body).await.is_ok() {}
    let reasons = all_say(&site, &mut health, &["disk_full"]).await;
    let pictured = async {
        loop {
            let picture = pictures.next().await.unwrap();
            if !picture.ready {
                return picture.not_ready;
            }
        }
    };
    assert_eq!(within("a picture", pictured).await, reasons);
    disk.is_full.store(false, Ordering::SeqCst);
    all_say(&site, &mut health, &[]).await;
    disk.is_broken.store(true, Ordering::SeqCst);
    a.send("b", "note", &json!({})).await.unwrap_err();
    all_say(&site, &mut health, &["store_failed"]).await;
    site.running.stop().await;
}

/// Waits until the health service says what the codes mean, and checks that everyone else says it
/// too, for these reasons and no others; returns them as sentences.
pub(crate) async fn all_say(
    site: &Site,
    health: &mut HealthClient<Channel>,
    codes: &[&str],
) -> Vec<String> {
    let is_ready = codes.is_empty();
    let wanted = if is_ready { ServingStatus::Serving } else { ServingStatus::NotServing };
    for service in ["", "mas.runtime.v1.RuntimeService", "palisade.bus.v1.BusService"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let mut watched = health.watch(request).await.unwrap().into_inner();
        let told = async { while watched.message().await.unwrap().unwrap().status() != wanted {} };
        within(&format!("`{service}` is {wanted:?} for {codes:?}"), told).await;
    }
    let address = site.running.operations().unwrap();
    let (status, _, body) = ask(address, "GET /readyz").await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &body["ready"]), (if is_ready { 200 } else { 503 }, &json!(is_ready)));
    let listed = body["reasons"].as_array().unwrap();
    let field = |one: &Value, name: &str| one[name].as_str().unwrap().to_owned();
    assert_eq!(listed.iter().map(|one| field(one, "code")).collect::<Vec<_>>(), codes);
    let (_, _, text) = ask(address, "GET /metrics").await;
    let samples = samples(&text);
    assert_eq!(samples["palisade_ready"], f64::from(u8::from(is_ready)));
    let held = samples.iter().filter_map(|(name, value)| {
        let code = name.strip_prefix("palisade_not_ready{reason=\"")?.strip_suffix("\"}")?;
        (*value > 0.0).then_some(code)
    });
    assert_eq!(held.collect::<Vec<_>>(), codes);
    listed.iter().map(|one| field(one, "reason")).collect()
}

/// Returns the code with which a message is refused.
async fn refused(a: &palisade_client::Client) -> String {
    match a.send("b", "note", &json!({})).await {
        Err(Error::Refused(refused)) => refused.code,
        other => panic!("{other:?}"),
    }
}

/// Returns what the server says of itself now.
async fn status(health: &mut HealthClient<Channel>) -> ServingStatus {
    let answer = within("health", health.check(HealthCheckRequest::default())).await;
    answer.unwrap().into_inner().status()
}

pub(crate) async fn health(site: &Site) -> HealthClient<Channel> {
    let origin = http::Uri::from_static("https://localhost");
    HealthClient::with_origin(site.channel("a").await, origin)
}

#[tokio::test]
async fn a_server_whose_log_is_not_what_was_signed_does_not_serve_and_says_why() {
    let key = audit::SigningKey::generate(audit::KeyKind::Log, "log").unwrap();
    let more = "audit: { signing_key: audit.key, checkpoint_seconds: 1 }\n";
    let text = key.to_text().to_string();
    // A checkpoint over more records than the log ever had, beside an empty tree.
    let signed = audit::SignedCheckpoint::sign(&key, 7, [7; 32]).unwrap().to_string();
    let files = Box::new(move |_: &_| vec![("audit.key", text), ("data/tree/checkpoint", signed)]);
    let site = Site::open(Plan { engine: Engine::Embedded, more, files, ..Plan::default() }).await;
    let mut health = health(&site).await;
    let mut watched = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    let told = async {
        while watched.message().await.unwrap().unwrap().status() != ServingStatus::NotServing {}
    };
    within("not serving", told).await;
    let alarm = std::fs::read_to_string(site.folder().join("data/tree/alarm")).unwrap();
    assert_eq!(alarm, "log: 7 records were signed, and the tree has 0\n");
    site.running.stop().await;
}
