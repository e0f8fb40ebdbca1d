//! Reads policy files: each once, bounded, and only as a whole.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{ErrorKind, Read as _};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::{Fault, FaultCode, Place};

/// The files and folders that a policy is read from, in order.
///
/// Of a folder, the files that end in `.yaml`, `.yml` or `.cedar` are read in the order of their
/// names; those that begin with a dot or end in `.test.yaml`, and folders in it, are not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources(pub Vec<PathBuf>);

impl Sources {
    /// Reads all files. Each is opened once and read from what was opened then, so a link that is
    /// turned elsewhere meanwhile changes nothing.
    ///
    /// # Errors
    /// Returns which file is missing, no regular file, too large, no text, or changed while it
    /// was read.
    pub fn read(&self) -> Result<Vec<(PathBuf, String)>, Vec<Fault>> {
        let mut files = Vec::new();
        let mut total = 0;
        for path in self.files()? {
            let text = read(&path).map_err(|fault| vec![fault])?;
            total += text.len();
            if total > TOTAL_BYTES_MAX {
                let says = format!("the policy is larger than {TOTAL_BYTES_MAX} bytes with it");
                return Err(vec![Fault::new(FaultCode::TooLarge, Place::whole(&path), says)]);
            }
            files.push((path, text));
        }
        Ok(files)
    }

    /// Returns the files, with those of folders, in order.
    ///
    /// # Errors
    /// Returns which one is missing or cannot be listed, or that there are too many.
    pub fn files(&self) -> Result<Vec<PathBuf>, Vec<Fault>> {
        let mut files = Vec::new();
        for path in &self.0 {
            let metadata = std::fs::metadata(path);
            let found = match metadata.map_err(|error| unreadable(path, &error)) {
                Ok(metadata) if metadata.is_dir() => of_folder(path),
                Ok(_) => Ok(vec![path.clone()]),
                Err(fault) => Err(fault),
            };
            files.extend(found.map_err(|fault| vec![fault])?);
            if files.len() > FILES_MAX {
                let says = format!("there are more than {FILES_MAX} files with those of it");
                return Err(vec![Fault::new(FaultCode::TooLarge, Place::whole(path), says)]);
            }
        }
        Ok(files)
    }
}

/// Returns the policy files of a folder; that there is none is a fault, as denials may be missing.
fn of_folder(given: &Path) -> Result<Vec<PathBuf>, Fault> {
    let fail = |error: std::io::Error| unreadable(given, &error);
    // One look at where a link leads: the files are then all of one state of the folder.
    let folder = given.canonicalize().map_err(fail)?;
    let mut files = Vec::new();
    for (entry, count) in std::fs::read_dir(folder).map_err(fail)?.zip(1_usize..) {
        if count > ENTRIES_MAX {
            let says = format!("has more than {ENTRIES_MAX} entries; keep policies apart");
            return Err(Fault::new(FaultCode::TooLarge, Place::whole(given), says));
        }
        let path = entry.map_err(fail)?.path();
        // Names are compared as they are: what cannot be told must not be left out.
        let name = path.file_name().map(OsStrExt::as_bytes).unwrap_or_default();
        let is_policy = [".yaml", ".yml", ".cedar"]
            .iter()
            .any(|end| name.ends_with(end.as_bytes()) && name.len() > end.len());
        let is_test = [".test.yaml", ".test.yml"].iter().any(|end| name.ends_with(end.as_bytes()));
        if is_policy && !is_test && !name.starts_with(b".") && !path.is_dir() {
            files.push(path);
        }
    }
    if files.is_empty() {
        let says = "has no policy files; name another folder, or put them there".to_owned();
        return Err(Fault::new(FaultCode::Missing, Place::whole(given), says));
    }
    files.sort();
    Ok(files)
}

fn read(path: &Path) -> Result<String, Fault> {
    let place = Place::whole(path);
    let fail = |code, says: String| Err(Fault::new(code, place.clone(), says));
    let open = || -> std::io::Result<(File, Metadata)> {
        // Without waiting, should it be a pipe.
        let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        let metadata = file.metadata()?;
        Ok((file, metadata))
    };
    let (file, before) = open().map_err(|error| unreadable(path, &error))?;
    if !before.is_file() {
        return fail(FaultCode::Unreadable, "is no regular file".to_owned());
    }
    let mut bytes = Vec::new();
    let read = (&file).take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes);
    let after = read.and_then(|_count| file.metadata());
    let after = after.map_err(|error| unreadable(path, &error))?;
    if before.len().max(after.len()) > FILE_BYTES_MAX {
        let says = format!(
            "is larger than {FILE_BYTES_MAX} bytes, the most that is read; split it into several"
        );
        return fail(FaultCode::TooLarge, says);
    }
    let stamp =
        |it: &Metadata| (it.len(), it.mtime(), it.mtime_nsec(), it.ctime(), it.ctime_nsec());
    if stamp(&before) != stamp(&after) || u64::try_from(bytes.len()) != Ok(after.len()) {
        let says = "changed while it was read; write it beside its place and rename it".to_owned();
        return fail(FaultCode::Changed, says);
    }
    String::from_utf8(bytes)
        .map(|text| text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
        .or_else(|error| {
            let at = error.utf8_error().valid_up_to();
            fail(FaultCode::Syntax, format!("is not UTF-8 text, from byte {at}"))
        })
}

fn unreadable(path: &Path, error: &std::io::Error) -> Fault {
    if error.kind() == ErrorKind::NotFound {
        let says = "there is no such file or folder; check its name".to_owned();
        return Fault::new(FaultCode::Missing, Place::whole(path), says);
    }
    Fault::new(FaultCode::Unreadable, Place::whole(path), format!("cannot be read: {error}"))
}

/// LIMIT: bytes of one policy file; one with 10,000 rules has a quarter of it.
const FILE_BYTES_MAX: u64 = 8_388_608;
/// LIMIT: bytes of all policy files together.
const TOTAL_BYTES_MAX: usize = 33_554_432;
/// LIMIT: files of one policy.
const FILES_MAX: usize = 1_000;
/// LIMIT: entries of a folder that are looked at.
const ENTRIES_MAX: usize = 10_000;
