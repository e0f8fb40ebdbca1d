//! Reads the tree's hashes from tiles and makes proofs of them.
//!
//! It takes no lock: a tile that is there never changes, so it can be read beside the writer.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::{HEIGHT, TileError, WIDTH, full_path, partial_folder, partial_widths, read_tile};
use crate::tree;
use crate::{Frontier, Hash};

/// The tiles in a folder, for reading.
#[derive(Debug)]
pub struct TileSource {
    dir: PathBuf,
    /// The tile of each level that was read last.
    last: HashMap<u32, (u64, Vec<Hash>)>,
}

impl TileSource {
    /// Returns the tiles in a folder; that they are there shows when they are read.
    #[must_use]
    pub fn new(dir: impl AsRef<Path>) -> Self {
        Self { dir: dir.as_ref().to_owned(), last: HashMap::new() }
    }

    /// Returns the root of the tree's first `size` leaves.
    ///
    /// # Errors
    /// Fails if a tile cannot be read or the tree is smaller.
    pub fn root(&mut self, size: u64) -> Result<Hash, TileError> {
        tree::tree_root(size, |level, index| self.node(level, index))
    }

    /// Returns the hash of the leaf at `index`, counted from 0.
    ///
    /// # Errors
    /// Fails if a tile cannot be read or the tree has no such leaf.
    pub fn leaf(&mut self, index: u64) -> Result<Hash, TileError> {
        self.node(0, index)
    }

    /// Returns the proof that the leaf at `index`, counted from 0, is in the tree of `size` leaves;
    /// nothing if that has no such leaf.
    ///
    /// # Errors
    /// Fails if a tile cannot be read or the tree is smaller.
    pub fn inclusion(&mut self, index: u64, size: u64) -> Result<Option<Vec<Hash>>, TileError> {
        tree::inclusion_proof(index, size, |level, index| self.node(level, index))
    }

    /// Returns the proof that the tree of `old` leaves is the beginning of that of `new`; nothing
    /// if `old` is greater.
    ///
    /// # Errors
    /// Fails if a tile cannot be read or the tree is smaller.
    pub fn consistency(&mut self, old: u64, new: u64) -> Result<Option<Vec<Hash>>, TileError> {
        tree::consistency_proof(old, new, |level, index| self.node(level, index))
    }

    /// Returns the edge of the tree's first `size` leaves.
    ///
    /// # Errors
    /// Fails if a tile cannot be read or the tree is smaller.
    pub fn frontier(&mut self, size: u64) -> Result<Frontier, TileError> {
        let bits = (0..u64::BITS).rev().filter(|bit| size >> bit & 1 == 1);
        let nodes: Result<Vec<Hash>, _> =
            bits.map(|bit| self.node(bit, (size >> bit) - 1)).collect();
        // INVARIANT: there is a node for each one bit, so this resumes.
        Ok(Frontier::resume(size, nodes?).unwrap_or_default())
    }

    /// Returns the root of the subtree of `2^level` leaves that begins at leaf `index * 2^level`.
    ///
    /// # Errors
    /// Fails if a tile cannot be read or the tree is smaller.
    pub fn node(&mut self, level: u32, index: u64) -> Result<Hash, TileError> {
        let (tile_level, height) = (level / HEIGHT, level % HEIGHT);
        let (width, count) = (WIDTH as u64, 1_u64 << height);
        // A tile holds a power of two of such subtrees, so none lies in two.
        let (tile, at) = (index / (width / count), index % (width / count) * count);
        let from = usize::try_from(at).unwrap_or(WIDTH);
        let to = from + usize::try_from(count).unwrap_or(WIDTH);
        let mut subtree = Frontier::new();
        for hash in self.tile(tile_level, tile, to)?.get(from..to).unwrap_or_default() {
            subtree.append(*hash);
        }
        Ok(subtree.root())
    }

    /// Returns a tile of at least this width.
    fn tile(&mut self, level: u32, index: u64, width: usize) -> Result<&[Hash], TileError> {
        let known = self.last.get(&level);
        if known.is_none_or(|(tile, hashes)| *tile != index || hashes.len() < width) {
            let hashes = self.read(level, index, width)?;
            self.last.insert(level, (index, hashes));
        }
        Ok(self.last.get(&level).map(|(_, hashes)| &hashes[..]).unwrap_or_default())
    }

    fn read(&self, level: u32, index: u64, width: usize) -> Result<Vec<Hash>, TileError> {
        let path = full_path(&self.dir, level, index);
        if let Some(hashes) = read_tile(&path, WIDTH)? {
            return Ok(hashes);
        }
        let folder = partial_folder(&self.dir, level, index);
        for found in partial_widths(&folder)?.into_iter().take_while(|found| *found >= width) {
            if let Some(hashes) = read_tile(&folder.join(found.to_string()), found)? {
                return Ok(hashes);
            }
        }
        // It may have become full between the two looks.
        read_tile(&path, WIDTH)?.ok_or(TileError::Missing { path })
    }
}
