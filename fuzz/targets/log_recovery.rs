//! Recovery: a log with any bytes changed is refused, or opened as an unbroken beginning of what
//! was written. One changed byte costs at most the last frame.
#![no_main]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use audit::Entry;
use bytes::Bytes;
use gate::ports::{self, Batch, Op, QueueKey, Store as _};
use gate::types::{AgentId, MessageId, Timestamp};
use libfuzzer_sys::fuzz_target;
use store::{Durability, Embedded, Options, read_audit};
use tokio::runtime::{Builder, Runtime};

/// The files of a store that was not closed, and the records in it.
struct Written {
    files: BTreeMap<PathBuf, Vec<u8>>,
    records: Vec<Entry>,
}

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_multi_thread().worker_threads(1).build().expect("runtime"));
static WRITTEN: LazyLock<Written> = LazyLock::new(|| RUNTIME.block_on(write()));

fn options() -> Options {
    Options {
        durability: Durability::Fsync,
        segment_bytes: 8 << 10,
        checkpoint_bytes: 16 << 10,
        ..Options::default()
    }
}

async fn write() -> Written {
    let folder = palisade_fuzz::folder();
    let store = Embedded::open(folder.path(), options()).expect("opened");
    let agent = AgentId::parse("agent").expect("id");
    for number in 1..=120_u128 {
        let at = Timestamp::from_micros(u64::try_from(number).expect("small"));
        let message = ports::Entry {
            message: MessageId::from_random(number),
            sender: agent.clone(),
            queue: QueueKey { agent: agent.clone(), instance: None },
            envelope: Bytes::from(format!("{{\"number\":{number}}}")),
            message_type: "note".to_owned(),
            accepted_at: at,
            expires_at: Timestamp::from_micros(u64::MAX),
        };
        let record = audit::Record { request_id: number.to_string().into(), ..Default::default() };
        let ops = vec![Op::Enqueue(message), record_op(&record)];
        store.commit(Batch { ops }).await.expect("committed");
    }
    let records = read_audit(folder.path(), 1).collect::<Result<_, _>>().expect("records");
    let written = Written { files: files(folder.path()), records };
    drop(store);
    assert_eq!(written.records.len(), 120);
    written
}

fn record_op(record: &audit::Record<'_>) -> Op {
    Op::Record { body: Bytes::from(record.encode()), salt: None }
}

fn files(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("folder") {
            let path = entry.expect("entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(root).expect("below").to_owned();
                files.insert(name, fs::read(path).expect("file"));
            }
        }
    }
    files
}

/// Applies the edits that the input asks for; tells whether it was a single changed byte.
fn edit(files: &mut BTreeMap<PathBuf, Vec<u8>>, input: &[u8]) -> bool {
    let names: Vec<PathBuf> = files.keys().cloned().collect();
    let mut changed = 0;
    let mut is_flips_only = true;
    for edit in input.chunks_exact(6).take(64) {
        let [kind, file, high, middle, low, byte] = *edit else { continue };
        let name = &names[usize::from(file) % names.len()];
        let Some(bytes) = files.get_mut(name) else { continue };
        let place = u32::from_be_bytes([0, high, middle, low]) as usize % bytes.len().max(1);
        match kind % 8 {
            0 => bytes.truncate(place),
            1 => drop(files.remove(name)),
            2 => bytes.extend_from_slice(&[byte; 16]),
            _ => {
                let Some(target) = bytes.get_mut(place) else { continue };
                *target ^= byte;
                changed += usize::from(byte != 0);
                continue;
            }
        }
        is_flips_only = false;
    }
    is_flips_only && changed == 1
}

fuzz_target!(|input: &[u8]| {
    let written = &*WRITTEN;
    let mut files = written.files.clone();
    let is_one_flip = edit(&mut files, input);
    let folder = palisade_fuzz::folder();
    for (name, bytes) in &files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("below")).expect("folder");
        fs::write(path, bytes).expect("file");
    }
    for entry in read_audit(folder.path(), 1).flatten() {
        let place = usize::try_from(entry.link.seq).expect("small") - 1;
        assert_eq!(written.records.get(place), Some(&entry), "a record that nobody wrote");
    }
    let opened = RUNTIME.block_on(async { Embedded::open(folder.path(), options()) });
    let Ok(store) = opened else { return };
    let records: Vec<Entry> = read_audit(folder.path(), 1).map_while(Result::ok).collect();
    assert!(written.records.starts_with(&records), "not a beginning of what was written");
    // Damage in the archive is told when it is read.
    let is_told = read_audit(folder.path(), 1).any(|entry| entry.is_err());
    if is_one_flip && !is_told {
        assert!(records.len() + 1 >= written.records.len(), "{} records", records.len());
    }
    drop(Arc::clone(&store));
    drop(store);
});
