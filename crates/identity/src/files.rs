//! Reading and writing of key and certificate files: bounded, and careful about who may read them.
//!
//! It knows nothing about what is in the files.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use thiserror::Error;
use zeroize::Zeroizing;

use crate::leaf::hex;
use crate::random::fill_random;

#[cfg(test)]
mod tests;

/// Says whether a file that exists may be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overwrite {
    /// An existing file is an error.
    Refuse,
    /// An existing file is replaced in one step.
    Replace,
}

/// Says which file could not be read or written, and why; never what is in it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FileError {
    /// There is no such file.
    #[error("`{}` does not exist: check the path", .path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file is there and the system refuses to read it.
    #[error("`{}` cannot be read: {source}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is larger than any file of its kind.
    #[error(
        "`{}` is larger than {max_mib} MiB, and so not the file that is meant: check the path",
        .path.display()
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// How large it may be, in MiB.
        max_mib: usize,
    },
    /// Others than the owner may use the secret.
    #[error(
        "`{}` holds a secret and others than its owner have access (mode {mode:03o}): run \
         `chmod 600` on it, and replace the key if the machine is shared", .path.display()
    )]
    OpenToOthers {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file exists and may not be replaced.
    #[error("`{}` exists already: choose another place, or ask to overwrite it", .path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file or its folder cannot be written.
    #[error("`{}` cannot be written: {source}", .path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl FileError {
    /// Returns the stable code for this error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "file_missing",
            Self::Unreadable { .. } => "file_unreadable",
            Self::TooLarge { .. } => "file_too_large",
            Self::OpenToOthers { .. } => "file_open_to_others",
            Self::Exists { .. } => "file_exists",
            Self::Unwritable { .. } => "file_unwritable",
        }
    }
}

/// Reads a file that anybody may see.
pub(crate) fn read_public(path: &Path) -> Result<Vec<u8>, FileError> {
    let mut bytes = Vec::new();
    read_into(path, open(path)?, &mut bytes)?;
    Ok(bytes)
}

/// Reads a revocation list, which names every certificate that was taken back.
pub(crate) fn read_list(path: &Path) -> Result<Vec<u8>, FileError> {
    let mut bytes = Vec::new();
    read_up_to(path, open(path)?, &mut bytes, LIST_BYTES_MAX)?;
    Ok(bytes)
}

/// Reads a file that only its owner may have access to; what is read is wiped when dropped.
///
/// # Errors
/// Refuses a file that others than its owner may read, that is no regular file, or is over 1 MiB.
pub fn read_secret(path: &Path) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let file = open(path)?;
    let metadata = file.metadata().map_err(|source| unreadable(path, source))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(FileError::OpenToOthers { path: path.to_owned(), mode });
    }
    // Room for all of it beforehand: growing would leave copies behind that nobody wipes.
    let room = usize::try_from(metadata.len()).unwrap_or(FILE_BYTES_MAX).min(FILE_BYTES_MAX) + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    read_into(path, file, &mut bytes)?;
    Ok(bytes)
}

fn open(path: &Path) -> Result<File, FileError> {
    // A pipe would block the open; ask before.
    let metadata = fs::metadata(path).map_err(|source| unreadable(path, source))?;
    if !metadata.is_file() {
        let source = io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file");
        return Err(unreadable(path, source));
    }
    File::open(path).map_err(|source| unreadable(path, source))
}

fn read_into(path: &Path, file: File, bytes: &mut Vec<u8>) -> Result<(), FileError> {
    read_up_to(path, file, bytes, FILE_BYTES_MAX)
}

fn read_up_to(path: &Path, file: File, bytes: &mut Vec<u8>, max: usize) -> Result<(), FileError> {
    let limit = u64::try_from(max).unwrap_or(u64::MAX);
    file.take(limit.saturating_add(1))
        .read_to_end(bytes)
        .map_err(|source| unreadable(path, source))?;
    if bytes.len() > max {
        return Err(FileError::TooLarge { path: path.to_owned(), max_mib: max >> 20 });
    }
    Ok(())
}

fn unreadable(path: &Path, source: io::Error) -> FileError {
    let path = path.to_owned();
    if source.kind() == io::ErrorKind::NotFound {
        FileError::Missing { path }
    } else {
        FileError::Unreadable { path, source }
    }
}

/// Who may read a file that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    Everyone,
    Owner,
}

/// Writes a file that only its owner may have access to; it appears whole or not at all.
///
/// # Errors
/// Fails if the file exists and may not be replaced, or cannot be written.
pub fn write_secret(path: &Path, bytes: &[u8], overwrite: Overwrite) -> Result<(), FileError> {
    write(path, bytes, Audience::Owner, overwrite)
}

/// Writes a file so that it appears whole or not at all, and never under a wider mode than wanted.
pub(crate) fn write(
    path: &Path,
    bytes: &[u8],
    audience: Audience,
    overwrite: Overwrite,
) -> Result<(), FileError> {
    let unwritable = |source| FileError::Unwritable { path: path.to_owned(), source };
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    fs::create_dir_all(folder).map_err(unwritable)?;
    let draft = folder.join(draft_name().map_err(unwritable)?);
    let written = write_draft(&draft, bytes, audience).and_then(|()| match overwrite {
        Overwrite::Replace => fs::rename(&draft, path),
        // A link, unlike a rename, fails if somebody made the file in the meantime.
        Overwrite::Refuse => fs::hard_link(&draft, path).and_then(|()| fs::remove_file(&draft)),
    });
    if let Err(source) = written {
        // The draft may never have come to be; the first error is the one to report.
        let _leftover = fs::remove_file(&draft);
        return Err(if source.kind() == io::ErrorKind::AlreadyExists {
            FileError::Exists { path: path.to_owned() }
        } else {
            unwritable(source)
        });
    }
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(unwritable)
}

/// Refuses if one of the files exists, so that a pair is not half written.
pub(crate) fn refuse_existing(paths: &[&Path]) -> Result<(), FileError> {
    match paths.iter().find(|path| path.symlink_metadata().is_ok()) {
        Some(path) => Err(FileError::Exists { path: path.to_path_buf() }),
        None => Ok(()),
    }
}

fn write_draft(draft: &Path, bytes: &[u8], audience: Audience) -> io::Result<()> {
    let mode = match audience {
        Audience::Everyone => 0o644,
        Audience::Owner => 0o600,
    };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(draft)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn draft_name() -> io::Result<String> {
    let mut random = [0_u8; 8];
    fill_random(&mut random).map_err(io::Error::other)?;
    Ok(format!(".draft-{}", hex(&random)))
}

/// LIMIT: far above any bundle of certificate authorities.
const FILE_BYTES_MAX: usize = 1024 * 1024;
/// LIMIT: about 400,000 revoked certificates.
const LIST_BYTES_MAX: usize = 16 * 1024 * 1024;
