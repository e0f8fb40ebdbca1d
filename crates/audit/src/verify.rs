//! Checks that a log is whole: every entry unchanged, present, once, in order.
//!
//! It streams in constant memory and repairs nothing. A tail that was cut off, or
//! a log written anew from some entry on, shows only against what was kept
//! elsewhere: the root of a tree ([`Anchor`]), or a last number and hash
//! ([`Report::against`]).

mod problem;

use std::collections::VecDeque;

use serde::Serialize;

pub use problem::{Place, Problem, Spot, What};

use crate::{Damage, Entry, Frontier, Hash, Link, hex, leaf_hash};

/// The entries of a log as they are read, with their places.
pub trait Entries: Iterator<Item = Result<Entry, Damage>> {
    /// Returns where the frame or line begins that holds the entry returned last.
    fn spot(&self) -> Option<Spot>;
}

impl<E: Entries + ?Sized> Entries for Box<E> {
    fn spot(&self) -> Option<Spot> {
        (**self).spot()
    }
}

/// Entries whose places are not known, such as those of several files in a row.
#[derive(Clone, Debug)]
pub struct Unplaced<I>(pub I);

impl<I: Iterator<Item = Result<Entry, Damage>>> Iterator for Unplaced<I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }
}

impl<I: Iterator<Item = Result<Entry, Damage>>> Entries for Unplaced<I> {
    fn spot(&self) -> Option<Spot> {
        None
    }
}

/// A tree over the first entries of a log, as a checkpoint states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// How many entries it has.
    pub size: u64,
    /// Its root.
    pub root: Hash,
}

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
    /// The root of the tree over all entries; nothing if the log is not whole or was not read from
    /// its very first entry.
    #[serde(serialize_with = "hex::serialize_option")]
    pub root: Option<Hash>,
    /// How many entries the largest tree has that was given and that the log agrees with.
    pub anchored: u64,
    /// What is wrong: the first 100 places.
    pub problems: Vec<Problem>,
    /// How many places are wrong.
    pub problem_count: u64,
    /// Whether nothing is wrong.
    pub ok: bool,
}

/// Reads a log and checks it.
///
/// `start` is the number that the first entry must have and the hash of the entry
/// before it; without it the log must begin with its very first entry.
pub fn verify(entries: impl Entries, start: Option<(u64, Hash)>) -> Report {
    walk(entries, start, &[])
}

/// Reads a log from its very first entry, checks it and compares it with trees that were kept
/// elsewhere: it must have all their entries, and these must be the same.
///
/// The comparison with a tree is left out if something is wrong before its end: it could say no
/// more.
pub fn verify_against(entries: impl Entries, anchors: &[Anchor]) -> Report {
    walk(entries, None, anchors)
}

fn walk(mut entries: impl Entries, start: Option<(u64, Hash)>, anchors: &[Anchor]) -> Report {
    let (next_seq, head) = start.unwrap_or((1, [0; 32]));
    let mut anchors = anchors.to_vec();
    anchors.sort_unstable_by_key(|anchor| anchor.size);
    let tree = start.is_none().then(Frontier::new);
    let mut walk = Walk { report: Report::empty(head), next_seq, tree, anchors: anchors.into() };
    walk.compare(None);
    while let Some(entry) = entries.next() {
        match entry {
            Ok(entry) => walk.entry(&entry, &entries),
            Err(Damage { path, offset, what }) => {
                let spot = Spot { path: path.into(), offset };
                walk.problem(None, Place::Byte(spot), What::Damaged(what));
            }
        }
    }
    walk.finish(entries.spot().as_ref())
}

struct Walk {
    report: Report,
    next_seq: u64,
    /// The tree over the entries so far, as long as nothing is wrong.
    tree: Option<Frontier>,
    /// The trees that are still to be compared, the smallest first.
    anchors: VecDeque<Anchor>,
}

impl Walk {
    fn entry(&mut self, entry: &Entry, from: &impl Entries) {
        let Link { seq, prev, hash } = entry.link;
        self.report.entries += 1;
        if self.report.entries == 1 {
            self.report.first_seq = seq;
        }
        let leaf = leaf_hash(&entry.body);
        if Link::of_leaf(seq, prev, &leaf).hash != hash {
            self.at(seq, from, What::Edited);
        }
        if seq < self.next_seq {
            let again =
                self.report.entries > 1 && seq == self.report.last_seq && hash == self.report.head;
            self.at(seq, from, if again { What::Duplicated } else { What::Reordered });
            return;
        }
        if seq > self.next_seq {
            self.at(seq, from, What::Missing { from: self.next_seq, to: seq - 1 });
        } else if prev != self.report.head {
            self.at(seq, from, What::Unlinked);
        }
        self.report.last_seq = seq;
        self.report.head = hash;
        self.next_seq = seq.saturating_add(1);
        if let Some(tree) = &mut self.tree {
            tree.append(leaf);
        }
        if self.anchors.front().is_some_and(|anchor| anchor.size <= seq) {
            self.compare(from.spot().as_ref());
        }
    }

    /// Compares the tree with those that were kept, as far as it has come.
    fn compare(&mut self, spot: Option<&Spot>) {
        while let Some(tree) = &self.tree
            && let Some(anchor) = self.anchors.front().copied()
            && anchor.size <= tree.size()
        {
            self.anchors.pop_front();
            if tree.root() == anchor.root {
                self.report.anchored = anchor.size;
            } else {
                let place = Place::Entry { position: self.report.entries, spot: spot.cloned() };
                let what = What::AnotherHistory { size: anchor.size };
                self.problem(Some(anchor.size), place, what);
            }
        }
    }

    /// Says which trees have entries that the log does not have.
    fn finish(mut self, last: Option<&Spot>) -> Report {
        self.report.root = self.tree.take().map(|tree| tree.root());
        for anchor in std::mem::take(&mut self.anchors) {
            if anchor.size > self.report.last_seq {
                let place = Place::End { last: last.cloned() };
                self.problem(None, place, What::Truncated { size: anchor.size });
            }
        }
        self.report
    }

    fn at(&mut self, seq: u64, from: &impl Entries, what: What) {
        let place = Place::Entry { position: self.report.entries, spot: from.spot() };
        self.problem(Some(seq), place, what);
    }

    fn problem(&mut self, seq: Option<u64>, place: Place, what: What) {
        // INVARIANT: a tree is only compared if it is over the very entries before it.
        self.tree = None;
        self.report.add(seq, place, what);
    }
}

impl Report {
    /// Adds what differs from a last number and head that were kept elsewhere.
    #[must_use]
    pub fn against(mut self, last_seq: u64, head: Hash) -> Self {
        if self.last_seq != last_seq {
            self.add(None, Place::End { last: None }, What::WrongEnd { expected: last_seq });
        } else if self.head != head {
            self.add(Some(last_seq), Place::End { last: None }, What::WrongHead);
        }
        self
    }

    const fn empty(head: Hash) -> Self {
        Self {
            entries: 0,
            first_seq: 0,
            last_seq: 0,
            head,
            root: None,
            anchored: 0,
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

/// LIMIT: how many problems a report names; it counts all.
const PROBLEMS_MAX: usize = 100;

#[cfg(test)]
mod tests;
