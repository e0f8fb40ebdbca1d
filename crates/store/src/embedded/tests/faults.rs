//! A disk that is full or fails: refused before anything has changed, or stopped for good.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use audit::{Disk, RealDisk};
use parking_lot::Mutex;

use super::*;
use crate::embedded::FatalHook;
use crate::embedded::folder::{Folder, numbered};

/// A disk whose faults can be switched on.
#[derive(Debug, Default)]
struct Faulty {
    is_full: AtomicBool,
    fails_to_write: AtomicBool,
    fails_to_sync: AtomicBool,
    panics: AtomicBool,
    panics_at_folders: AtomicBool,
    /// The folder whose names cannot be brought to the disk.
    unsyncable: Mutex<Option<PathBuf>>,
    /// Folders whose names were brought to the disk.
    synced: Mutex<Vec<PathBuf>>,
}

impl Disk for Faulty {
    fn make_folder(&self, path: &Path) -> io::Result<()> {
        RealDisk.make_folder(path)
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        RealDisk.open(path)
    }

    fn truncate(&self, file: &File, bytes: u64) -> io::Result<()> {
        RealDisk.truncate(file, bytes)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }

    fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        assert!(!self.panics.load(Ordering::SeqCst), "a fault of the program");
        if self.fails_to_write.load(Ordering::SeqCst) {
            return Err(io::Error::other("broken"));
        }
        // What is there already can be written over.
        let is_growing = offset + bytes.len() as u64 > file.metadata()?.len();
        if is_growing && self.is_full.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        RealDisk.write(file, bytes, offset)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        if self.fails_to_sync.load(Ordering::SeqCst) {
            return Err(io::Error::other("broken"));
        }
        RealDisk.sync(file)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        if self.unsyncable.lock().as_deref() == Some(path) {
            assert!(!self.panics_at_folders.load(Ordering::SeqCst), "a fault of the program");
            return Err(io::Error::other("broken"));
        }
        self.synced.lock().push(path.to_owned());
        RealDisk.sync_folder(path)
    }
}

/// Opens a store on a faulty disk; what the hook is told comes out of the channel.
fn faulty(
    folder: &Path,
    mut options: Options,
) -> (Arc<Embedded>, Arc<Faulty>, mpsc::Receiver<String>) {
    let disk = Arc::new(Faulty::default());
    let (tell, told) = mpsc::channel();
    options.on_fatal = FatalHook::new(move |why| tell.send(why.to_owned()).unwrap());
    let store = Embedded::open_on(folder, options, Arc::<Faulty>::clone(&disk)).unwrap();
    (store, disk, told)
}

/// Waits until the hook is called and checks that the store takes nothing more.
async fn is_dead(store: &Embedded, told: &mpsc::Receiver<String>) {
    told.recv_timeout(Duration::from_secs(30)).unwrap();
    let refused = store.commit(batch(9_999)).await;
    assert!(matches!(refused, Err(StoreError::Unreachable(_))), "{refused:?}");
    assert_eq!(told.try_recv(), Err(mpsc::TryRecvError::Empty), "the hook is called once");
}

#[tokio::test]
async fn an_emptied_segment_is_not_used_before_its_new_name_is_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let (store, disk, _told) = faulty(folder.path(), options());
    commit(&store, 1..60).await;
    *disk.unsyncable.lock() = Some(store.shared.folder.log());
    assert!(store.shared.spares.recycle(&[1]).is_err());
    for _ in 0..3 {
        let spare = store.shared.spares.take(1).unwrap();
        assert!(fs::read(&spare).unwrap().iter().all(|byte| *byte == 0), "{}", spare.display());
    }
}

#[tokio::test]
async fn a_snapshot_whose_name_may_not_be_on_disk_ends_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let (store, disk, told) = faulty(folder.path(), options());
    commit(&store, 1..60).await;
    let names = Folder::new(folder.path());
    let segments = numbered(&names.log(), "seg").unwrap();
    *disk.unsyncable.lock() = Some(names.snapshots());
    let upto = *store.shared.active.lock();
    Checkpointer::new(Arc::clone(&store.shared)).checkpoint_or_warn(upto);
    is_dead(&store, &told).await;
    assert_eq!(numbered(&names.log(), "seg").unwrap(), segments, "a segment was let go");
    assert!(store.close().is_err());
    holds(&open(folder.path()), folder.path(), 1..60).await;
}

#[tokio::test]
async fn a_committer_that_panics_ends_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let (store, disk, told) = faulty(folder.path(), options());
    commit(&store, 1..3).await;
    disk.panics.store(true, Ordering::SeqCst);
    let refused = store.commit(batch(3)).await;
    assert!(matches!(refused, Err(StoreError::Unreachable(_))), "{refused:?}");
    is_dead(&store, &told).await;
    drop(store);
    holds(&open(folder.path()), folder.path(), 1..3).await;
}

