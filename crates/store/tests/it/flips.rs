//! Flipped bits in every file of a store: each is told with its place, or changes nothing.
//!
//! `PALISADE_FLIPS` says how many bits are flipped; each byte has its turn when it is large.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use audit::{Disk, RealDisk};
use gate::ports::{Claim, Found, MessageState, Scan, Store as _};
use gate::types::SessionId;
use store::{Embedded, OpenError};

use crate::ledger::{self, Event, options, work};
use crate::random::Random;

/// A disk that does not wait: nothing here is about the end of a process.
#[derive(Debug)]
struct Hasty;

impl Disk for Hasty {
    fn make_folder(&self, path: &Path) -> io::Result<()> {
        RealDisk.make_folder(path)
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        RealDisk.open(path)
    }

    fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        RealDisk.write(file, bytes, offset)
    }

    fn truncate(&self, file: &File, bytes: u64) -> io::Result<()> {
        RealDisk.truncate(file, bytes)
    }

    fn sync(&self, _file: &File) -> io::Result<()> {
        Ok(())
    }

    fn sync_folder(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }
}

fn open(folder: &Path) -> Result<Arc<Embedded>, OpenError> {
    Embedded::open_on(folder, options(4 << 10), Arc::new(Hasty))
}

/// Everything that can be asked of a store.
#[derive(Debug, PartialEq, Eq)]
struct Contents {
    messages: BTreeMap<u64, Option<MessageState>>,
    /// Envelopes of queued messages, in their order.
    queue: Vec<(u64, Vec<u8>)>,
    letters: BTreeMap<u64, Vec<u8>>,
    records: Vec<Vec<u8>>,
}

/// What a damaged store has told.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    /// Everything is as it was.
    Nothing,
    /// These words, which name the place.
    Damage(String),
    /// A message that is counted as queued is leased to nobody, which is logged with its place.
    SetAside,
}

/// Reads everything; the first damage that is told ends it.
async fn contents(store: &Embedded, folder: &Path, last: u64) -> Result<Contents, String> {
    let mut records = Vec::new();
    for entry in store::read_audit(folder, 1) {
        records.push(entry.map_err(|damage| damage.to_string())?.body.to_vec());
    }
    let report = audit::verify(store::read_audit(folder, 1), None);
    if !report.ok {
        return Err(format!("{:?}", report.problems));
    }
    let mut messages = BTreeMap::new();
    let mut letters = BTreeMap::new();
    for number in 1..=last {
        let state = ledger::state(store, number);
        messages.insert(number, state);
        if state == Some(MessageState::DeadLettered) {
            let read = gate::ports::Read::DeadLetter(ledger::message(number));
            match store.read(read).await.map_err(|error| error.to_string())? {
                Some(Found::DeadLetter(letter)) => {
                    letters.insert(number, letter.envelope.unwrap().to_vec());
                }
                other => panic!("{number}: {other:?}"),
            }
        }
    }
    let session = SessionId::from_random(7);
    let claim = Claim { count: usize::MAX, bytes: usize::MAX, ..ledger::claim(session) };
    let leased = store.lease(claim).await.unwrap().messages.into_iter();
    let queue = leased
        .map(|leased| (u64::try_from(leased.message.number()).unwrap(), leased.envelope.to_vec()));
    let queue = queue.collect();
    let from_memory = store.scan(Scan::Records { from: 1 }, usize::MAX).await;
    let from_memory = from_memory.map_err(|error| error.to_string())?;
    assert_eq!(from_memory.len(), records.len());
    Ok(Contents { messages, queue, letters, records })
}

