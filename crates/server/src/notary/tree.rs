//! The tree with its signed checkpoints, in a folder beside the log.
//!
//! | file | holds |
//! |---|---|
//! | `tile/` | the hashes, as C2SP `tlog-tiles` has them |
//! | `checkpoint` | the newest checkpoint |
//! | `checkpoints/SIZE` | it and those before, a bounded number |
//! | `head` | number and hash of the last entry of the chain that was taken, signed |
//!
//! The head saves comparing the whole log with the tree at each start: the hash of an entry covers
//! all entries before it. Without a head that can be trusted, the whole log is compared.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use audit::{
    Entry, Hash, Note, NoteError, SignedCheckpoint, SigningKey, TileSource, TileWriter, from_hex,
    leaf_hash, to_hex,
};

/// Why nothing is signed.
#[derive(Debug)]
pub(super) enum Stopped {
    /// The log or the tree is not what was signed before; trying again does not help.
    Inconsistent(String),
    /// Something failed that may work later.
    Failed(String),
}

/// The tree and the key that signs it.
pub(super) struct SignedTree {
    folder: PathBuf,
    key: SigningKey,
    kept: usize,
    open: Option<Open>,
}

/// A tree whose checkpoint was found to fit.
struct Open {
    tiles: TileWriter,
    /// For comparing what is there already.
    source: TileSource,
    /// How many leaves were there at the start.
    found: u64,
    /// The head that was signed last; then that of the last entry taken.
    head: Option<(u64, Hash)>,
    next_seq: u64,
    signed_size: Option<u64>,
}

impl SignedTree {
    pub(super) const fn new(folder: PathBuf, key: SigningKey, kept: usize) -> Self {
        Self { folder, key, kept, open: None }
    }

    /// Returns the number of the entry that is wanted next; opens the tree first.
    pub(super) fn next_seq(&mut self) -> Result<u64, Stopped> {
        if self.open.is_none() {
            self.open = Some(self.take_up()?);
        }
        Ok(self.open.as_ref().map_or(1, |open| open.next_seq))
    }

    fn take_up(&self) -> Result<Open, Stopped> {
        let history = self.folder.join(HISTORY);
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&history);
        made.map_err(|cause| failed(&history, &cause))?;
        let tiles = TileWriter::open(&self.folder).map_err(|cause| inconsistent(&cause))?;
        let mut source = TileSource::new(&self.folder);
        let found = tiles.size();
        let signed_size = self.check_signed(found, &mut source)?;
        let head = self.read_head().filter(|(seq, _)| *seq <= found);
        let next_seq = head.map_or(1, |(seq, _)| seq.max(1));
        Ok(Open { tiles, source, found, head, next_seq, signed_size })
    }

    /// Checks that the tree continues the newest checkpoint; returns its size.
    fn check_signed(&self, found: u64, source: &mut TileSource) -> Result<Option<u64>, Stopped> {
        let path = self.folder.join(NEWEST);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(failed(&path, &cause)),
        };
        let signed = SignedCheckpoint::parse(&bytes).map_err(|cause| inconsistent(&cause))?;
        match signed.check_log(self.key.verifier()) {
            Ok(()) => {}
            Err(NoteError::NotSigned { .. }) => {
                tracing::warn!("the last checkpoint was signed with another key of the same name");
            }
            Err(cause) => return Err(inconsistent(&cause)),
        }
        let last = signed.checkpoint();
        if last.size > found {
            let text = format!("{} records were signed, and the tree has {found}", last.size);
            return Err(Stopped::Inconsistent(text));
        }
        let root = source.root(last.size).map_err(|cause| inconsistent(&cause))?;
        if root != last.root {
            let text =
                format!("the tree of the first {} records is not what was signed", last.size);
            return Err(Stopped::Inconsistent(text));
        }
        Ok(Some(last.size))
    }

    /// Takes the next entries of the log: those that the tree has are compared, others added.
    pub(super) fn take(&mut self, entries: &[Entry]) -> Result<(), Stopped> {
        let Some(open) = &mut self.open else { return Ok(()) };
        for entry in entries {
            open.take(entry)?;
        }
        Ok(())
    }

    /// Signs what was taken, if anything is new; asked for when the log has no more.
    pub(super) fn sign(&mut self) -> Result<Option<SignedCheckpoint>, Stopped> {
        let (folder, key) = (&self.folder, &self.key);
        let Some(open) = &mut self.open else { return Ok(None) };
        let size = open.tiles.size();
        if open.next_seq <= size {
            let ends = open.head.map_or(0, |(seq, _)| seq);
            let text = format!("the log ends at record {ends}, and the tree has {size}");
            return Err(Stopped::Inconsistent(text));
        }
        if size == 0 || open.signed_size == Some(size) {
            return Ok(None);
        }
        let failed = |cause: &dyn std::fmt::Display| Stopped::Failed(cause.to_string());
        if let Err(cause) = open.tiles.flush() {
            // What of it reached the disk is unknown; it is read back.
            self.open = None;
            return Err(failed(&cause));
        }
        let signed = SignedCheckpoint::sign(key, size, open.tiles.root());
        let signed = signed.map_err(|cause| failed(&cause))?;
        write_checkpoint(folder, &signed).map_err(|cause| failed(&cause))?;
        open.signed_size = Some(size);
        if let Some((seq, head)) = open.head {
            // Without it the next start compares more; nothing else depends on it.
            drop(write_head(folder, key, seq, &head));
        }
        prune(&folder.join(HISTORY), self.kept);
        Ok(Some(signed))
    }

    fn read_head(&self) -> Option<(u64, Hash)> {
        let note = Note::parse(&fs::read(self.folder.join(HEAD)).ok()?).ok()?;
        note.check(self.key.verifier()).ok()?;
        let mut lines = note.text().lines();
        let is_head = lines.next()? == head_title(&self.key);
        let (seq, hash) = (lines.next()?.parse().ok()?, from_hex(lines.next()?)?);
        is_head.then_some((seq, hash))
    }
}

