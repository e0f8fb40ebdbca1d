//! Tiles hold the tree of the definition, at every size and after every interruption.

use std::collections::BTreeMap;
use std::fs;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::{Frontier, leaf_hash, tree_root, verify_consistency, verify_inclusion};

fn leaf(n: u64) -> Hash {
    leaf_hash(&n.to_be_bytes())
}

fn expected(size: u64) -> Hash {
    let mut tree = Frontier::new();
    (0..size).for_each(|n| tree.append(leaf(n)));
    tree.root()
}

fn extend(writer: &mut TileWriter, to: u64) {
    for n in writer.size()..to {
        writer.append(leaf(n)).unwrap();
    }
}

/// A flushed tree of this size.
fn tree(size: u64) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = TileWriter::open(folder.path()).unwrap();
    extend(&mut writer, size);
    writer.flush().unwrap();
    folder
}

/// All files below a folder with their bytes, by their path from there.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_owned();
                found.insert(name, fs::read(path).unwrap());
            }
        }
    }
    found
}

#[test]
fn paths_are_those_of_the_specification() {
    let path = |level, index| full_path(Path::new(""), level, index).display().to_string();
    assert_eq!(path(0, 0), "tile/0/000");
    assert_eq!(path(1, 67), "tile/1/067");
    assert_eq!(path(0, 1_000), "tile/0/x001/000");
    assert_eq!(path(3, 1_234_067), "tile/3/x001/x234/067");
    let partial = partial_folder(Path::new(""), 0, 1_234_067).join("8");
    assert_eq!(partial.display().to_string(), "tile/0/x001/x234/067.p/8");
}

#[test]
fn a_tree_of_seventy_thousand_leaves_has_the_tiles_of_the_specification() {
    let folder = tree(70_000);
    let names: Vec<String> =
        files(folder.path()).into_keys().map(|path| path.display().to_string()).collect();
    assert_eq!(names.iter().filter(|name| name.starts_with("tile/0/")).count(), 274);
    for name in ["tile/0/000", "tile/0/272", "tile/0/273.p/112", "tile/1/000", "tile/1/001.p/17"] {
        assert!(names.iter().any(|found| found == name), "{name}");
    }
    assert!(names.contains(&"tile/2/000.p/1".to_owned()));
    let tiles = files(folder.path());
    assert_eq!(tiles[Path::new("tile/0/000")][..32], leaf(0));
    let mut first = Frontier::new();
    (0..256).for_each(|n| first.append(leaf(n)));
    assert_eq!(tiles[Path::new("tile/1/000")][..32], first.root());
    let (hashes, _) = tiles[Path::new("tile/1/000")].as_chunks::<32>();
    let root = tree_root::<()>(256, |level, index| {
        let (from, count) = (usize::try_from(index << level).unwrap(), 1 << level);
        Ok(hashes[from..from + count]
            .iter()
            .fold(Frontier::new(), |mut tree, hash| {
                tree.append(*hash);
                tree
            })
            .root())
    });
    assert_eq!(tiles[Path::new("tile/2/000.p/1")][..32], root.unwrap());
    assert_eq!(TileSource::new(folder.path()).root(70_000).unwrap(), expected(70_000));
}

#[test]
fn the_edge_is_found_again_at_every_size() {
    let folder = tempfile::tempdir().unwrap();
    let mut whole = Frontier::new();
    let sizes = (0..=20).chain(250..=260).chain(508..=516);
    for size in sizes.chain([1_000, 65_535, 65_536, 65_537, 65_800]) {
        let mut writer = TileWriter::open(folder.path()).unwrap();
        assert_eq!(writer.frontier(), whole, "size {size}");
        extend(&mut writer, size);
        (whole.size()..size).for_each(|n| whole.append(leaf(n)));
        assert_eq!((writer.size(), writer.root()), (size, whole.root()));
        writer.flush().unwrap();
        let mut source = TileSource::new(folder.path());
        assert_eq!(source.root(size).unwrap(), whole.root());
        assert_eq!(source.frontier(size).unwrap(), whole);
    }
}

#[test]
fn proofs_from_tiles_hold_and_older_sizes_can_still_be_proven() {
    let folder = tree(1_000);
    let mut source = TileSource::new(folder.path());
    let roots: Vec<Hash> = (0..=1_000).map(expected_fast()).collect();
    for size in [1, 2, 255, 256, 257, 511, 777, 1_000_u64] {
        let root = roots[usize::try_from(size).unwrap()];
        for index in [0, size / 3, size - 1] {
            let proof = source.inclusion(index, size).unwrap().unwrap();
            assert_eq!(source.leaf(index).unwrap(), leaf(index));
            assert_eq!(verify_inclusion(&leaf(index), index, size, &root, &proof), Ok(()));
        }
        let proof = source.consistency(size, 1_000).unwrap().unwrap();
        assert_eq!(verify_consistency((size, &root), (1_000, &roots[1_000]), &proof), Ok(()));
    }
    assert!(matches!(source.root(1_001), Err(TileError::Missing { .. })));
    assert!(matches!(source.leaf(1_000), Err(TileError::Missing { .. })));
    assert_eq!(source.inclusion(1_000, 1_000).unwrap(), None);
}