/// Opens a damaged store and compares it with what it was; then lets it make a checkpoint of
/// what it has read and compares once more.
async fn told(folder: &Path, last: u64, whole: &Contents) -> Told {
    for _ in 0..2 {
        let store = match open(folder) {
            Ok(store) => store,
            Err(error @ (OpenError::Corrupt { .. } | OpenError::Newer { .. })) => {
                return Told::Damage(error.to_string());
            }
            Err(other) => return Told::Damage(other.to_string()),
        };
        let mut found = match contents(&store, folder, last).await {
            Ok(found) => found,
            Err(damage) => return Told::Damage(damage),
        };
        if found.queue.len() < whole.queue.len() {
            assert!(found.queue.iter().all(|leased| whole.queue.contains(leased)));
            found.queue.clone_from(&whole.queue);
            assert_eq!(&found, whole, "more is wrong than a message that was set aside");
            return Told::SetAside;
        }
        assert_eq!(&found, whole, "something wrong was served and nothing told");
        store.close().unwrap();
    }
    Told::Nothing
}

/// A store with everything in it: sealed segments, a checkpoint, moved envelopes, an archive.
async fn furnished() -> (tempfile::TempDir, u64) {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random::new(3);
    let mut last = 0;
    for round in 0..3 {
        let store = open(folder.path()).unwrap();
        let told = |event| {
            if let Event::Sending(number) = event {
                last = number;
            }
        };
        work(&store, &mut random, (round * 1_000 + 1, 8), told).await.unwrap();
        if round < 2 {
            store.close().unwrap();
        }
    }
    (folder, last)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for found in fs::read_dir(folder).unwrap() {
        let path = found.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else if !path.ends_with("lock") {
            all.push(path);
        }
    }
    all.sort();
    all
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for found in fs::read_dir(from).unwrap() {
        let path = found.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

#[tokio::test]
async fn a_flipped_bit_anywhere_is_told_with_its_place_or_changes_nothing() {
    let wanted: usize = std::env::var("PALISADE_FLIPS").map_or(400, |text| text.parse().unwrap());
    let (folder, last) = furnished().await;
    let reference = tempfile::tempdir().unwrap();
    copy(folder.path(), reference.path());
    let whole = {
        let store = open(reference.path()).unwrap();
        contents(&store, reference.path(), last).await.unwrap()
    };
    assert!(!whole.queue.is_empty() && !whole.letters.is_empty(), "{whole:?}");
    let all = files(folder.path());
    let bytes: usize = all.iter().map(|path| fs::read(path).unwrap().len()).sum();
    let step = (bytes / wanted).max(1);
    let mut random = Random::new(1);
    let mut counts: BTreeMap<String, [usize; 3]> = BTreeMap::new();
    for path in all {
        let name = path.strip_prefix(folder.path()).unwrap().to_owned();
        let content = fs::read(&path).unwrap();
        let mut at = usize::try_from(random.below(step as u64)).unwrap();
        while at < content.len() {
            let damaged = tempfile::tempdir().unwrap();
            copy(folder.path(), damaged.path());
            let mut flipped = content.clone();
            flipped[at] ^= 1 << random.below(8);
            fs::write(damaged.path().join(&name), flipped).unwrap();
            let told = told(damaged.path(), last, &whole).await;
            let kind = path.extension().unwrap().to_str().unwrap().to_owned();
            let count = counts.entry(kind).or_default();
            match &told {
                Told::Nothing => count[0] += 1,
                Told::SetAside => count[1] += 1,
                Told::Damage(words) => {
                    count[2] += 1;
                    let is_named = words.contains(name.file_name().unwrap().to_str().unwrap());
                    assert!(is_named, "{}, byte {at}: {words}", name.display());
                }
            }
            at += 1 + usize::try_from(random.below(2 * step as u64 - 1)).unwrap();
        }
    }
    println!("{{\"flips\":{{\"harmless,set_aside,refused\":{counts:?}}}}}");
    for kind in ["seg", "snap", "audit"] {
        assert!(counts[kind][2] > 0, "no damage was found in a .{kind} file: {counts:?}");
    }
    assert!(counts["body"][1] + counts["body"][2] > 0, "{counts:?}");
}
