//! How quickly a large log is verified against its root.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use audit::{
    ArchiveWriter, Chain, Entry, Frontier, KeyKind, SignedCheckpoint, SigningKey, leaf_hash,
};

use super::Effort;
use crate::{Program, Report};

/// Makes a log, signs it, and measures `palisade audit verify` from outside.
#[expect(clippy::disallowed_methods, reason = "it is measured")]
pub(super) async fn run(effort: Effort, report: &mut Report) -> Result<()> {
    let records = if effort.is_short { 50_000 } else { 1_000_000_u64 };
    let folder = tempfile::tempdir()?;
    fs::create_dir_all(folder.path().join("data/audit"))?;
    fs::create_dir_all(folder.path().join("data/log"))?;
    let root = write(&folder.path().join("data/audit"), records)?;
    let key = SigningKey::generate(KeyKind::Log, "log")?;
    let signed = SignedCheckpoint::sign(&key, records, root)?;
    fs::write(folder.path().join("checkpoint"), signed.to_string())?;
    let public = key.verifier().to_string();
    let arguments = [
        "--json",
        "audit",
        "--data",
        "data",
        "verify",
        "--checkpoint",
        "checkpoint",
        "--key",
        &public,
    ];
    let begun = std::time::Instant::now();
    let found = Program::new(folder.path(), &arguments)?.run().await?;
    let seconds = begun.elapsed().as_secs_f64();
    report.figure("verify_records", records);
    report.figure("verify_seconds", seconds);
    let rate = records as f64 / seconds;
    report.figure("verify_records_per_second", rate.round());
    let found = found.ok()?.json()?;
    ensure!(found["anchored"] == records, "{found}");
    let most = if effort.is_short { SHORT_SECONDS_MAX } else { SECONDS_MAX };
    ensure!(seconds < most, "{records} records took {seconds:.1} s, more than {most} s");
    Ok(())
}

fn write(folder: &std::path::Path, records: u64) -> Result<audit::Hash> {
    let (mut chain, mut tree, mut writer) = (Chain::genesis(), Frontier::new(), None);
    for number in 0..records {
        if number % FILE_RECORDS == 0 {
            let path = folder.join(audit::file_name(number + 1));
            if let Some(mut full) = writer.replace(ArchiveWriter::open(path)?) {
                full.sync()?;
            }
        }
        let body = body(number).into_bytes();
        tree.append(leaf_hash(&body));
        let entry = Entry { link: chain.append(&body), body: body.into() };
        writer.as_mut().context("no file")?.append(&entry)?;
    }
    writer.context("no records")?.sync()?;
    Ok(tree.root())
}

/// A record as the gate writes it.
fn body(number: u64) -> String {
    format!(
        "{{\"timestamp\":\"2026-01-31T12:00:00.000001Z\",\"event_type\":\"message.send\",\
         \"agent_id\":\"alice\",\"request_id\":\"{number:032x}\",\"sensitive_data_masked\":false,\
         \"outcome\":\"success\",\"decision\":\"ALLOWED\",\"decided_by\":\"allow list of alice has \
         bob\",\"message_id\":\"{number:032x}\",\"sender_id\":\"alice\",\"sender_instance_id\":\
         \"1e8449c61d8a4d81\",\"target_id\":\"bob\",\"message_type\":\"note\",\"latency_us\":624,\
         \"policy_revision\":\"7c73a43e4f5f7e73\",\"peer\":\"127.0.0.1:59582\",\"spiffe_id\":\
         \"spiffe://mas/agent/alice\"}}"
    )
}

/// Records of one archive file.
const FILE_RECORDS: u64 = 200_000;
/// What is promised of a million records, on two cores.
const SECONDS_MAX: f64 = 10.0;
/// A twentieth of the records takes a tenth of a second; beside other work that may be ten times as
/// much, and the start of the process comes on top.
const SHORT_SECONDS_MAX: f64 = 2.0;
