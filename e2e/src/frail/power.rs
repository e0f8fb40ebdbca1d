//! Loss of power: what was not on disk is gone, or a part of it.

use std::collections::HashSet;

use super::Loss;
use super::tree::{Before, FileNode, Node, Number, PAGE_BYTES, ROOT, Tree};
use crate::Dice;

/// The smallest part of a write that a disk takes or does not take.
const SECTOR_BYTES: usize = 512;

impl Tree {
    /// Goes back to what is on disk, with more or less of what was on its way there.
    pub(super) fn lose_power(&mut self, loss: Loss, dice: &mut Dice) {
        let torn = self.last_write.take().filter(|_| loss == Loss::Some);
        for (number, node) in &mut self.nodes {
            match node {
                Node::File(file) => {
                    let torn = torn.filter(|(torn, ..)| torn == number);
                    file.lose(loss, torn.map(|(_, offset, len)| (offset, len)), dice);
                }
                Node::Folder(folder) => {
                    let pending = std::mem::take(&mut folder.pending);
                    let lasting = pending.into_iter().filter(|_| loss.spares(dice));
                    lasting.for_each(|change| change.apply(&mut folder.durable));
                    folder.names = folder.durable.clone();
                }
            }
        }
        self.forget_nameless();
    }

    fn forget_nameless(&mut self) {
        let (mut named, mut left) = (HashSet::new(), vec![ROOT]);
        while let Some(number) = left.pop() {
            if named.insert(number)
                && let Some(Node::Folder(folder)) = self.nodes.get(&number)
            {
                left.extend(folder.names.values().copied());
            }
        }
        self.nodes.retain(|number: &Number, _| named.contains(number));
    }
}

impl FileNode {
    fn lose(&mut self, loss: Loss, torn: Option<(usize, usize)>, dice: &mut Dice) {
        let before = std::mem::take(&mut self.before);
        let grown = self.bytes.len();
        let mut len = self.durable_len;
        // Room for all pages; the length follows at the end.
        self.bytes.resize(grown.max(len).next_multiple_of(PAGE_BYTES), 0);
        let lost = torn.map(|(offset, size)| torn_range(offset, size, dice));
        for (number, Before { page, is_given_up }) in before {
            let start = number * PAGE_BYTES;
            let is_torn = torn
                .is_some_and(|(offset, size)| start < offset + size && offset < start + PAGE_BYTES);
            let stays = !is_given_up && (is_torn || loss.spares(dice));
            for (sector, old) in page.chunks(SECTOR_BYTES).enumerate() {
                let at = start + sector * SECTOR_BYTES;
                let is_lost = lost.is_some_and(|(from, to)| is_torn && from <= at && at < to);
                if (!stays || is_lost)
                    && let Some(place) = self.bytes.get_mut(at..at + old.len())
                {
                    place.copy_from_slice(old);
                }
            }
            if stays {
                len = len.max(grown.min(start + PAGE_BYTES));
            }
        }
        self.bytes.truncate(len);
        self.bytes.resize(len, 0);
        self.durable_len = len;
    }
}

