//! What the engine asks of the file system when it writes, so that tests can make it fail.
//!
//! Reading is not here: damage is tested with damaged files.

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

/// What writing goes through.
pub(super) trait Disk: Debug + Send + Sync {
    /// Makes a file of so many zeros that are on disk; leaves no file behind if it fails.
    fn fill(&self, path: &Path, bytes: u64) -> io::Result<()>;

    /// Writes into a file.
    fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Returns when the file's bytes are on disk.
    fn sync(&self, file: &File) -> io::Result<()>;

    /// Returns when the names in a folder survive a loss of power.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;
}

/// The file system as it is.
#[derive(Debug)]
pub(super) struct RealDisk;

impl Disk for RealDisk {
    fn fill(&self, path: &Path, bytes: u64) -> io::Result<()> {
        let filled = fill(path, bytes);
        if filled.is_err() {
            // The first error matters; a file that stays behind is removed at the next start.
            fs::remove_file(path).unwrap_or_default();
        }
        filled
    }

    fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
}

/// Writes real zeros: only then does a later sync not have to wait for the file system's journal.
fn fill(path: &Path, bytes: u64) -> io::Result<()> {
    let mut file = create(path)?;
    let zeros = vec![0; 1 << 20];
    let mut left = bytes;
    while left > 0 {
        let step = usize::try_from(left).map_or(zeros.len(), |left| left.min(zeros.len()));
        file.write_all(zeros.get(..step).unwrap_or(&zeros))?;
        left = left.saturating_sub(step as u64);
    }
    file.sync_all()
}

/// Makes a file that only its owner may read.
pub(super) fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(path)
}

/// Returns whether an error says that there is no room, which can pass.
pub(super) fn is_no_room(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}
