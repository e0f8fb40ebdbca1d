//! A disk on which a process ends at a chosen step.
//!
//! A step is an operation on a kind of file, such as `rename seg`: what a crash leaves on disk
//! is decided by the operations that were done before it and by nothing else.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::Path;

use audit::{Disk, RealDisk};
use parking_lot::Mutex;

/// Where a process ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) step: String,
    /// The how-many-eth time, from 1.
    pub(crate) time: u64,
    /// Whether the step is done before the end.
    pub(crate) is_done: bool,
}

/// The real disk, which counts its steps.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    counts: Mutex<BTreeMap<String, u64>>,
    end: Option<End>,
}

impl Steps {
    /// Makes a disk on which this process ends.
    pub(crate) fn until(end: End) -> Self {
        Self { counts: Mutex::default(), end: Some(end) }
    }

    /// Returns how often each step was taken.
    pub(crate) fn counts(&self) -> BTreeMap<String, u64> {
        self.counts.lock().clone()
    }

    fn step<T>(
        &self,
        what: &str,
        path: &Path,
        work: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        let step = format!("{what} {}", kind(path));
        let time = {
            let mut counts = self.counts.lock();
            let count = counts.entry(step.clone()).or_default();
            *count += 1;
            *count
        };
        let is_end =
            |is_done| self.end.as_ref() == Some(&End { step: step.clone(), time, is_done });
        if is_end(false) {
            std::process::abort();
        }
        let done = work();
        if is_end(true) {
            std::process::abort();
        }
        done
    }
}

impl Disk for Steps {
    fn make_folder(&self, path: &Path) -> io::Result<()> {
        self.step("make", path, || RealDisk.make_folder(path))
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        self.step("open", path, || RealDisk.open(path))
    }

    fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.step("write", &path_of(file), || RealDisk.write(file, bytes, offset))
    }

    fn truncate(&self, file: &File, bytes: u64) -> io::Result<()> {
        self.step("truncate", &path_of(file), || RealDisk.truncate(file, bytes))
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        self.step("sync", &path_of(file), || RealDisk.sync(file))
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.step("sync names in", path, || RealDisk.sync_folder(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step("rename", from, || RealDisk.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.step("remove", path, || RealDisk.remove(path))
    }
}

fn path_of(file: &File) -> std::path::PathBuf {
    fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap()
}

/// The ending of a file's name, or the name of a folder; the root of a store is `store`.
fn kind(path: &Path) -> String {
    let name = path.extension().or_else(|| path.file_name()).unwrap_or_default();
    let name = name.to_string_lossy().into_owned();
    let is_known = ["log", "snapshot", "bodies", "audit"].contains(&name.as_str());
    if is_known || path.extension().is_some() && !name.starts_with("tmp") {
        name
    } else {
        "store".to_owned()
    }
}
