//! Every record is copied once and in order, whoever has read it.

use audit::{Chain, Entry};
use gate::ports::{Batch, Op};
use store::Memory;
use tempfile::TempDir;

use super::*;

fn body(number: u64) -> Vec<u8> {
    format!("{{\"n\":{number}}}").into_bytes()
}

async fn log(count: u64) -> Arc<dyn Store> {
    let store = Memory::default();
    for number in 1..=count {
        store.commit(Batch { ops: vec![Op::record(body(number))] }).await.unwrap();
    }
    Arc::new(store)
}

fn entries(count: u64) -> Vec<Entry> {
    let mut chain = Chain::genesis();
    let entry = |number| Entry { link: chain.append(&body(number)), body: body(number).into() };
    (1..=count).map(entry).collect()
}

fn copy(folder: &TempDir, store: &Arc<dyn Store>) -> AuditCopy {
    let settings = AuditFile {
        file_path: Some(folder.path().join("audit.jsonl")),
        max_bytes: 0,
        backup_count: 0,
    };
    AuditCopy::open(&settings, store).unwrap().unwrap()
}

/// The numbers of the lines in the file.
fn copied(folder: &TempDir) -> Vec<u64> {
    let text = std::fs::read_to_string(folder.path().join("audit.jsonl")).unwrap();
    let number =
        |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["n"].as_u64();
    text.lines().map(|line| number(line).unwrap()).collect()
}

#[tokio::test]
async fn pages_that_were_read_for_others_are_not_read_again() {
    let folder = TempDir::new().unwrap();
    // The store has none of them.
    let copy = copy(&folder, &log(0).await);
    let (pages, mut read) = mpsc::channel(PAGES_AHEAD);
    for page in entries(100).chunks(30) {
        pages.try_send(page.into()).unwrap();
    }
    copy.catch_up(&mut read).await.unwrap();
    assert_eq!(copied(&folder), (1..=100).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_nobody_handed_over_is_read_from_the_log_and_nothing_is_copied_twice() {
    let folder = TempDir::new().unwrap();
    let whole = entries(1_500);
    let (pages, mut read) = mpsc::channel(PAGES_AHEAD);
    let copy = copy(&folder, &log(1_500).await);
    // One page, the same again, one that overlaps, one behind a gap.
    for range in [0..20, 0..20, 10..40, 900..1_000] {
        pages.try_send(whole[range].into()).unwrap();
    }
    copy.catch_up(&mut read).await.unwrap();
    // One that is old by now; then nobody reads for others any more.
    pages.try_send(whole[20..30].into()).unwrap();
    drop(pages);
    copy.catch_up(&mut read).await.unwrap();
    copy.catch_up(&mut read).await.unwrap();
    assert_eq!(copied(&folder), (1..=1_500).collect::<Vec<_>>());
}
