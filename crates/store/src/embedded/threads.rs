//! The engine's three threads: the committer, the maker of spare segments, the checkpointer.
//!
//! Starting and stopping only; what they do is in the files of those names.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::{Builder, JoinHandle};

use audit::{Chain, Disk};
use gate::ports::StoreError;
use parking_lot::Mutex;

use super::bells::Bells;
use super::checkpoint::{Checkpointer, Upto};
use super::committer::Committer;
use super::condition::Fatal;
use super::disk::StrictDisk;
use super::figures::Tallies;
use super::folder::{Folder, numbered};
use super::group::Request;
use super::log::{Log, LogEnd, Tools};
use super::recovery::{Recovered, recover};
use super::shared::{Recent, Shared, Trails};
use super::spares::Spares;
use super::{OpenError, Options};

/// The running threads.
#[derive(Debug)]
pub(super) struct Threads {
    requests: SyncSender<Request>,
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    committer: JoinHandle<LogEnd>,
    checkpointer: JoinHandle<Checkpointer>,
    filler: JoinHandle<()>,
    /// Held as long as the folder is used.
    lock: File,
}

impl Threads {
    /// Hands a request over without waiting.
    pub(super) fn send(&self, request: Request) -> Result<(), StoreError> {
        self.requests.try_send(request).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::Busy,
            TrySendError::Disconnected(_) => {
                StoreError::Unreachable("the store was closed".to_owned())
            }
        })
    }

    /// Ends the threads after what waits, with a last checkpoint if that is wanted.
    pub(super) fn stop(&self, shared: &Shared, is_clean: bool) {
        let Some(running) = self.running.lock().take() else { return };
        // A committer that is gone already needs no telling.
        self.requests.send(Request::Stop).unwrap_or_default();
        // The channels to the other two end with the committer.
        let end = running.committer.join();
        let checkpointer = running.checkpointer.join();
        let filler = running.filler.join();
        match (end, checkpointer) {
            (Ok(end), Ok(mut checkpointer)) if is_clean && shared.fatal.error().is_none() => {
                let upto = Upto { segment: end.number, position: end.position };
                checkpointer.checkpoint_or_warn(upto);
            }
            (Ok(_), Ok(_)) => {}
            (Err(_), _) | (_, Err(_)) => tracing::error!("a thread of the store has ended early"),
        }
        if filler.is_err() {
            tracing::error!("the maker of spare segments has ended early");
        }
        // Said outright: a process that is just being started may still share the open file.
        if let Err(error) = running.lock.unlock() {
            tracing::warn!(%error, "the lock of the store is only left by closing its file");
        }
    }
}

/// Opens the folder and starts the threads.
pub(super) fn start(
    dir: &Path,
    options: Options,
    disk: Arc<dyn Disk>,
) -> Result<(Arc<Shared>, Threads), OpenError> {
    let folder = Folder::new(dir);
    let fatal = Arc::new(Fatal::new(options.on_fatal.clone()));
    let disk: Arc<dyn Disk> = Arc::new(StrictDisk::new(disk, Arc::clone(&fatal)));
    let lock = folder.prepare(&*disk)?;
    let Recovered { snapshot, end } = recover(&folder, &options, &*disk)?;
    let snapshot_bytes = newest_snapshot_bytes(&folder)?;
    let spares = Spares::open(&folder, Arc::clone(&disk), options.segment_bytes)?;
    let spares = Arc::new(spares);
    let (want_spare, spare_wanted) = sync_channel(1);
    let (want_checkpoint, checkpoint_wanted) = sync_channel(1);
    let (requests, requested) = sync_channel(options.waiting_max);
    let tools = Tools {
        folder: folder.clone(),
        disk: Arc::clone(&disk),
        spares: Arc::clone(&spares),
        want_spare,
        durability: options.durability,
    };
    let log = Log::open(tools, end).map_err(|error| {
        let source = error.into_io();
        OpenError::Io { path: folder.log(), doing: "continue", source }
    })?;
    let chain: Chain = snapshot.chain.clone();
    let shared = Arc::new(Shared {
        folder,
        options,
        disk,
        spares: Arc::clone(&spares),
        state: Mutex::new(snapshot.state),
        bells: Bells::default(),
        recent: Mutex::new(Recent::new(chain.next_seq())),
        trails: Trails::default(),
        fatal,
        waiting_bytes: AtomicUsize::new(0),
        active: Mutex::new(Upto { segment: log.end().number, position: log.start() }),
        sealed_bytes: AtomicU64::new(0),
        snapshot_bytes: AtomicU64::new(snapshot_bytes),
        tallies: Tallies::default(),
    });
    let committer = Committer::new(Arc::clone(&shared), log, chain, want_checkpoint);
    let checkpointer = Checkpointer::new(Arc::clone(&shared));
    let failed =
        |source| OpenError::Io { path: dir.to_owned(), doing: "start a thread for", source };
    let watch = |what| Watch { shared: Arc::clone(&shared), what };
    let filler = thread("store-spares", watch("the maker of log segments"), move || {
        spares.run(&spare_wanted);
    });
    let checkpointer = thread("store-checkpoint", watch("the maker of checkpoints"), move || {
        checkpointer.run(&checkpoint_wanted)
    });
    let committer =
        thread("store-commit", watch("the committer"), move || committer.run(&requested));
    let running = Running {
        filler: filler.map_err(failed)?,
        checkpointer: checkpointer.map_err(failed)?,
        committer: committer.map_err(failed)?,
        lock,
    };
    Ok((shared, Threads { requests, running: Mutex::new(Some(running)) }))
}

/// Returns the size of the newest snapshot; nothing where there was no checkpoint yet.
fn newest_snapshot_bytes(folder: &Folder) -> Result<u64, OpenError> {
    let snapshots = folder.snapshots();
    let newest = numbered(&snapshots, "snap").map_err(OpenError::io(&snapshots, "list"))?;
    let Some(newest) = newest.last().map(|position| folder.snapshot(*position)) else {
        return Ok(0);
    };
    let metadata = std::fs::metadata(&newest).map_err(OpenError::io(&newest, "read"))?;
    Ok(metadata.len())
}

fn thread<T: Send + 'static>(
    name: &str,
    watch: Watch,
    work: impl FnOnce() -> T + Send + 'static,
) -> std::io::Result<JoinHandle<T>> {
    Builder::new().name(name.to_owned()).spawn(move || {
        let _watch = watch;
        work()
    })
}

/// Stops the store if the thread that has it panics: nobody would do its work any more, and what
/// it left half done must not be built upon.
struct Watch {
    shared: Arc<Shared>,
    what: &'static str,
}

impl Drop for Watch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.shared
                .fatal
                .die(format!("{} has failed; this is a fault of the program", self.what));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use audit::RealDisk;

    #[test]
    fn the_lock_is_left_even_if_a_process_that_is_being_started_shares_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let again = || start(folder.path(), Options::default(), Arc::new(RealDisk));
        let (shared, threads) = again().unwrap();
        let copy = threads.running.lock().as_ref().unwrap().lock.try_clone().unwrap();
        threads.stop(&shared, false);
        let (shared, threads) = again().unwrap();
        threads.stop(&shared, true);
        drop(copy);
    }
}
