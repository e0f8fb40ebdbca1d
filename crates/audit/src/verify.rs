//! Checks that a log is whole: every entry unchanged, present, once, in order.
//!
//! It streams in constant memory and repairs nothing. A tail that was cut off, or
//! a log written anew from some entry on, shows only against a number and a hash
//! that were kept elsewhere; [`Report::against`] compares them.

use std::fmt;
use std::path::PathBuf;

use serde::{Serialize, Serializer};

use crate::{Damage, Entry, Fault, Hash, Link, hex};

/// What a check of a log found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// How many entries were read.
    pub entries: u64,
    /// The number of the first entry; 0 if there is none.
    pub first_seq: u64,
    /// The highest number seen; 0 if there is none.
    pub last_seq: u64,
    /// The hash of the entry with that number, or where the log started.
    #[serde(serialize_with = "hex::serialize")]
    pub head: Hash,
    /// What is wrong: the first 100 places.
    pub problems: Vec<Problem>,
    /// How many places are wrong.
    pub problem_count: u64,
    /// Whether nothing is wrong.
    pub ok: bool,
}

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

/// Where in a log something is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// At an entry, by its position in what was read, counted from 1.
    Entry(u64),
    /// At a byte of a file.
    Byte {
        /// The file.
        path: PathBuf,
        /// The byte.
        offset: u64,
    },
    /// At the end of the log.
    End,
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
}

/// Reads a log and checks it.
///
/// `start` is the number that the first entry must have and the hash of the entry
/// before it; without it the log must begin with its very first entry.
pub fn verify(
    entries: impl Iterator<Item = Result<Entry, Damage>>,
    start: Option<(u64, Hash)>,
) -> Report {
    let (next_seq, head) = start.unwrap_or((1, [0; 32]));
    let mut walk = Walk { report: Report::empty(head), next_seq };
    for entry in entries {
        match entry {
            Ok(entry) => walk.entry(&entry),
            Err(Damage { path, offset, what }) => {
                walk.report.add(None, Place::Byte { path, offset }, What::Damaged(what));
            }
        }
    }
    walk.report
}

struct Walk {
    report: Report,
    next_seq: u64,
}

impl Walk {
    fn entry(&mut self, entry: &Entry) {
        let Link { seq, prev, hash } = entry.link;
        self.report.entries += 1;
        if self.report.entries == 1 {
            self.report.first_seq = seq;
        }
        if Link::of(seq, prev, &entry.body).hash != hash {
            self.problem(seq, What::Edited);
        }
        if seq < self.next_seq {
            let again =
                self.report.entries > 1 && seq == self.report.last_seq && hash == self.report.head;
            self.problem(seq, if again { What::Duplicated } else { What::Reordered });
            return;
        }
        if seq > self.next_seq {
            self.problem(seq, What::Missing { from: self.next_seq, to: seq - 1 });
        } else if prev != self.report.head {
            self.problem(seq, What::Unlinked);
        }
        self.report.last_seq = seq;
        self.report.head = hash;
        self.next_seq = seq.saturating_add(1);
    }

    fn problem(&mut self, seq: u64, what: What) {
        let place = Place::Entry(self.report.entries);
        self.report.add(Some(seq), place, what);
    }
}

impl Report {
    /// Adds what differs from a last number and head that were kept elsewhere.
    #[must_use]
    pub fn against(mut self, last_seq: u64, head: Hash) -> Self {
        if self.last_seq != last_seq {
            self.add(None, Place::End, What::WrongEnd { expected: last_seq });
        } else if self.head != head {
            self.add(Some(last_seq), Place::End, What::WrongHead);
        }
        self
    }

    const fn empty(head: Hash) -> Self {
        Self {
            entries: 0,
            first_seq: 0,
            last_seq: 0,
            head,
            problems: Vec::new(),
            problem_count: 0,
            ok: true,
        }
    }

    fn add(&mut self, seq: Option<u64>, place: Place, what: What) {
        self.ok = false;
        self.problem_count += 1;
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(Problem { seq, place, what });
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

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entry(position) => write!(f, "position {position}"),
            Self::Byte { path, offset } => write!(f, "{}, byte {offset}", path.display()),
            Self::End => f.write_str("end of the log"),
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
        }
    }
}

fn as_text<S: Serializer>(value: &impl fmt::Display, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(value)
}

/// LIMIT: how many problems a report names; it counts all.
const PROBLEMS_MAX: usize = 100;

#[cfg(test)]
mod tests;
