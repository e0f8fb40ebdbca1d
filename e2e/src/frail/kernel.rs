//! The kernel's questions, answered from the tree.
//!
//! Nothing may be cached: every name and length is good for no time, every file is read and
//! written directly.

use std::ffi::OsStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use rustix::process::{getgid, getuid};

use super::tree::{FileNode, FolderNode, Node, Number, Tree};
use super::{Fault, Shared};

/// What the kernel talks to.
#[derive(Debug)]
pub(super) struct Door {
    shared: Arc<Shared>,
}

impl Door {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    fn ask<T>(&self, question: impl FnOnce(&mut Tree) -> Result<T, Fault>) -> Result<T, Errno> {
        question(&mut self.shared.tree.lock()).map_err(Errno::from)
    }

    /// Waits as long as a sync takes.
    #[expect(clippy::disallowed_methods, reason = "a thread of the disk, which is slow on purpose")]
    fn dawdle(&self) {
        let sync_time = *self.shared.sync_time.lock();
        std::thread::sleep(sync_time);
    }
}

impl From<Fault> for Errno {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Missing => Self::ENOENT,
            Fault::Exists => Self::EEXIST,
            Fault::IsFolder => Self::EISDIR,
            Fault::IsFile => Self::ENOTDIR,
            Fault::NotEmpty => Self::ENOTEMPTY,
            Fault::Full => Self::ENOSPC,
            Fault::Broken => Self::EIO,
        }
    }
}

/// Describes a node to the kernel.
fn describe(tree: &Tree, number: Number) -> Result<FileAttr, Fault> {
    let (kind, size, mode) = match tree.nodes.get(&number) {
        Some(Node::File(file)) => (FileType::RegularFile, file.bytes.len() as u64, file.mode),
        Some(Node::Folder(folder)) => (FileType::Directory, 0, folder.mode),
        None => return Err(Fault::Missing),
    };
    let never = SystemTime::UNIX_EPOCH;
    Ok(FileAttr {
        ino: INodeNo(number),
        size,
        blocks: size.div_ceil(512),
        atime: never,
        mtime: never,
        ctime: never,
        crtime: never,
        kind,
        perm: mode,
        nlink: 1,
        uid: getuid().as_raw(),
        gid: getgid().as_raw(),
        rdev: 0,
        blksize: 4096,
        flags: 0,
    })
}

fn permissions(mode: u32) -> u16 {
    u16::try_from(mode & 0o7777).unwrap_or_default()
}

fn place(offset: u64) -> Result<usize, Fault> {
    usize::try_from(offset).map_err(|_too_far| Fault::Full)
}

impl Filesystem for Door {
    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = self.ask(|tree| {
            let number = tree.look_up(parent.0, name)?;
            describe(tree, number)
        });
        entry(found, reply);
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        attributes(self.ask(|tree| describe(tree, ino.0)), reply);
    }

    fn setattr(
        &self,
        _req: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let set = self.ask(|tree| {
            if let Some(size) = size {
                tree.set_len(ino.0, place(size)?)?;
            }
            match (mode, tree.nodes.get_mut(&ino.0)) {
                (Some(mode), Some(Node::File(file))) => file.mode = permissions(mode),
                (Some(mode), Some(Node::Folder(folder))) => folder.mode = permissions(mode),
                (None, _) | (_, None) => {}
            }
            describe(tree, ino.0)
        });
        attributes(set, reply);
    }

    fn mkdir(
        &self,
        _req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        let made = self.ask(|tree| {
            let mode = permissions(mode & !umask);
            let folder = Node::Folder(FolderNode { mode, ..FolderNode::default() });
            let number = tree.make(parent.0, name, folder)?;
            describe(tree, number)
        });
        entry(made, reply);
    }

    fn create(
        &self,
        _req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        let made = self.ask(|tree| {
            let mode = permissions(mode & !umask);
            let file = Node::File(FileNode { mode, ..FileNode::default() });
            let number = tree.make(parent.0, name, file)?;
            describe(tree, number)
        });
        match made {
            Ok(found) => {
                reply.created(&NO_TIME, &found, Generation(0), FileHandle(0), DIRECT);
            }
            Err(error) => reply.error(error),
        }
    }

    fn unlink(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(self.ask(|tree| tree.remove(parent.0, name)), reply);
    }

    fn rmdir(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let removed = self.ask(|tree| {
            let number = tree.look_up(parent.0, name)?;
            if !tree.folder(number)?.names.is_empty() {
                return Err(Fault::NotEmpty);
            }
            tree.remove(parent.0, name)
        });
        done(removed, reply);
    }

    fn rename(
        &self,
        _req: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        _flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let renamed = self.ask(|tree| tree.rename((parent.0, name), (newparent.0, newname)));
        done(renamed, reply);
    }

    fn open(&self, _req: &Request, _ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), DIRECT);
    }

    fn read(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let read = self.ask(|tree| {
            let bytes = &tree.file(ino.0)?.bytes;
            let from = place(offset)?.min(bytes.len());
            let to = from.saturating_add(place(size.into())?).min(bytes.len());
            Ok(bytes.get(from..to).unwrap_or_default().to_vec())
        });
        match read {
            Ok(bytes) => reply.data(&bytes),
            Err(error) => reply.error(error),
        }
    }

    fn write(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.ask(|tree| tree.write(ino.0, place(offset)?, data)) {
            Ok(()) => reply.written(u32::try_from(data.len()).unwrap_or_default()),
            Err(error) => reply.error(error),
        }
    }

    fn flush(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _lock_owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        reply.ok();
    }

    fn fsync(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        self.dawdle();
        done(self.ask(|tree| tree.sync(ino.0)), reply);
    }

    fn fsyncdir(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        self.dawdle();
        done(self.ask(|tree| tree.sync_folder(ino.0)), reply);
    }

    fn readdir(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let listed = self.ask(|tree| {
            let names = tree.folder(ino.0)?.names.clone();
            Ok(names
                .into_iter()
                .map(|(name, number)| {
                    let is_folder = matches!(tree.nodes.get(&number), Some(Node::Folder(_)));
                    let kind = if is_folder { FileType::Directory } else { FileType::RegularFile };
                    (name, number, kind)
                })
                .collect::<Vec<_>>())
        });
        let names = match listed {
            Ok(names) => names,
            Err(error) => return reply.error(error),
        };
        let skipped = usize::try_from(offset).unwrap_or(usize::MAX);
        for (place, (name, number, kind)) in names.into_iter().enumerate().skip(skipped) {
            if reply.add(INodeNo(number), place as u64 + 1, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _req: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        let free = if self.shared.tree.lock().is_full { 0 } else { BLOCKS };
        reply.statfs(BLOCKS, free, free, BLOCKS, free, 4096, 255, 4096);
    }
}

fn entry(found: Result<FileAttr, Errno>, reply: ReplyEntry) {
    match found {
        Ok(found) => reply.entry(&NO_TIME, &found, Generation(0)),
        Err(error) => reply.error(error),
    }
}

fn attributes(found: Result<FileAttr, Errno>, reply: ReplyAttr) {
    match found {
        Ok(found) => reply.attr(&NO_TIME, &found),
        Err(error) => reply.error(error),
    }
}

fn done(done: Result<(), Errno>, reply: ReplyEmpty) {
    match done {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

/// How long the kernel may believe what it was told.
const NO_TIME: Duration = Duration::ZERO;
const DIRECT: FopenFlags = FopenFlags::FOPEN_DIRECT_IO;
/// What the disk says about its size: 4 GiB.
const BLOCKS: u64 = 1 << 20;