/// Returns the roots of growing sizes, asked for in order.
fn expected_fast() -> impl FnMut(u64) -> Hash {
    let mut tree = Frontier::new();
    move |size| {
        while tree.size() < size {
            tree.append(leaf(tree.size()));
        }
        tree.root()
    }
}

#[test]
fn narrower_tiles_go_when_the_full_one_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = TileWriter::open(folder.path()).unwrap();
    for size in [10, 20, 255] {
        extend(&mut writer, size);
        writer.flush().unwrap();
    }
    assert_eq!(fs::read_dir(folder.path().join("tile/0/000.p")).unwrap().count(), 3);
    extend(&mut writer, 256);
    writer.flush().unwrap();
    assert!(!folder.path().join("tile/0/000.p").exists());
    let names: Vec<_> = files(folder.path()).into_keys().collect();
    assert_eq!(names, [Path::new("tile/0/000"), Path::new("tile/1/000.p/1")]);
}

#[test]
fn a_flush_without_news_writes_nothing_and_full_tiles_are_never_written_again() {
    let folder = tree(600);
    let stamp = |name: &str| fs::metadata(folder.path().join(name)).unwrap().modified().unwrap();
    let names = ["tile/0/000", "tile/0/001", "tile/0/002.p/88", "tile/1/000.p/2"];
    let before = names.map(stamp);
    let mut writer = TileWriter::open(folder.path()).unwrap();
    writer.flush().unwrap();
    assert_eq!(names.map(stamp), before);
    extend(&mut writer, 700);
    writer.flush().unwrap();
    assert_eq!(names.map(stamp), before);
}

#[test]
fn a_torn_tile_at_the_edge_is_written_anew() {
    for torn in [&b""[..], &[7; 31], &[7; 8_000]] {
        let folder = tree(256);
        fs::write(folder.path().join("tile/0/001"), torn).unwrap();
        fs::create_dir(folder.path().join("tile/0/001.p")).unwrap();
        fs::write(folder.path().join("tile/0/001.p/9"), torn).unwrap();
        fs::write(folder.path().join("tile/0/001.draft"), torn).unwrap();
        let mut writer = TileWriter::open(folder.path()).unwrap();
        assert_eq!(writer.size(), 256);
        for size in [256 + 9, 700] {
            extend(&mut writer, size);
            writer.flush().unwrap();
            assert_eq!(TileSource::new(folder.path()).root(size).unwrap(), expected(size));
        }
    }
}

#[test]
fn a_tile_of_the_wrong_size_is_reported_with_its_file() {
    let folder = tree(600);
    let path = folder.path().join("tile/0/001");
    fs::write(&path, [0; 100]).unwrap();
    match TileSource::new(folder.path()).leaf(300) {
        Err(TileError::Damaged { path: found, bytes: 100 }) => assert_eq!(found, path),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_folder_that_cannot_be_written_loses_no_leaf() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = TileWriter::open(folder.path()).unwrap();
    let in_the_way = folder.path().join("tile/0");
    fs::write(&in_the_way, "a file where a folder should be").unwrap();
    let mut added = 0;
    while writer.append(leaf(added)).is_ok() {
        added += 1;
    }
    assert_eq!(added, 64 * 256, "what waits in memory is bounded");
    assert!(writer.flush().is_err());
    fs::remove_file(in_the_way).unwrap();
    extend(&mut writer, 20_000);
    writer.flush().unwrap();
    assert_eq!(TileSource::new(folder.path()).root(20_000).unwrap(), expected(20_000));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// A crash within a flush leaves any of its files there or not; the next writer goes on.
    #[test]
    fn an_interrupted_flush_is_made_good(
        flushed in 0_u64..1_500,
        more in 1_u64..1_500,
        kept in prop::collection::vec(any::<bool>(), 32),
    ) {
        let folder = tree(flushed);
        let before = files(folder.path());
        let mut writer = TileWriter::open(folder.path()).unwrap();
        extend(&mut writer, flushed + more);
        writer.flush().unwrap();
        // Levels are written one after the other: what is lost is the end of one and all above.
        let new: Vec<PathBuf> =
            files(folder.path()).into_keys().filter(|name| !before.contains_key(name)).collect();
        let level = |name: &Path| name.iter().nth(1).unwrap().to_owned();
        let torn = level(&new[usize::from(kept[0]) % new.len()]);
        for (name, is_kept) in new.iter().zip(kept.iter().cycle()) {
            if level(name) > torn || (level(name) == torn && !is_kept) {
                fs::remove_file(folder.path().join(name)).unwrap();
            }
        }
        for (name, bytes) in &before {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        let mut writer = TileWriter::open(folder.path()).unwrap();
        prop_assert!(writer.size() >= flushed && writer.size() <= flushed + more);
        extend(&mut writer, flushed + more);
        writer.flush().unwrap();
        let root = TileSource::new(folder.path()).root(flushed + more).unwrap();
        prop_assert_eq!(root, expected(flushed + more));
    }
}
