//! Why a store could not be opened, with the place and what to do.
//!
//! Errors of a running store are the port's `StoreError`.

use std::io;
use std::path::{Path, PathBuf};

/// Says why a store could not be opened; nothing on disk was changed by the attempt.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The path names a file.
    #[error("{} is not a folder; name a folder for the store", path.display())]
    NotAFolder {
        /// The path.
        path: PathBuf,
    },
    /// Another process has the store open.
    #[error(
        "{} is in use by {}; stop it first or name another folder",
        path.display(),
        pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
    )]
    Locked {
        /// The folder.
        path: PathBuf,
        /// The process, if it has left its number.
        pid: Option<u32>,
    },
    /// The system refused an operation.
    #[error(
        "cannot {doing} {}: {source}; check that the folder exists and may be written",
        path.display()
    )]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// A file was written by a later version of this program.
    #[error(
        "{} has format version {version}, this program knows up to {known}; use the program that \
         wrote it",
        file.display()
    )]
    Newer {
        /// The file.
        file: PathBuf,
        /// Its version.
        version: u32,
        /// The latest version that is known here.
        known: u32,
    },
    /// A file was written by an earlier version of this program that was never released.
    #[error(
        "{} has format version {version}, this program reads version {known} only; keep the folder \
         for the program that wrote it and name another one",
        file.display()
    )]
    Older {
        /// The file.
        file: PathBuf,
        /// Its version.
        version: u32,
        /// The version that is known here.
        known: u32,
    },
    /// Stored bytes are damaged.
    #[error(
        "{} is damaged at byte {offset}: {what}; restore the folder from a copy",
        file.display()
    )]
    Corrupt {
        /// The file.
        file: PathBuf,
        /// Where in the file.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
}

impl OpenError {
    /// Returns the stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotAFolder { .. } => "store_not_a_folder",
            Self::Locked { .. } => "store_locked",
            Self::Io { .. } => "store_unusable",
            Self::Newer { .. } => "store_newer",
            Self::Older { .. } => "store_older",
            Self::Corrupt { .. } => "store_corrupt",
        }
    }

    /// Returns a function that adds path and deed to an error of the system.
    pub(super) fn io(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, doing, source }
    }

    pub(super) fn corrupt(file: &Path, offset: u64, what: impl Into<String>) -> Self {
        Self::Corrupt { file: file.to_owned(), offset, what: what.into() }
    }
}
