//! A disk that fails, is full or is slow under a running gate.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tokio::time::sleep;

use super::crash::{QUIET, small_segments};
use super::load::Load;
use super::round::{Sums, verify};
use crate::suite::Effort;
use crate::{Dice, FrailDisk, Gate, Loss, Report, Site, Start, eventually};

/// A gate on a disk of ours, with agents at work.
struct Ground {
    site: Site,
    disk: FrailDisk,
    load: Load,
}

impl Ground {
    async fn new() -> Result<(Self, Gate)> {
        let site = Site::new(&small_segments())?;
        let disk = FrailDisk::mount(&site.path("data"))?;
        let gate = site.start_as(QUIET).await?;
        let load = Load::connect(&site, &gate).await?;
        Ok((Self { site, disk, load }, gate))
    }
}

/// A sync of the log fails: nobody is told that what it held is safe, and the gate ends at once.
pub(super) async fn failed_sync(
    effort: Effort,
    report: &mut Report,
    dice: &mut Dice,
) -> Result<()> {
    let mut sums = Sums::default();
    let mut slowest = Duration::ZERO;
    let (ground, mut gate) = Ground::new().await?;
    for _round in 0..effort.rounds(3, 20) {
        let how = Start { listen: Some(gate.addr()), ..QUIET };
        let moment = Duration::from_millis(100 + dice.below(200));
        let fault = async {
            sleep(moment).await;
            let health = ground.site.health(&gate).await?;
            ensure!(health.is_serving().await?, "health says that a sound gate does not serve");
            ground.disk.fail_next_sync(".seg");
            let took = ended_after_a_fault(&ground, gate).await?;
            let is_serving = health.is_serving().await;
            ensure!(is_serving.is_err(), "a gate that has ended answers {is_serving:?}");
            slowest = slowest.max(took);
            ground.disk.lose_power(Loss::Everything, dice);
            verify(&ground.site).await?;
            sums.restart(&ground.site, how).await
        };
        gate = ground.load.during(fault).await?;
        sums.check(&ground.site, &gate, &ground.load).await?;
        report.figure("rounds_fsync_failed", sums.rounds);
        report.figure("fsync_failed_exit_ms", milliseconds(slowest));
    }
    gate.stop().await?;
    verify(&ground.site).await?;
    ensure!(slowest < Duration::from_secs(1), "it took {slowest:?} until the gate had ended");
    Ok(())
}

/// Waits until a sync has failed and the gate has ended for it; returns how long that took. Until
/// then it refuses what cannot be kept, and ends before anybody could route calls away from it.
#[expect(clippy::disallowed_methods, reason = "how long it takes is what is measured")]
async fn ended_after_a_fault(ground: &Ground, gate: Gate) -> Result<Duration> {
    eventually("a sync fails", async || Ok(ground.disk.has_failed().then_some(()))).await?;
    let began = Instant::now();
    let status = gate.ended().await.context("after a failed sync")?;
    ensure!(!status.success(), "the gate ended with {status} after a failed sync");
    Ok(began.elapsed())
}

/// The disk is full: senders are told so, and so are those who ask for the gate's health;
/// everything that needs no room goes on, and sending goes on by itself when there is room again.
pub(super) async fn full(report: &mut Report) -> Result<()> {
    let (ground, gate) = Ground::new().await?;
    let health = ground.site.health(&gate).await?;
    let fault = async {
        ground.load.takes(50).await?;
        health.becomes(true).await?;
        ground.disk.set_full(true);
        let refused = || ground.load.ledger.borrow().refusals("disk_full");
        eventually("senders hear of the full disk", async || Ok((refused() > 20).then_some(())))
            .await?;
        health.becomes(false).await.context("while the disk is full")?;
        ground.load.read().await.context("while the disk is full")?;
        let is_serving = health.is_serving().await?;
        ensure!(!is_serving, "health says that the gate serves on a full disk");
        ground.disk.set_full(false);
        let resumed = resumed(&ground).await?;
        health.becomes(true).await.context("there is room again")?;
        Ok(resumed)
    };
    let resumed = ground.load.during(fault).await?;
    let mut sums = Sums::default();
    sums.check(&ground.site, &gate, &ground.load).await?;
    gate.stop().await?;
    verify(&ground.site).await?;
    report.figure("disk_full_resumed_ms", milliseconds(resumed));
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "how long it takes is what is measured")]
async fn resumed(ground: &Ground) -> Result<Duration> {
    let began = Instant::now();
    ground.load.takes(1).await.context("there is room again")?;
    let resumed = began.elapsed();
    ground.load.takes(100).await?;
    Ok(resumed)
}

/// Every sync takes two seconds: nothing is lost, and nobody loses the connection.
pub(super) async fn slow(report: &mut Report) -> Result<()> {
    let (ground, gate) = Ground::new().await?;
    let sessions = sessions(&ground.site).await?;
    let fault = async {
        ground.load.takes(50).await?;
        ground.disk.set_sync_time(SLOW_SYNC);
        let before = ground.load.accepted();
        sleep(SLOW_SYNC * 4).await;
        // A segment that is begun just now takes several syncs before the first message.
        let taken = eventually("something is taken while syncs are slow", async || {
            Ok(Some(ground.load.accepted() - before).filter(|taken| *taken > 0))
        });
        let taken = taken.await;
        ground.disk.set_sync_time(Duration::ZERO);
        taken
    };
    let taken = ground.load.during(fault).await?;
    let mut sums = Sums::default();
    sums.check(&ground.site, &gate, &ground.load).await?;
    let after = self::sessions(&ground.site).await?;
    ensure!(after == sessions, "{sessions} sessions were opened before, {after} after it");
    gate.stop().await?;
    report.figure("slow_fsync_taken", taken);
    Ok(())
}

/// Returns how many sessions were ever opened.
async fn sessions(site: &Site) -> Result<usize> {
    let records: Vec<Value> = site.records(&["--event", "session.open"]).await?;
    Ok(records.len())
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

const SLOW_SYNC: Duration = Duration::from_secs(2);
