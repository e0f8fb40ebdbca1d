//! The audit log as one sequence: the archive's files, then the log segments behind them.
//!
//! It takes no lock, so an auditor can read while the server runs: what moves from the log to
//! the archive meanwhile is found there.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use audit::{ArchiveError, ArchiveReader, Damage, Entries, Entry, Fault, Spot, file_name};

use super::OpenError;
use super::archive;
use super::folder::{Folder, numbered};
use super::replay::{Step, Walk, decode, entries};

/// The audit entries of a store from a number on.
#[derive(Debug)]
pub struct AuditTrail {
    folder: Folder,
    /// The number that is wanted next.
    next: u64,
    source: Source,
    /// Where the entry returned last begins.
    last: Option<Spot>,
    /// How often the log was left for the archive because a segment had gone.
    returns: u32,
}

#[derive(Debug)]
enum Source {
    Unread,
    Archive { files: VecDeque<PathBuf>, reader: Option<ArchiveReader> },
    Log { walk: Option<Box<Walk>>, ready: VecDeque<(Entry, Spot)> },
    Done,
}

/// Reads the audit log of the store in a folder, from a number on, up to its durable end.
///
/// Nothing is locked or changed, so it works beside a running server. An entry that cannot be
/// read is reported with its place; damage in the log itself ends the reading.
pub fn read_audit(dir: &Path, from: u64) -> AuditTrail {
    AuditTrail::of(Folder::new(dir), from)
}

impl AuditTrail {
    pub(super) const fn of(folder: Folder, from: u64) -> Self {
        let next = if from == 0 { 1 } else { from };
        Self { folder, next, source: Source::Unread, last: None, returns: 0 }
    }

    /// Returns the number of the entry that comes next.
    pub(super) const fn next_seq(&self) -> u64 {
        self.next
    }

    /// Lists the files that can hold the wanted entry or later ones.
    fn list_archive(&self) -> Result<Source, Damage> {
        let folder = self.folder.audit();
        let firsts = archive::files(&folder).map_err(|error| lost(&folder, error))?;
        let skip = firsts.iter().rposition(|first| *first <= self.next).unwrap_or_default();
        let files = firsts.into_iter().skip(skip).map(|first| folder.join(file_name(first)));
        Ok(Source::Archive { files: files.collect(), reader: None })
    }

    /// Finds the segment that holds the wanted entry.
    fn enter_log(&self) -> Result<Source, Damage> {
        let log = self.folder.log();
        let unreadable = |error: io::Error| damage(&log, 0, Fault::Unreadable(error.kind()));
        let mut found = None;
        for number in numbered(&log, "seg").map_err(unreadable)? {
            match Walk::begin_segment(&self.folder, number) {
                Ok(walk) if found.is_some() && walk.segment.head.next_seq > self.next => break,
                Ok(walk) => found = Some(Box::new(walk)),
                // It was emptied since it was listed: its entries are in the archive now.
                Err(OpenError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(placed(&error)),
            }
        }
        Ok(Source::Log { walk: found, ready: VecDeque::new() })
    }

    /// Returns the next entry of the current source; nothing when it has no more.
    fn pull(&mut self) -> Result<Option<Entry>, Damage> {
        match &mut self.source {
            Source::Archive { files, reader } => loop {
                match reader.as_mut().and_then(Iterator::next) {
                    Some(Ok(entry)) => {
                        self.last = reader.as_ref().and_then(Entries::spot);
                        return Ok(Some(entry));
                    }
                    Some(Err(damage)) => {
                        let is_last = files.is_empty();
                        return self.damaged(damage, is_last);
                    }
                    None => {
                        let Some(path) = files.pop_front() else { return Ok(None) };
                        *reader = Some(ArchiveReader::open(&path).map_err(|e| lost(&path, e))?);
                    }
                }
            },
            Source::Unread | Source::Log { walk: None, .. } | Source::Done => Ok(None),
            Source::Log { walk: Some(walk), ready } => {
                while ready.is_empty() {
                    match fetch(walk, ready, self.next)? {
                        Fetched::More => {}
                        Fetched::End => return Ok(None),
                        Fetched::Gone(damage) => {
                            self.start_over(damage)?;
                            return self.pull();
                        }
                    }
                }
                Ok(ready.pop_front().map(|(entry, spot)| {
                    self.last = Some(spot);
                    entry
                }))
            }
        }
    }

    /// Passes from a broken end of the archive to the log, if that has what is missing. The server
    /// is writing it, or lost its power before it was on disk.
    fn damaged(&mut self, damage: Damage, is_last: bool) -> Result<Option<Entry>, Damage> {
        // A file is only cut by a server that starts, which writes what is missing again.
        let is_cut = matches!(damage.what, Fault::Unreadable(io::ErrorKind::UnexpectedEof));
        let is_torn = matches!(damage.what, Fault::TornTail { .. });
        let is_hole = matches!(damage.what, Fault::Broken { .. } | Fault::NotAnArchive);
        if !is_last || !(is_cut || is_torn || is_hole) {
            return Err(damage);
        }
        if self.is_in_log()? {
            return Ok(None);
        }
        if is_hole {
            return Err(damage);
        }
        // Written to its end and gone from the log since, if the server runs.
        self.start_over(damage)?;
        self.pull()
    }

    /// Returns whether the log goes back to the wanted entry.
    fn is_in_log(&self) -> Result<bool, Damage> {
        let log = self.folder.log();
        let unreadable = |error: io::Error| damage(&log, 0, Fault::Unreadable(error.kind()));
        let Some(lowest) = numbered(&log, "seg").map_err(unreadable)?.first().copied() else {
            return Ok(false);
        };
        let walk = Walk::begin_segment(&self.folder, lowest);
        Ok(walk.is_ok_and(|walk| walk.segment.head.next_seq <= self.next))
    }

    /// Looks in the archive for what is no longer in the log; gives up after a few times.
    fn start_over(&mut self, damage: Damage) -> Result<(), Damage> {
        self.returns += 1;
        if self.returns > RETURNS_MAX {
            return Err(damage);
        }
        self.source = self.list_archive()?;
        Ok(())
    }

    fn advance(&mut self) -> Result<Option<Entry>, Damage> {
        loop {
            let pulled = self.pull()?;
            match (&self.source, pulled) {
                (_, Some(entry)) if entry.link.seq < self.next => {}
                (Source::Log { .. }, Some(entry)) if entry.link.seq > self.next => {
                    // The segment in between went to the archive since it was read.
                    let missing = damage(&self.folder.log(), 0, Fault::Broken { bytes: 0 });
                    self.start_over(missing)?;
                }
                (_, Some(entry)) => {
                    self.next = entry.link.seq.saturating_add(1);
                    return Ok(Some(entry));
                }
                (Source::Unread, None) => self.source = self.list_archive()?,
                (Source::Archive { .. }, None) => {
                    // Not looked for again if that fails: the archive has no more.
                    self.source = Source::Done;
                    self.source = self.enter_log()?;
                }
                (Source::Log { .. } | Source::Done, None) => return Ok(None),
            }
        }
    }
}

impl Iterator for AuditTrail {
    type Item = Result<Entry, Damage>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.advance() {
            Ok(Some(entry)) => Some(Ok(entry)),
            Ok(None) => {
                self.source = Source::Done;
                None
            }
            Err(damage) => {
                // An archive can be read on behind damage, the log cannot.
                if !matches!(self.source, Source::Archive { .. }) {
                    self.source = Source::Done;
                }
                Some(Err(damage))
            }
        }
    }
}

