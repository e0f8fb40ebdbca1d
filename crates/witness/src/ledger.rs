//! The last checkpoint of each log, and the decision about the next.
//!
//! A checkpoint is on disk before it is cosigned: what a witness has said, it knows after any
//! crash. Looking and writing are one step, so of two requests at once one comes second.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use audit::{
    Hash, NoteError, Signature, SignedCheckpoint, SigningKey, VerifierKey, empty_root, leaf_hash,
    to_hex, verify_consistency,
};
use parking_lot::Mutex;

use crate::Submission;

/// The logs that a witness watches, and what it knows of each.
#[derive(Debug)]
pub struct Ledger {
    key: SigningKey,
    folder: PathBuf,
    logs: BTreeMap<String, Log>,
    /// Held while one checkpoint is judged and written.
    turn: Mutex<()>,
    /// Keeps a second witness out of the folder.
    _lock: File,
}

#[derive(Debug)]
struct Log {
    keys: Vec<VerifierKey>,
    file: PathBuf,
}

/// What a witness says to a submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is cosigned.
    Cosigned(Signature),
    /// Another size was cosigned last, or the same with another root.
    Conflict {
        /// The size that was cosigned last.
        size: u64,
    },
    /// The proof does not show that the checkpoint continues the last one.
    BadProof,
    /// No key of this log is known.
    UnknownLog,
    /// No known key of the log has signed it.
    UnknownKey,
    /// The old size is greater than the new one.
    Backwards,
}

/// Says why a witness cannot answer.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// A file cannot be read or written.
    #[error("`{}` cannot be {verb}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        verb: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Another process has the folder.
    #[error("`{}` is in use by another witness", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// What was remembered of a log cannot be read.
    #[error(
        "`{}` does not hold the last checkpoint: {source}; restore it from a copy, for without it \
         a changed history could be cosigned", path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: NoteError,
    },
}

impl LedgerError {
    /// Returns the stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "witness_state",
            Self::InUse { .. } => "witness_in_use",
            Self::Damaged { .. } => "witness_state_damaged",
        }
    }
}

impl Ledger {
    /// Opens the folder of a witness, making it if there is none, for the logs with these keys.
    ///
    /// # Errors
    /// Fails if the folder cannot be used, or a remembered checkpoint cannot be read.
    pub fn open(
        key: SigningKey,
        folder: &Path,
        logs: impl IntoIterator<Item = VerifierKey>,
    ) -> Result<Self, LedgerError> {
        fs::create_dir_all(folder).map_err(failed(folder, "made"))?;
        let lock = lock(folder)?;
        let mut known: BTreeMap<String, Log> = BTreeMap::new();
        for log in logs {
            let origin = log.name().to_owned();
            // A name may hold what a file name may not; its hash does not.
            let file = folder.join(format!("{}.checkpoint", to_hex(&leaf_hash(origin.as_bytes()))));
            let entry = known.entry(origin).or_insert(Log { keys: Vec::new(), file });
            entry.keys.push(log);
        }
        let ledger =
            Self { key, folder: folder.to_owned(), logs: known, turn: Mutex::new(()), _lock: lock };
        for log in ledger.logs.values() {
            ledger.last(log)?;
        }
        Ok(ledger)
    }

    /// Returns the key with which checkpoints are cosigned.
    #[must_use]
    pub const fn key(&self) -> &VerifierKey {
        self.key.verifier()
    }

    /// Judges a checkpoint; what is cosigned is on disk before this returns.
    ///
    /// # Errors
    /// Fails if the last checkpoint cannot be read or the new one cannot be written; nothing is
    /// cosigned then.
    pub fn judge(
        &self,
        submission: &Submission,
        unix_seconds: u64,
    ) -> Result<Verdict, LedgerError> {
        let signed = &submission.checkpoint;
        let new = signed.checkpoint();
        let Some(log) = self.logs.get(&new.origin) else { return Ok(Verdict::UnknownLog) };
        if !log.keys.iter().any(|key| signed.check_log(key).is_ok()) {
            return Ok(Verdict::UnknownKey);
        }
        if submission.old_size > new.size {
            return Ok(Verdict::Backwards);
        }
        let turn = self.turn.lock();
        let (size, root) = self.last(log)?;
        if submission.old_size != size || (size == new.size && root != new.root) {
            return Ok(Verdict::Conflict { size });
        }
        let proven = verify_consistency((size, &root), (new.size, &new.root), &submission.proof);
        if proven.is_err() {
            return Ok(Verdict::BadProof);
        }
        if size != new.size {
            self.remember(&log.file, signed)?;
        }
        drop(turn);
        Ok(Verdict::Cosigned(self.key.sign(signed.note().text(), unix_seconds)))
    }

    /// Returns size and root of the last checkpoint of a log; those of an empty tree at first.
    fn last(&self, log: &Log) -> Result<(u64, Hash), LedgerError> {
        let bytes = match fs::read(&log.file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((0, empty_root())),
            Err(error) => return Err(failed(&log.file, "read")(error)),
        };
        let damaged = |source| LedgerError::Damaged { path: log.file.clone(), source };
        let signed = SignedCheckpoint::parse(&bytes).map_err(damaged)?;
        signed.note().check(self.key()).map_err(damaged)?;
        let last = signed.checkpoint();
        Ok((last.size, last.root))
    }

    /// Writes a checkpoint with a cosignature of its own, so that a changed file is noticed.
    fn remember(&self, file: &Path, signed: &SignedCheckpoint) -> Result<(), LedgerError> {
        let mut signed = signed.clone();
        signed.add(self.key.sign(signed.note().text(), 0));
        let draft = file.with_extension("draft");
        let write = || {
            let mut options = OpenOptions::new();
            let mut out =
                options.write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
            out.write_all(signed.to_string().as_bytes())?;
            out.sync_all()?;
            fs::rename(&draft, file)?;
            // The name must survive a loss of power like the bytes do.
            File::open(&self.folder)?.sync_all()
        };
        write().map_err(failed(file, "written"))
    }
}

fn lock(folder: &Path) -> Result<File, LedgerError> {
    let path = folder.join("lock");
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = file.map_err(failed(&path, "opened"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(LedgerError::InUse { path: folder.to_owned() }),
        Err(fs::TryLockError::Error(source)) => Err(failed(&path, "locked")(source)),
    }
}

fn failed(path: &Path, verb: &'static str) -> impl FnOnce(io::Error) -> LedgerError {
    let path = path.to_owned();
    move |source| LedgerError::Io { path, verb, source }
}

#[cfg(test)]
mod tests;