impl Open {
    fn take(&mut self, entry: &Entry) -> Result<(), Stopped> {
        let seq = entry.link.seq;
        if seq != self.next_seq {
            let text = format!("the log has record {seq} where {} should be", self.next_seq);
            return Err(Stopped::Inconsistent(text));
        }
        if let Some((at, head)) = self.head
            && at == seq
            && head != entry.link.hash
        {
            let text = format!("record {seq}, or one before it, is not what was signed");
            return Err(Stopped::Inconsistent(text));
        }
        let leaf = leaf_hash(&entry.body);
        if seq <= self.found {
            let known = self.source.leaf(seq - 1).map_err(|cause| inconsistent(&cause))?;
            if known != leaf {
                let text = format!("record {seq} is not what was signed");
                return Err(Stopped::Inconsistent(text));
            }
        } else {
            self.tiles.append(leaf).map_err(|cause| Stopped::Failed(cause.to_string()))?;
        }
        self.head = Some((seq, entry.link.hash));
        self.next_seq = seq + 1;
        Ok(())
    }
}

fn write_checkpoint(folder: &Path, signed: &SignedCheckpoint) -> io::Result<()> {
    let draft = folder.join("checkpoint.draft");
    write_draft(&draft, &signed.to_string())?.sync_all()?;
    let kept = folder.join(HISTORY).join(format!("{:020}", signed.checkpoint().size));
    match fs::hard_link(&draft, kept) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    fs::rename(&draft, folder.join(NEWEST))?;
    File::open(folder)?.sync_all()
}

fn write_head(folder: &Path, key: &SigningKey, seq: u64, head: &Hash) -> io::Result<()> {
    // Three lines like a checkpoint, but with another first and no base64 in the last: nobody can
    // take it for one.
    let text = format!("{}\n{seq}\n{}\n", head_title(key), to_hex(head));
    let mut note = Note::new(text).map_err(io::Error::other)?;
    note.add(key.sign(note.text(), 0));
    let draft = folder.join("head.draft");
    drop(write_draft(&draft, &note.to_string())?);
    fs::rename(&draft, folder.join(HEAD))
}

fn head_title(key: &SigningKey) -> String {
    format!("{} head of the chain", key.verifier().name())
}

pub(super) fn write_draft(path: &Path, text: &str) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    Ok(file)
}

/// Removes the oldest checkpoints above a number; what fails is tried again next time.
fn prune(history: &Path, kept: usize) {
    let Ok(files) = fs::read_dir(history) else { return };
    let mut names: Vec<PathBuf> = files.filter_map(|file| Some(file.ok()?.path())).collect();
    names.sort_unstable();
    let over = names.len().saturating_sub(kept);
    for name in names.into_iter().take(over) {
        drop(fs::remove_file(name));
    }
}

fn inconsistent(cause: &dyn std::fmt::Display) -> Stopped {
    Stopped::Inconsistent(cause.to_string())
}

fn failed(path: &Path, cause: &io::Error) -> Stopped {
    Stopped::Failed(format!("{}: {cause}", path.display()))
}

const NEWEST: &str = "checkpoint";
const HISTORY: &str = "checkpoints";
const HEAD: &str = "head";
