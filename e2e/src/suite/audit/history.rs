//! Kills, restored backups, and what the witness says to them.

use std::fs;
use std::time::Duration;

use anyhow::{Result, ensure};
use audit::{SignedCheckpoint, TileSource, verify_consistency};

use super::Effort;
use super::desk::{Desk, copy, send, size};
use crate::{Dice, Report, eventually};

/// Gate and witness are killed while checkpoints are made; all checkpoints are of one history.
pub(super) async fn killed(effort: Effort, dice: &mut Dice, report: &mut Report) -> Result<()> {
    let mut desk = Desk::new().await?;
    let rounds = effort.rounds(6, 100);
    for round in 0..rounds {
        let gate = desk.site.start().await?;
        send(&desk.site, &gate, 5 + dice.below(30)).await?;
        tokio::time::sleep(Duration::from_millis(dice.below(150))).await;
        if round % 2 == 1 {
            desk.crash_witness().await?;
            send(&desk.site, &gate, 1 + dice.below(9)).await?;
        }
        gate.kill().await?;
        report.add("kills", 1);
    }
    let gate = desk.site.start().await?;
    send(&desk.site, &gate, 3).await?;
    desk.all_cosigned().await?;
    gate.stop().await?;
    let last = desk.all_cosigned().await?;
    ensure!(!desk.tree("alarm").exists(), "{}", fs::read_to_string(desk.tree("alarm"))?);
    one_history(&desk, report)?;
    let keys = ["--witness-key", &desk.witness_key];
    let found = desk.verify(&desk.site.path("data"), &keys).await?.ok()?.json()?;
    ensure!(found["anchored"] == last && found["entries"] == last, "{found}");
    Ok(())
}

/// Checks that each kept checkpoint continues the one before.
fn one_history(desk: &Desk, report: &mut Report) -> Result<()> {
    let files = desk.checkpoints()?;
    let mut tiles = TileSource::new(desk.tree(""));
    let mut before = None;
    for file in &files {
        let signed = SignedCheckpoint::parse(&fs::read(file)?)?;
        signed.check_log(&desk.log_key.parse()?)?;
        let new = signed.checkpoint().clone();
        if let Some((size, root)) = before {
            let proof = tiles.consistency(size, new.size)?.unwrap_or_default();
            verify_consistency((size, &root), (new.size, &new.root), &proof)?;
        }
        before = Some((new.size, new.root));
        report.add("checkpoints_over_kills", 1);
    }
    Ok(())
}

/// A backup is restored and written on: neither the shorter nor the longer log is cosigned.
pub(super) async fn restored(desk: Desk, report: &mut Report) -> Result<()> {
    report.add("witness_refusals", 0);
    let (data, backup) = (desk.site.path("data"), desk.site.path("backup"));
    copy(&data, &backup)?;
    desk.work(60).await?;
    let seen = desk.all_cosigned().await?;
    let kept = desk.site.path("seen.checkpoint");
    fs::copy(desk.cosigned()?, &kept)?;
    fs::remove_dir_all(&data)?;
    copy(&backup, &data)?;
    let gate = desk.site.start().await?;
    let shorter = alarm(&desk, "has cosigned").await?;
    ensure!(shorter.contains(&seen.to_string()), "{shorter}");
    report.add("witness_refusals", 1);
    ensure!(gate.log().contains("ALARM"), "the log says nothing");
    send(&desk.site, &gate, 100).await?;
    let longer = alarm(&desk, "are not those that the witness has cosigned").await?;
    ensure!(longer.contains(&seen.to_string()), "{longer}");
    report.add("witness_refusals", 1);
    gate.stop().await?;
    ensure!(size(&desk.tree("checkpoint"))? > seen, "the fork is not longer");
    ensure!(size(&desk.cosigned()?)? < seen, "the fork was cosigned");
    // Who has the witness's checkpoint sees it without the server; who has not, by its alarm.
    let kept = kept.display().to_string();
    let more = ["--checkpoint", &kept, "--witness-key", &desk.witness_key];
    let found = desk.verify(&data, &more).await?.ended(1)?.json()?;
    ensure!(found["problem_count"] == 1, "{found}");
    let found = desk.verify(&data, &[]).await?.ended(1)?.json()?;
    ensure!(found["alarms"].as_array().is_some_and(|alarms| alarms.len() == 1), "{found}");
    Ok(())
}

async fn alarm(desk: &Desk, says: &str) -> Result<String> {
    eventually(says, || async {
        let text = fs::read_to_string(desk.tree("alarm")).unwrap_or_default();
        Ok(text.contains(says).then_some(text))
    })
    .await
}

/// The tree of another history beside the log: an alarm, and nothing more is signed.
pub(super) async fn broken() -> Result<()> {
    let desk = Desk::new().await?;
    desk.work(10).await?;
    let first = desk.site.path("first");
    fs::rename(desk.site.path("data"), &first)?;
    fs::remove_file(desk.site.path("audit.jsonl"))?;
    desk.work(5).await?;
    let data = desk.site.path("data");
    fs::remove_dir_all(data.join("tree"))?;
    copy(&first.join("tree"), &data.join("tree"))?;
    let before = size(&desk.tree("checkpoint"))?;
    let gate = desk.site.start().await?;
    let why = alarm(&desk, "log: ").await?;
    send(&desk.site, &gate, 40).await?;
    gate.stop().await?;
    ensure!(size(&desk.tree("checkpoint"))? == before, "it was signed again: {why}");
    Ok(())
}
