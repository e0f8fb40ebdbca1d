//! Salts that are erased: nobody can say any more what was sent, and the log still verifies.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::desk::{Desk, size};
use super::proofs::AGREED;
use crate::Report;

/// Erases the salts of some payloads behind a tree that was signed and cosigned before.
pub(super) async fn erased(desk: &Desk, report: &mut Report) -> Result<()> {
    report.add("salts_erased", 0);
    let sends = desk.site.records(&["--event", "message.send"]).await?;
    let cosigned = desk.cosigned()?;
    let signed = size(&cosigned)?;
    for (number, record) in sends.iter().enumerate().step_by(sends.len() / SALTS + 1) {
        let seq = record["seq"].as_u64().context("no number")?;
        ensure!(seq <= signed, "record {seq} is behind the checkpoint of {signed}");
        let seq = seq.to_string();
        // As it was delivered, byte for byte; see `desk::send`.
        desk.site.write("payload.json", format!("{{\"number\":{number}}}").as_bytes())?;
        let verdict = async || -> Result<Value> {
            let asked = ["match", &seq, "--payload", "payload.json"];
            Ok(desk.site.audit(&asked).await?.json()?["verdict"].clone())
        };
        let before = verdict().await?;
        ensure!(before == "matches", "the payload of record {seq} {before}");
        desk.site.audit(&["erase", &seq]).await?.ok()?;
        let after = verdict().await?;
        ensure!(after == "erased", "the payload of record {seq} {after} behind its erasure");
        report.add("salts_erased", 1);
    }
    let file = cosigned.display().to_string();
    let more = ["--checkpoint", &file, "--witness-key", &desk.witness_key];
    let found = desk.verify(&desk.site.path("data"), &more).await?.ok()?.json()?;
    ensure!(found["ok"] == true && found["anchored"] == signed, "{found}");
    let asked = ["log", "audit.jsonl", &file, &desk.log_key, &desk.witness_key];
    let python = desk.python(&asked).await?;
    ensure!(python["ok"] == true && python["size"] == signed, "{python}");
    report.add(AGREED, 1);
    Ok(())
}

/// About how many are erased.
const SALTS: usize = 10;
