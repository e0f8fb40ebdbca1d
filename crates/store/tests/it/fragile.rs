//! A disk whose power can be cut at any operation, which then keeps what was synced and some of
//! what was not.
//!
//! It can also be full, or fail to sync; then it forgets what was not synced, as systems do.
//!
//! It works on real files and remembers beside them what a loss of power could take: bytes that
//! were written since the last sync of their file, and names that were changed since the last
//! sync of their folder. [`Fragile::survivors`] writes what is left into another folder.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use audit::{Disk, RealDisk};
use parking_lot::Mutex;

use crate::random::Random;

/// The disk under a folder.
#[derive(Debug)]
pub(crate) struct Fragile {
    root: PathBuf,
    /// Where removed files go: their names may come back, and their inodes must not be used again.
    removed: PathBuf,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    random: Random,
    /// Operations until the power is cut.
    left: u64,
    /// Syncs until one fails.
    syncs_left: u64,
    room: Room,
    files: HashMap<u64, Bytes>,
    folders: BTreeMap<PathBuf, Names>,
}

/// How much room there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    Plenty,
    /// For what is written over something.
    NoGrowth,
    None,
}

/// The bytes of a file: those on disk, and what was done since.
#[derive(Debug, Default, Clone)]
struct Bytes {
    durable: Vec<u8>,
    since: Vec<Edit>,
}

#[derive(Debug, Clone)]
enum Edit {
    Write(u64, Vec<u8>),
    Truncate(u64),
}

/// The names in a folder: those on disk, and what was done since.
#[derive(Debug, Default, Clone)]
struct Names {
    durable: BTreeMap<OsString, Node>,
    since: Vec<Naming>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    File(u64),
    Folder,
}

#[derive(Debug, Clone)]
enum Naming {
    Add(OsString, Node),
    Rename(OsString, OsString, Node),
    Remove(OsString),
}

impl Fragile {
    /// Takes over a folder, all of which counts as on disk. `removed` is a folder beside it; the
    /// power is cut at the operation behind `left` others.
    pub(crate) fn new(root: &Path, removed: &Path, seed: u64, left: u64) -> Self {
        let mut known = Known {
            random: Random::new(seed),
            left,
            syncs_left: u64::MAX,
            room: Room::Plenty,
            files: HashMap::new(),
            folders: BTreeMap::new(),
        };
        known.take_over(root);
        let (root, removed) = (root.to_owned(), removed.to_owned());
        Self { root, removed, known: Mutex::new(known) }
    }

    /// Cuts the power now, unless it is cut already.
    pub(crate) fn cut(&self) {
        self.known.lock().left = 0;
    }

    /// Cuts the power at the operation behind so many others.
    pub(crate) fn cut_after(&self, operations: u64) {
        let left = &mut self.known.lock().left;
        *left = (*left).min(operations + 1);
    }

    /// Lets the sync behind so many others fail.
    pub(crate) fn fail_sync_after(&self, syncs: u64) {
        self.known.lock().syncs_left = syncs;
    }

    pub(crate) fn set_room(&self, room: Room) {
        self.known.lock().room = room;
    }

