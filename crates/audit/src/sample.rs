//! Logs for the tests of this crate.

use bytes::Bytes;

use crate::{Chain, Damage, Entry, Link, Record, Unplaced, timestamp};

/// Returns a log of this many sound entries.
pub(crate) fn log(entries: u64) -> Vec<Entry> {
    let mut chain = Chain::genesis();
    (1..=entries).map(|seq| entry(&mut chain, seq)).collect()
}

fn entry(chain: &mut Chain, seq: u64) -> Entry {
    let names = ["a", "b", "c"];
    let name = |n: u64| names[usize::try_from(n % 3).unwrap()];
    let (id, sender, target) = (format!("m-{seq}"), name(seq), name(seq + 1));
    let record = Record {
        timestamp: timestamp(i64::try_from(seq).unwrap() * 1_000_000).into(),
        event_type: "message.send".into(),
        agent_id: sender.into(),
        request_id: id.as_str().into(),
        decision: if seq.is_multiple_of(2) { "ALLOWED" } else { "DLP_BLOCKED" }.into(),
        message_id: Some(id.as_str().into()),
        sender_id: Some(sender.into()),
        target_id: Some(target.into()),
        latency_us: seq,
        ..Record::default()
    };
    let body = Bytes::from(record.encode());
    Entry { link: chain.append(&body), body }
}

/// Returns the entry with another body and a hash that fits it.
pub(crate) fn resealed(entry: &Entry, body: &[u8]) -> Entry {
    let link = Link::of(entry.link.seq, entry.link.prev, body);
    Entry { link, body: Bytes::copy_from_slice(body) }
}

/// Returns entries as a reader gives them.
pub(crate) fn read(entries: &[Entry]) -> Unplaced<impl Iterator<Item = Result<Entry, Damage>>> {
    Unplaced(entries.iter().cloned().map(Ok))
}