#[tokio::test]
async fn a_checkpoint_that_panics_ends_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let often = Options { checkpoint_bytes: 8 << 10, ..options() };
    let (store, disk, told) = faulty(folder.path(), often);
    *disk.unsyncable.lock() = Some(store.shared.folder.snapshots());
    disk.panics_at_folders.store(true, Ordering::SeqCst);
    for number in 1..100 {
        // From some moment on they are refused.
        store.commit(batch(number)).await.unwrap_or_default();
    }
    is_dead(&store, &told).await;
}

#[tokio::test]
async fn the_names_of_a_new_store_are_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("above").join("store");
    let (_store, disk, _told) = faulty(&root, options());
    let synced = disk.synced.lock();
    for path in [folder.path(), root.parent().unwrap(), &root] {
        assert!(synced.iter().any(|synced| synced == path), "{} is not", path.display());
    }
}

#[tokio::test]
async fn a_full_disk_refuses_and_the_store_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(Faulty::default());
    let store = Embedded::open_on(folder.path(), options(), Arc::<Faulty>::clone(&disk)).unwrap();
    disk.is_full.store(true, Ordering::SeqCst);
    let mut accepted = 0;
    let refused = loop {
        assert!(accepted < 1_000, "the disk never got full");
        match store.commit(batch(accepted + 1)).await {
            Ok(()) => accepted += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(refused, StoreError::DiskFull);
    assert_eq!(depth(&store).await, u64::try_from(accepted).unwrap());
    assert_eq!(store.commit(batch(accepted + 1)).await, Err(StoreError::DiskFull));
    disk.is_full.store(false, Ordering::SeqCst);
    commit(&store, accepted + 1..accepted + 30).await;
    drop(store);
    holds(&open(folder.path()), folder.path(), 1..accepted + 30).await;
}

async fn dies_with(fault: impl Fn(&Faulty) -> &AtomicBool) {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(Faulty::default());
    let told = Arc::new(Mutex::new(Vec::new()));
    let hook = Arc::clone(&told);
    let on_fatal = FatalHook::new(move |why| hook.lock().push(why.to_owned()));
    let with_hook = Options { on_fatal, ..options() };
    let store = Embedded::open_on(folder.path(), with_hook, Arc::<Faulty>::clone(&disk)).unwrap();
    commit(&store, 1..3).await;
    fault(&disk).store(true, Ordering::SeqCst);
    let refused = store.commit(batch(3)).await;
    assert!(matches!(refused, Err(StoreError::Unreachable(_))), "{refused:?}");
    fault(&disk).store(false, Ordering::SeqCst);
    let refused = store.commit(batch(4)).await;
    assert!(matches!(refused, Err(StoreError::Unreachable(_))), "{refused:?}");
    assert_eq!(told.lock().len(), 1, "the hook is called once");
    let leased: Vec<_> = lease(&store, 9).await.iter().map(|l| l.message.number()).collect();
    assert_eq!(leased, [1, 2], "a message that may not be durable was handed out");
    assert!(store.close().is_err());
    drop(store);
    let store = open(folder.path());
    assert!(depth(&store).await >= 2);
    verified(folder.path());
}

#[tokio::test]
async fn a_failed_sync_is_not_repeated_and_ends_the_store() {
    dies_with(|disk| &disk.fails_to_sync).await;
}

#[tokio::test]
async fn a_failed_write_ends_the_store() {
    dies_with(|disk| &disk.fails_to_write).await;
}

#[tokio::test]
async fn too_many_waiting_writers_are_told_to_try_again() {
    let folder = tempfile::tempdir().unwrap();
    let few = Options { waiting_bytes_max: 0, ..options() };
    let store = Embedded::open(folder.path(), few).unwrap();
    // Nothing waits when the first comes; the second may come while the first waits.
    let all = futures::future::join_all((1..200).map(|number| store.commit(batch(number)))).await;
    assert!(all.contains(&Ok(())));
    assert!(all.contains(&Err(StoreError::Busy)));
    let accepted = all.iter().filter(|done| done.is_ok()).count();
    assert_eq!(depth(&store).await, accepted as u64);
}

#[tokio::test]
async fn a_closed_store_refuses_and_a_batch_too_large_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let huge = Bytes::from(vec![b'x'; audit::BODY_BYTES_MAX + 1]);
    let refused = store.commit(Batch { ops: vec![Op::record(huge)] }).await;
    assert_eq!(refused, Err(StoreError::Full { what: "audit record" }));
    store.close().unwrap();
    let refused = store.commit(batch(1)).await;
    assert!(matches!(refused, Err(StoreError::Unreachable(_))), "{refused:?}");
}

#[tokio::test]
async fn a_dropped_commit_still_takes_effect() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    drop(store.commit(batch(1)));
    commit(&store, 2..3).await;
    holds(&store, folder.path(), 1..3).await;
}