    /// Fails where something new needs room that is not there.
    fn need_room(&self, is_growing: bool) -> io::Result<()> {
        let room = self.known.lock().room;
        let has_room = match room {
            Room::Plenty => true,
            Room::NoGrowth => !is_growing,
            Room::None => false,
        };
        if has_room { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.known.lock().left == 0
    }

    /// Writes what a loss of power has left into a new folder.
    pub(crate) fn survivors(&self, to: &Path) {
        self.known.lock().survive(&self.root, to);
    }

    /// Does an operation on the real files and notes it, if there is power. The operation at
    /// which it is cut may have reached the disk or not.
    fn operate<T>(
        &self,
        real: impl FnOnce() -> io::Result<T>,
        note: impl FnOnce(&mut Known, &T),
    ) -> io::Result<T> {
        let mut known = self.known.lock();
        if known.left == 0 {
            return Err(io::Error::other("no power"));
        }
        known.left -= 1;
        if known.left == 0 && known.random.once_in(2) {
            return Err(io::Error::other("no power"));
        }
        let done = real()?;
        note(&mut known, &done);
        if known.left == 0 { Err(io::Error::other("no power")) } else { Ok(done) }
    }
}

impl Disk for Fragile {
    fn make_folder(&self, path: &Path) -> io::Result<()> {
        let is_new = !path.exists();
        self.operate(
            || RealDisk.make_folder(path),
            |known, ()| {
                if is_new {
                    known.folders.insert(path.to_owned(), Names::default());
                    known.name(path, |name| Naming::Add(name, Node::Folder));
                }
            },
        )
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        let is_new = !path.exists();
        if is_new {
            self.need_room(true)?;
        }
        self.operate(
            || RealDisk.open(path),
            |known, file| {
                if is_new {
                    known.files.insert(inode(file), Bytes::default());
                    known.name(path, |name| Naming::Add(name, Node::File(inode(file))));
                }
            },
        )
    }

    fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.need_room(offset + bytes.len() as u64 > file.metadata()?.len())?;
        let edit = Edit::Write(offset, bytes.to_vec());
        self.operate(
            || RealDisk.write(file, bytes, offset),
            |known, ()| known.file(file).since.push(edit),
        )
    }

    fn truncate(&self, file: &File, bytes: u64) -> io::Result<()> {
        self.operate(
            || RealDisk.truncate(file, bytes),
            |known, ()| known.file(file).since.push(Edit::Truncate(bytes)),
        )
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        let mut synced = Ok(());
        self.operate(
            || Ok(()),
            |known, ()| {
                synced = known.sync_once();
                let bytes = known.file(file);
                for edit in std::mem::take(&mut bytes.since) {
                    if synced.is_ok() {
                        apply(&mut bytes.durable, &edit);
                    }
                }
            },
        )?;
        synced
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        let mut synced = Ok(());
        self.operate(
            || Ok(()),
            |known, ()| {
                synced = known.sync_once();
                if let Some(names) = known.folders.get_mut(path) {
                    for naming in std::mem::take(&mut names.since) {
                        if synced.is_ok() {
                            rename(&mut names.durable, &naming);
                        }
                    }
                }
            },
        )?;
        synced
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.operate(
            || {
                self.bury(to)?;
                RealDisk.rename(from, to)
            },
            |known, ()| {
                let node = Node::File(fs::metadata(to).unwrap().ino());
                let former = name_of(from);
                known.name(to, |name| Naming::Rename(former, name, node));
            },
        )
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.operate(|| self.bury(path), |known, ()| known.name(path, Naming::Remove))
    }
}

impl Fragile {
    fn bury(&self, path: &Path) -> io::Result<()> {
        if !path.exists() {
            return Ok(());
        }
        let inode = fs::metadata(path)?.ino();
        fs::rename(path, self.removed.join(inode.to_string()))
    }
}

impl Known {
    fn take_over(&mut self, folder: &Path) {
        let mut names = Names::default();
        for found in fs::read_dir(folder).unwrap() {
            let path = found.unwrap().path();
            let node = if path.is_dir() {
                self.take_over(&path);
                Node::Folder
            } else {
                let inode = fs::metadata(&path).unwrap().ino();
                let durable = fs::read(&path).unwrap();
                self.files.insert(inode, Bytes { durable, since: Vec::new() });
                Node::File(inode)
            };
            names.durable.insert(name_of(&path), node);
        }
        self.folders.insert(folder.to_owned(), names);
    }

    /// Counts a sync; fails if it is the one that should.
    fn sync_once(&mut self) -> io::Result<()> {
        let is_failing = self.syncs_left == 0;
        self.syncs_left = self.syncs_left.wrapping_sub(1);
        if is_failing { Err(io::Error::other("the disk is broken")) } else { Ok(()) }
    }