impl Entries for AuditTrail {
    fn spot(&self) -> Option<Spot> {
        self.last.clone()
    }
}

/// What a look for the next frame found.
enum Fetched {
    More,
    End,
    /// The segment was taken away while it was read.
    Gone(Damage),
}

/// Reads the wanted entries of the next frame.
fn fetch(
    walk: &mut Walk,
    ready: &mut VecDeque<(Entry, Spot)>,
    next: u64,
) -> Result<Fetched, Damage> {
    match walk.step() {
        Ok(Step::Frame(frame)) => {
            let changes = decode(&walk.segment, &frame).map_err(|error| placed(&error))?;
            let spot = Spot { path: Arc::new(walk.segment.path.clone()), offset: frame.offset };
            let wanted = entries(changes).map(|(entry, _salt)| entry);
            let wanted = wanted.filter(|entry| entry.link.seq >= next);
            ready.extend(wanted.map(|entry| (entry, spot.clone())));
            Ok(Fetched::More)
        }
        Ok(Step::Next) => Ok(Fetched::More),
        Ok(Step::End(_)) => {
            let path = walk.segment.path.clone();
            at_end(walk).map_err(|e| damage(&path, walk.offset, Fault::Unreadable(e.kind())))
        }
        Err(error) => Ok(Fetched::Gone(placed(&error))),
    }
}

/// Tells the end of the log from damage in it and from a segment that has gone.
fn at_end(walk: &Walk) -> io::Result<Fetched> {
    let broken =
        |bytes| Fetched::Gone(damage(&walk.segment.path, walk.offset, Fault::Broken { bytes }));
    if walk.is_followed()? {
        return Ok(broken(0));
    }
    let behind = walk.segment.frames_behind(walk.offset)?;
    let proof = behind.iter().find(|frame| frame.head.synced > walk.position());
    let bytes = proof.map(|proof| proof.offset.saturating_sub(walk.offset));
    // A snapshot is named by a position up to which the log was on disk.
    let newest = numbered(&walk.folder().snapshots(), "snap")?.last().copied();
    let bytes = bytes.or_else(|| newest?.checked_sub(walk.position()).filter(|bytes| *bytes > 0));
    let Some(bytes) = bytes else { return Ok(Fetched::End) };
    // A running server may have written both frames since: then this one is whole now.
    if walk.is_whole()? {
        return Ok(Fetched::More);
    }
    Ok(broken(bytes))
}

fn damage(path: &Path, offset: u64, what: Fault) -> Damage {
    Damage { path: path.to_owned(), offset, what }
}

fn lost(path: &Path, error: ArchiveError) -> Damage {
    match error {
        ArchiveError::Damaged(damage) => damage,
        ArchiveError::Io { path, source, .. } => damage(&path, 0, Fault::Unreadable(source.kind())),
        ArchiveError::OutOfOrder { .. }
        | ArchiveError::LongBody { .. }
        | ArchiveError::Poisoned { .. } => damage(path, 0, Fault::Broken { bytes: 0 }),
    }
}

fn placed(error: &OpenError) -> Damage {
    match error {
        OpenError::Corrupt { file, offset, .. } => {
            damage(file, *offset, Fault::Broken { bytes: 0 })
        }
        OpenError::Io { path, source, .. } => damage(path, 0, Fault::Unreadable(source.kind())),
        OpenError::Newer { file, version, .. } | OpenError::Older { file, version, .. } => {
            let version = u8::try_from(*version).unwrap_or(u8::MAX);
            damage(file, 0, Fault::OtherVersion { version })
        }
        OpenError::NotAFolder { path } | OpenError::Locked { path, .. } => {
            damage(path, 0, Fault::Unreadable(io::ErrorKind::NotADirectory))
        }
    }
}

/// LIMIT: how often a reading starts over because the log moved on beneath it.
const RETURNS_MAX: u32 = 8;
