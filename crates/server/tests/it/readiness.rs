//! A server whose disk is full: it says so, refuses, and goes on by itself when there is room.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use audit::{Disk, RealDisk};
use palisade_client::Error;
use serde_json::json;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::site::{Engine, Plan, Site, within};

/// A disk on which no file grows while it is full.
#[derive(Debug, Default)]
struct Small {
    is_full: AtomicBool,
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
async fn a_server_with_a_full_disk_does_not_serve_until_there_is_room() {
    let disk = Arc::new(Small::default());
    let engine = Engine::On(Arc::<Small>::clone(&disk));
    let limits = "drain_timeout_ms: 200";
    let more = "gateway: { rate_limit: { per_minute: 100000, per_hour: 100000 } }\n";
    let site = Site::open(Plan { engine, limits, more, ..Plan::default() }).await;
    let origin = http::Uri::from_static("https://localhost");
    let mut health = HealthClient::with_origin(site.channel("a").await, origin);
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
