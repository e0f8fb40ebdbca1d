//! The archive: files of framed entries that only grow.
//!
//! It knows bytes and checksums; whether the entries chain is asked in
//! `verify`. Nothing here repairs: a writer cuts what a crash left of its last
//! frame, everything else that is wrong is reported with its place.

mod frame;
mod reader;
mod writer;

use std::fmt;
use std::io;
use std::path::PathBuf;

pub use reader::ArchiveReader;
pub use writer::{ArchiveWriter, Backed};

/// Bytes of an archive that are not an entry, with their place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}, byte {offset}: {what}", path.display())]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// Where in the file the damage begins.
    pub offset: u64,
    /// What is wrong there.
    pub what: Fault,
}

/// What is wrong with bytes that should be an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The file does not begin as an archive does.
    NotAnArchive,
    /// The file is of another version of the format.
    OtherVersion {
        /// The version that it names.
        version: u8,
    },
    /// The bytes up to the next whole frame are not a frame.
    Broken {
        /// How many bytes are lost.
        bytes: u64,
    },
    /// The file ends inside a frame, as after a crash.
    TornTail {
        /// How many bytes follow the last whole frame.
        bytes: u64,
    },
    /// The bytes are an entry, but no line of a log.
    NotALine(crate::EntryError),
    /// The entry's body is not a record.
    NotARecord {
        /// Where in the body the reading stopped, counted from 1.
        column: usize,
    },
    /// A line is longer than any entry's.
    LongLine,
    /// The file could not be read.
    Unreadable(io::ErrorKind),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnArchive => f.write_str("not an audit archive"),
            Self::OtherVersion { version } => write!(
                f,
                "the file has format version {version}, this program knows version {}; use the \
                 program that wrote it",
                frame::VERSION
            ),
            Self::Broken { bytes } => {
                write!(f, "{bytes} damaged bytes; restore the file from a copy")
            }
            Self::TornTail { bytes } => {
                write!(f, "the file ends inside an entry, {bytes} bytes after the last whole one")
            }
            Self::NotALine(why) => write!(f, "not a line of an audit log: {why}"),
            Self::NotARecord { column } => {
                write!(f, "the entry does not hold a record: unreadable at column {column}")
            }
            Self::LongLine => f.write_str("the line is longer than any entry"),
            Self::Unreadable(kind) => write!(f, "cannot be read: {kind}"),
        }
    }
}

/// Says why an archive could not be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The file system refused.
    #[error("{}: cannot {verb}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        verb: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// The file is damaged before its last frame; it is left as it is.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// The entry does not follow the last one of the file.
    #[error("entry {seq} does not follow the last one of {}", path.display())]
    OutOfOrder {
        /// The file.
        path: PathBuf,
        /// The entry that was refused.
        seq: u64,
    },
    /// The body is longer than any record.
    #[error("the body of entry {seq} is longer than {} bytes", crate::BODY_BYTES_MAX)]
    LongBody {
        /// The entry that was refused.
        seq: u64,
    },
    /// An earlier sync failed, so what is on disk is unknown.
    #[error("{}: an earlier sync failed; open the file again to see what was kept", path.display())]
    Poisoned {
        /// The file.
        path: PathBuf,
    },
}

/// Returns the name of the archive file whose first entry has this number.
///
/// Names sort as their entries do, which is the order in which a folder is read.
#[must_use]
pub fn file_name(first_seq: u64) -> String {
    format!("{first_seq:020}.{EXTENSION}")
}

pub(crate) const EXTENSION: &str = "audit";

#[cfg(test)]
mod tests;
