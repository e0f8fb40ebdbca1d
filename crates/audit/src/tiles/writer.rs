//! Writes tiles so that what was flushed survives a loss of power.
//!
//! INVARIANT: the tiles of a level are on disk before those of the next one are written. So a
//! hash in a tile proves that the full tile below it is there, and the edge of the tree is found
//! from the top.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::{TileError, WIDTH, full_path, partial_folder, partial_widths, read_tile};
use crate::{Frontier, Hash};

/// The growing edge of a tree that is kept as tiles.
#[derive(Debug)]
pub struct TileWriter {
    dir: PathBuf,
    levels: Vec<Level>,
    /// Full tiles that are not on disk yet.
    waiting: Vec<FullTile>,
}

/// The edge of one level of tiles.
#[derive(Debug, Default)]
struct Level {
    /// The index of the tile at the edge: how many full ones there are before it.
    index: u64,
    /// The hashes of that tile, fewer than a full one has.
    hashes: Vec<Hash>,
    /// How many of them are on disk.
    on_disk: usize,
}

#[derive(Debug)]
struct FullTile {
    level: usize,
    index: u64,
    hashes: Vec<Hash>,
}

impl TileWriter {
    /// Opens the tree in a folder, making the folder if there is none, and finds how far it is.
    ///
    /// What a crash left of a flush is taken if it is whole and otherwise removed. So only leaves
    /// of records that are on disk may be added: those of others would stay.
    ///
    /// # Errors
    /// Fails if the folder cannot be made or a tile cannot be read.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, TileError> {
        let dir = dir.as_ref().to_owned();
        make_folder(&dir.join("tile")).map_err(TileError::io(&dir, "make"))?;
        let mut writer = Self { dir, levels: Vec::new(), waiting: Vec::new() };
        let mut top = 0;
        while writer.dir.join("tile").join(top.to_string()).exists() {
            top += 1;
        }
        writer.levels.resize_with(top, Level::default);
        for level in (0..top).rev() {
            writer.find_edge(level)?;
        }
        Ok(writer)
    }

    /// Adds a leaf; it is on disk after the next [`TileWriter::flush`].
    ///
    /// # Errors
    /// Fails if full tiles have to be written first and cannot be; the leaf is then not added and
    /// may be tried again.
    pub fn append(&mut self, leaf: Hash) -> Result<(), TileError> {
        if self.waiting.len() >= WAITING_MAX {
            self.write(Extent::FullTiles)?;
        }
        self.push(0, leaf);
        Ok(())
    }

    /// Brings everything to the disk: full tiles, and the narrower ones that a proof for the
    /// present size needs.
    ///
    /// # Errors
    /// Fails if something cannot be written or synced; flush again, or open the tree anew.
    pub fn flush(&mut self) -> Result<(), TileError> {
        self.write(Extent::Everything)
    }

    /// Returns how many leaves the tree has, flushed or not.
    #[must_use]
    pub fn size(&self) -> u64 {
        let width = WIDTH as u64;
        self.levels.first().map_or(0, |leaves| {
            leaves.index.saturating_mul(width).saturating_add(leaves.hashes.len() as u64)
        })
    }

    /// Returns the edge of the tree.
    #[must_use]
    pub fn frontier(&self) -> Frontier {
        let mut nodes = Vec::new();
        for level in self.levels.iter().rev() {
            nodes.extend_from_slice(subtree(&level.hashes).nodes());
        }
        // INVARIANT: each level has as many hashes as one digit of the size to the base 256.
        Frontier::resume(self.size(), nodes).unwrap_or_default()
    }

    /// Returns the root of the tree.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.frontier().root()
    }

    /// Finds the edge of a level, when that of the one above is known.
    fn find_edge(&mut self, level: usize) -> Result<(), TileError> {
        let number = u32::try_from(level).unwrap_or(u32::MAX);
        // Only the hashes above prove that full tiles are here; there is one for each.
        let above = self.levels.get(level + 1);
        let proven =
            above.map_or(0, |above| above.index * WIDTH as u64 + above.hashes.len() as u64);
        if let Some(edge) = self.levels.get_mut(level) {
            edge.index = proven;
        }
        let mut index = proven;
        while let Some(hashes) = whole(&full_path(&self.dir, number, index), WIDTH)? {
            for hash in &hashes {
                self.push(level, *hash);
            }
            index += 1;
        }
        // These came from the disk.
        self.waiting.retain(|tile| tile.level != level);
        let folder = partial_folder(&self.dir, number, index);
        for width in partial_widths(&folder)? {
            if let Some(hashes) = whole(&folder.join(width.to_string()), width)? {
                if let Some(edge) = self.levels.get_mut(level) {
                    (edge.hashes, edge.on_disk) = (hashes, width);
                }
                break;
            }
        }
        Ok(())
    }

    fn push(&mut self, level: usize, hash: Hash) {
        if self.levels.len() <= level {
            self.levels.resize_with(level + 1, Level::default);
        }
        let Some(edge) = self.levels.get_mut(level) else { return };
        edge.hashes.push(hash);
        if edge.hashes.len() == WIDTH {
            let root = subtree(&edge.hashes).root();
            let hashes = std::mem::take(&mut edge.hashes);
            self.waiting.push(FullTile { level, index: edge.index, hashes });
            (edge.index, edge.on_disk) = (edge.index + 1, 0);
            self.push(level + 1, root);
        }
    }

    /// Writes level by level, each on disk before the next.
    fn write(&mut self, extent: Extent) -> Result<(), TileError> {
        let mut folders = Folders::default();
        for (number, level) in (0_u32..).zip(0..self.levels.len()) {
            for tile in self.waiting.iter().filter(|tile| tile.level == level) {
                let path = full_path(&self.dir, number, tile.index);
                folders.write(&self.dir, &path, &tile.hashes)?;
            }
            if let Some(edge) = self.levels.get(level)
                && extent == Extent::Everything
                && edge.hashes.len() > edge.on_disk
            {
                let path = partial_folder(&self.dir, number, edge.index);
                let path = path.join(edge.hashes.len().to_string());
                folders.write(&self.dir, &path, &edge.hashes)?;
            }
            folders.sync()?;
        }
        if extent == Extent::Everything {
            for edge in &mut self.levels {
                edge.on_disk = edge.hashes.len();
            }
        }
        self.remove_narrower()
    }

    /// Removes what full tiles have replaced; they are on disk.
    fn remove_narrower(&mut self) -> Result<(), TileError> {
        for tile in self.waiting.drain(..) {
            let number = u32::try_from(tile.level).unwrap_or(u32::MAX);
            let folder = partial_folder(&self.dir, number, tile.index);
            match fs::remove_dir_all(&folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(TileError::io(&folder, "remove")(error));
                }
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }
}