    fn file(&mut self, file: &File) -> &mut Bytes {
        self.files.get_mut(&inode(file)).expect("a file that was opened through the disk")
    }

    fn name(&mut self, path: &Path, naming: impl FnOnce(OsString) -> Naming) {
        if let Some(names) = path.parent().and_then(|parent| self.folders.get_mut(parent)) {
            names.since.push(naming(name_of(path)));
        }
    }

    fn survive(&mut self, from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        let names = self.folders.get(from).cloned().unwrap_or_default();
        let mut left = names.durable;
        // Most file systems keep the order of names, not all do.
        let is_ordered = self.random.once_in(2);
        let kept = self.random.below(names.since.len() as u64 + 1);
        for (index, naming) in names.since.iter().enumerate() {
            let is_kept = if is_ordered { (index as u64) < kept } else { self.random.once_in(2) };
            if is_kept {
                rename(&mut left, naming);
            }
        }
        for (name, node) in left {
            match node {
                Node::Folder => self.survive(&from.join(&name), &to.join(&name)),
                Node::File(inode) => {
                    let bytes = self.files.get(&inode).cloned().unwrap_or_default();
                    fs::write(to.join(&name), self.remains(bytes)).unwrap();
                }
            }
        }
    }

    /// Returns a file's bytes with some of what was not synced.
    fn remains(&mut self, bytes: Bytes) -> Vec<u8> {
        let mut left = bytes.durable;
        let mood = self.random.below(4);
        for edit in bytes.since {
            let is_kept = match mood {
                0 => false,
                1 => true,
                _ => self.random.once_in(2),
            };
            match edit {
                Edit::Write(offset, written) if !is_kept && mood > 1 => {
                    self.tear(&mut left, offset, &written);
                }
                edit if is_kept => apply(&mut left, &edit),
                Edit::Write(..) | Edit::Truncate(_) => {}
            }
        }
        left
    }

    /// Keeps a beginning of what was written, or some of its pages.
    fn tear(&mut self, left: &mut Vec<u8>, offset: u64, written: &[u8]) {
        if self.random.once_in(2) {
            let len = self.random.below(written.len() as u64 + 1);
            let part = written[..usize::try_from(len).unwrap()].to_vec();
            return apply(left, &Edit::Write(offset, part));
        }
        let page = if self.random.once_in(2) { 512 } else { 4_096 };
        let (mut at, end) = (offset, offset + written.len() as u64);
        while at < end {
            let next = ((at / page + 1) * page).min(end);
            if self.random.once_in(2) {
                let [from, to] = [at, next].map(|at| usize::try_from(at - offset).unwrap());
                apply(left, &Edit::Write(at, written[from..to].to_vec()));
            }
            at = next;
        }
    }
}

fn apply(bytes: &mut Vec<u8>, edit: &Edit) {
    match edit {
        Edit::Truncate(len) => bytes.resize(usize::try_from(*len).unwrap(), 0),
        Edit::Write(offset, written) => {
            let from = usize::try_from(*offset).unwrap();
            let end = from + written.len();
            if bytes.len() < end && !written.is_empty() {
                bytes.resize(end, 0);
            }
            bytes[from.min(end)..end].copy_from_slice(written);
        }
    }
}

fn rename(names: &mut BTreeMap<OsString, Node>, naming: &Naming) {
    match naming {
        Naming::Add(name, node) => drop(names.insert(name.clone(), *node)),
        Naming::Remove(name) => drop(names.remove(name)),
        Naming::Rename(from, to, node) => {
            names.remove(from);
            names.insert(to.clone(), *node);
        }
    }
}

fn inode(file: &File) -> u64 {
    file.metadata().unwrap().ino()
}

fn name_of(path: &Path) -> OsString {
    path.file_name().unwrap_or_else(|| OsStr::new("")).to_owned()
}
