//! The tree's hashes as files: the tiles of C2SP tlog-tiles.
//!
//! `tile/<level>/<index>` holds 256 hashes, `tile/<level>/<index>.p/<width>` the first few of a
//! tile that is not full yet. A tile of level L holds roots of subtrees of 256^L leaves. Bodies
//! are not kept here (no `tile/entries`): archive and log hold them.

mod source;
mod writer;

use std::io;
use std::path::{Path, PathBuf};

pub use source::TileSource;
pub use writer::TileWriter;

use crate::Hash;

/// Says why tiles could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum TileError {
    /// The file system refused.
    #[error("{}: cannot {verb}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        verb: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// The tree on disk does not reach as far as was asked for.
    #[error("{} is not there: the tree does not reach so far", path.display())]
    Missing {
        /// The tile that would hold it.
        path: PathBuf,
    },
    /// A file does not have the size of its tile.
    #[error(
        "{} has {bytes} bytes, not those of a tile; remove the tree to have it built anew",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
}

impl TileError {
    fn io(path: &Path, verb: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, verb, source }
    }
}

/// Returns the path of a full tile below the tree's folder.
fn full_path(dir: &Path, level: u32, index: u64) -> PathBuf {
    let mut groups = vec![format!("{:03}", index % 1_000)];
    let mut rest = index / 1_000;
    while rest > 0 {
        groups.push(format!("x{:03}", rest % 1_000));
        rest /= 1_000;
    }
    let mut path = dir.join("tile").join(level.to_string());
    path.extend(groups.iter().rev());
    path
}

/// Returns the folder of the narrower versions of a tile.
fn partial_folder(dir: &Path, level: u32, index: u64) -> PathBuf {
    // The last part of the name has no extension, so nothing of it is replaced.
    full_path(dir, level, index).with_extension("p")
}

/// Returns the hashes in a file; nothing if it is not there.
fn read_tile(path: &Path, width: usize) -> Result<Option<Vec<Hash>>, TileError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(TileError::io(path, "read")(error)),
    };
    let (hashes, rest) = bytes.as_chunks();
    if hashes.len() != width || !rest.is_empty() {
        return Err(TileError::Damaged { path: path.to_owned(), bytes: bytes.len() as u64 });
    }
    Ok(Some(hashes.to_vec()))
}

/// Returns the widths of the narrower versions of a tile that are there, the widest first.
fn partial_widths(folder: &Path) -> Result<Vec<usize>, TileError> {
    let mut widths = Vec::new();
    match std::fs::read_dir(folder) {
        Ok(found) => {
            for file in found {
                let name = file.map_err(TileError::io(folder, "list"))?.file_name();
                let width = name.to_str().and_then(|name| name.parse().ok());
                widths.extend(width.filter(|width| (1..WIDTH).contains(width)));
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(TileError::io(folder, "list")(error)),
    }
    widths.sort_unstable_by(|a, b| b.cmp(a));
    Ok(widths)
}

/// How many hashes a full tile has.
const WIDTH: usize = 256;
/// How many levels of the tree a tile covers.
const HEIGHT: u32 = 8;

#[cfg(test)]
mod tests;
