//! A gate that runs out of file descriptors, and one that is stopped for a while.

use std::fs;
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use serde_json::json;
use tokio::time::sleep;

use super::crash::{QUIET, small_segments};
use super::load::Load;
use super::round::Sums;
use crate::{Gate, Report, Site, Start, eventually};

/// Strangers take every descriptor: sessions and the store go on, and others get in again when
/// the strangers are gone.
pub(super) async fn descriptors(report: &mut Report) -> Result<()> {
    let site = Site::new(&small_segments())?;
    let gate = site.start_as(Start { descriptors: Some(DESCRIPTORS), ..QUIET }).await?;
    let load = Load::connect(&site, &gate).await?;
    let flood = async {
        let connect = || TcpStream::connect_timeout(&gate.addr(), Duration::from_secs(1));
        let mut strangers = Vec::new();
        let mut most = 0;
        for _wave in 0..8 {
            strangers.extend((0..DESCRIPTORS).filter_map(|_| connect().ok()));
            sleep(Duration::from_millis(250)).await;
            most = most.max(open_descriptors(&gate)?);
        }
        load.takes(200).await.context("while strangers hold every descriptor")?;
        drop(strangers);
        eventually("somebody new gets in", async || Ok(site.operator(&gate).await.ok())).await?;
        Ok(most)
    };
    let most = load.during(flood).await?;
    let mut sums = Sums::default();
    sums.check(&site, &gate, &load).await?;
    gate.stop().await?;
    report.figure("descriptors_max", DESCRIPTORS);
    report.figure("descriptors_used_max", most);
    Ok(())
}

fn open_descriptors(gate: &Gate) -> Result<usize> {
    let folder = format!("/proc/{}/fd", gate.pid()?.as_raw_nonzero());
    Ok(fs::read_dir(folder)?.count())
}

/// The process is stopped for longer than a lease lasts: what was acknowledged does not come
/// again.
pub(super) async fn stopped(report: &mut Report) -> Result<()> {
    let mut settings = small_segments();
    settings["delivery"]["reclaim_idle_ms"] = json!(2_000);
    let site = Site::new(&settings)?;
    let gate = site.start_as(QUIET).await?;
    let load = Load::connect(&site, &gate).await?;
    let pause = async {
        load.takes(100).await?;
        gate.signal(Signal::STOP)?;
        sleep(STOPPED).await;
        gate.signal(Signal::CONT)?;
        load.takes(100).await
    };
    load.during(pause).await?;
    let mut sums = Sums::default();
    sums.check(&site, &gate, &load).await?;
    ensure!(load.ledger.borrow().duplicated_acked == 0, "what was settled came again");
    report.figure("stopped_redelivered", load.ledger.borrow().redelivered);
    gate.stop().await
}

/// What the gate may have open.
const DESCRIPTORS: u64 = 128;
const STOPPED: Duration = Duration::from_secs(10);
