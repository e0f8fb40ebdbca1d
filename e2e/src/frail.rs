//! A disk whose power can be cut: a file system in memory, mounted through FUSE, that knows what
//! of it was synced.
//!
//! It is as unkind as a disk may be: nothing lasts but what a sync has confirmed, pages of one
//! write last one by one, and names last only after a sync of their folder. The kernel keeps no
//! copy of anything, so what a program reads after a loss is what the disk has.
//!
//! | module | holds |
//! |---|---|
//! | `tree` | files and folders: what was written, what is on disk |
//! | `power` | what a loss of power leaves |
//! | `kernel` | the kernel's questions, answered from the tree |

mod kernel;
mod power;
mod tree;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use fuser::{BackgroundSession, Config, MountOption};
use parking_lot::Mutex;
use rustix::mount::{UnmountFlags, unmount};

use self::tree::Tree;
use crate::{Dice, Skipped};

/// A mounted disk; it is unmounted, and what is on it is gone, when this is dropped.
#[derive(Debug)]
pub struct FrailDisk {
    shared: Arc<Shared>,
    mounted_at: PathBuf,
    _session: BackgroundSession,
}

/// What the disk and those who break it have in common.
#[derive(Debug)]
struct Shared {
    tree: Mutex<Tree>,
    /// How long a sync takes.
    sync_time: Mutex<Duration>,
}

/// What a loss of power takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Everything that was not synced.
    Everything,
    /// A random part of it: pages, names, sectors of the last write.
    Some,
}

/// What the disk says instead of doing something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Missing,
    Exists,
    IsFolder,
    IsFile,
    NotEmpty,
    Full,
    Broken,
}

impl Loss {
    fn spares(self, dice: &mut Dice) -> bool {
        self == Self::Some && dice.below(2) == 0
    }
}

impl FrailDisk {
    /// Mounts an empty disk at a folder, making it.
    ///
    /// # Errors
    /// Returns what the system says; it needs `/dev/fuse`, and root or `fusermount3`. Returns
    /// [`Skipped`] if whoever runs this says that there is no FUSE on this machine, by setting
    /// `PALISADE_NO_FUSE`.
    pub fn mount(path: &Path) -> Result<Self> {
        let is_known_absent = std::env::var_os("PALISADE_NO_FUSE").is_some();
        ensure!(!is_known_absent, Skipped("no FUSE on this machine, as PALISADE_NO_FUSE says"));
        std::fs::create_dir_all(path)?;
        let shared =
            Arc::new(Shared { tree: Mutex::new(Tree::new()), sync_time: Mutex::default() });
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("frail".to_owned()), MountOption::NoAtime];
        // A slow sync must not hold up what else is asked.
        config.n_threads = Some(THREADS);
        let door = kernel::Door::new(Arc::clone(&shared));
        let session = fuser::spawn_mount(door, path, &config).with_context(|| {
            format!(
                "cannot mount a FUSE file system at `{}`: it takes /dev/fuse, and root or \
                 fusermount3 (Debian: apt-get install fuse3)",
                path.display()
            )
        })?;
        Ok(Self { shared, mounted_at: path.to_owned(), _session: session })
    }

    /// Goes back to what is on disk. Whoever has files open on it must be dead.
    pub fn lose_power(&self, loss: Loss, dice: &mut Dice) {
        let mut tree = self.shared.tree.lock();
        tree.lose_power(loss, dice);
        tree.failing_sync = None;
    }

    /// Makes the next sync of a file whose name ends like this fail, as a broken disk does. What
    /// it was to sync will not be on disk by a later one either.
    pub fn fail_next_sync(&self, name_ends: &str) {
        self.shared.tree.lock().failing_sync = Some(name_ends.into());
    }

    /// Tells whether the sync that was to fail has been asked for.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.shared.tree.lock().failing_sync.is_none()
    }

    /// Gives out no more room, or does again.
    pub fn set_full(&self, is_full: bool) {
        self.shared.tree.lock().is_full = is_full;
    }

    /// Makes every sync take so long.
    pub fn set_sync_time(&self, sync_time: Duration) {
        *self.shared.sync_time.lock() = sync_time;
    }
}

impl Drop for FrailDisk {
    fn drop(&mut self) {
        *self.shared.sync_time.lock() = Duration::ZERO;
        // Also if somebody still uses it. Without root the session does it, through fusermount.
        unmount(&self.mounted_at, UnmountFlags::DETACH).unwrap_or_default();
    }
}

const THREADS: usize = 4;