/// What is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    FullTiles,
    Everything,
}

/// Folders whose names are not on disk yet.
#[derive(Default)]
struct Folders {
    changed: BTreeSet<PathBuf>,
}

impl Folders {
    /// Writes a tile so that there is all of it or none; its name is on disk after the next sync.
    fn write(&mut self, dir: &Path, path: &Path, hashes: &[Hash]) -> Result<(), TileError> {
        let folder = path.parent().unwrap_or(dir);
        if !folder.exists() {
            let above = folder.ancestors().skip(1).take_while(|above| above.starts_with(dir));
            self.changed.extend(above.map(Path::to_owned));
            make_folder(folder).map_err(TileError::io(folder, "make"))?;
        }
        let draft = path.with_extension("draft");
        write_synced(&draft, hashes.as_flattened()).map_err(TileError::io(&draft, "write"))?;
        fs::rename(&draft, path).map_err(TileError::io(path, "rename"))?;
        self.changed.insert(folder.to_owned());
        Ok(())
    }

    fn sync(&mut self) -> Result<(), TileError> {
        for folder in std::mem::take(&mut self.changed) {
            let synced = File::open(&folder).and_then(|open| open.sync_all());
            synced.map_err(TileError::io(&folder, "sync"))?;
        }
        Ok(())
    }
}

/// Returns the tree over the hashes of one tile.
fn subtree(hashes: &[Hash]) -> Frontier {
    let mut tree = Frontier::new();
    for hash in hashes {
        tree.append(*hash);
    }
    tree
}

/// Returns a tile at the edge; a torn one is removed, to be written anew when the tree comes to it.
fn whole(path: &Path, width: usize) -> Result<Option<Vec<Hash>>, TileError> {
    match read_tile(path, width) {
        Err(TileError::Damaged { .. }) => {
            fs::remove_file(path).map_err(TileError::io(path, "remove"))?;
            Ok(None)
        }
        read => read,
    }
}

fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// LIMIT: full tiles in memory, of 8 KiB each.
const WAITING_MAX: usize = 64;
