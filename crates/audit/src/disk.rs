//! What is asked of the file system by those who write what must not be lost.
//!
//! Everything that the store and the archive change on disk goes through here, so that tests can
//! fill the disk, make it fail, or cut the power between any two operations. Reading does not:
//! damage is tested with damaged files.

use std::fmt::Debug;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::Path;

/// What writing goes through. A change of bytes is on disk after [`Disk::sync`] of its file, a
/// change of names after [`Disk::sync_folder`] of their folder.
pub trait Disk: Debug + Send + Sync {
    /// Makes a folder that only its owner may enter, and those above it that are missing.
    ///
    /// # Errors
    /// Fails as the file system does.
    fn make_folder(&self, path: &Path) -> io::Result<()>;

    /// Opens a file for reading and writing; makes it, for its owner alone, if there is none.
    ///
    /// # Errors
    /// Fails as the file system does.
    fn open(&self, path: &Path) -> io::Result<File>;

    /// Writes into a file; beyond its end it grows.
    ///
    /// # Errors
    /// Fails as the file system does; some of the bytes may be written then.
    fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Cuts a file to so many bytes.
    ///
    /// # Errors
    /// Fails as the file system does.
    fn truncate(&self, file: &File, bytes: u64) -> io::Result<()>;

    /// Returns when the file's bytes are on disk.
    ///
    /// # Errors
    /// Fails as the file system does; nobody knows what is on disk then, and no later sync tells.
    fn sync(&self, file: &File) -> io::Result<()>;

    /// Returns when the names in a folder survive a loss of power.
    ///
    /// # Errors
    /// Fails as [`Disk::sync`] does.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;

    /// Gives a file another name in its folder, taking it from the file that had it.
    ///
    /// # Errors
    /// Fails as the file system does.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// Fails as the file system does.
    fn remove(&self, path: &Path) -> io::Result<()>;
}

/// The file system as it is.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn make_folder(&self, path: &Path) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
    }

    fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    fn truncate(&self, file: &File, bytes: u64) -> io::Result<()> {
        file.set_len(bytes)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }
}
