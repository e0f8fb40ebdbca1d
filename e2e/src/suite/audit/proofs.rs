//! What is signed, proven and checked, also by a verifier that shares no code with us.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::desk::{Desk, size};
use crate::{Dice, Report};

/// The log fits its cosigned checkpoint, for us and for the other verifier.
pub(super) async fn signed(desk: &Desk, report: &mut Report) -> Result<()> {
    let cosigned = desk.all_cosigned().await?;
    let keys = ["--witness-key", &desk.witness_key];
    let found = desk.verify(&desk.site.path("data"), &keys).await?.ok()?.json()?;
    ensure!(found["ok"] == true && found["anchored"] == cosigned, "{found}");
    ensure!(found["entries"] == cosigned, "not all is signed: {found}");
    let file = desk.cosigned()?.display().to_string();
    let asked = ["log", "audit.jsonl", &file, &desk.log_key, &desk.witness_key];
    let python = desk.python(&asked).await?;
    let whole = json!({ "ok": true, "records": cosigned, "size": cosigned });
    ensure!(python == whole, "{python}");
    report.add(AGREED, 1);
    // The key of somebody else is noticed by both.
    let stranger = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    let data = desk.site.path("data").display().to_string();
    let arguments = ["--json", "audit", "--data", &data, "verify", "--key", stranger];
    let refused = desk.site.run(&arguments).await?.ended(1)?.json()?;
    ensure!(refused["error"]["code"] == "checkpoint_of_another_log", "{refused}");
    let python = desk.python(&["log", "audit.jsonl", &file, stranger]).await?;
    ensure!(python["ok"] == false, "{python}");
    report.add(AGREED, 1);
    Ok(())
}

/// Proofs of single records hold, and no changed one does.
pub(super) async fn proven(desk: &Desk, dice: &mut Dice, report: &mut Report) -> Result<()> {
    let last = size(&desk.cosigned()?)?;
    let mut bytes_max = 0;
    for seq in [1, 2, last, dice.below(last) + 1, dice.below(last) + 1] {
        let number = seq.to_string();
        let made = desk.site.audit(&["prove", &number, "--out", "p.tlog-proof"]).await?;
        let made = made.ok()?.json()?;
        bytes_max = made["bytes"].as_u64().context("no size")?.max(bytes_max);
        let keys = ["--key", &desk.log_key, "--witness-key", &desk.witness_key];
        let check = [&["--json", "audit", "check-proof", "p.tlog-proof"], &keys[..]].concat();
        let ours = desk.site.run(&check).await?.ok()?.json()?;
        let asked = ["proof", "p.tlog-proof", &desk.log_key, &desk.witness_key];
        let theirs = desk.python(&asked).await?;
        ensure!(ours["seq"] == seq && theirs["seq"] == seq, "{ours} {theirs}");
        ensure!(ours["record"] == theirs["record"], "{ours} {theirs}");
        report.add("proofs", 1);
        report.add(AGREED, 1);
        let whole = fs::read_to_string(desk.site.path("p.tlog-proof"))?;
        let index = format!("index {}\n", seq - 1);
        for changed in [
            whole.replace(&index, &format!("index {seq}\n")),
            whole.replacen("extra ey", "extra fy", 1),
            whole.replacen(&format!("\n{last}\n"), &format!("\n{}\n", last + 1), 1),
        ] {
            ensure!(changed != whole, "nothing was changed: {whole}");
            desk.site.write("p.tlog-proof", changed.as_bytes())?;
            let refused = desk.site.run(&check).await?.ended(1)?.json()?;
            ensure!(refused["error"]["code"].is_string(), "{refused}");
            let theirs = desk.python(&asked).await?;
            ensure!(theirs["ok"] == false, "{theirs}");
            report.add("proofs_changed_refused", 1);
            report.add(AGREED, 1);
        }
        report.figure("proof_bytes", bytes_max);
    }
    let beyond = desk.site.audit(&["prove", &(last + 1).to_string()]).await?.ended(1)?.json()?;
    ensure!(beyond["error"]["code"] == "record_unsigned", "{beyond}");
    Ok(())
}

/// Each kept checkpoint continues the one before, for us and for the other verifier.
pub(super) async fn consistent(desk: &Desk, report: &mut Report) -> Result<()> {
    let files = desk.checkpoints()?;
    let ways = files.len() / 6 + 1;
    for pair in files.windows(2).step_by(ways) {
        let [old, new] = [&pair[0], &pair[1]].map(|file| file.display().to_string());
        let ours = desk.site.audit(&["consistency", &old, &new, "--key", &desk.log_key]).await?;
        let ours = ours.ok()?.json()?;
        let asked = ["consistency", "audit.jsonl", &old, &new, &desk.log_key];
        let theirs: Value = desk.python(&asked).await?;
        ensure!(ours["ok"] == true && theirs["ok"] == true, "{ours} {theirs}");
        report.add("consistency_proofs", 1);
        report.add(AGREED, 1);
        let back = desk.site.audit(&["consistency", &new, &old]).await?.ended(1)?.json()?;
        ensure!(back["ok"] == false, "{back}");
        report.add("consistency_backwards_refused", 1);
    }
    ensure!(files.len() > 1, "only {} checkpoints were made", files.len());
    Ok(())
}

/// How often the verifier that shares no code with us said the same as ours: yes, or no.
pub(super) const AGREED: &str = "python_agreements";
