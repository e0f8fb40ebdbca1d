//! Reads and erases salts, also beside a running store.
//!
//! Nothing but slots and the list of erased salts is changed: record, chain and tree stay.

use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use audit::{Disk as _, RealDisk, SALT_BYTES, Salt};

use super::{ERASED, erased, offset, path};
use crate::embedded::OpenError;
use crate::embedded::change::Change;
use crate::embedded::folder::{Folder, numbered};
use crate::embedded::replay::{Step, Walk, decode};

/// Returns the salt of a record's commitment; nothing if it was erased or there never was one.
///
/// # Errors
///
/// Fails if archive or log cannot be read.
pub fn read_salt(dir: &Path, seq: u64) -> Result<Option<Salt>, OpenError> {
    let folder = Folder::new(dir);
    let audit = folder.audit();
    if erased(&audit).map_err(OpenError::io(&audit, "read"))?.contains(&seq) {
        return Ok(None);
    }
    if let Some(salt) = archived(&audit, seq)? {
        return Ok(Some(salt));
    }
    match logged(&folder, seq)? {
        Some(salt) => Ok(Some(salt)),
        // A checkpoint may have moved it between the two looks.
        None => archived(&audit, seq),
    }
}

/// Erases the salts of records, for good: after it nobody can check a guess of their payload, and
/// what the log still has of them is not taken up again.
///
/// # Errors
///
/// Fails if a file cannot be written; erase them again then.
pub fn erase_salts(dir: &Path, records: &[u64]) -> Result<(), OpenError> {
    let audit = Folder::new(dir).audit();
    let list = audit.join(ERASED);
    note(&audit, records).map_err(OpenError::io(&list, "write"))?;
    for seq in records {
        let Some(first) = file_of(&audit, *seq)? else { continue };
        let path = path(&audit, first);
        clear(&path, offset(first, *seq)).map_err(OpenError::io(&path, "write"))?;
    }
    Ok(())
}

/// Adds records to the list, which is on disk then.
fn note(audit: &Path, records: &[u64]) -> io::Result<()> {
    let file = RealDisk.open(&audit.join(ERASED))?;
    // Only one may append at a time; the store itself never does.
    file.lock()?;
    let known = erased(audit)?;
    let new: Vec<u8> = records
        .iter()
        .filter(|seq| !known.contains(seq))
        .flat_map(|seq| seq.to_le_bytes())
        .collect();
    // What a crash left of a last number is written over.
    let end = file.metadata()?.len() & !7;
    RealDisk.write(&file, &new, end)?;
    RealDisk.sync(&file)?;
    RealDisk.sync_folder(audit)
}

/// Clears a slot that is there.
fn clear(path: &Path, offset: u64) -> io::Result<()> {
    match std::fs::metadata(path) {
        Ok(found) if found.len() > offset => {}
        // It is not in the archive yet; the list keeps it from getting there.
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    let file = RealDisk.open(path)?;
    RealDisk.write(&file, Salt::NONE.bytes(), offset)?;
    RealDisk.sync(&file)
}

/// Returns which archive file would hold a record.
fn file_of(audit: &Path, seq: u64) -> Result<Option<u64>, OpenError> {
    let files = numbered(audit, "audit").map_err(OpenError::io(audit, "list"))?;
    Ok(files.into_iter().rfind(|first| *first <= seq))
}

fn archived(audit: &Path, seq: u64) -> Result<Option<Salt>, OpenError> {
    let Some(first) = file_of(audit, seq)? else { return Ok(None) };
    let path = path(audit, first);
    let mut bytes = [0; SALT_BYTES];
    let read = std::fs::File::open(&path)
        .and_then(|file| file.read_exact_at(&mut bytes, offset(first, seq)));
    match read {
        Ok(()) => Ok(Some(Salt::from_bytes(bytes)).filter(|salt| *salt != Salt::NONE)),
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof) =>
        {
            Ok(None)
        }
        Err(error) => Err(OpenError::io(&path, "read")(error)),
    }
}

/// Looks for the salt in the log's segments.
fn logged(folder: &Folder, seq: u64) -> Result<Option<Salt>, OpenError> {
    let log = folder.log();
    let mut found = None;
    for number in numbered(&log, "seg").map_err(OpenError::io(&log, "list"))? {
        match Walk::begin_segment(folder, number) {
            Ok(walk) if walk.segment.head.next_seq <= seq => found = Some(walk),
            Ok(_) => break,
            // It was emptied since it was listed: its records are in the archive now.
            Err(OpenError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    let Some(mut walk) = found else { return Ok(None) };
    loop {
        match walk.step()? {
            Step::Frame(frame) if frame.head.next_seq > seq => return Ok(None),
            Step::Frame(frame) => {
                for change in decode(&walk.segment, &frame)? {
                    if let Change::Record { seq: found, salt, .. } = change
                        && found == seq
                    {
                        return Ok(salt);
                    }
                }
            }
            Step::Next => {}
            Step::End(_) => return Ok(None),
        }
    }
}
