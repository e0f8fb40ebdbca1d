//! How long a start takes by the size of the log that it reads back.

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use serde_json::json;

use super::crash::QUIET;
use super::load::settings;
use super::round::{start, verify};
use crate::suite::Effort;
use crate::{Report, Site};

/// Kills a gate whose log holds much and has no checkpoint, and starts it again.
pub(super) async fn run(effort: Effort, report: &mut Report) -> Result<()> {
    let mut settings = settings();
    settings["gateway"]["features"]["dlp"] = json!(false);
    settings["delivery"]["queue_bytes_max"] = json!(MOST_BYTES);
    settings["storage"] = json!({ "checkpoint_bytes": MOST_BYTES * 2, "bytes_max": MOST_BYTES });
    let site = Site::new(&settings)?;
    let gate = site.start_as(QUIET).await?;
    let alice = site.connect(&gate, "alice").await?;
    let messages: usize = if effort.is_short { 800 } else { 8_000 };
    let pad = "x".repeat(MESSAGE_BYTES);
    for first in (0..messages).step_by(8) {
        let data = (first..first + 8).map(|number| json!({ "n": number, "pad": pad }));
        let sends = data.map(|data| {
            let alice = alice.clone();
            async move { alice.send("bob", "note", &data).await }
        });
        try_join_all(sends).await?;
    }
    gate.kill().await?;
    let (gate, took) = start(&site, QUIET).await?;
    let mib = messages * MESSAGE_BYTES / (1 << 20);
    let per_gb = took.as_secs_f64() * 1e12 / (messages * MESSAGE_BYTES) as f64;
    report.figure("recovery_log_mib", mib);
    report.figure("recovery_ms_per_gb", per_gb.round());
    gate.kill().await?;
    verify(&site).await?;
    ensure!(
        site.records(&["--event", "message.send"]).await?.len() == messages,
        "a record is lost"
    );
    Ok(())
}

const MESSAGE_BYTES: usize = 60_000;
/// LIMIT: more than the long form sends.
const MOST_BYTES: u64 = 1 << 30;
