//! Writes an audit archive and measures how long it takes to verify it against its tree's root.
//!
//! `cargo run --release -p audit --example million -- [RECORDS]`

#![expect(clippy::print_stdout, reason = "a measurement prints what it measured")]
#![expect(clippy::disallowed_methods, reason = "it measures real time")]

use std::error::Error;
use std::time::Instant;

use audit::{Anchor, ArchiveReader, ArchiveWriter, Chain, Entry, Frontier, Record};

fn main() -> Result<(), Box<dyn Error>> {
    let records: u64 = std::env::args().nth(1).map_or(Ok(1_000_000), |text| text.parse())?;
    let folder = tempfile::tempdir()?;
    let mut writer = ArchiveWriter::open(folder.path().join(audit::file_name(1)))?;
    let (mut chain, mut tree) = (Chain::genesis(), Frontier::new());
    for n in 0..records {
        let body = bytes::Bytes::from(record(n).encode());
        tree.append(audit::leaf_hash(&body));
        writer.append(&Entry { link: chain.append(&body), body })?;
    }
    writer.sync()?;
    let anchor = Anchor { size: records, root: tree.root() };
    let begun = Instant::now();
    let report = audit::verify_against(ArchiveReader::open(folder.path())?, &[anchor]);
    let seconds = begun.elapsed().as_secs_f64();
    let (bytes, ok) = (writer.bytes(), report.ok);
    println!("{{\"records\":{records},\"bytes\":{bytes},\"seconds\":{seconds:.3},\"ok\":{ok}}}");
    Ok(())
}

/// A record as an accepted message has it.
fn record(n: u64) -> Record<'static> {
    Record {
        timestamp: audit::timestamp(1_800_000_000_000_000_i64.saturating_add_unsigned(n)).into(),
        event_type: "message.send".into(),
        agent_id: "billing-agent".into(),
        request_id: format!("{n:032x}").into(),
        decision: "ALLOWED".into(),
        decided_by: Some("rule 7 allows billing-agent to send to ledger-agent".into()),
        message_id: Some(format!("{n:032x}").into()),
        sender_id: Some("billing-agent".into()),
        sender_instance_id: Some("billing-agent-1".into()),
        target_id: Some("ledger-agent".into()),
        message_type: Some("invoice.created".into()),
        latency_us: n % 1_000,
        policy_revision: Some(format!("{:064x}", 7).into()),
        peer: Some("10.0.0.1:40000".into()),
        spiffe_id: Some("spiffe://mas/agent/billing-agent".into()),
        ..Record::default()
    }
}
