//! The files and folders of a frail disk: what was written, and what of it would survive.
//!
//! Everything is in memory. A file remembers what its pages held when they were last on disk, a
//! folder the names that it had then.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};

use super::Fault;

/// A node's number; the kernel knows it by this.
pub(super) type Number = u64;

pub(super) const ROOT: Number = 1;
pub(super) const PAGE_BYTES: usize = 4096;

/// All nodes, and what is wrong with the disk.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) nodes: HashMap<Number, Node>,
    next: Number,
    /// The file, place and length of the last write.
    pub(super) last_write: Option<(Number, usize, usize)>,
    /// No more room is given out.
    pub(super) is_full: bool,
    /// The next sync of a file whose name ends like this fails.
    pub(super) failing_sync: Option<OsString>,
}

#[derive(Debug)]
pub(super) enum Node {
    File(FileNode),
    Folder(FolderNode),
}

/// A file.
#[derive(Debug, Default)]
pub(super) struct FileNode {
    pub(super) bytes: Vec<u8>,
    /// What pages held that were written since they were last on disk.
    pub(super) before: BTreeMap<usize, Before>,
    /// Its length when it was last on disk.
    pub(super) durable_len: usize,
    pub(super) mode: u16,
}

/// What a page held when it was last on disk.
#[derive(Debug)]
pub(super) struct Before {
    pub(super) page: Vec<u8>,
    /// A sync has failed: the kernel calls the page clean, so that no later sync writes it.
    pub(super) is_given_up: bool,
}

/// A folder.
#[derive(Debug, Default)]
pub(super) struct FolderNode {
    pub(super) names: BTreeMap<OsString, Number>,
    pub(super) durable: BTreeMap<OsString, Number>,
    /// Changes since the names were last on disk, each of which lasts as a whole or not at all.
    pub(super) pending: Vec<Rename>,
    pub(super) mode: u16,
}

/// A change of names: a creation has no `from`, a removal no `to`.
#[derive(Debug, Clone, Default)]
pub(super) struct Rename {
    pub(super) from: Option<OsString>,
    pub(super) to: Option<(OsString, Number)>,
}

impl Rename {
    pub(super) fn apply(self, names: &mut BTreeMap<OsString, Number>) {
        if let Some(from) = self.from {
            names.remove(&from);
        }
        names.extend(self.to);
    }
}

impl Tree {
    pub(super) fn new() -> Self {
        let root = Node::Folder(FolderNode { mode: 0o700, ..FolderNode::default() });
        Self {
            nodes: HashMap::from([(ROOT, root)]),
            next: ROOT + 1,
            last_write: None,
            is_full: false,
            failing_sync: None,
        }
    }

    pub(super) fn file(&mut self, number: Number) -> Result<&mut FileNode, Fault> {
        match self.nodes.get_mut(&number) {
            Some(Node::File(file)) => Ok(file),
            Some(Node::Folder(_)) => Err(Fault::IsFolder),
            None => Err(Fault::Missing),
        }
    }

    pub(super) fn folder(&mut self, number: Number) -> Result<&mut FolderNode, Fault> {
        match self.nodes.get_mut(&number) {
            Some(Node::Folder(folder)) => Ok(folder),
            Some(Node::File(_)) => Err(Fault::IsFile),
            None => Err(Fault::Missing),
        }
    }

    pub(super) fn look_up(&mut self, parent: Number, name: &OsStr) -> Result<Number, Fault> {
        self.folder(parent)?.names.get(name).copied().ok_or(Fault::Missing)
    }

    pub(super) fn make(
        &mut self,
        parent: Number,
        name: &OsStr,
        node: Node,
    ) -> Result<Number, Fault> {
        if self.look_up(parent, name).is_ok() {
            return Err(Fault::Exists);
        }
        if self.is_full {
            return Err(Fault::Full);
        }
        let number = self.next;
        self.next += 1;
        self.nodes.insert(number, node);
        self.change(parent, Rename { from: None, to: Some((name.to_owned(), number)) })?;
        Ok(number)
    }

    pub(super) fn remove(&mut self, parent: Number, name: &OsStr) -> Result<(), Fault> {
        self.look_up(parent, name)?;
        self.change(parent, Rename { from: Some(name.to_owned()), to: None })
    }

    pub(super) fn rename(
        &mut self,
        (old, from): (Number, &OsStr),
        (new, to): (Number, &OsStr),
    ) -> Result<(), Fault> {
        let number = self.look_up(old, from)?;
        let (from, to) = (Some(from.to_owned()), Some((to.to_owned(), number)));
        if old == new {
            return self.change(old, Rename { from, to });
        }
        self.change(new, Rename { from: None, to })?;
        self.change(old, Rename { from, to: None })
    }

    fn change(&mut self, folder: Number, change: Rename) -> Result<(), Fault> {
        let folder = self.folder(folder)?;
        change.clone().apply(&mut folder.names);
        folder.pending.push(change);
        Ok(())
    }

    pub(super) fn write(
        &mut self,
        number: Number,
        offset: usize,
        bytes: &[u8],
    ) -> Result<(), Fault> {
        let is_full = self.is_full;
        let file = self.file(number)?;
        let end = offset + bytes.len();
        if is_full && end > file.bytes.len() {
            return Err(Fault::Full);
        }
        file.keep(offset, end);
        if end > file.bytes.len() {
            file.bytes.resize(end, 0);
        }
        if let Some(place) = file.bytes.get_mut(offset..end) {
            place.copy_from_slice(bytes);
        }
        self.last_write = Some((number, offset, bytes.len()));
        Ok(())
    }

    pub(super) fn set_len(&mut self, number: Number, len: usize) -> Result<(), Fault> {
        let is_full = self.is_full;
        let file = self.file(number)?;
        let old = file.bytes.len();
        if is_full && len > old {
            return Err(Fault::Full);
        }
        file.keep(len.min(old), len.max(old));
        file.bytes.resize(len, 0);
        Ok(())
    }

    /// Brings a file to the disk, or fails to.
    pub(super) fn sync(&mut self, number: Number) -> Result<(), Fault> {
        let fails = self.failing_sync.take_if(|ending| {
            let names = self.nodes.values().filter_map(|node| match node {
                Node::Folder(folder) => Some(&folder.names),
                Node::File(_) => None,
            });
            let mut of_file = names.flatten().filter(|(_, found)| **found == number);
            of_file.any(|(name, _)| name.as_encoded_bytes().ends_with(ending.as_encoded_bytes()))
        });
        let file = self.file(number)?;
        if fails.is_some() {
            file.before.values_mut().for_each(|before| before.is_given_up = true);
            return Err(Fault::Broken);
        }
        file.before.retain(|_, before| before.is_given_up);
        file.durable_len = file.bytes.len();
        Ok(())
    }

    /// Brings the names in a folder to the disk.
    pub(super) fn sync_folder(&mut self, number: Number) -> Result<(), Fault> {
        let folder = self.folder(number)?;
        folder.durable = folder.names.clone();
        folder.pending.clear();
        Ok(())
    }
}

impl FileNode {
    /// Remembers what is on disk of the pages that are about to be written.
    fn keep(&mut self, from: usize, to: usize) {
        for page in from / PAGE_BYTES..to.div_ceil(PAGE_BYTES) {
            let held = self.bytes.iter().skip(page * PAGE_BYTES).take(PAGE_BYTES);
            let before = self.before.entry(page).or_insert_with(|| Before {
                page: held.copied().chain(std::iter::repeat(0)).take(PAGE_BYTES).collect(),
                is_given_up: false,
            });
            // Written anew: the next sync takes it again.
            before.is_given_up = false;
        }
    }
}
