//! What can be wrong with a log, and where; as text for people and in reports.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::Fault;

/// Something wrong with a log, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The number of the entry concerned, if one could be read.
    pub seq: Option<u64>,
    /// Where it is.
    #[serde(serialize_with = "as_text")]
    pub place: Place,
    /// What it is.
    #[serde(serialize_with = "as_text")]
    pub what: What,
}

/// A byte of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    /// The file.
    pub path: Arc<PathBuf>,
    /// The byte in it, counted from 0.
    pub offset: u64,
}

/// Where in a log something is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// At an entry.
    Entry {
        /// Its position in what was read, counted from 1.
        position: u64,
        /// Where the frame or line begins that holds it, if it was read from a file.
        spot: Option<Spot>,
    },
    /// At a byte of a file.
    Byte(Spot),
    /// At the end of the log.
    End {
        /// Where the last entry begins, if one was read from a file.
        last: Option<Spot>,
    },
}

/// What is wrong with a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The entry is not what its hash sealed.
    Edited,
    /// The entry names another predecessor than the one it has.
    Unlinked,
    /// Entries are missing before this one.
    Missing {
        /// The first missing number.
        from: u64,
        /// The last missing number.
        to: u64,
    },
    /// The entry was there just before.
    Duplicated,
    /// The entry comes after one that follows it.
    Reordered,
    /// The bytes are no entry.
    Damaged(Fault),
    /// The log ends before the entry that it should end with, or after.
    WrongEnd {
        /// The number that the last entry should have.
        expected: u64,
    },
    /// The last entry is not the one that was expected.
    WrongHead,
    /// The log has fewer entries than a tree over it that was kept elsewhere.
    Truncated {
        /// How many entries the kept tree has.
        size: u64,
    },
    /// The entries up to this one are not those of a tree that was kept elsewhere, though they
    /// chain: they were written anew, or it is another log.
    AnotherHistory {
        /// How many entries the kept tree has.
        size: u64,
    },
}

impl What {
    /// Returns the stable name of the kind of problem.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Edited => "edited",
            Self::Unlinked => "unlinked",
            Self::Missing { .. } => "missing",
            Self::Duplicated => "duplicated",
            Self::Reordered => "reordered",
            Self::Damaged(_) => "damaged",
            Self::WrongEnd { .. } => "wrong_end",
            Self::WrongHead => "wrong_head",
            Self::Truncated { .. } => "truncated",
            Self::AnotherHistory { .. } => "another_history",
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.seq {
            Some(seq) => write!(f, "entry {seq} ({}): {}", self.place, self.what),
            None => write!(f, "{}: {}", self.place, self.what),
        }
    }
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, byte {}", self.path.display(), self.offset)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entry { position, spot: None } => write!(f, "position {position}"),
            Self::Entry { position, spot: Some(spot) } => write!(f, "position {position}, {spot}"),
            Self::Byte(spot) => spot.fmt(f),
            Self::End { last: None } => f.write_str("end of the log"),
            Self::End { last: Some(last) } => write!(f, "end of the log, last entry at {last}"),
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Edited => f.write_str("was changed: it does not match its hash"),
            Self::Unlinked => f.write_str("does not continue the entry before it"),
            Self::Missing { from, to } if from == to => {
                write!(f, "entry {from} is missing before it")
            }
            Self::Missing { from, to } => write!(f, "entries {from} to {to} are missing before it"),
            Self::Duplicated => f.write_str("is there twice"),
            Self::Reordered => f.write_str("is out of order"),
            Self::Damaged(fault) => fault.fmt(f),
            Self::WrongEnd { expected } => write!(f, "the last entry should be {expected}"),
            Self::WrongHead => f.write_str("is not the last entry that was expected"),
            Self::Truncated { size } => {
                write!(f, "the log was cut off: a tree over {size} entries was kept")
            }
            Self::AnotherHistory { size } => write!(
                f,
                "another history: the {size} entries up to here are not those of the tree that was \
                 kept"
            ),
        }
    }
}

fn as_text<S: Serializer>(value: &impl fmt::Display, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(value)
}