/// Returns the bytes of a write that the disk has not taken: its end, or a hole in it.
fn torn_range(offset: usize, size: usize, dice: &mut Dice) -> (usize, usize) {
    let mut roll = |bound: usize| usize::try_from(dice.below(bound as u64 + 1)).unwrap_or_default();
    let (first, end) = (offset / SECTOR_BYTES, (offset + size).div_ceil(SECTOR_BYTES));
    let from = first + roll(end - first);
    let to = if roll(1) == 0 { end } else { from + roll(end - from) };
    (from * SECTOR_BYTES, to * SECTOR_BYTES)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::ffi::OsStr;

    use super::*;
    use crate::frail::tree::FolderNode;

    fn file(tree: &mut Tree, name: &str) -> Number {
        tree.make(ROOT, OsStr::new(name), Node::File(FileNode::default())).unwrap()
    }

    fn bytes(tree: &mut Tree, name: &str) -> Option<Vec<u8>> {
        let number = tree.look_up(ROOT, OsStr::new(name)).ok()?;
        Some(tree.file(number).unwrap().bytes.clone())
    }

    #[test]
    fn what_was_synced_stays_and_the_rest_goes() {
        let (mut tree, mut dice) = (Tree::new(), Dice::from_seed(1));
        let number = file(&mut tree, "a");
        tree.write(number, 0, b"synced").unwrap();
        tree.sync(number).unwrap();
        tree.sync_folder(ROOT).unwrap();
        tree.write(number, 3, b"written").unwrap();
        file(&mut tree, "b");
        tree.lose_power(Loss::Everything, &mut dice);
        assert_eq!(bytes(&mut tree, "a").unwrap(), b"synced");
        assert_eq!(bytes(&mut tree, "b"), None);
        assert_eq!(tree.nodes.len(), 2);
    }

    #[test]
    fn a_renamed_file_has_its_old_name_until_the_folder_is_synced() {
        for is_synced in [false, true] {
            let (mut tree, mut dice) = (Tree::new(), Dice::from_seed(1));
            file(&mut tree, "a");
            tree.sync_folder(ROOT).unwrap();
            tree.rename((ROOT, OsStr::new("a")), (ROOT, OsStr::new("b"))).unwrap();
            if is_synced {
                tree.sync_folder(ROOT).unwrap();
            }
            tree.lose_power(Loss::Everything, &mut dice);
            assert_eq!(bytes(&mut tree, "a").is_some(), !is_synced);
            assert_eq!(bytes(&mut tree, "b").is_some(), is_synced);
        }
    }

    #[test]
    fn a_page_whose_sync_has_failed_is_lost_also_after_a_sync_that_succeeds() {
        let (mut tree, mut dice) = (Tree::new(), Dice::from_seed(1));
        let number = file(&mut tree, "a.seg");
        tree.write(number, 0, b"old").unwrap();
        tree.sync(number).unwrap();
        tree.sync_folder(ROOT).unwrap();
        tree.write(number, 0, b"new").unwrap();
        tree.failing_sync = Some(".seg".into());
        assert!(tree.sync(number).is_err());
        assert!(tree.sync(number).is_ok());
        tree.lose_power(Loss::Everything, &mut dice);
        assert_eq!(bytes(&mut tree, "a.seg").unwrap(), b"old");
    }

    #[test]
    fn the_last_write_is_torn_somewhere_between_nothing_and_all_of_it() {
        let mut seen = BTreeMap::new();
        for seed in 0..200 {
            let (mut tree, mut dice) = (Tree::new(), Dice::from_seed(seed));
            let number = file(&mut tree, "a");
            tree.write(number, 0, &[1; 4096]).unwrap();
            tree.sync(number).unwrap();
            tree.sync_folder(ROOT).unwrap();
            tree.write(number, 0, &[2; 4096]).unwrap();
            tree.lose_power(Loss::Some, &mut dice);
            let bytes = bytes(&mut tree, "a").unwrap();
            assert_eq!(bytes.len(), 4096);
            let (first, last) = (bytes[0], bytes[4095]);
            let new = bytes.iter().filter(|byte| **byte == 2).count();
            assert!(new.is_multiple_of(SECTOR_BYTES), "{new}");
            *seen.entry((first, last, new > 0, new < 4096)).or_insert(0) += 1;
        }
        // All of it, none of it, its beginning, its end, and all but a hole.
        for kind in [(2, 2, true, false), (1, 1, false, true), (2, 1, true, true)] {
            assert!(seen.contains_key(&kind), "{seen:?}");
        }
        assert!(seen.contains_key(&(1, 2, true, true)) && seen.contains_key(&(2, 2, true, true)));
    }

    #[test]
    fn a_full_disk_takes_what_needs_no_room() {
        let mut tree = Tree::new();
        let number = file(&mut tree, "a");
        tree.write(number, 0, b"abc").unwrap();
        tree.is_full = true;
        assert!(tree.write(number, 0, b"ABC").is_ok());
        assert!(tree.write(number, 1, b"ABC").is_err());
        assert!(tree.make(ROOT, OsStr::new("b"), Node::Folder(FolderNode::default())).is_err());
    }
}
