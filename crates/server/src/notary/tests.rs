//! What is signed, and every history that is not signed again.

use std::fs;
use std::path::PathBuf;

use audit::{
    Chain, Entry, Frontier, KeyKind, TileSource, VerifierKey, leaf_hash, verify_consistency,
};
use gate::ports::{Batch, Op};
use store::Memory;
use tempfile::TempDir;

use super::*;

struct Desk {
    folder: TempDir,
    secret: String,
}

impl Desk {
    fn new() -> Self {
        let key = SigningKey::generate(KeyKind::Log, "log").unwrap();
        Self { folder: tempfile::tempdir().unwrap(), secret: key.to_text().to_string() }
    }

    fn key(&self) -> SigningKey {
        SigningKey::parse(&self.secret).unwrap()
    }

    fn verifier(&self) -> VerifierKey {
        self.key().verifier().clone()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts anew, reads the log as the notary does, in small pages, and signs.
    fn sign(&self, log: &[Entry]) -> Result<Option<SignedCheckpoint>, Stopped> {
        let mut tree = SignedTree::new(self.folder.path().to_owned(), self.key(), 3);
        self.go_on(&mut tree, log)
    }

    fn go_on(
        &self,
        tree: &mut SignedTree,
        log: &[Entry],
    ) -> Result<Option<SignedCheckpoint>, Stopped> {
        loop {
            let from = usize::try_from(tree.next_seq()?).unwrap() - 1;
            let page: Vec<Entry> = log.iter().skip(from).take(7).cloned().collect();
            tree.take(&page)?;
            if page.len() < 7 {
                return tree.sign();
            }
        }
    }

    fn refused(&self, log: &[Entry]) -> String {
        match self.sign(log) {
            Err(Stopped::Inconsistent(why)) => why,
            other => panic!("{other:?}"),
        }
    }
}

fn log(count: u64) -> Vec<Entry> {
    forked(count, u64::MAX)
}

/// A log whose records are others from one number on.
fn forked(count: u64, from: u64) -> Vec<Entry> {
    let mut chain = Chain::genesis();
    let entry = |n: u64| {
        let body = format!("{{\"n\":{n},\"other\":{}}}", n >= from).into_bytes();
        Entry { link: chain.append(&body), body: body.into() }
    };
    (1..=count).map(entry).collect()
}

fn root(log: &[Entry]) -> audit::Hash {
    let mut tree = Frontier::new();
    log.iter().for_each(|entry| tree.append(leaf_hash(&entry.body)));
    tree.root()
}

#[test]
fn each_checkpoint_is_the_tree_of_the_log_and_continues_the_last_one_over_restarts() {
    let desk = Desk::new();
    let whole = log(700);
    let mut last = None;
    for size in [1, 2, 14, 15, 256, 257, 700] {
        let signed = desk.sign(&whole[..size]).unwrap().unwrap();
        signed.check_log(&desk.verifier()).unwrap();
        let new = signed.checkpoint().clone();
        assert_eq!((new.size, new.root), (size as u64, root(&whole[..size])));
        let mut source = TileSource::new(desk.folder.path());
        if let Some((old, old_root)) = last {
            let proof = source.consistency(old, new.size).unwrap().unwrap();
            verify_consistency((old, &old_root), (new.size, &new.root), &proof).unwrap();
        }
        last = Some((new.size, new.root));
        let file = fs::read(desk.file("checkpoint")).unwrap();
        assert_eq!(SignedCheckpoint::parse(&file).unwrap(), signed);
        // Nothing new, nothing signed.
        assert_eq!(desk.sign(&whole[..size]).unwrap(), None);
    }
    // LIMIT: three are kept.
    let mut kept: Vec<_> = fs::read_dir(desk.file("checkpoints"))
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    kept.sort();
    assert_eq!(kept, [256, 257, 700].map(|size| format!("{size:020}")));
}

#[test]
fn one_run_signs_as_the_log_grows() {
    let desk = Desk::new();
    let whole = log(60);
    let mut tree = SignedTree::new(desk.folder.path().to_owned(), desk.key(), 9);
    assert_eq!(desk.go_on(&mut tree, &[]).unwrap(), None);
    for size in [3, 3, 30, 60] {
        let signed = desk.go_on(&mut tree, &whole[..size]).unwrap();
        let size_signed = signed.map(|signed| signed.checkpoint().size);
        assert!(size_signed.is_none_or(|signed| signed == size as u64));
    }
}

#[test]
fn a_shortened_log_is_not_signed_again() {
    let desk = Desk::new();
    desk.sign(&log(40)).unwrap();
    for left in [0, 1, 20, 39] {
        let why = desk.refused(&log(left));
        assert!(why.contains("and the tree has 40"), "{why}");
    }
    let checkpoint = fs::read_to_string(desk.file("checkpoint")).unwrap();
    assert!(checkpoint.starts_with("log\n40\n"));
    // What was cut off has come back.
    assert!(desk.sign(&log(41)).unwrap().is_some());
}

#[test]
fn a_log_that_was_written_anew_is_not_signed_again_wherever_the_change_is() {
    let desk = Desk::new();
    desk.sign(&log(40)).unwrap();
    for from in [1, 17, 39, 40] {
        let why = desk.refused(&forked(60, from));
        assert!(why.contains("is not what was signed"), "{from}: {why}");
    }
    // Also where the head cannot be trusted any more: then all is compared.
    for head in ["", "log head of the chain\n40\n00\n\n\u{2014} log AAAAAAA=\n"] {
        fs::write(desk.file("head"), head).unwrap();
        let why = desk.refused(&forked(60, 17));
        assert_eq!(why, "record 17 is not what was signed");
    }
    fs::remove_file(desk.file("head")).unwrap();
    assert!(desk.sign(&log(60)).unwrap().is_some());
}

#[test]
fn what_a_crash_leaves_between_any_two_writes_goes_on() {
    let whole = log(300);
    // The files that are still those of the checkpoint before.
    for old in [vec!["head"], vec!["head", "checkpoint"], vec!["checkpoint"]] {
        let desk = Desk::new();
        desk.sign(&whole[..100]).unwrap();
        let before: Vec<_> = old.iter().map(|name| fs::read(desk.file(name)).unwrap()).collect();
        desk.sign(&whole[..280]).unwrap();
        for (name, bytes) in old.iter().zip(before) {
            fs::write(desk.file(name), bytes).unwrap();
        }
        fs::write(desk.file("checkpoint.draft"), "log\n28").unwrap();
        let signed = desk.sign(&whole).unwrap().unwrap();
        assert_eq!(signed.checkpoint().root, root(&whole), "{old:?}");
    }
}

#[test]
fn a_changed_checkpoint_or_tree_is_an_alarm_and_no_fresh_start() {
    let whole = log(300);
    let desk = Desk::new();
    let sound = desk.sign(&whole).unwrap().unwrap().to_string();
    for changed in
        ["", "log\n300\n", &sound.replace("\n300\n", "\n299\n"), &sound.replace("log\n", "lag\n")]
    {
        fs::write(desk.file("checkpoint"), changed).unwrap();
        desk.refused(&whole);
    }
    fs::write(desk.file("checkpoint"), &sound).unwrap();
    assert_eq!(desk.sign(&whole).unwrap(), None);
    let tile = desk.file("tile/0/000");
    let bytes = fs::read(&tile).unwrap();
    for at in [0, 4_000, 8_191] {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        fs::write(&tile, changed).unwrap();
        fs::remove_file(desk.file("head")).ok();
        desk.refused(&whole);
    }
    fs::remove_dir_all(desk.file("tile")).unwrap();
    let why = desk.refused(&whole);
    assert_eq!(why, "300 records were signed, and the tree has 0");
}

#[test]
fn an_alarm_is_in_the_file_as_long_as_it_lasts() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("alarm");
    let alarms = Alarms::new(folder.path());
    alarms.raise("log", "one");
    alarms.raise("w/1", "two");
    alarms.raise("log", "three");
    assert_eq!(fs::read_to_string(&file).unwrap(), "log: three\nw/1: two\n");
    alarms.clear("log");
    assert_eq!(fs::read_to_string(&file).unwrap(), "w/1: two\n");
    // One of an earlier run goes when all is well.
    let alarms = Alarms::new(folder.path());
    alarms.clear("log");
    assert!(!file.exists());
}

#[tokio::test]
async fn a_copy_that_takes_nothing_holds_up_no_checkpoint() {
    let desk = Desk::new();
    let store = Memory::default();
    for entry in log(3_000) {
        store.commit(Batch { ops: vec![Op::record(entry.body.to_vec())] }).await.unwrap();
    }
    let (copy, mut read) = mpsc::channel(2);
    let tree = SignedTree::new(desk.folder.path().to_owned(), desk.key(), 3);
    let mut notary = Notary {
        tree: Arc::new(Mutex::new(tree)),
        store: Arc::new(store),
        every: Duration::from_secs(1),
        alarms: Arc::new(Alarms::new(desk.folder.path())),
        cosigners: Vec::new(),
        newest: watch::Sender::new(None),
        copy,
        next: None,
    };
    let signed = notary.catch_up(true).await.unwrap().unwrap();
    assert_eq!(signed.checkpoint().root, root(&log(3_000)));
    let mut first_of_page = || read.try_recv().ok().map(|page| page.first().unwrap().link.seq);
    assert_eq!([first_of_page(), first_of_page(), first_of_page()], [Some(1), Some(513), None]);
}
