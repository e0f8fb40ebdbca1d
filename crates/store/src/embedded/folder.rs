//! The folder of a store: which file is where, and the lock that keeps a second process out.
//!
//! It knows names, not contents.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use audit::Disk;

use super::OpenError;
use super::salts::ERASED;

/// Where the files of a store are.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    root: PathBuf,
}

impl Folder {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Makes the folders, so that they survive a loss of power, and takes the lock, which lasts
    /// as long as the returned file is open.
    pub(super) fn prepare(&self, disk: &dyn Disk) -> Result<File, OpenError> {
        if self.root.exists() && !self.root.is_dir() {
            return Err(OpenError::NotAFolder { path: self.root.clone() });
        }
        make_with_parents(&self.root, disk)?;
        let lock = self.lock()?;
        for folder in [self.log(), self.snapshots(), self.bodies(), self.audit()] {
            make(&folder, disk)?;
        }
        // Made here, so that it is the store's own whoever erases a salt first.
        let erased = self.audit().join(ERASED);
        disk.open(&erased).map_err(OpenError::io(&erased, "make"))?;
        disk.sync_folder(&self.root).map_err(OpenError::io(&self.root, "sync"))?;
        Ok(lock)
    }

    fn lock(&self) -> Result<File, OpenError> {
        let path = self.root.join("lock");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(&path).map_err(OpenError::io(&path, "open"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let pid =
                    file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
                return Err(OpenError::Locked { path: self.root.clone(), pid });
            }
            Err(TryLockError::Error(source)) => {
                return Err(OpenError::Io { path, doing: "lock", source });
            }
        }
        file.set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(OpenError::io(&path, "write"))?;
        Ok(file)
    }

    pub(super) fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    pub(super) fn snapshots(&self) -> PathBuf {
        self.root.join("snapshot")
    }

    pub(super) fn bodies(&self) -> PathBuf {
        self.root.join("bodies")
    }

    pub(super) fn audit(&self) -> PathBuf {
        self.root.join("audit")
    }

    pub(super) fn segment(&self, number: u64) -> PathBuf {
        self.log().join(format!("{number:020}.seg"))
    }

    /// A pre-filled file that becomes a segment by being renamed.
    pub(super) fn spare(&self, number: u64) -> PathBuf {
        self.log().join(format!("{number:020}.spare"))
    }

    /// A spare that is not filled yet; removed at the next start.
    pub(super) fn filling(&self, number: u64) -> PathBuf {
        self.log().join(format!("{number:020}.filling"))
    }

    pub(super) fn snapshot(&self, position: u64) -> PathBuf {
        self.snapshots().join(format!("{position:020}.snap"))
    }

    pub(super) fn body_file(&self, number: u64) -> PathBuf {
        self.bodies().join(format!("{number:020}.body"))
    }
}

/// Returns the numbers of the files `<number>.<extension>` in a folder, lowest first.
pub(super) fn numbered(folder: &Path, extension: &str) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for found in fs::read_dir(folder)? {
        let path = found?.path();
        if path.extension().is_some_and(|e| e == extension) {
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            numbers.extend(stem.and_then(|stem| stem.parse::<u64>().ok()));
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Makes a folder and those above it that are missing, each with its name on disk.
fn make_with_parents(folder: &Path, disk: &dyn Disk) -> Result<(), OpenError> {
    let missing: Vec<_> = folder.ancestors().take_while(|path| !is_there(path)).collect();
    for folder in missing.into_iter().rev() {
        make(folder, disk)?;
        let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or_else(|| Path::new("."));
        disk.sync_folder(parent).map_err(OpenError::io(parent, "sync"))?;
    }
    Ok(())
}

/// Returns whether a path is there; the empty one, above a relative path, is where we are.
fn is_there(path: &Path) -> bool {
    path.as_os_str().is_empty() || path.exists()
}

fn make(folder: &Path, disk: &dyn Disk) -> Result<(), OpenError> {
    disk.make_folder(folder).map_err(OpenError::io(folder, "make"))
}
